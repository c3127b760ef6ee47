//! Operations that answer later: what is told, and when, if nobody answers.
//! Invariant: one that was put off holds nothing up, and is answered once.

use std::time::{Duration, Instant};

use pixelboy_protocol::limits;
use pixelboy_store::Position;

use super::Presence;
use crate::dispatch::later::{self, Answered};
use crate::dispatch::run::PutOffUntil;

/// One that was put off.
pub(super) struct Pending {
    token: u64,
    wrote: Option<Position>,
    until: Instant,
    /// What it staged is durable and has begun.
    settled: bool,
    answer: Option<Answered>,
}

impl Presence {
    /// An operation has committed, and its plugin will answer later.
    pub(super) fn put_off(&mut self, number: u64, wrote: Option<Position>, later: PutOffUntil) {
        let longest = Instant::now() + Duration::from_millis(limits::LATER_MS);
        self.record.executed_through = self.record.executed_through.max(number);
        self.later.insert(
            number,
            Pending {
                token: later.token,
                wrote,
                until: later.deadline.map_or(longest, |until| until.min(longest)),
                settled: false,
                answer: None,
            },
        );
        self.set_alarm();
    }

    /// As if a plugin had put this one off.
    #[cfg(test)]
    pub(crate) fn put_off_for_a_test(&mut self, number: u64, token: u64) {
        let operation = pixelboy_store::OperationId {
            client: self.client,
            number,
        };
        let later = later::Later {
            plugin: "slow".into(),
            operation,
            wrote: false,
            blobs: self.blobs.clone(),
            answers: self.answers.0.clone(),
        };
        self.dispatch.put_off.add(token, later);
        let deadline = None;
        self.put_off(number, None, PutOffUntil { token, deadline });
    }

    /// Whether the answer to this number is put off; then what it staged has begun.
    pub(super) fn is_put_off(&mut self, number: u64) -> bool {
        let Some(pending) = self.later.get_mut(&number) else {
            return false;
        };
        pending.settled = true;
        if pending.answer.is_some() {
            self.tell_later(number);
        }
        true
    }

    /// What it staged did not begin: that is the answer.
    pub(super) fn answer_now(&mut self, number: u64) {
        if let Some(pending) = self.later.remove(&number) {
            self.dispatch.put_off.take(pending.token);
        }
    }

    pub(super) fn on_answered(&mut self, answered: Answered) {
        let number = answered.number;
        if let Some(pending) = self.later.get_mut(&number) {
            pending.answer = Some(answered);
            if pending.settled {
                // Where its client is away, until what is kept for it is counted anew.
                self.set_present(true);
                self.tell_later(number);
            }
        }
    }

    fn tell_later(&mut self, number: u64) {
        if let Some(pending) = self.later.remove(&number)
            && let Some(answer) = pending.answer
        {
            // In the record it has the place of its answer, where it got one.
            let wrote = pending.wrote.map(|wrote| wrote.max(answer.after));
            let after = answer.after;
            self.when_durable(number, wrote, answer.outcome, after, false);
        }
    }

    /// When the next one's time runs out.
    pub(super) fn later_due(&self) -> Option<Instant> {
        let unanswered = self.later.values().filter(|it| it.answer.is_none());
        unanswered.map(|pending| pending.until).min()
    }

    /// Those whose time has run out at `now` get no other answer. None: all of them.
    pub(super) fn interrupt_later(&mut self, now: Option<Instant>) {
        let due = |pending: &Pending| now.is_none_or(|now| pending.until <= now);
        let due: Vec<(u64, u64)> = self
            .later
            .iter()
            .filter(|(_, pending)| due(pending))
            .map(|(number, pending)| (*number, pending.token))
            .collect();
        for (number, token) in due {
            // Where somebody has taken it, the answer is on its way.
            if self.dispatch.put_off.take(token).is_some() {
                let after = Position::default();
                self.on_answered(Answered {
                    number,
                    outcome: later::interrupted(),
                    after,
                });
            }
        }
    }

    /// Nobody will hear of them.
    pub(super) fn forget_later(&mut self) {
        for (_, pending) in std::mem::take(&mut self.later) {
            self.dispatch.put_off.take(pending.token);
        }
    }
}
