//! What became of an operation, encoded once for the reply, the record in memory and the record on disk.
//! Invariant: whatever went wrong with an outcome, there are bytes that say so.

use std::time::Instant;

use pixelboy_protocol::{Code, Failure, Outcome, limits};
use pixelboy_store::Position;
use tokio::sync::oneshot;

use crate::dispatch::operation::EncodedOutcome;

/// What became of an operation, and what its reply waits for.
pub(crate) struct Ran {
    pub(crate) outcome: EncodedOutcome,
    /// Its place in the commit order, when it wrote.
    pub(crate) wrote: Option<Position>,
    /// What must be durable before anybody hears of it.
    pub(crate) after: Position,
    /// Tells when its effects have begun, where it had any.
    pub(crate) begun: Option<oneshot::Receiver<Result<(), Failure>>>,
    /// Its plugin answers later; `outcome` is what the record says until then.
    pub(crate) later: Option<PutOffUntil>,
}

/// Under which name an answer is put off, and until when its client waits.
pub(crate) struct PutOffUntil {
    pub(crate) token: u64,
    pub(crate) deadline: Option<Instant>,
}

impl Ran {
    /// Nothing happened.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self::answered(Outcome::Failed(bounded(failure)))
    }

    /// Nothing was written or staged.
    pub(crate) fn answered(outcome: Outcome) -> Self {
        Self {
            outcome: encode(&outcome),
            wrote: None,
            after: Position::default(),
            begun: None,
            later: None,
        }
    }
}

/// The outcome's bytes; one that does not fit becomes a failure that does.
pub(crate) fn encode(outcome: &Outcome) -> EncodedOutcome {
    let mut bytes = Vec::with_capacity(128);
    if let Err(error) = outcome.encode(&mut bytes) {
        let failure = Failure::new(Code::TooLarge, format!("the reply can't be sent: {error}"));
        bytes.clear();
        if Outcome::Failed(failure).encode(&mut bytes).is_err() {
            bytes.clear();
        }
    }
    bytes.into()
}

/// A failure as the wire takes it.
pub(super) fn bounded(mut failure: Failure) -> Failure {
    let cut = |text: &mut String| {
        let end = text.floor_char_boundary(limits::MESSAGE_BYTES);
        text.truncate(end);
    };
    cut(&mut failure.message);
    failure.details.truncate(limits::DETAILS);
    for (name, value) in &mut failure.details {
        cut(name);
        cut(value);
    }
    failure
}
