//! One call on its way.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pixelboy_protocol::encode_call;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::settings;
use crate::command::Answer;
use crate::error::Ticket;
use crate::state::KeptCall;

/// The device gives up a little before the caller does, so that the caller hears that nothing happened.
const MARGIN: Duration = Duration::from_millis(500);
/// Bytes of a request besides op, arguments and names, at most.
const AROUND: u64 = 48;
/// What an earlier run allowed is not stretched by a clock that was set back.
const LONGEST_KEPT: Duration = Duration::from_secs(86_400);

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
    /// The device must not begin it later.
    pub(crate) begin_by: Option<Instant>,
    /// Who wants it.
    pub(crate) from: From,
    /// None: nobody waits any more, but what became of it is still to be learnt.
    pub(crate) answer: Option<oneshot::Sender<Answer>>,
    /// The device was asked to drop it.
    pub(crate) cancelling: bool,
    /// Its place among the calls under way.
    pub(crate) _room: Option<OwnedSemaphorePermit>,
}

/// Who wants a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Caller,
    EarlierRun,
    /// This client by itself, for a new session.
    Client,
}

impl Job {
    /// A call of this run.
    pub(crate) fn new(
        ticket: Ticket,
        op: String,
        call: Vec<u8>,
        deadline: Instant,
        patience: Duration,
        answer: oneshot::Sender<Answer>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            begin_by: Some(begin_by(deadline, patience)),
            from: From::Caller,
            answer: Some(answer),
            _room: Some(room),
            ..Self::of_client(ticket, op, call, deadline, patience)
        }
    }

    /// A call that an earlier run sent.
    pub(crate) fn kept(
        ticket: Ticket,
        kept: KeptCall,
        patience: Duration,
        answer: oneshot::Sender<Answer>,
    ) -> Self {
        let (now, since_1970) = (Instant::now(), since_1970());
        let left = |until_ms| {
            Duration::from_millis(until_ms)
                .saturating_sub(since_1970)
                .min(LONGEST_KEPT)
        };
        let mut call = Vec::new();
        // An opcode alone, then its arguments in place of none.
        if encode_call(&kept.op, &[], &[], &mut call).is_ok() {
            call.truncate(1 + kept.op.len());
        }
        call.extend_from_slice(&kept.arguments);
        Self {
            begin_by: kept.until_ms.map(|until_ms| now + left(until_ms)),
            from: From::EarlierRun,
            answer: Some(answer),
            ..Self::of_client(ticket, kept.op, call, now + patience, patience)
        }
    }

    /// What the client asks by itself.
    pub(crate) fn of_client(
        ticket: Ticket,
        op: String,
        call: Vec<u8>,
        deadline: Instant,
        patience: Duration,
    ) -> Self {
        Self {
            ticket,
            op,
            call,
            deadline,
            patience,
            begin_by: None,
            from: From::Client,
            answer: None,
            cancelling: false,
            _room: None,
        }
    }

    /// As it is kept for a next run; none where that has no use for it.
    pub(crate) fn to_keep(&self) -> Option<KeptCall> {
        if self.from == From::Client || settings::is_of_session(&self.op) {
            return None;
        }
        let until = self
            .begin_by
            .map(|by| since_1970() + by.saturating_duration_since(Instant::now()));
        Some(KeptCall {
            op: self.op.clone(),
            arguments: self.call.get(1 + self.op.len()..)?.to_vec(),
            until_ms: until.and_then(|until| u64::try_from(until.as_millis()).ok()),
        })
    }

    /// Of its request's body.
    pub(crate) fn bytes(&self) -> u64 {
        self.call.len() as u64 + AROUND
    }

    /// What the device may take for it, from now.
    pub(crate) fn deadline_ms(&self, now: Instant) -> Option<u64> {
        if self.answer.is_none() && self.from != From::Client {
            // Learn what became of it, but do not begin it now.
            return Some(0);
        }
        let left = self.begin_by?.saturating_duration_since(now);
        Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// Somebody waits for it, from now on until then.
    pub(crate) fn wait_on(&mut self, deadline: Instant, answer: oneshot::Sender<Answer>) {
        self.deadline = deadline;
        self.answer = Some(answer);
        if self.from == From::Caller {
            let patience = deadline.saturating_duration_since(Instant::now());
            self.begin_by = Some(begin_by(deadline, patience));
        }
    }

    /// Whether a client that is closed waits for it. What an earlier run sent may also be left to a later one.
    pub(crate) fn has_caller(&self) -> bool {
        match (&self.answer, self.from) {
            (None, _) => false,
            (Some(answer), From::EarlierRun) => !answer.is_closed(),
            (Some(_), _) => true,
        }
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        if let Some(waiting) = self.answer.take() {
            // Who does not wait any more does not want to know.
            let _ = waiting.send(answer);
        }
    }
}

fn begin_by(deadline: Instant, patience: Duration) -> Instant {
    let margin = MARGIN.min(patience / 10);
    deadline.checked_sub(margin).unwrap_or(deadline)
}

fn since_1970() -> Duration {
    // A clock before 1970 stands at 1970.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
