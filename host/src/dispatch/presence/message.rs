//! What a door tells a presence.

use std::sync::Arc;
use std::time::Duration;

use pixelboy_protocol::{Bind, CallReply};
use tokio::sync::{Semaphore, oneshot};

use crate::dispatch::blobs::Blobs;
use crate::dispatch::operation::Operation;
use crate::dispatch::outbox::Outbox;
use crate::dispatch::session::Activity;

/// What a door tells a presence.
pub(crate) enum Message {
    /// A connection said Hello; it takes the session over.
    Attach(Attach),
    /// That connection is gone.
    Detach(u64),
    /// From that connection.
    Operation(u64, Operation, u64),
    /// Replies up to a number, and these, have arrived.
    Confirm(u64, u64, Vec<u64>),
    /// Drop an operation unless it has begun to commit.
    Cancel(u64, u64),
    /// It offers an opcode, or withdraws it.
    Bind(u64, Bind),
    /// It answers a call.
    CallReply(u64, CallReply),
    /// It takes calls up to a number.
    CallCredit(u64, u64),
    /// The client will not come back.
    Goodbye(u64),
    /// The host stops: finish what runs, then close.
    Stop(oneshot::Sender<()>),
}

/// A connection that takes the session over.
pub(crate) struct Attach {
    pub(crate) connection: u64,
    pub(crate) name: Arc<str>,
    pub(crate) lowest_unconfirmed: u64,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) taken: oneshot::Sender<Attached>,
}

/// What `Welcome` needs to know.
pub(crate) struct Attached {
    pub(crate) resumed: bool,
    pub(crate) executed_through: u64,
    pub(crate) received_through: u64,
    pub(crate) receive_timeout: Duration,
    pub(crate) activity: Activity,
    pub(crate) blobs: Arc<Blobs>,
    /// Each upload of the client that moves holds one.
    pub(crate) upload_places: Arc<Semaphore>,
}
