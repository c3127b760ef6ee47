//! The session of a client: taken over, idle, waited for, ended.
//! Invariant: it has at most one connection; without one it ends after its grace.

use std::time::Instant;

use pixelboy_protocol::{Code, Frame, TimeOut, Value};

use super::refusal::too_late;
use super::{Attach, Attached, Link, Presence};
use crate::dispatch::calls::Calls;
use crate::dispatch::numbers::Numbers;
use crate::dispatch::operation::Operation;
use crate::dispatch::random_id;
use crate::dispatch::session::{Idle, Session};

/// What remembering an operation costs besides its reply, about.
const KEPT_BYTES: usize = 128;

impl Presence {
    pub(super) fn attach(&mut self, attach: Attach) {
        let Attach {
            connection,
            name,
            lowest_unconfirmed,
            outbox,
            taken,
        } = attach;
        self.close_link(Code::Fenced, "the same client id connected again");
        let now = Instant::now();
        self.name = name;
        let resumed = self.session.is_some();
        if !resumed {
            let errands = self.dispatch.services.errands.clone();
            let calls = Calls::new(errands, self.blobs.clone());
            let timeout = self.dispatch.settings.receive_timeout;
            // It must fit the signed numbers that plugins are told in.
            let number = random_id() & i64::MAX as u64;
            let session = Session::new(number, timeout, now, calls);
            self.tell_plugins("client-joined", session.number);
            self.session = Some(session);
            self.set_present(true);
        }
        if let Some(session) = &self.session {
            // Pushes and calls go to the connection of now.
            session.calls.attach(outbox.clone());
            let seat = session.calls.clone();
            self.dispatch.services.audience.join(session.number, seat);
        }
        self.grace = None;
        let confirmed = lowest_unconfirmed.saturating_sub(1);
        self.record.received_through = self.record.received_through.max(confirmed);
        self.link = Some(Link {
            connection,
            outbox,
            last_number: 0,
            asked: Numbers::default(),
        });
        self.was_told = false;
        self.confirm(confirmed, &[]);
        if let Some(session) = &self.session {
            session.activity.note(now);
            let attached = Attached {
                resumed,
                executed_through: self.record.executed_through,
                received_through: self.record.received_through,
                receive_timeout: session.receive_timeout,
                activity: session.activity.clone(),
                blobs: self.blobs.clone(),
                upload_places: self.upload_places.clone(),
            };
            // A connection that broke meanwhile sends Detach.
            let _ = taken.send(attached);
        }
        self.set_alarm();
    }

    pub(super) fn detach_calls(&self) {
        if let Some(session) = &self.session {
            session.calls.detach();
        }
    }

    fn tell_plugins(&self, kind: &'static str, session: u64) {
        let details = [
            ("session", Value::Int(session as i64)),
            ("name", Value::from(&*self.name)),
        ];
        self.dispatch.services.errands.event(None, kind, details);
    }

    /// A client that is present is neither dropped from the registry nor aged out of the store.
    pub(super) fn set_present(&mut self, present: bool) {
        if std::mem::replace(&mut self.present, present) == present {
            return;
        }
        let store = self.dispatch.services.store.clone();
        let through = self.record.executed_through;
        if present {
            self.stays.begin();
        } else {
            if through > 0 {
                // While this lived it knew that itself. Told before this may be dropped.
                store.ran(self.client, through, store.begin());
            }
            // Each operation that is not confirmed takes some, whatever its reply.
            let blobs = self.blobs.memory_bytes() as usize;
            let kept = self.record.reply_bytes() + self.record.len() * KEPT_BYTES;
            self.stays.away(kept + blobs);
            self.stays.end();
        }
        store.present(self.client, present);
    }

    pub(super) fn note_activity(&self) {
        if let Some(session) = &self.session {
            session.activity.note(Instant::now());
        }
    }

    pub(super) fn close_link(&mut self, code: Code, message: &str) {
        if let Some(link) = self.link.take() {
            link.outbox.close(code, message);
            self.detach_calls();
            self.start_grace();
        }
    }

    pub(super) fn start_grace(&mut self) {
        if self.session.is_some() {
            self.grace = Some(Instant::now() + self.dispatch.settings.grace);
            self.set_alarm();
        }
    }

    pub(super) fn set_alarm(&mut self) {
        let now = Instant::now();
        let clock = match (self.grace, &self.session) {
            (Some(grace), _) => Some(grace),
            (None, Some(session)) if self.link.is_some() => session.idle_deadline(now),
            _ => None,
        };
        let waiting = self
            .queue
            .iter()
            .filter_map(|operation| operation.deadline)
            .min();
        let due = clock.into_iter().chain(waiting);
        let due = due.chain(self.later_due()).min();
        self.alarm_set = due.is_some();
        if let Some(due) = due {
            self.alarm.as_mut().reset(due.into());
        }
    }

    pub(super) fn on_alarm(&mut self) {
        let now = Instant::now();
        self.expire_waiting(now);
        self.interrupt_later(Some(now));
        if self.grace.is_some_and(|grace| now >= grace) {
            self.end_session();
        }
        let busy = self.is_busy();
        if self.grace.is_none()
            && let (Some(session), Some(link)) = (&mut self.session, &self.link)
            && let Idle::TimeOut(idle) = session.idle(now, busy)
        {
            let idle_ms = idle.as_millis() as u64;
            link.outbox
                .queue_with(|out| Frame::from(TimeOut { idle_ms }).encode(out));
        }
        self.set_alarm();
    }

    /// Operations whose time ran out before their turn.
    pub(super) fn expire_waiting(&mut self, now: Instant) {
        let is_due = |operation: &Operation| operation.deadline.is_some_and(|due| due <= now);
        while let Some(at) = self.queue.iter().position(is_due) {
            if let Some(operation) = self.unqueue(at) {
                self.finish(operation.number, too_late());
            }
        }
    }

    pub(super) fn end_session(&mut self) {
        self.grace = None;
        if let Some(session) = self.session.take() {
            let services = &self.dispatch.services;
            services.audience.leave(session.number);
            session.calls.end();
            self.tell_plugins("client-left", session.number);
            // What a reply named that is not confirmed may still be asked for.
            let record = &self.record;
            self.blobs.keep(|number| record.find(number).is_some());
            for play in services.device.end_session(session.number) {
                // It may have ended by itself meanwhile.
                services.audio.stop_play(play);
            }
            tracing::debug!(client = %self.name, "session ended");
        }
    }
}
