//! Values on their way from a plugin to a client.
//! Invariant: stored bytes are not read before they are sent; what does not fit a frame travels as a blob.
//! What can't be sent is refused when it is staged.

use std::io;

use pixelboy_protocol::{Blob, Push, Value, limits};
use pixelboy_store::Blob as StoredBlob;
use wasmtime::component::Resource;

use super::blob::{self, Data};
use super::{Guest, failure};
use crate::plugin::contract::pixelboy::plugin::types::{Failure, Values};
use crate::plugin::values::from_guest;

/// An opcode with its arguments.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) op: String,
    /// A blob in here has the index of its bytes for an id.
    args: Vec<Value>,
    bytes: Vec<StoredBlob>,
}

impl Parcel {
    /// What a guest hands over. A misuse of handles traps.
    pub(crate) fn pack(
        guest: &mut Guest,
        op: String,
        args: Values,
    ) -> wasmtime::Result<Result<Self, Failure>> {
        if op.is_empty() || op.len() > limits::OPCODE_BYTES {
            return Ok(Err(failure::bad_arguments(format!(
                "an opcode has 1 to {} bytes, got {op:?}",
                limits::OPCODE_BYTES
            ))));
        }
        let mut handles: Vec<Resource<Data>> = Vec::new();
        let mut args = from_guest(args, |handle| {
            handles.push(handle);
            placeholder(handles.len() as u64 - 1, 0)
        })?;
        let mut bytes = Vec::with_capacity(handles.len());
        for handle in handles {
            let Data(blob) = guest.table.delete(Resource::new_own(handle.rep()))?;
            bytes.push(blob);
        }
        for value in &mut args {
            each_blob(value, &mut |blob| {
                if let Some(bytes) = bytes.get(blob.id as usize) {
                    blob.length = bytes.len();
                }
            });
        }
        let push = Push { op, args };
        Ok(match push.encode(&mut Vec::new()) {
            Ok(()) => Ok(Self {
                op: push.op,
                args: push.args,
                bytes,
            }),
            Err(error) => Err(failure::too_large(format!("it can't be sent: {error}"))),
        })
    }

    /// About what it takes in memory.
    pub(crate) fn staged_bytes(&self) -> usize {
        self.op.len() + self.args.iter().map(value_bytes).sum::<usize>()
    }

    /// Compares what is too large for a frame with what was stored: that reads all of it, once, so it is done where nobody
    /// else waits.
    pub(crate) async fn check(&self) {
        for bytes in &self.bytes {
            if bytes.len() > limits::INLINE_BYTES as u64 {
                let own = bytes.clone();
                // What is wrong with it is told when it is to be sent.
                let _ = blob::blocking(move || own.check()).await;
            }
        }
    }

    /// As the wire has it: bytes that fit are read, others get a name at the client.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) async fn unpack(
        self,
        name: impl Fn(StoredBlob) -> u64,
    ) -> io::Result<(String, Vec<Value>)> {
        let Self {
            op,
            mut args,
            bytes,
        } = self;
        let mut room = limits::INLINE_BYTES.saturating_sub(args.iter().map(inline_bytes).sum());
        let mut ready = Vec::with_capacity(bytes.len());
        for bytes in bytes {
            let length = bytes.len();
            ready.push(if length <= room as u64 {
                room -= length as usize;
                Value::Bytes(blob::read(bytes, 0, length as u32).await?)
            } else {
                let own = bytes.clone();
                blob::blocking(move || own.check()).await?;
                let sha256 = bytes.known_sha256().map(|sha| sha.0);
                Value::Blob(Blob {
                    id: name(bytes),
                    length,
                    sha256,
                    form: 0,
                })
            });
        }
        for value in &mut args {
            fill(value, &mut ready);
        }
        Ok((op, args))
    }
}

fn placeholder(id: u64, length: u64) -> Value {
    Value::Blob(Blob {
        id,
        length,
        sha256: None,
        form: 0,
    })
}

fn each_blob(value: &mut Value, act: &mut impl FnMut(&mut Blob)) {
    match value {
        Value::Blob(blob) => act(blob),
        Value::List(items) => items.iter_mut().for_each(|item| each_blob(item, act)),
        Value::Map(items) => items.iter_mut().for_each(|(_, item)| each_blob(item, act)),
        _ => {}
    }
}

/// Puts what is ready in the place of placeholders.
fn fill(value: &mut Value, ready: &mut [Value]) {
    match value {
        Value::Blob(blob) => {
            if let Some(ready) = ready.get_mut(blob.id as usize) {
                *value = std::mem::replace(ready, Value::Null);
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, ready)),
        Value::Map(items) => items.iter_mut().for_each(|(_, item)| fill(item, ready)),
        _ => {}
    }
}

/// Bytes of its texts and bytes.
fn inline_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(inline_bytes).sum(),
        Value::Map(items) => items.iter().map(|(_, item)| inline_bytes(item)).sum(),
        _ => 0,
    }
}

/// About what a value takes in memory.
fn value_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.iter().map(value_bytes).sum(),
            Value::Map(items) => items
                .iter()
                .map(|(key, item)| key.len() + value_bytes(item))
                .sum(),
            _ => 0,
        }
}
