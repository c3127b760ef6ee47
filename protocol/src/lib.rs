//! The wire protocol of pixelboy as pure data: bytes in, frames out, and back. `SPEC.md` is the reference.
//! Invariant: no input allocates more than it justifies, and what was encoded decodes to the same.
//! Not here: sockets, clocks, and what an opcode does.
//! A breach of the protocol is a [`WireError`], whose [`code`](WireError::code) is the reason to close with.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )
)]

// The stream: what comes first, where frames begin and end.
mod opening;
mod splitter;

// One frame: the registry of kinds, then the bodies in the order of the specification.
mod calls;
mod connection;
pub mod frame;
mod reply;
mod request;
mod transfer;

// What bodies are made of.
mod codec;
mod error;
pub mod value;

// Shared by host and clients.
pub mod arguments;
pub mod code;
pub mod limits;
pub mod opcode;
pub mod table;

pub use arguments::{ArgumentError, match_arguments};
pub use calls::{Bind, Call, CallCancel, CallCredit, CallReply, Push, TimeOut};
pub use code::{AfterClose, Code};
pub use connection::{Auth, Challenge, ClientId, Close, Goodbye, Hello, Ping, Pong, Welcome};
pub use error::{EncodeError, WireError};
pub use frame::{Frame, Kind, Sender};
pub use limits::Limits;
pub use opening::{Opening, PREAMBLE};
pub use reply::{Failure, Outcome, Reply, encode_reply_with};
pub use request::{Cancel, Confirm, Request, encode_call, encode_request_with, request_digest};
pub use splitter::{FrameReader, RawFrame, Split, Splitter};
pub use table::{
    ArgEntry, ArgKind, GetTable, OpEntry, Table, TableChanged, TableError, table_digest,
};
pub use transfer::{
    Abort, Credit, Data, Durable, Finish, Finished, OpenDownload, OpenState, OpenUpload, Opened,
    encode_data_header,
};
pub use value::{Blob, Value, WrongType, decode_values, encode_values};

/// The first 16 bytes of SHA-256: the digest of requests and of the opcode table.
pub(crate) fn short_sha256(parts: &[&[u8]]) -> [u8; 16] {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let whole: [u8; 32] = hasher.finalize().into();
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(whole) {
        *to = from;
    }
    short
}
