//! Everything that can go wrong, with what is known and what to do.
//! Invariant: [`Error::leaves_open`] says whether a call may have happened; of every other error nothing happened.

use std::path::PathBuf;
use std::time::Duration;

use pixelboy_protocol::{Code, Failure};

use crate::address::{Address, NoAddress};

/// Names a call whose answer was not waited for, to ask for it again: [`Client::again`](crate::Client::again).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(crate) u64);

impl Ticket {
    /// Of what no caller asked for.
    pub(crate) const NONE: Self = Self(0);
}

/// What can go wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The text names no device.
    #[error("{0}")]
    Address(#[from] NoAddress),
    /// There is no connection, and nothing was sent.
    #[error("no device answers at {address}: {why}")]
    Unreachable {
        /// Where it was looked for.
        address: Address,
        /// The reason, and what to try.
        why: String,
    },
    /// The device does not take this client in, or found a fault in what it sent. There is no use in trying again.
    #[error("{address} refuses this client ({code}): {message}")]
    Refused {
        /// The device's.
        address: Address,
        /// Why.
        code: Code,
        /// What the device said.
        message: String,
    },
    /// Another program uses the same client id, which ended this one's session.
    #[error(
        "another program uses the same client id at {address}; give each program its own state file, or none"
    )]
    Fenced {
        /// The device's.
        address: Address,
    },
    /// The device sent what this client does not understand.
    #[error("{address} sent what it must not: {what}; is it another version?")]
    Protocol {
        /// The device's.
        address: Address,
        /// What was found.
        what: String,
    },
    /// The client was closed, or its session ended with `cc`.
    #[error("this client was closed; connect anew")]
    Closed,
    /// The arguments cannot be sent. Nothing was.
    #[error("{op} cannot be sent: {why}")]
    NotSendable {
        /// The opcode.
        op: String,
        /// Which limit, and what to do.
        why: String,
    },
    /// The device said no.
    #[error("{0}")]
    Failed(Failure),
    /// Time ran out before anything happened, or a transfer rested too long. It can be done again.
    #[error("{what} within {} s{why}", after.as_secs_f64())]
    TimedOut {
        /// What did not come.
        what: String,
        /// How long was waited.
        after: Duration,
        /// What is known besides, with what separates it from the rest; may be empty.
        why: String,
    },
    /// It may or may not have happened.
    #[error("{op}: outcome unknown: {why}{}", if ticket.is_some() { "; safe to send again with this client" } else { "" })]
    OutcomeUnknown {
        /// The opcode.
        op: String,
        /// What is known.
        why: String,
        /// To ask for the same operation again, which never runs twice. None: it cannot be asked for any more.
        ticket: Option<Ticket>,
    },
    /// It may or may not have happened, and cannot be asked for any more: the device does not know this client as it was.
    #[error("{op}: outcome unknown: {why}; look (ls, stat or status) before doing it again")]
    Forgotten {
        /// The opcode.
        op: String,
        /// What was found.
        why: String,
    },
    /// It did not happen: another program sent something else under its number, and so uses the same client id.
    #[error(
        "{op} did not happen: another program uses the same client id ({message}); give each program its own state file"
    )]
    NumberReused {
        /// The opcode.
        op: String,
        /// What the device said.
        message: String,
    },
    /// It ran, or was refused, and its reply is lost; nothing of it is on the device's disk.
    #[error(
        "{op}: its reply is lost, and nothing of it is on the device's disk; do it again where only the storing matters ({message})"
    )]
    RanReplyLost {
        /// The opcode.
        op: String,
        /// What the device said.
        message: String,
    },
    /// An earlier run got its reply, and told the device so; what it was is not kept.
    #[error("{op} was answered to an earlier run; what the answer was is not kept ({message})")]
    AlreadyConfirmed {
        /// The opcode.
        op: String,
        /// What the device said.
        message: String,
    },
    /// The bytes that were fetched are not those that the device announced.
    #[error("what was fetched does not have the announced SHA-256; fetch it again")]
    Mismatch,
    /// The file that keeps the client's identity.
    #[error("the state file {}: {why}", path.display())]
    State {
        /// Where it is.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A file here, or where fetched bytes go.
    #[error("{name}: {why}")]
    File {
        /// Which.
        name: String,
        /// What the system says.
        why: String,
    },
}

impl Error {
    /// The code that the device gave, if it did.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Failed(failure) => Some(failure.code),
            Self::Refused { code, .. } => Some(*code),
            Self::Fenced { .. } => Some(Code::Fenced),
            Self::Forgotten { .. } => Some(Code::ClientForgotten),
            Self::NumberReused { .. } => Some(Code::NumberReused),
            Self::RanReplyLost { .. } => Some(Code::RanReplyLost),
            Self::AlreadyConfirmed { .. } => Some(Code::AlreadyConfirmed),
            _ => None,
        }
    }

    /// Whether the call may have happened all the same.
    #[must_use]
    pub fn leaves_open(&self) -> bool {
        match self {
            Self::OutcomeUnknown { .. }
            | Self::Forgotten { .. }
            | Self::RanReplyLost { .. }
            | Self::AlreadyConfirmed { .. } => true,
            // An answer put off was lost; what its handler wrote is there.
            Self::Failed(failure) => {
                matches!(failure.code, Code::OutcomeUnknown | Code::Interrupted)
            }
            _ => false,
        }
    }

    /// Of a file here, in the system's words without its number.
    #[must_use]
    pub fn file(name: impl Into<String>, error: &std::io::Error) -> Self {
        Self::File {
            name: name.into(),
            why: said(error),
        }
    }
}

/// What the system says, without the number of its error.
pub(crate) fn said(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}
