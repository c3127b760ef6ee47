//! Requests as they come: new ones line up, others are answered from what is known.
//! Invariant: a number that was received is never queued a second time.

use pixelboy_protocol::{Code, Failure, limits};
use pixelboy_store::{Admission, OperationId, RequestDigest};

use super::refusal::{already_confirmed, number_reused, reply_lost, shutting_down};
use super::{Past, Presence};
use crate::dispatch::operation::Operation;
use crate::dispatch::record::State;
use crate::dispatch::run::Ran;

impl Presence {
    pub(super) fn confirm(&mut self, through: u64, also: &[u64]) {
        if self.has_past {
            // An earlier run of the host may have received more than is known of: it answered what left no record.
            self.record.received_through = self.record.received_through.max(through);
        }
        let received = self.record.received_through;
        if through > received {
            return self.close_link(
                Code::BadNumber,
                &format!("a reply was confirmed that was never asked for; the highest number is {received}"),
            );
        }
        // Only what is known of: the store keeps what it is told.
        let answered = |number: &u64| {
            let kept = self.record.find(*number);
            *number > through && kept.is_some_and(|kept| matches!(kept.state, State::Done { .. }))
        };
        let also: Vec<u64> = also.iter().copied().filter(answered).collect();
        // The store need not hear of operations that it never heard of.
        if self.record.confirm(through, &also) || !self.was_told {
            self.was_told = true;
            self.dispatch
                .services
                .store
                .confirm(self.client, through, &also);
        }
    }

    /// A request has arrived: run it later, or say what is known of it.
    pub(super) fn receive(&mut self, operation: Operation) {
        let number = operation.number;
        let Some(link) = &mut self.link else { return };
        if number <= link.last_number {
            let last = link.last_number;
            return self.close_link(
                Code::BadNumber,
                &format!("request numbers must rise: {number} came after {last}"),
            );
        }
        link.last_number = number;
        link.asked.insert(number, ());
        if let Some(kept) = self.record.find(number) {
            if kept.digest != operation.digest {
                return self.answer_failure(number, number_reused(number));
            }
            if let State::Done { stored, outcome } = &kept.state {
                let (stored, outcome) = (*stored, outcome.clone());
                self.reply(number, stored, true, &outcome);
            }
            return;
        }
        if number <= self.record.received_through
            && let Some(past) = self.past(&operation)
        {
            return match past {
                Past::Recorded { reply, stored } => {
                    self.record.receive(number, operation.digest);
                    self.when_durable(number, Some(stored), reply.into(), stored, true);
                }
                Past::Refused(failure) => self.answer_failure(number, failure),
            };
        }
        if self.record.len() as u64 >= limits::WINDOW_OPERATIONS {
            return self.close_link(
                Code::LimitExceeded,
                &format!(
                    "{} requests are not confirmed; confirm replies first",
                    limits::WINDOW_OPERATIONS
                ),
            );
        }
        self.queue_bytes += operation.bytes;
        if self.queue_bytes as u64 > limits::WINDOW_BYTES {
            return self.close_link(
                Code::LimitExceeded,
                &format!(
                    "requests of more than {} bytes are waiting",
                    limits::WINDOW_BYTES
                ),
            );
        }
        self.record.receive(number, operation.digest);
        if self.leaving || !self.stopping.is_empty() {
            return self.finish(number, Ran::failed(shutting_down()));
        }
        let has_deadline = operation.deadline.is_some();
        self.queue.push_back(operation);
        // It may have to wait: then it is answered in time all the same.
        if has_deadline && self.running.is_some() {
            self.set_alarm();
        }
    }

    /// What the store knows of a number that is not in memory. None: it may run.
    pub(super) fn past(&self, operation: &Operation) -> Option<Past> {
        let number = operation.number;
        if number <= self.record.confirmed_through {
            return Some(Past::Refused(already_confirmed(number)));
        }
        let store = &self.dispatch.services.store;
        let id = OperationId {
            client: self.client,
            number,
        };
        let failure = match store.admit(id, RequestDigest(operation.digest)) {
            Ok(Admission::Run) if number > self.record.executed_through => return None,
            Ok(Admission::Recorded { reply, stored }) => {
                return Some(Past::Recorded { reply, stored });
            }
            Ok(Admission::AlreadyConfirmed) => already_confirmed(number),
            Ok(Admission::NumberReused) => number_reused(number),
            Ok(Admission::Run | Admission::ReplyLost) => reply_lost(number),
            // Not "nothing was stored": it may have been.
            Err(error) => Failure::new(
                Code::OutcomeUnknown,
                format!(
                    "whether this ran before can't be told: {error}; send it again under the same number"
                ),
            ),
        };
        Some(Past::Refused(failure))
    }

    pub(super) fn cancel(&mut self, number: u64) {
        let cancelled =
            || Ran::failed(Failure::new(Code::Cancelled, "cancelled; nothing happened"));
        if self.running == Some(number) {
            self.running = None;
            self.finish(number, cancelled());
        } else if let Some(at) = self
            .queue
            .iter()
            .position(|operation| operation.number == number)
        {
            self.unqueue(at);
            self.finish(number, cancelled());
        }
    }

    pub(super) fn unqueue(&mut self, at: usize) -> Option<Operation> {
        let operation = self.queue.remove(at)?;
        self.queue_bytes = self.queue_bytes.saturating_sub(operation.bytes);
        Some(operation)
    }

    /// Goodbye: what has not begun never will, and nobody waits for an answer.
    pub(super) fn drop_waiting(&mut self) {
        if let Some(running) = self.running.take() {
            self.record.forget(running);
        }
        while let Some(operation) = self.unqueue(0) {
            self.record.forget(operation.number);
        }
    }

    /// The host stops: what runs goes on, what waits is refused.
    pub(super) fn refuse_waiting(&mut self) {
        while let Some(operation) = self.unqueue(0) {
            self.finish(operation.number, Ran::failed(shutting_down()));
        }
    }
}
