//! `client`: the clients of the device.
//! Invariant: nothing here waits for a client; one that does not read loses pushes.
//! Not here: what is on its way to one client (`dispatch::calls`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pixelboy_protocol::{Push, Value, limits};
use pixelboy_store::Blob;

use super::Guest;
use super::effect::Effect;
use super::failure;
use super::parcel::Parcel;
use crate::plugin::contract::pixelboy::plugin::client::Host;
use crate::plugin::contract::pixelboy::plugin::types::{Failure, Values};

/// Bytes of a tag.
const MAX_TAG_BYTES: usize = 1024;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// The way to one session's client.
pub(crate) trait Seat: Send + Sync {
    /// False when it is lost.
    fn push(&self, push: Push) -> bool;

    /// Names bytes that the client may fetch as long as its session lasts.
    fn name(&self, bytes: Blob) -> u64;

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
}

impl Host for Guest {
    fn sessions(&mut self) -> wasmtime::Result<Vec<u64>> {
        Ok(self.services.audience.sessions())
    }

    fn push(&mut self, session: u64, op: String, args: Values) -> Answer<()> {
        let parcel = Parcel::pack(self, op, args)?;
        if !self.services.audience.has(session) {
            return Ok(Err(no_session(session)));
        }
        Ok(parcel.and_then(|parcel| self.work.stage(Effect::Push { session, parcel })))
    }

    fn call(
        &mut self,
        session: u64,
        op: String,
        args: Values,
        timeout_ms: u64,
        tag: String,
    ) -> Answer<()> {
        let parcel = Parcel::pack(self, op, args)?;
        let Some(seat) = self.services.audience.seat(session) else {
            return Ok(Err(no_session(session)));
        };
        let plugin = self.identity.name.clone();
        let timeout = Duration::from_millis(timeout_ms.min(limits::LATER_MS));
        let checked = parcel.and_then(|parcel| match () {
            () if !seat.has_bound(&parcel.op) => Err(failure::unknown_op(format!(
                "the client of session {session} offers no {:?}",
                parcel.op
            ))),
            () if tag.len() > MAX_TAG_BYTES => Err(failure::too_large(format!(
                "a tag has at most {MAX_TAG_BYTES} bytes, this one has {}",
                tag.len()
            ))),
            () => Ok(parcel),
        });
        Ok(checked.and_then(|parcel| {
            self.work.stage(Effect::Call {
                session,
                plugin,
                tag,
                parcel,
                timeout,
            })
        }))
    }
}

fn no_session(session: u64) -> Failure {
    failure::not_found(format!("no session {session} is present"))
}
