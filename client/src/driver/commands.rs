//! What the handles of a client ask of the driver.
//! Invariant: whoever asks gets an answer, also after the end: the reason for it.

use std::sync::Arc;
use std::time::Instant;

use pixelboy_protocol::{Code, GetTable, Ping};
use tokio::sync::oneshot;

use super::{Closing, Driver, frames};
use crate::command::{Command, Handler};
use crate::error::Error;
use crate::table::OpTable;
use crate::transfer::Told;

/// Commands taken before the socket gets its turn.
const COMMANDS_AT_ONCE: usize = 256;

impl Driver {
    pub(super) fn on_commands(&mut self, command: Option<Command>) {
        let Some(command) = command else {
            // No handle is left: nobody waits for the goodbye.
            self.has_handles = false;
            self.closing.get_or_insert(Closing {
                closed: Vec::new(),
                until: None,
            });
            return;
        };
        self.on_command(command);
        for _ in 0..COMMANDS_AT_ONCE {
            match self.commands.try_recv() {
                Ok(command) => self.on_command(command),
                Err(_) => return,
            }
        }
    }

    pub(super) fn on_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Submit(job) => self.session.submit(job, now),
            Command::Cancel(ticket) => self.session.cancel(ticket),
            Command::Again {
                ticket,
                deadline,
                answer,
            } => self.session.again(ticket, deadline, answer),
            Command::Ping(pong) => match &self.over {
                Some(over) => drop(pong.send(Err(over.clone()))),
                None => {
                    let token = self.next_ping;
                    self.next_ping += 1;
                    self.pings.retain(|_, waiting| !waiting.is_closed());
                    self.pings.insert(token, pong);
                    if let Some(link) = &mut self.link {
                        let _ = Ping { token }.encode(link.out());
                    }
                }
            },
            Command::Table(wanted) => self.on_table_wanted(wanted),
            Command::Route { route, number } => {
                let found = match &self.over {
                    Some(over) => Err(over.clone()),
                    None => self.session.identity().transfer(),
                };
                if let Ok(transfer) = &found {
                    let (epoch, limits) = (self.epoch, *self.session.limits());
                    if self.link.is_some() {
                        let _ = route.send(Told::Connected { epoch, limits });
                    }
                    self.routes.insert(*transfer, route);
                }
                let _ = number.send(found);
            }
            Command::Frame { epoch, frame } => {
                if epoch == self.epoch
                    && let Some(link) = &mut self.link
                {
                    link.out().extend_from_slice(&frame);
                }
            }
            Command::EndTransfer { number, abort } => {
                self.routes.remove(&number);
                if abort && let Some(link) = &mut self.link {
                    let abort = pixelboy_protocol::Abort::new(
                        number,
                        Code::Cancelled,
                        "not wanted any more",
                    );
                    let _ = abort.encode(link.out());
                }
            }
            Command::Broken { epoch, code, what } => {
                if epoch == self.epoch {
                    self.fail(code, &what);
                }
            }
            Command::Bind { op, handler } => self.on_bind(op, handler),
            Command::Answered {
                epoch,
                number,
                outcome,
            } => {
                if epoch == self.epoch
                    && let Some(link) = &mut self.link
                {
                    frames::answer(number, outcome, link.out());
                }
            }
            Command::Close(closed) => {
                if self.over.is_some() {
                    let _ = closed.send(());
                    return;
                }
                let closing = self.closing.get_or_insert(Closing {
                    closed: Vec::new(),
                    until: None,
                });
                closing.closed.push(closed);
            }
        }
    }

    pub(super) fn on_table_wanted(&mut self, wanted: oneshot::Sender<Result<Arc<OpTable>, Error>>) {
        if let Some(over) = &self.over {
            let _ = wanted.send(Err(over.clone()));
            return;
        }
        if let Some(table) = &self.table
            && Some(table.digest) == self.table_digest
        {
            let _ = wanted.send(Ok(table.clone()));
            return;
        }
        self.table_wanted.retain(|waiting| !waiting.is_closed());
        self.table_wanted.push(wanted);
        if self.table_wanted.len() == 1
            && let Some(link) = &mut self.link
        {
            let _ = GetTable {}.encode(link.out());
        }
    }

    pub(super) fn on_bind(&mut self, op: String, handler: Option<Handler>) {
        let bind = pixelboy_protocol::Bind {
            op: op.clone(),
            bound: handler.is_some(),
        };
        if let Some(link) = &mut self.link {
            let _ = bind.encode(link.out());
        }
        // An offer taken back is remembered, as the session may outlive the connection that should have told of it.
        self.bound.insert(op, handler);
    }
}
