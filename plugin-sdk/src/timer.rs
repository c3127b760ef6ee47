//! Operations of the plugin's own at a later time, for the handler under `#[timer]`. Needs the grant `timer`.

use std::time::Duration;

use crate::Result;
use crate::bindings::pixelboy::plugin::timer as host;
use crate::failure::FromHost as _;

/// Sets the timer `id` anew, `after` the commit. It is forgotten when the device restarts.
pub fn set(id: &str, after: Duration, payload: impl AsRef<[u8]>) -> Result<()> {
    arm(id, after, payload.as_ref(), false)
}

/// The same, surviving a restart: it fires late rather than never, and its firing and what the handler stages, setting
/// it again too, commit together. Each setting is written to the disk: for a clock that ticks every second use [`set`], and
/// begin at the event `started`.
pub fn set_durable(id: &str, after: Duration, payload: impl AsRef<[u8]>) -> Result<()> {
    arm(id, after, payload.as_ref(), true)
}

/// Forgets the timer `id`.
pub fn cancel(id: &str) -> Result<()> {
    host::cancel(id).or_failure()
}

fn arm(id: &str, after: Duration, payload: &[u8], durable: bool) -> Result<()> {
    let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    host::set(id, after_ms, payload, durable).or_failure()
}
