//! Operations one after the other, and their replies when they may be told.
//! Invariant: the next one starts when the one before has its place in the commit order, not when it is on disk.

use std::time::{Duration, Instant};

use pixelboy_protocol::{
    Code, Failure, Outcome, Value, encode_reply_with, limits, match_arguments,
};
use pixelboy_store::Position;

use super::refusal::too_late;
use super::{Presence, Settling};
use crate::capability::failure;
use crate::capability::work::Caller;
use crate::dispatch::board::Handler;
use crate::dispatch::host_ops::HostOp;
use crate::dispatch::operation::{EncodedOutcome, Operation};
use crate::dispatch::run::{self, Context, Origin, Ran};
use crate::dispatch::status;

impl Presence {
    /// Answers what the host answers itself, until an operation is a plugin's: that is to be run next.
    pub(super) fn start_next(&mut self) -> Option<(Context, Operation)> {
        while self.closing.is_none()
            && (self.record.reply_bytes() as u64) < limits::WINDOW_REPLIES_BYTES
            && let Some(mut operation) = self.unqueue(0)
        {
            let number = operation.number;
            operation.unpack();
            if operation
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now())
            {
                self.finish(number, too_late());
                continue;
            }
            let (row, edition) = self.dispatch.board.find(&operation.op);
            let host_op = row.as_ref().and_then(|row| match row.handler {
                Handler::Host(op) => Some((op, row.clone())),
                Handler::Plugin(_) => None,
            });
            match host_op {
                Some((op, row)) => {
                    match match_arguments(&row.entry, operation.args, operation.kwargs) {
                        Ok(args) => self.run_host_op(number, op, &args),
                        Err(error) => {
                            let failure = Failure::new(Code::BadArguments, error.to_string());
                            self.finish(number, Ran::failed(failure));
                        }
                    }
                }
                None => {
                    let context = Context {
                        dispatch: self.dispatch.clone(),
                        origin: Origin::Client {
                            client: self.client,
                            answers: self.answers.0.clone(),
                        },
                        caller: Caller {
                            own: false,
                            session: self.session.as_ref().map_or(0, |session| session.number),
                            name: self.name.clone(),
                        },
                        blobs: self.blobs.clone(),
                        found: (row, edition),
                    };
                    self.running = Some(number);
                    return Some((context, operation));
                }
            }
        }
        None
    }

    pub(super) fn run_host_op(&mut self, number: u64, op: HostOp, args: &[Value]) {
        let values = match op {
            HostOp::Status => {
                // What it tells must be as durable as what it tells of.
                let (device, after) = self.dispatch.services.device.state_and_position();
                let status = status::of(&self.dispatch, device, self.session.as_ref());
                let outcome = run::encode(&Outcome::Done(vec![status]));
                return self.when_durable(number, None, outcome, after, false);
            }
            HostOp::SetReceiveTimeout => {
                let seconds = match args.first() {
                    Some(Value::Float(seconds)) => *seconds,
                    _ => self.dispatch.settings.receive_timeout.as_secs_f64(),
                };
                if let Some(session) = &mut self.session {
                    session.receive_timeout = Duration::from_secs_f64(seconds);
                }
                vec![Value::Float(seconds)]
            }
            HostOp::PassTimeOut(pass) => {
                if let Some(session) = &mut self.session {
                    session.pass_time_out = pass;
                }
                vec![]
            }
            HostOp::CloseConnection => {
                self.drop_waiting();
                let connection = self.link.as_ref().map_or(0, |link| link.connection);
                self.closing = Some((number, connection));
                return;
            }
        };
        self.note_activity();
        self.set_alarm();
        self.finish(number, Ran::answered(Outcome::Done(values)));
    }

    pub(super) fn on_ran(&mut self, ran: Ran) {
        if let Some(number) = self.running.take() {
            self.finish(number, ran);
        }
    }

    /// An operation has run; its reply follows when it may be told.
    pub(super) fn finish(&mut self, number: u64, ran: Ran) {
        let Ran {
            outcome,
            wrote,
            after,
            begun,
            later,
        } = ran;
        if let Some(later) = later {
            self.put_off(number, wrote, later);
        }
        match begun {
            // The lane waits for the commit.
            Some(begun) => {
                let until =
                    Box::pin(async { begun.await.unwrap_or_else(|_| Err(run::lost_release())) });
                self.to_begin.push_back(Settling {
                    number,
                    wrote,
                    outcome,
                    recorded: false,
                    until,
                });
            }
            None => self.when_durable(number, wrote, outcome, after, false),
        }
    }

    /// Tells an outcome when everything up to `after` is on disk.
    pub(super) fn when_durable(
        &mut self,
        number: u64,
        wrote: Option<Position>,
        outcome: EncodedOutcome,
        after: Position,
        recorded: bool,
    ) {
        let store = &self.dispatch.services.store;
        if store.is_durable(after) {
            return self.tell(number, wrote, outcome, recorded);
        }
        let wait = store.wait(after);
        let until = Box::pin(async {
            let durable = wait.await.map(drop);
            durable.map_err(|error| failure::of_wait(&error))
        });
        self.to_be_durable.push_back(Settling {
            number,
            wrote,
            outcome,
            recorded,
            until,
        });
    }

    pub(super) fn on_settled(&mut self, settling: Option<Settling>, result: Result<(), Failure>) {
        let Some(Settling {
            number,
            wrote,
            outcome,
            recorded,
            ..
        }) = settling
        else {
            return;
        };
        match result {
            Ok(()) => self.tell(number, wrote, outcome, recorded),
            Err(failure) if failure.code == Code::OutcomeUnknown => {
                // Not final: the number stays pending at the client.
                self.answer_now(number);
                self.record.forget(number);
                self.answer_failure(number, failure);
            }
            // What was written stays written: the reply is the record's, now and when it is sent again.
            Err(failure) if wrote.is_some_and(|at| self.is_durable(at)) => {
                tracing::warn!(why = %failure.message, "an operation was stored, but its effect did not begin");
                self.tell(number, wrote, outcome, recorded);
            }
            Err(failure) => {
                self.answer_now(number);
                self.tell(
                    number,
                    None,
                    run::encode(&Outcome::Failed(failure)),
                    recorded,
                );
            }
        }
    }

    fn is_durable(&self, position: Position) -> bool {
        self.dispatch.services.store.is_durable(position)
    }

    /// The reply is due.
    pub(super) fn tell(
        &mut self,
        number: u64,
        wrote: Option<Position>,
        outcome: EncodedOutcome,
        recorded: bool,
    ) {
        if self.is_put_off(number) {
            return;
        }
        self.note_activity();
        self.record.done(number, wrote, outcome.clone());
        self.reply(number, wrote, recorded, &outcome);
    }

    /// `cc` is due when nothing before it is under way.
    pub(super) fn close_when_done(&mut self) {
        if self.is_busy() {
            return;
        }
        if let Some((number, connection)) = self.closing.take() {
            self.tell(number, None, run::encode(&Outcome::Done(vec![])), false);
            // One that connected meanwhile did not ask.
            if self.link.is_none() || self.is_linked(connection) {
                self.close_link(Code::Closed, "closed as asked");
                self.end_session();
            }
        }
    }

    pub(super) fn answer_failure(&mut self, number: u64, failure: Failure) {
        self.reply(number, None, false, &run::encode(&Outcome::Failed(failure)));
    }

    pub(super) fn reply(
        &mut self,
        number: u64,
        stored: Option<Position>,
        recorded: bool,
        outcome: &[u8],
    ) {
        if let Some(link) = &mut self.link
            && link.asked.remove(number).is_some()
        {
            let stored = stored.map(|position| position.0);
            link.outbox
                .queue_with(|out| encode_reply_with(number, stored, recorded, outcome, out));
        }
    }
}
