//! What goes from the host to one session's client: pushes, and calls of the opcodes that it bound.
//! Invariant: a call is sent once at most and answered once; numbers rise from 1 over all connections of the session.
//! Not here: what becomes of an answer (`errands`).
//! A connection that breaks: what was sent and not answered is `interrupted`; what was not sent waits for the next one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use pixelboy_protocol::{
    Bind, Call, CallCancel, CallReply, Code, Failure, Outcome, Push, Value, limits,
};
use pixelboy_store::Blob as StoredBlob;
use tokio::task::AbortHandle;

use super::blobs::Blobs;
use super::outbox::Outbox;
use crate::capability::client::{ClientCall, Seat};
use crate::capability::errand::{Errand, Errands, What};

/// Calls of one session that may wait to be sent.
const MAX_WAITING: usize = 64;

/// Opcodes that one session may bind.
const MAX_BOUND: usize = 256;

/// What no reply names: it goes with the session.
const NO_REQUEST: u64 = 0;

/// One session's.
pub(crate) struct Calls {
    errands: Errands,
    blobs: Arc<Blobs>,
    own: Weak<Self>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the connection of now.
    outbox: Option<Arc<Outbox>>,
    bound: BTreeSet<String>,
    /// The number of the last call that was sent.
    sent_through: u64,
    /// Calls up to this number may be sent, once the client said so.
    credit_through: Option<u64>,
    sent: BTreeMap<u64, Asked>,
    waiting: VecDeque<Waiting>,
    /// Tells what waits apart, before it has a number.
    next_key: u64,
    over: bool,
}

/// Who is to be told of an answer.
struct Asked {
    plugin: Arc<str>,
    tag: String,
    key: u64,
    /// Ends the wait.
    timer: AbortHandle,
}

struct Waiting {
    asked: Asked,
    op: String,
    args: Vec<Value>,
    until: Instant,
}

impl Calls {
    /// Of a session that begins.
    pub(crate) fn new(errands: Errands, blobs: Arc<Blobs>) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            errands,
            blobs,
            own: own.clone(),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session has this connection now.
    pub(crate) fn attach(&self, outbox: Arc<Outbox>) {
        let mut state = self.state();
        state.outbox = Some(outbox);
        // Credit is of a connection: what was allowed on the one before says nothing here.
        state.credit_through = None;
        self.send_what_may(&mut state);
    }

    /// The session has no connection now.
    pub(crate) fn detach(&self) {
        let mut state = self.state();
        state.outbox = None;
        for (_, asked) in std::mem::take(&mut state.sent) {
            self.answer(asked, Err(interrupted("its connection broke")));
        }
    }

    /// The session is over.
    pub(crate) fn end(&self) {
        self.detach();
        let mut state = self.state();
        state.over = true;
        for waiting in std::mem::take(&mut state.waiting) {
            self.answer(waiting.asked, Err(interrupted("its session ended")));
        }
    }

    /// The client offers an opcode or withdraws it.
    ///
    /// # Errors
    /// Where it offers too many.
    pub(crate) fn bind(&self, bind: Bind) -> Result<(), String> {
        let mut state = self.state();
        if !bind.bound {
            state.bound.remove(&bind.op);
        } else if bind.op.len() > limits::OPCODE_BYTES || state.bound.len() >= MAX_BOUND {
            return Err(format!(
                "a session may bind {MAX_BOUND} opcodes of at most {} bytes",
                limits::OPCODE_BYTES
            ));
        } else {
            state.bound.insert(bind.op);
        }
        Ok(())
    }

    /// The client takes calls up to a number.
    pub(crate) fn credit(&self, through: u64) {
        let mut state = self.state();
        state.credit_through = Some(through.max(state.credit_through.unwrap_or(0)));
        self.send_what_may(&mut state);
    }

    /// The client answered a call; one that nobody waits for is ignored.
    pub(crate) fn reply(&self, reply: CallReply) {
        let mut state = self.state();
        let Some(asked) = state.sent.remove(&reply.number) else {
            return;
        };
        self.answer(
            asked,
            match reply.outcome {
                Outcome::Done(values) => Ok(values),
                Outcome::Failed(failure) => Err(failure),
            },
        );
        self.send_what_may(&mut state);
    }

    /// Nobody waits for this one any more.
    fn expire(&self, key: u64) {
        let mut state = self.state();
        let waits = state.waiting.iter().position(|it| it.asked.key == key);
        let waited = waits.and_then(|at| state.waiting.remove(at));
        let number = state.sent.iter().find(|(_, asked)| asked.key == key);
        let number = number.map(|(number, _)| *number);
        let asked = match (waited, number) {
            (Some(waiting), _) => Some(waiting.asked),
            (None, Some(number)) => {
                if let Some(outbox) = &state.outbox {
                    outbox.send_when_welcomed(CallCancel { number });
                }
                state.sent.remove(&number)
            }
            (None, None) => None,
        };
        if let Some(asked) = asked {
            let why = "the client did not answer in time";
            self.answer(asked, Err(Failure::new(Code::Deadline, why)));
        }
        self.send_what_may(&mut state);
    }

    fn send_what_may(&self, state: &mut State) {
        let Some(outbox) = state.outbox.clone() else {
            return;
        };
        loop {
            let may = match state.credit_through {
                Some(through) => state.sent_through < through,
                None => (state.sent.len() as u64) < limits::CALLS,
            };
            let next = if may { state.waiting.pop_front() } else { None };
            let Some(Waiting {
                asked,
                op,
                args,
                until,
            }) = next
            else {
                return;
            };
            if !state.bound.contains(&op) {
                let why = format!("the client withdrew {op}");
                self.answer(asked, Err(Failure::new(Code::UnknownOp, why)));
                continue;
            }
            state.sent_through += 1;
            let number = state.sent_through;
            let left = until.saturating_duration_since(Instant::now());
            outbox.send_when_welcomed(Call {
                number,
                op,
                args,
                kwargs: Vec::new(),
                deadline_ms: Some(left.as_millis() as u64),
            });
            state.sent.insert(number, asked);
        }
    }

    fn answer(&self, asked: Asked, outcome: Result<Vec<Value>, Failure>) {
        asked.timer.abort();
        self.errands.send(Errand {
            plugin: Some(asked.plugin),
            what: What::Answer {
                tag: asked.tag,
                outcome,
            },
        });
    }
}

impl Seat for Calls {
    fn push(&self, push: Push) -> bool {
        let outbox = self.state().outbox.clone();
        outbox.is_some_and(|outbox| outbox.send_if_room(push))
    }

    fn name(&self, bytes: StoredBlob) -> u64 {
        self.blobs.name(NO_REQUEST, bytes)
    }

    fn has_bound(&self, op: &str) -> bool {
        self.state().bound.contains(op)
    }

    fn call(&self, call: ClientCall) {
        let mut state = self.state();
        state.next_key += 1;
        let key = state.next_key;
        let (own, until) = (self.own.clone(), call.until);
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(until.into()).await;
            if let Some(calls) = own.upgrade() {
                calls.expire(key);
            }
        });
        let asked = Asked {
            plugin: call.plugin,
            tag: call.tag,
            key,
            timer: timer.abort_handle(),
        };
        if state.over {
            return self.answer(asked, Err(interrupted("its session ended")));
        }
        if state.waiting.len() >= MAX_WAITING {
            let why = format!("{MAX_WAITING} calls wait for this client already");
            return self.answer(asked, Err(Failure::new(Code::Busy, why)));
        }
        state.waiting.push_back(Waiting {
            asked,
            op: call.op,
            args: call.args,
            until,
        });
        self.send_what_may(&mut state);
    }
}

/// The call, or its answer, was lost.
pub(crate) fn interrupted(why: &str) -> Failure {
    Failure::new(
        Code::Interrupted,
        format!("the client may or may not have been called: {why}"),
    )
}
