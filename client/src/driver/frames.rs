//! What the device's frames do to the driver.
//! Invariant: a frame about something that has ended is ignored; one that breaks the protocol breaks the connection.

use std::sync::Arc;
use std::time::Instant;

use pixelboy_protocol::{
    Call, CallReply, Code, Failure, Frame, GetTable, Outcome, Pong, Sender, Table,
};

use super::Driver;
use crate::command::Command;
use crate::event::Event;
use crate::session::Renewed;
use crate::table::Assembled;
use crate::transfer::Told;

/// What a frame was copied to, so that the buffer is free again.
enum Taken {
    Frame(Frame<'static>, usize),
    Data(u64, Told),
    None,
}

impl Driver {
    /// Handles every frame that is there.
    pub(super) fn take_frames(&mut self) {
        while let Some(link) = &mut self.link {
            let taken = match link.frames.next_frame() {
                Ok(None) => return,
                Err(error) => Err(error),
                Ok(Some(raw)) if raw.kind.sender() == Sender::Client => {
                    let what = format!("only clients send {}", raw.kind.name());
                    return self.fail(Code::UnknownKind, &what);
                }
                Ok(Some(raw)) => {
                    let bytes = raw.body.len();
                    raw.decode().map(|frame| take(frame, bytes))
                }
            };
            // The device does more than greet.
            self.backoff.worked();
            match taken {
                Ok(Taken::None) => {}
                Ok(Taken::Data(transfer, told)) => self.route(transfer, told),
                Ok(Taken::Frame(frame, bytes)) => self.on_frame(frame, bytes),
                Err(error) => return self.fail(error.code(), &error.to_string()),
            }
        }
    }

    fn on_frame(&mut self, frame: Frame<'static>, bytes: usize) {
        match frame {
            Frame::Reply(reply) => match self.session.replied(reply, bytes, Instant::now()) {
                Ok(None) => {}
                Ok(Some(Renewed(why))) => {
                    self.link = None;
                    self.renewed(why);
                }
                Err(error) => self.end(error),
            },
            Frame::Close(close) => self.on_close(close),
            Frame::Ping(ping) => {
                if let Some(link) = &mut self.link {
                    let _ = Pong { token: ping.token }.encode(link.out());
                }
            }
            Frame::Pong(pong) => {
                if let Some(waiting) = self.pings.remove(&pong.token) {
                    let _ = waiting.send(Ok(()));
                }
            }
            Frame::TimeOut(time_out) => self.tell(Event::TimeOut {
                idle_ms: time_out.idle_ms,
            }),
            Frame::Push(push) => self.tell(Event::Push {
                op: push.op,
                args: push.args,
            }),
            Frame::Call(call) => self.on_call(call),
            Frame::Opened(opened) => self.route(opened.transfer, Told::Opened(opened)),
            Frame::Credit(credit) => self.route(
                credit.transfer,
                Told::Credit {
                    limit: credit.limit,
                },
            ),
            Frame::Durable(durable) => self.route(
                durable.transfer,
                Told::Durable {
                    offset: durable.offset,
                },
            ),
            Frame::Finish(finish) => self.route(finish.transfer, Told::Finish(finish)),
            Frame::Finished(finished) => self.route(finished.transfer, Told::Finished(finished)),
            Frame::Abort(abort) => {
                let failure = Failure::new(abort.code, abort.message);
                self.route(abort.transfer, Told::Aborted(failure));
            }
            Frame::Table(part) => self.on_table(part),
            Frame::TableChanged(changed) => {
                self.table_digest = Some(changed.digest);
                self.tell(Event::TableChanged);
            }
            Frame::Welcome(_) | Frame::Challenge(_) => {
                self.fail(Code::HelloExpected, "a second greeting")
            }
            // Data was taken before; the rest only clients send.
            _ => {}
        }
    }

    fn route(&mut self, transfer: u64, told: Told) {
        if let Some(route) = self.routes.get(&transfer)
            && route.send(told).is_err()
        {
            self.routes.remove(&transfer);
        }
    }

    fn on_table(&mut self, part: Table) {
        match self.assembly.add(part) {
            Assembled::More => {}
            Assembled::StartOver => {
                if let Some(link) = &mut self.link {
                    let _ = GetTable {}.encode(link.out());
                }
            }
            Assembled::Whole(table) => {
                let table = Arc::new(table);
                self.table_digest = Some(table.digest);
                self.table = Some(table.clone());
                for wanted in self.table_wanted.drain(..) {
                    let _ = wanted.send(Ok(table.clone()));
                }
            }
        }
    }

    /// The device calls an opcode that was offered; its handler runs beside this task. At most 16 calls are unanswered.
    fn on_call(&mut self, call: Call) {
        let Some(link) = &mut self.link else { return };
        let (epoch, number) = (self.epoch, call.number);
        match (self.bound.get(&call.op), self.answers.upgrade()) {
            (Some(Some(handler)), Some(answers)) => {
                let running = handler(call);
                tokio::spawn(async move {
                    let outcome = running.await;
                    // A client that ended answers nothing.
                    let _ = answers.send(Command::Answered {
                        epoch,
                        number,
                        outcome,
                    });
                });
            }
            _ => {
                let none = Failure::new(
                    Code::UnknownOp,
                    format!("this client does not offer {}", call.op),
                );
                answer(number, Outcome::Failed(none), link.out());
            }
        }
    }
}

/// Appends the answer to a call of the device; one that cannot be sent becomes the reason why.
pub(super) fn answer(number: u64, outcome: Outcome, out: &mut Vec<u8>) {
    if let Err(error) = (CallReply { number, outcome }).encode(out) {
        let outcome = Outcome::Failed(Failure::new(Code::TooLarge, error.to_string()));
        let _ = CallReply { number, outcome }.encode(out);
    }
}

/// Out of the buffer it came in.
fn take(frame: Frame<'_>, bytes: usize) -> Taken {
    macro_rules! owned {
        ($($kind:ident)*) => {
            match frame {
                Frame::Data(data) => Taken::Data(
                    data.transfer,
                    Told::Data { offset: data.offset, crc32c: data.crc32c, chunk: data.chunk.to_vec() },
                ),
                $( Frame::$kind(body) => Taken::Frame(Frame::$kind(body), bytes), )*
                _ => Taken::None,
            }
        };
    }
    owned!(Reply Close Ping Pong TimeOut Push Call Opened Credit Durable Finish Finished Abort Table TableChanged Welcome Challenge)
}
