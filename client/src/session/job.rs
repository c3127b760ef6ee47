//! One call on its way.

use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::command::Answer;
use crate::error::Ticket;

/// The device gives up a little before the caller does, so that the caller hears that nothing happened.
const MARGIN: Duration = Duration::from_millis(500);
/// Bytes of a request besides op, arguments and names, at most.
const AROUND: u64 = 48;

/// One call on its way.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) ticket: Ticket,
    pub(crate) op: String,
    /// The encoded op, args and kwargs: the same bytes however often it is sent.
    pub(crate) call: Vec<u8>,
    pub(crate) deadline: Instant,
    /// How long the caller waits in all.
    pub(crate) patience: Duration,
    /// None: nobody waits any more, but what became of it is still to be learnt.
    pub(crate) answer: Option<oneshot::Sender<Answer>>,
    /// The device was asked to drop it.
    pub(crate) cancelling: bool,
    /// Its place among the calls under way.
    pub(crate) _room: Option<OwnedSemaphorePermit>,
}

impl Job {
    /// Of its request's body.
    pub(crate) fn bytes(&self) -> u64 {
        self.call.len() as u64 + AROUND
    }

    /// What the device may take for it, from now.
    pub(crate) fn deadline_ms(&self, now: Instant) -> u64 {
        if self.answer.is_none() {
            // Learn what became of it, but do not begin it now.
            return 0;
        }
        let margin = MARGIN.min(self.patience / 10);
        let left = self
            .deadline
            .saturating_duration_since(now)
            .saturating_sub(margin);
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        if let Some(waiting) = self.answer.take() {
            // Who does not wait any more does not want to know.
            let _ = waiting.send(answer);
        }
    }
}
