//! Operations that answer later, until another operation of their plugin completes them.
//! Invariant: each is answered once: by whoever takes it out of here.
//! Not here: how long one may wait (`presence`).
//! A plugin that goes: what it put off is answered `interrupted`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pixelboy_protocol::{Code, Failure, Outcome};
use pixelboy_store::{OperationId, Position};
use tokio::sync::mpsc;

use super::blobs::Blobs;
use super::operation::EncodedOutcome;
use super::run;
use crate::capability::call::Waits;

/// An operation that was put off.
#[derive(Clone)]
pub(crate) struct Later {
    /// The plugin that will answer.
    pub(crate) plugin: Arc<str>,
    pub(crate) operation: OperationId,
    /// It has a record, in which the answer is to be put.
    pub(crate) wrote: bool,
    pub(crate) blobs: Arc<Blobs>,
    /// Its client.
    pub(crate) answers: mpsc::UnboundedSender<Answered>,
}

/// What was put off is answered.
pub(crate) struct Answered {
    pub(crate) number: u64,
    pub(crate) outcome: EncodedOutcome,
    /// What must be durable before anybody hears of it.
    pub(crate) after: Position,
}

/// All of them, by their tokens.
#[derive(Default)]
pub(crate) struct PutOff(Mutex<HashMap<u64, Later>>);

impl PutOff {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Later>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub(crate) fn add(&self, token: u64, later: Later) {
        self.all().insert(token, later);
    }

    /// The one that a plugin put off.
    pub(crate) fn find(&self, token: u64, plugin: &str) -> Option<Later> {
        let all = self.all();
        all.get(&token)
            .filter(|later| *later.plugin == *plugin)
            .cloned()
    }

    /// Takes it, to be answered; none where somebody did already.
    pub(crate) fn take(&self, token: u64) -> Option<Later> {
        self.all().remove(&token)
    }

    /// Takes and answers all that a plugin put off that has gone.
    pub(crate) fn interrupt(&self, plugin: &str) {
        let gone = self
            .all()
            .extract_if(|_, later| *later.plugin == *plugin)
            .collect::<Vec<_>>();
        for (_, later) in gone {
            later.answer(interrupted(), Position::default());
        }
    }
}

impl Waits for PutOff {
    fn waits(&self, token: u64, plugin: &str) -> bool {
        self.find(token, plugin).is_some()
    }
}

impl Later {
    /// Hands the answer to the client, where it is still there.
    pub(crate) fn answer(self, outcome: EncodedOutcome, after: Position) {
        let _ = self.answers.send(Answered {
            number: self.operation.number,
            outcome,
            after,
        });
    }
}

/// What is answered where the answer never comes. It is also what the record says as long as there is none.
pub(crate) fn interrupted() -> EncodedOutcome {
    let why = "the answer was put off and lost: its time ran out, its plugin went, or the host was restarted; what the \
               operation wrote is kept";
    run::encode(&Outcome::Failed(Failure::new(Code::Interrupted, why)))
}
