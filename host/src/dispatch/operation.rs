//! An operation on its way from a door to its reply.

use std::sync::Arc;
use std::time::Instant;

use pixelboy_protocol::Value;

/// What a client asks for; doors make it, whatever their frames look like.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The client's own number.
    pub(crate) number: u64,
    /// What tells a resend from another request under the same number.
    pub(crate) digest: [u8; 16],
    pub(crate) op: String,
    pub(crate) args: Vec<Value>,
    pub(crate) kwargs: Vec<(String, Value)>,
    /// Past it the operation is dropped unless it has committed.
    pub(crate) deadline: Option<Instant>,
    /// Bytes that it takes of the client's window.
    pub(crate) bytes: usize,
}

/// An encoded outcome, shared by the reply, the record in memory and the record on disk.
pub(crate) type EncodedOutcome = Arc<[u8]>;
