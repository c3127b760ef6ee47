//! What the handles of a client ask of its driver.

use std::sync::Arc;
use std::time::Instant;

use pixelboy_protocol::Code;
use tokio::sync::oneshot;

use crate::error::{Error, Ticket};
use crate::reply::Reply;
use crate::session::Job;
use crate::table::OpTable;
use crate::transfer::{Epoch, Route};

/// The answer to a call.
pub(crate) type Answer = Result<Reply, Error>;

/// What the handles of a client ask of its driver.
pub(crate) enum Command {
    /// Send a call, and see it through.
    Submit(Job),
    /// Ask the device to drop a call.
    Cancel(Ticket),
    /// Wait on for a call whose answer was not waited for.
    Again {
        ticket: Ticket,
        deadline: Instant,
        answer: oneshot::Sender<Answer>,
    },
    /// How long is it to the device and back?
    Ping(oneshot::Sender<Result<(), Error>>),
    /// The opcode table.
    Table(oneshot::Sender<Result<Arc<OpTable>, Error>>),
    /// A new transfer; its number comes back.
    Route {
        route: Route,
        number: oneshot::Sender<Result<u64, Error>>,
    },
    /// A transfer's frame.
    Frame { epoch: Epoch, frame: Vec<u8> },
    /// A transfer is over; the device is told where it is not over there.
    EndTransfer { number: u64, abort: bool },
    /// The device broke a rule.
    Broken {
        epoch: Epoch,
        code: Code,
        what: String,
    },
    /// Offer an opcode to the device, or take the offer back.
    Bind {
        op: String,
        handler: Option<Handler>,
    },
    /// The answer to a call of the device.
    Answered {
        epoch: Epoch,
        number: u64,
        outcome: pixelboy_protocol::Outcome,
    },
    /// See calls under way through, then end.
    Close(oneshot::Sender<()>),
}

/// What answers a call of the device.
pub(crate) type Handler = Arc<
    dyn Fn(
            pixelboy_protocol::Call,
        ) -> std::pin::Pin<Box<dyn Future<Output = pixelboy_protocol::Outcome> + Send>>
        + Send
        + Sync,
>;
