//! From a guest's values to the reply's: handles become bytes where they fit, else blobs to be fetched.
//! Invariant: a recorded reply names no blob, as it may be asked for after a restart, when the bytes may have changed.

use pixelboy_protocol::{Code, EncodeError, Failure, Outcome, Value, encode_values, limits};
use pixelboy_store::Blob as StoredBlob;
use wasmtime::component::Resource;

use super::ran::encode;
use crate::capability::Guest;
use crate::capability::blob::{self, Data};
use crate::dispatch::blobs::Blobs;
use crate::dispatch::operation::EncodedOutcome;
use crate::plugin::contract::pixelboy::plugin::types::{self, Node};
use crate::plugin::values;

/// Where the values of a reply go.
pub(super) struct Addressee<'a> {
    /// The plugin that replies.
    pub(super) plugin: &'a str,
    pub(super) blobs: &'a Blobs,
    pub(super) number: u64,
    /// The reply is recorded: it names no blob, as it may be asked for after a restart, when the bytes may have changed.
    pub(super) recorded: bool,
}

/// The guest's values as the reply's: handles become bytes where they fit, else blobs to be fetched.
pub(super) async fn raise(
    guest: &mut Guest,
    values: types::Values,
    to: &Addressee<'_>,
) -> Result<Vec<Value>, Failure> {
    let has_handles = values
        .nodes
        .iter()
        .any(|node| matches!(node, Node::Data(_)));
    let mut held = if has_handles {
        Box::pin(fetch(guest, &values, to)).await?
    } else {
        Vec::new()
    };
    values::from_guest(values, |handle: Resource<Data>| {
        let found = held.iter().position(|(rep, _)| *rep == handle.rep());
        found.map_or(Value::Null, |at| held.swap_remove(at).1)
    })
    .map_err(|error| wrong_reply(&error))
}

/// What the handles among the guest's values become.
async fn fetch(
    guest: &mut Guest,
    values: &types::Values,
    to: &Addressee<'_>,
) -> Result<Vec<(u32, Value)>, Failure> {
    let mut held = Vec::new();
    let mut room = limits::INLINE_BYTES;
    for node in &values.nodes {
        match node {
            Node::Text(text) => room = room.saturating_sub(text.len()),
            Node::Bytes(bytes) => room = room.saturating_sub(bytes.len()),
            _ => {}
        }
    }
    for node in &values.nodes {
        let Node::Data(handle) = node else { continue };
        let rep = handle.rep();
        let Data(blob) = guest
            .table
            .delete(Resource::new_own(rep))
            .map_err(|error| wrong_reply(&error))?;
        let length = blob.len();
        let value = if length <= room as u64 {
            room -= length as usize;
            let bytes = blob::read(blob, 0, length as u32)
                .await
                .map_err(unreadable)?;
            Value::Bytes(bytes)
        } else if to.recorded {
            return Err(Failure::new(
                Code::TooLarge,
                format!(
                    "the plugin {} wrote, so its reply must fit {} bytes, and {length} bytes of stored data do not; \
                     fetch them with a request that only reads; nothing happened",
                    to.plugin,
                    limits::INLINE_BYTES
                ),
            ));
        } else {
            let own = blob.clone();
            blob::blocking(move || own.check())
                .await
                .map_err(unreadable)?;
            let sha256 = blob.known_sha256().map(|sha| sha.0);
            let id = to.blobs.name(to.number, blob);
            Value::Blob(pixelboy_protocol::Blob {
                id,
                length,
                sha256,
                form: 0,
            })
        };
        held.push((rep, value));
    }
    Ok(held)
}

fn wrong_reply(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Code::PluginCrashed,
        format!("the plugin's reply is wrong: {error}; nothing happened"),
    )
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::new(
        Code::StorageFailed,
        format!("failed to read stored bytes: {error}"),
    )
}

/// The values encoded; many of an operation that wrote nothing travel as a blob.
pub(super) fn reply(values: Vec<Value>, to: &Addressee<'_>) -> Result<EncodedOutcome, Failure> {
    let mut encoded = Vec::with_capacity(128);
    let outcome = Outcome::Done(values);
    let Err(error) = outcome.encode(&mut encoded) else {
        return Ok(encoded.into());
    };
    let too_large = |error: EncodeError| {
        Failure::new(
            Code::TooLarge,
            format!("the reply can't be sent: {error}; nothing happened"),
        )
    };
    let Outcome::Done(values) = outcome else {
        return Err(too_large(error));
    };
    // A recorded reply outlives the blobs that it would name.
    if to.recorded {
        return Err(too_large(error));
    }
    encode_values(&values, &mut encoded).map_err(too_large)?;
    let length = encoded.len() as u64;
    let id = to.blobs.name(to.number, StoredBlob::from_bytes(encoded));
    let form = pixelboy_protocol::Blob::VALUES;
    let blob = Value::Blob(pixelboy_protocol::Blob {
        id,
        length,
        sha256: None,
        form,
    });
    Ok(encode(&Outcome::Done(vec![blob])))
}
