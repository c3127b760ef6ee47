//! `client`: the clients of the device.
//! Invariant: nothing here waits for a client; one that does not read loses pushes.
//! Not here: what is on its way to one client (`dispatch::calls`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pixelboy_protocol::{Push, Value, limits};

use super::Guest;
use super::effect::Effect;
use super::failure;
use crate::plugin::contract::pixelboy::plugin::client::Host;
use crate::plugin::contract::pixelboy::plugin::types::{Failure, Values};
use crate::plugin::values::from_guest;

/// Bytes of a tag.
const MAX_TAG_BYTES: usize = 1024;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// The way to one session's client.
pub(crate) trait Seat: Send + Sync {
    /// False when it is lost.
    fn push(&self, push: Push) -> bool;

    /// Whether the client offers an opcode.
    fn has_bound(&self, op: &str) -> bool;

    /// The answer comes as an errand, whatever happens.
    fn call(&self, call: ClientCall);
}

/// A plugin calls a client.
#[derive(Debug)]
pub(crate) struct ClientCall {
    pub(crate) plugin: Arc<str>,
    /// By which the plugin knows the answer.
    pub(crate) tag: String,
    pub(crate) op: String,
    pub(crate) args: Vec<Value>,
    /// Until when the plugin waits.
    pub(crate) until: Instant,
}

/// The sessions present.
#[derive(Default)]
pub(crate) struct Audience(Mutex<BTreeMap<u64, Arc<dyn Seat>>>);

impl Audience {
    fn seats(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<dyn Seat>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins.
    pub(crate) fn join(&self, session: u64, seat: Arc<dyn Seat>) {
        self.seats().insert(session, seat);
    }

    /// A session ends.
    pub(crate) fn leave(&self, session: u64) {
        self.seats().remove(&session);
    }

    /// Whether this one is.
    pub(crate) fn has(&self, session: u64) -> bool {
        self.seats().contains_key(&session)
    }

    /// Their numbers.
    pub(crate) fn sessions(&self) -> Vec<u64> {
        self.seats().keys().copied().collect()
    }

    /// The way to its client.
    pub(crate) fn seat(&self, session: u64) -> Option<Arc<dyn Seat>> {
        self.seats().get(&session).cloned()
    }

    /// Hands a push over; it is lost where the session is gone.
    pub(crate) fn push(&self, session: u64, op: String, args: Vec<Value>) {
        let seat = self.seat(session);
        if !seat.is_some_and(|seat| seat.push(Push { op, args })) {
            tracing::debug!(session, "a push was lost: the client is not there");
        }
    }
}

impl Host for Guest {
    fn sessions(&mut self) -> wasmtime::Result<Vec<u64>> {
        Ok(self.services.audience.sessions())
    }

    fn push(&mut self, session: u64, op: String, args: Values) -> Answer<()> {
        let Some(seat) = self.services.audience.seat(session) else {
            return Ok(Err(no_session(session)));
        };
        drop(seat);
        Ok(match sendable(&op, args)? {
            Ok(args) => self.work.stage(Effect::Push { session, op, args }),
            Err(failure) => Err(failure),
        })
    }

    fn call(
        &mut self,
        session: u64,
        op: String,
        args: Values,
        timeout_ms: u64,
        tag: String,
    ) -> Answer<()> {
        let Some(seat) = self.services.audience.seat(session) else {
            return Ok(Err(no_session(session)));
        };
        if !seat.has_bound(&op) {
            return Ok(Err(failure::unknown_op(format!(
                "the client of session {session} offers no {op:?}"
            ))));
        }
        if tag.len() > MAX_TAG_BYTES {
            return Ok(Err(failure::too_large(format!(
                "a tag has at most {MAX_TAG_BYTES} bytes, this one has {}",
                tag.len()
            ))));
        }
        let timeout = Duration::from_millis(timeout_ms.min(limits::LATER_MS));
        let plugin = self.identity.name.clone();
        Ok(match sendable(&op, args)? {
            Ok(args) => self.work.stage(Effect::Call {
                session,
                plugin,
                tag,
                op,
                args,
                timeout,
            }),
            Err(failure) => Err(failure),
        })
    }
}

/// The arguments as the wire has them; refused where they do not fit a frame.
fn sendable(op: &str, args: Values) -> wasmtime::Result<Result<Vec<Value>, Failure>> {
    let mut handles = false;
    let args = from_guest(args, |_| {
        handles = true;
        Value::Null
    })?;
    if handles {
        return Ok(Err(failure::unsupported(
            "what goes to a client can't carry handles yet; send bytes or a path",
        )));
    }
    if op.is_empty() || op.len() > limits::OPCODE_BYTES {
        return Ok(Err(failure::bad_arguments(format!(
            "an opcode has 1 to {} bytes, got {op:?}",
            limits::OPCODE_BYTES
        ))));
    }
    let push = Push {
        op: op.to_owned(),
        args,
    };
    Ok(match push.encode(&mut Vec::new()) {
        Ok(()) => Ok(push.args),
        Err(error) => Err(failure::too_large(format!("it can't be sent: {error}"))),
    })
}

fn no_session(session: u64) -> Failure {
    failure::not_found(format!("no session {session} is present"))
}
