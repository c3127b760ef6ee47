//! The calls of a client: numbers, order, window, confirmation, sending again, deadlines. *Exactly once* on this side.
//! Invariant: requests leave in the order they were submitted, each under its number with the same bytes however often it is
//! sent; only what was answered is confirmed; every call ends by its deadline.
//! Not here: sockets, transfers and clocks (`driver`); frames are left for whoever has a connection, those that a state file
//! must know of first until it does. Greetings and breaks are in `connection`, what callers ask in `calls`.

mod calls;
mod connection;
mod frames;
mod job;
mod settings;
mod window;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use pixelboy_protocol::{Cancel, Limits, encode_request_with};

use crate::command::Answer;
use crate::error::{Error, Ticket};
use crate::identity::{Identity, Save};
use crate::state::KeptCall;

use frames::Frames;
pub(crate) use job::{From, Job};
use settings::Settings;
use window::Window;

/// Answers that nobody waited for any more are kept for a while, should somebody ask.
const LATE_ANSWERS: usize = 64;
/// Where nothing is due.
const FAR: Duration = Duration::from_secs(3_600);

/// The calls of a client.
pub(crate) struct Session {
    identity: Identity,
    limits: Limits,
    /// There is a connection, and the device greeted.
    ready: bool,
    queue: VecDeque<Job>,
    sent: BTreeMap<u64, Job>,
    sent_bytes: u64,
    window: Window,
    settings: Settings,
    late: VecDeque<(Ticket, Answer)>,
    /// Nothing is due before.
    due: Instant,
    /// Why there is no connection.
    trouble: Option<String>,
    /// Why there will be none.
    over: Option<Error>,
    /// `cc` was done: the device closes next.
    pub(crate) ending: bool,
    frames: Frames,
    /// Requests up to here are in the state file, where there is one.
    saved_through: u64,
}

/// The device knows less or more of this client than it should: a new id was taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Renewed(pub(crate) &'static str);

impl Session {
    pub(crate) fn new(identity: Identity, now: Instant) -> Self {
        Self {
            identity,
            limits: Limits::default(),
            ready: false,
            queue: VecDeque::new(),
            sent: BTreeMap::new(),
            sent_bytes: 0,
            window: Window::default(),
            settings: Settings::default(),
            late: VecDeque::new(),
            due: now + FAR,
            trouble: None,
            over: None,
            ending: false,
            frames: Frames::default(),
            saved_through: 0,
        }
    }

    /// Takes over what an earlier run sent and got no answer to.
    pub(crate) fn take_over(&mut self, number: u64, job: Job) {
        self.due = self.due.min(job.deadline);
        self.saved_through = self.saved_through.max(number);
        self.sent_bytes += job.bytes();
        self.sent.insert(number, job);
    }

    pub(crate) fn identity(&mut self) -> &mut Identity {
        &mut self.identity
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether somebody waits for the device.
    pub(crate) fn is_awaiting(&self) -> bool {
        !self.sent.is_empty() || !self.queue.is_empty()
    }

    /// Whether a caller waits for an answer.
    pub(crate) fn has_callers(&self) -> bool {
        !self.queue.is_empty() || self.sent.values().any(Job::has_caller)
    }

    /// What must be on the disk before more is sent, if anything.
    pub(crate) fn begin_save(&mut self) -> Option<Save> {
        let kept = self.sent.iter().filter_map(|(number, job)| {
            let call: KeptCall = job.to_keep()?;
            Some((*number, call))
        });
        let save = self.identity.begin_save(kept)?;
        self.frames.wait(self.identity.next_number() - 1);
        Some(save)
    }

    /// It is on the disk: what waited may be sent.
    pub(crate) fn end_save(&mut self, save: Save) {
        self.identity.end_save(save);
        self.saved_through = self.saved_through.max(self.frames.written());
    }

    /// Frames that may be sent now.
    pub(crate) fn ready_frames(&mut self) -> &mut Vec<u8> {
        self.frames.ready(self.identity.has_notes())
    }

    /// Ends the calls whose time has run out. When to come again.
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        if now < self.due {
            return self.due;
        }
        while let Some(at) = self.queue.iter().position(|job| job.deadline <= now) {
            if let Some(job) = self.queue.remove(at) {
                let error = self.not_sent(&job);
                settle(&mut self.late, job, Err(error));
            }
        }
        let why = self.why();
        let mut due = now + FAR;
        for (number, job) in &mut self.sent {
            if job.answer.is_some() && job.deadline <= now {
                // Dropped where it has not begun; otherwise its reply is kept for whoever asks again.
                job.cancelling = true;
                if self.ready {
                    put(Cancel { number: *number }.encode(self.frames.out()));
                }
                let unknown = Error::OutcomeUnknown {
                    op: job.op.clone(),
                    why: format!("no answer within {} s{why}", job.patience.as_secs_f64()),
                    ticket: Some(job.ticket),
                };
                job.answer(Err(unknown));
            }
            if job.answer.is_some() {
                due = due.min(job.deadline);
            }
        }
        self.due = self
            .queue
            .iter()
            .map(|job| job.deadline)
            .fold(due, Instant::min);
        self.due
    }

    /// The smallest number without a reply.
    fn lowest(&self) -> u64 {
        self.sent
            .first_key_value()
            .map_or(self.identity.next_number(), |(number, _)| *number)
    }

    /// Numbers and sends what the windows have room for.
    fn advance(&mut self, now: Instant) {
        if self.ready {
            self.set_again(now);
        }
        while self.ready
            && let Some(job) = self.queue.front()
        {
            let bytes_after = self.sent_bytes + job.bytes();
            if !self.has_place()
                || (bytes_after > self.limits.window_bytes && !self.sent.is_empty())
            {
                return;
            }
            let Some(job) = self.queue.pop_front() else {
                return;
            };
            if job.deadline <= now {
                let error = self.not_sent(&job);
                settle(&mut self.late, job, Err(error));
                continue;
            }
            self.send_new(job, now);
        }
    }

    /// Whether the device's window has room for one more operation.
    fn has_place(&self) -> bool {
        let unconfirmed = (self.sent.len() + self.window.unconfirmed()) as u64;
        unconfirmed < self.limits.window_operations
    }

    /// Tells a new session what the one before was told.
    fn set_again(&mut self, now: Instant) {
        loop {
            let sent = &self.sent;
            let due = self
                .settings
                .due(|| Box::new(sent.values().map(|job| job.op.as_str())));
            let Some((op, call)) = due else { return };
            // What is sent again may fill the device's window; then nothing else goes before this either.
            if !self.has_place() {
                return;
            }
            let job = Job::of_client(Ticket::NONE, op, call, now, Duration::ZERO);
            self.send_new(job, now);
        }
    }

    fn send_new(&mut self, job: Job, now: Instant) {
        let kept = match self.identity.is_kept() {
            true => job.to_keep(),
            false => None,
        };
        let number = self.identity.number(kept.as_ref());
        self.sent_bytes += job.bytes();
        let lowest = self
            .sent
            .first_key_value()
            .map_or(number, |(lowest, _)| *lowest);
        let confirmed = self.window.confirmed_by_request(lowest);
        send(number, &job, confirmed, now, self.frames.out());
        self.window.sent(number);
        self.sent.insert(number, job);
    }

    fn not_sent(&self, job: &Job) -> Error {
        let why = match &self.trouble {
            Some(why) => format!(" ({why})"),
            None => " (calls before it did not end)".to_owned(),
        };
        Error::TimedOut {
            what: format!("{} was not sent", job.op),
            after: job.patience,
            why: format!("{why}; nothing happened"),
        }
    }

    fn why(&self) -> String {
        match (&self.trouble, self.ready) {
            (Some(trouble), false) => format!(" ({trouble})"),
            (None, false) => " (no connection)".to_owned(),
            (_, true) => String::new(),
        }
    }
}
fn send(number: u64, job: &Job, confirmed: u64, now: Instant, out: &mut Vec<u8>) {
    let deadline_ms = job.deadline_ms(now);
    put(encode_request_with(
        number,
        confirmed,
        deadline_ms,
        &job.call,
        out,
    ));
}

/// What is encoded here was measured before, so it fits.
fn put(encoded: Result<(), pixelboy_protocol::EncodeError>) {
    debug_assert!(encoded.is_ok(), "{encoded:?}");
}

fn settle(late: &mut VecDeque<(Ticket, Answer)>, mut job: Job, answer: Answer) {
    if job.from == From::Client {
        return;
    }
    if job.answer.is_some() {
        job.answer(answer);
    } else {
        if late.len() >= LATE_ANSWERS {
            late.pop_front();
        }
        late.push_back((job.ticket, answer));
    }
}
