//! `timer`: operations of the plugin's own at a later time, staged.
//! Invariant: a durable timer lies in the store as long as it is set, under its plugin's name and its own.
//! Not here: waiting for its time (`timer/armed`).

pub(crate) mod armed;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Guest;
use super::failure;
use super::work::CHANGE_BYTES;
use crate::plugin::contract::pixelboy::plugin::timer::Host;
use crate::plugin::contract::pixelboy::plugin::types::Failure;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// Timers of one plugin.
const MAX_TIMERS: usize = 256;

/// Bytes of a timer's id.
const MAX_ID_BYTES: usize = 128;

/// Bytes of a payload; larger things belong into `kv`.
const MAX_PAYLOAD_BYTES: usize = 32 << 10;

/// Ten years; who asks for more means never.
const MAX_AFTER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A staged change of a timer.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) id: String,
    /// None: it is cancelled.
    pub(crate) set: Option<Setting>,
}

/// How a timer is set.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) after: Duration,
    pub(crate) payload: Vec<u8>,
    pub(crate) durable: bool,
}

/// A durable timer in the store. Clocks of devices jump, so it is known when it was set and for how long.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    set_at_ms: u64,
    after_ms: u64,
    payload: Vec<u8>,
}

/// All durable timers in the store begin with this; then follow the plugin's name and the timer's own.
const PREFIX: &str = "timer/";

/// A durable timer's name in the store.
pub(crate) fn key(plugin: &str, id: &str) -> String {
    format!("{PREFIX}{plugin}/{id}")
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}

impl Guest {
    /// Stages that nothing durable is left under this name. It reads first: a change that changes nothing would cost a sync.
    fn clear_timer(&mut self, key: &str) -> Answer<()> {
        let transaction = self.work.transaction()?;
        Ok(match transaction.state(key) {
            Ok(Some(_)) => transaction.clear_state(key).map_err(failure::of_store),
            Ok(None) => Ok(()),
            Err(error) => Err(failure::of_store(error)),
        })
    }

    fn set_timer(&mut self, id: String, setting: Setting) -> Answer<()> {
        let plugin = self.identity.name.clone();
        let key = key(&plugin, &id);
        if setting.durable {
            let kept = Kept {
                set_at_ms: unix_ms(),
                after_ms: setting.after.as_millis() as u64,
                payload: setting.payload.clone(),
            };
            // Plain data: it always encodes.
            let bytes = postcard::to_allocvec(&kept).unwrap_or_default();
            let staged = self.work.transaction()?.set_state(&key, bytes);
            if let Err(error) = staged {
                return Ok(Err(failure::of_store(error)));
            }
        } else if let Err(failure) = self.clear_timer(&key)? {
            return Ok(Err(failure));
        }
        let set = Some(setting);
        self.work.timers.push(Change { id, set });
        Ok(Ok(()))
    }
}

impl Host for Guest {
    fn set(&mut self, id: String, after_ms: u64, payload: Vec<u8>, durable: bool) -> Answer<()> {
        let checked = check_id(&id).and_then(|()| {
            if payload.len() > MAX_PAYLOAD_BYTES {
                let bytes = payload.len();
                return Err(failure::too_large(format!(
                    "a timer's payload has at most {MAX_PAYLOAD_BYTES} bytes, got {bytes}; keep more in kv"
                )));
            }
            self.work.hold(CHANGE_BYTES + id.len() + payload.len())
        });
        if let Err(failure) = checked {
            return Ok(Err(failure));
        }
        let armed = &self.services.timers;
        let plugin = &self.identity.name;
        let new = self.work.timers.iter().filter(|change| change.id != id);
        if !armed.has(plugin, &id) && armed.count(plugin) + new.count() >= MAX_TIMERS {
            return Ok(Err(failure::too_large(format!(
                "a plugin may set {MAX_TIMERS} timers"
            ))));
        }
        let after = Duration::from_millis(after_ms).min(MAX_AFTER);
        self.set_timer(
            id,
            Setting {
                after,
                payload,
                durable,
            },
        )
    }

    fn cancel(&mut self, id: String) -> Answer<()> {
        let checked = check_id(&id).and_then(|()| self.work.hold(CHANGE_BYTES + id.len()));
        if let Err(failure) = checked {
            return Ok(Err(failure));
        }
        let key = key(&self.identity.name, &id);
        if let Err(failure) = self.clear_timer(&key)? {
            return Ok(Err(failure));
        }
        self.work.timers.push(Change { id, set: None });
        Ok(Ok(()))
    }
}

fn check_id(id: &str) -> Result<(), Failure> {
    if (1..=MAX_ID_BYTES).contains(&id.len()) {
        return Ok(());
    }
    Err(failure::bad_arguments(format!(
        "a timer's id has 1 to {MAX_ID_BYTES} bytes, got {}",
        id.len()
    )))
}
