//! Calls on their way: submitted, cancelled, asked for again, answered, confirmed.

use std::time::Instant;

use pixelboy_protocol::{Cancel, Code, Failure, Outcome, encode_call, encode_request_with};
use tokio::sync::oneshot;

use super::{Job, Renewed, Session, put, settle};
use crate::command::Answer;
use crate::error::{Error, Ticket};
use crate::reply::Reply;

impl Session {
    pub(crate) fn submit(&mut self, job: Job, now: Instant) {
        if let Some(over) = &self.over {
            return settle(&mut self.late, job, Err(over.clone()));
        }
        self.due = self.due.min(job.deadline);
        self.queue.push_back(job);
        self.advance(now);
    }

    /// Asks the device to drop a call; one that was not sent never will be.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        if let Some(at) = self.queue.iter().position(|job| job.ticket == ticket) {
            if let Some(job) = self.queue.remove(at) {
                let cancelled = pixelboy_protocol::Failure::new(
                    Code::Cancelled,
                    "cancelled before it was sent; nothing happened",
                );
                settle(&mut self.late, job, Err(Error::Failed(cancelled)));
            }
            return;
        }
        if let Some((number, job)) = self.sent.iter_mut().find(|(_, job)| job.ticket == ticket) {
            job.cancelling = true;
            if self.ready {
                put(Cancel { number: *number }.encode(self.frames.out()));
            }
        }
    }

    /// Waits on for a call whose answer was not waited for.
    pub(crate) fn again(
        &mut self,
        ticket: Ticket,
        deadline: Instant,
        answer: oneshot::Sender<Answer>,
    ) {
        if let Some(at) = self.late.iter().position(|(late, _)| *late == ticket) {
            if let Some((_, known)) = self.late.remove(at) {
                let _ = answer.send(known);
            }
            return;
        }
        if let Some(job) = self.sent.values_mut().find(|job| job.ticket == ticket) {
            job.wait_on(deadline, answer);
            self.due = self.due.min(deadline);
            return;
        }
        let unknown = Error::OutcomeUnknown {
            op: "the call".to_owned(),
            why: match &self.over {
                Some(over) => over.to_string(),
                None => "nothing is known of it here any more".to_owned(),
            },
            ticket: None,
        };
        let _ = answer.send(Err(unknown));
    }

    /// A reply has come. Says so where it shows that the client id is not this client's alone.
    pub(crate) fn replied(
        &mut self,
        reply: pixelboy_protocol::Reply,
        bytes: usize,
        now: Instant,
    ) -> Result<Option<Renewed>, Error> {
        let number = reply.number;
        let Some(job) = self.sent.get_mut(&number) else {
            return Ok(None);
        };
        if let Outcome::Failed(failure) = &reply.outcome
            && failure.code == Code::OutcomeUnknown
        {
            // Not final: it keeps its number, and is asked for again on the next connection.
            let unknown = Error::OutcomeUnknown {
                op: job.op.clone(),
                why: failure.message.clone(),
                ticket: Some(job.ticket),
            };
            job.answer(Err(unknown));
            return Ok(None);
        }
        let Some(job) = self.sent.remove(&number) else {
            return Ok(None);
        };
        self.sent_bytes = self.sent_bytes.saturating_sub(job.bytes());
        let answer = match reply.outcome {
            Outcome::Done(values) => {
                self.ending |= job.op == "cc" && !reply.recorded;
                self.settings
                    .done(number, &job.op, &job.call, reply.recorded);
                Ok(Reply {
                    op: job.op.clone(),
                    values,
                    stored: reply.stored,
                    recorded: reply.recorded,
                })
            }
            Outcome::Failed(failure) => Err(refused(&job.op, failure)),
        };
        let is_shared = matches!(answer, Err(Error::NumberReused { .. }));
        settle(&mut self.late, job, answer);
        if is_shared {
            return self
                .renew("another program uses the same client id")
                .map(Some);
        }
        self.identity.answered(number);
        self.window.answered(number, bytes);
        if self.window.is_filling(&self.limits) {
            self.confirm();
        }
        self.advance(now);
        Ok(None)
    }

    /// Tells the device which replies have come, as far as it was not told.
    pub(crate) fn confirm(&mut self) {
        if self.ready
            && let Some(confirm) = self.window.confirmation(self.lowest())
        {
            put(confirm.encode(self.frames.out()));
        }
    }

    /// Asks for the end of the session; the device closes the connection then.
    pub(crate) fn say_cc(&mut self) {
        let mut call = Vec::new();
        put(encode_call("cc", &[], &[], &mut call));
        if self.ready {
            let number = self.identity.number(None);
            let lowest = self.lowest().min(number);
            let confirmed = self.window.confirmed_by_request(lowest);
            put(encode_request_with(
                number,
                confirmed,
                None,
                &call,
                self.frames.out(),
            ));
        }
    }
}

/// What the device said no with; some of it is about the client, not about the call.
fn refused(op: &str, failure: Failure) -> Error {
    let (op, message) = (op.to_owned(), failure.message.clone());
    match failure.code {
        Code::NumberReused => Error::NumberReused { op, message },
        Code::RanReplyLost => Error::RanReplyLost { op, message },
        Code::AlreadyConfirmed => Error::AlreadyConfirmed { op, message },
        _ => Error::Failed(failure),
    }
}
