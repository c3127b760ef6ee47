//! The session and its connections: greeting, breaks, the end, a new client id.
//! Invariant: on a new connection goes first what has no reply, in order. When the device no longer knows the client, what was sent is
//! unknown for good, and what was not goes on under a new id.

use std::time::Instant;

use pixelboy_protocol::{Cancel, Hello, Limits, Welcome};

use super::window::Window;
use super::{Renewed, Session, put, send, settle};
use crate::error::Error;

impl Session {
    /// How to present itself now.
    pub(crate) fn hello(&self, name: &str) -> Hello {
        Hello {
            last_store: self.identity.store,
            lowest_unconfirmed: self.lowest(),
            ..Hello::new(self.identity.client, name)
        }
    }

    /// Compares memories, then sends what has no reply again.
    pub(crate) fn welcomed(
        &mut self,
        welcome: &Welcome,
        now: Instant,
    ) -> Result<Result<(), Renewed>, Error> {
        let another = self
            .identity
            .store
            .is_some_and(|store| store != welcome.store);
        if another {
            return self
                .renew("the device has another data folder than before")
                .map(Err);
        }
        if self.identity.next_number() <= welcome.received_through {
            return self.renew("the device knows more of this client than the client itself; is its state file a copy, or an old one?").map(Err);
        }
        self.identity.met(welcome.store);
        if !welcome.resumed {
            self.settings.began_anew();
        }
        self.limits = Limits::from_wire(&welcome.limits);
        self.ready = true;
        self.trouble = None;
        let lowest = self.lowest();
        self.window.connected(lowest, welcome.received_through);
        self.confirm();
        for (number, job) in &self.sent {
            send(*number, job, 0, now, self.frames.out());
            self.window.sent(*number);
            if job.cancelling {
                put(Cancel { number: *number }.encode(self.frames.out()));
            }
        }
        self.advance(now);
        Ok(Ok(()))
    }

    /// The connection broke, or could not be made.
    pub(crate) fn lost(&mut self, why: String) {
        self.ready = false;
        self.frames.lost();
        self.trouble = Some(why);
    }

    /// There will be no further connection: everything under way ends.
    pub(crate) fn end(&mut self, error: &Error) {
        self.ready = false;
        self.frames.lost();
        for job in std::mem::take(&mut self.queue) {
            settle(&mut self.late, job, Err(error.clone()));
        }
        let is_kept = self.identity.is_kept();
        for (number, job) in std::mem::take(&mut self.sent) {
            if is_kept && number > self.saved_through {
                // It waited for the state file, and was never sent; the next run must not send it.
                self.identity.answered(number);
                settle(&mut self.late, job, Err(error.clone()));
                continue;
            }
            let later = match is_kept && job.to_keep().is_some() {
                true => "; the next run with this state file asks for it again",
                false => "",
            };
            let unknown = Error::OutcomeUnknown {
                op: job.op.clone(),
                why: format!("{error}{later}"),
                ticket: None,
            };
            settle(&mut self.late, job, Err(unknown));
        }
        self.over = Some(error.clone());
    }

    /// Takes a new client id. What was sent is unknown for good; what waits goes on under the new id.
    pub(crate) fn renew(&mut self, why: &'static str) -> Result<Renewed, Error> {
        for job in std::mem::take(&mut self.sent).into_values() {
            let forgotten = Error::Forgotten {
                op: job.op.clone(),
                why: why.to_owned(),
            };
            settle(&mut self.late, job, Err(forgotten));
        }
        self.sent_bytes = 0;
        self.window = Window::default();
        self.settings.renumbered();
        self.ready = false;
        self.frames.renewed();
        self.saved_through = 0;
        self.identity.renew()?;
        Ok(Renewed(why))
    }
}
