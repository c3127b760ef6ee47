//! Takes operations and gives replies: in order, once, after what they saw is durable.
//! Invariant: no reply leaves before the receipt of everything its operation wrote and saw.
//! Not here: frames (`net`), guests (`plugin`), what an effect does (`capability`).
//! A failed sync: *outcome unknown* for what waited, no effect, and writes are refused until a restart.

pub(crate) mod blobs;
pub(crate) mod board;
pub(crate) mod host_ops;
pub(crate) mod lane;
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

use tokio::sync::Semaphore;

use crate::capability::Services;

/// What every client's operations go through.
pub(crate) struct Dispatch {
    pub(crate) services: Arc<Services>,
    /// The opcode table as it is now.
    pub(crate) board: board::Board,
    pub(crate) settings: SessionSettings,
    pub(crate) started: std::time::Instant,
    /// Each moving upload holds one; when the host stops, all of them back means that every part is on disk.
    pub(crate) upload_threads: Arc<Semaphore>,
}

/// Uploads that move at a time, on all connections; more wait for their turn.
pub(crate) const UPLOAD_THREADS: u32 = 128;

/// Of them, one client's.
pub(crate) const UPLOAD_PLACES: u32 = 64;

/// How sessions begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionSettings {
    pub(crate) receive_timeout: Duration,
    pub(crate) grace: Duration,
}
