//! `client`: the clients of the device.
//! Invariant: a push never waits for a client; one that does not read loses the oldest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use pixelboy_protocol::{Push, Value};

use super::Guest;
use super::effect::Effect;
use super::failure;
use crate::plugin::contract::pixelboy::plugin::client::Host;
use crate::plugin::contract::pixelboy::plugin::types::{Failure, Values};
use crate::plugin::values::from_guest;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// Where pushes to one session go; false when it takes none now.
pub(crate) type Seat = Arc<dyn Fn(Push) -> bool + Send + Sync>;

/// The sessions present.
#[derive(Default)]
pub(crate) struct Audience(Mutex<BTreeMap<u64, Seat>>);

impl Audience {
    fn seats(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session begins.
    pub(crate) fn join(&self, session: u64, seat: Seat) {
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

    /// Hands a push over; it is lost where the session is gone.
    pub(crate) fn push(&self, session: u64, op: String, args: Vec<Value>) {
        let seat = self.seats().get(&session).cloned();
        if !seat.is_some_and(|seat| seat(Push { op, args })) {
            tracing::debug!(session, "a push was lost: the client is not there");
        }
    }
}

impl Host for Guest {
    fn sessions(&mut self) -> wasmtime::Result<Vec<u64>> {
        Ok(self.services.audience.sessions())
    }

    fn push(&mut self, session: u64, op: String, args: Values) -> Answer<()> {
        let mut handles = false;
        let args = from_guest(args, |_| {
            handles = true;
            Value::Null
        })?;
        if handles {
            return Ok(Err(failure::unsupported(
                "a push can't carry handles yet; send bytes or a path",
            )));
        }
        if !self.services.audience.has(session) {
            return Ok(Err(failure::not_found(format!(
                "no session {session} is present"
            ))));
        }
        Ok(self.work.stage(Effect::Push { session, op, args }))
    }

    fn call(&mut self, _: u64, _: String, _: Values, _: u64, _: String) -> Answer<()> {
        Ok(Err(failure::unsupported(
            "this host does not call clients yet; use push",
        )))
    }
}
