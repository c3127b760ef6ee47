//! Takes operations and gives replies: in order, once, after what they saw is durable.
//! Invariant: no reply leaves before the receipt of everything its operation wrote and saw.
//! Not here: frames (`net`), guests (`plugin`), what an effect does (`capability`).
//! A failed sync: *outcome unknown* for what waited, no effect, and writes are refused until a restart.

pub(crate) mod blobs;
pub(crate) mod board;
pub(crate) mod calls;
pub(crate) mod errands;
pub(crate) mod host_ops;
pub(crate) mod lane;
pub(crate) mod later;
pub(crate) mod numbers;
pub(crate) mod operation;
pub(crate) mod outbox;
pub(crate) mod presence;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::RwLock;

use crate::capability::Services;
use crate::plugin::unserved::Unserved;

/// What every client's operations go through.
pub(crate) struct Dispatch {
    pub(crate) services: Arc<Services>,
    /// The opcode table as it is now.
    pub(crate) board: board::Board,
    /// Operations that answer later.
    pub(crate) put_off: Arc<later::PutOff>,
    /// Operations that may change files share it; one that lost to others again and again has it alone.
    pub(crate) right_of_way: RwLock<()>,
    /// Plugin files that do not serve.
    pub(crate) unserved: Arc<Unserved>,
    pub(crate) settings: SessionSettings,
    pub(crate) started: std::time::Instant,
}

/// Uploads of one client that move at a time, on all its connections; more wait for their turn.
pub(crate) const UPLOAD_PLACES: u32 = 64;

/// How sessions begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionSettings {
    pub(crate) receive_timeout: Duration,
    pub(crate) grace: Duration,
}

/// A number that this device never used and won't use again, also after a restart; not 0. A device may have no clock, so
/// that is only asked where the system has no randomness.
pub(crate) fn random_id() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) | 1,
        Err(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64 | 1),
    }
}
