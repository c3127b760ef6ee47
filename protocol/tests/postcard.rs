//! The codec by hand writes what the postcard crate writes, and reads what it wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "support/strategies.rs"]
mod strategies;

use pixelboy_protocol::{Blob, Frame, OpenState, Outcome, Value, frame};
use proptest::prelude::*;
use serde::Serialize;

/// The values of section 4, as postcard understands them.
#[derive(Serialize)]
enum Mirror {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Mirror>),
    Map(Vec<(String, Mirror)>),
    Upload(u64),
    Blob {
        id: u64,
        length: u64,
        sha256: Option<[u8; 32]>,
        form: u8,
    },
}

#[derive(Serialize)]
enum MirrorOutcome {
    Done(Vec<Mirror>),
    Failed(u16, String, Vec<(String, String)>),
}

#[derive(Serialize)]
enum MirrorState {
    At { offset: u64, limit: u64 },
    Complete,
    Consumed { number: u64 },
}

fn mirror(value: &Value) -> Mirror {
    match value.clone() {
        Value::Null => Mirror::Null,
        Value::Bool(value) => Mirror::Bool(value),
        Value::Int(value) => Mirror::Int(value),
        Value::Float(value) => Mirror::Float(value),
        Value::Text(value) => Mirror::Text(value),
        Value::Bytes(value) => Mirror::Bytes(value),
        Value::List(list) => Mirror::List(mirrors(&list)),
        Value::Map(entries) => Mirror::Map(named(&entries)),
        Value::Upload(transfer) => Mirror::Upload(transfer),
        Value::Blob(Blob {
            id,
            length,
            sha256,
            form,
        }) => Mirror::Blob {
            id,
            length,
            sha256,
            form,
        },
    }
}

fn mirrors(list: &[Value]) -> Vec<Mirror> {
    list.iter().map(mirror).collect()
}

fn named(entries: &[(String, Value)]) -> Vec<(String, Mirror)> {
    entries
        .iter()
        .map(|(key, value)| (key.clone(), mirror(value)))
        .collect()
}

fn mirror_outcome(outcome: &Outcome) -> MirrorOutcome {
    match outcome {
        Outcome::Done(values) => MirrorOutcome::Done(mirrors(values)),
        Outcome::Failed(failure) => MirrorOutcome::Failed(
            failure.code.number(),
            failure.message.clone(),
            failure.details.clone(),
        ),
    }
}

fn bytes(body: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(body).unwrap()
}

/// The body by the postcard crate; its tuples are the fields of the specification.
fn by_postcard(frame: &Frame<'_>) -> Vec<u8> {
    match frame {
        Frame::Hello(it) => bytes(&(
            (it.min_version, it.max_version, it.client.0, &it.name),
            (it.last_store, it.lowest_unconfirmed, it.flags),
        )),
        Frame::Welcome(it) => bytes(&(
            (
                it.version,
                it.store,
                it.resumed,
                it.executed_through,
                it.received_through,
            ),
            (&it.limits, it.table, &it.host),
        )),
        Frame::Challenge(it) => bytes(&(&it.method, &it.data)),
        Frame::Auth(it) => bytes(&(&it.method, &it.data)),
        Frame::Close(it) => bytes(&(it.code.number(), &it.message)),
        Frame::Goodbye(_) | Frame::GetTable(_) => Vec::new(),
        Frame::Ping(it) => bytes(&it.token),
        Frame::Pong(it) => bytes(&it.token),
        Frame::Request(it) => bytes(&(
            it.number,
            it.confirmed,
            it.deadline_ms,
            &it.op,
            mirrors(&it.args),
            named(&it.kwargs),
        )),
        Frame::Reply(it) => bytes(&(
            it.number,
            it.stored,
            it.recorded,
            mirror_outcome(&it.outcome),
        )),
        Frame::Confirm(it) => bytes(&(it.through, &it.also)),
        Frame::Cancel(it) => bytes(&it.number),
        Frame::TimeOut(it) => bytes(&it.idle_ms),
        Frame::Push(it) => bytes(&(&it.op, mirrors(&it.args))),
        Frame::Bind(it) => bytes(&(&it.op, it.bound)),
        Frame::Call(it) => bytes(&(
            it.number,
            &it.op,
            mirrors(&it.args),
            named(&it.kwargs),
            it.deadline_ms,
        )),
        Frame::CallReply(it) => bytes(&(it.number, mirror_outcome(&it.outcome))),
        Frame::CallCancel(it) => bytes(&it.number),
        Frame::CallCredit(it) => bytes(&it.through),
        Frame::OpenUpload(it) => bytes(&(it.transfer, it.length, it.sha256, it.mode)),
        Frame::OpenDownload(it) => bytes(&(it.transfer, it.blob, it.offset, it.limit)),
        Frame::Opened(it) => {
            let state = match it.state {
                OpenState::At { offset, limit } => MirrorState::At { offset, limit },
                OpenState::Complete => MirrorState::Complete,
                OpenState::Consumed { number } => MirrorState::Consumed { number },
            };
            bytes(&(it.transfer, state, it.length, it.sha256))
        }
        Frame::Credit(it) => bytes(&(it.transfer, it.limit)),
        Frame::Data(it) => [
            bytes(&(it.transfer, it.offset, it.crc32c)),
            it.chunk.to_vec(),
        ]
        .concat(),
        Frame::Finish(it) => bytes(&(it.transfer, it.length, it.sha256)),
        Frame::Finished(it) => bytes(&(it.transfer, it.sha256)),
        Frame::Durable(it) => bytes(&(it.transfer, it.offset)),
        Frame::Abort(it) => bytes(&(it.transfer, it.code.number(), &it.message)),
        Frame::Table(it) => bytes(&(it.digest, it.total, it.first, mirrors(&it.ops))),
        Frame::TableChanged(it) => bytes(&it.digest),
    }
}

proptest! {
    #[test]
    fn every_body_is_what_the_postcard_crate_makes_of_its_fields(frame in strategies::frame()) {
        let mut ours = Vec::new();
        frame.encode(&mut ours).unwrap();
        prop_assert_eq!(hex::encode(&ours[frame::HEADER_BYTES..]), hex::encode(by_postcard(&frame)));
    }
}
