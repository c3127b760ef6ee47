//! How a store is set up.

use std::path::PathBuf;
use std::time::Duration;

/// The resolved settings of a store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder; made if it is not there.
    pub folder: PathBuf,
    /// Bytes that media and unfinished uploads may take together; none: as much as the disk has.
    pub media_quota_bytes: Option<u64>,
    /// Free bytes that are left on the disk.
    pub reserve_bytes: u64,
    /// Clients whose record is kept. Above it the one longest away is forgotten, first those with everything confirmed.
    pub max_clients: usize,
    /// Unfinished uploads of one client. Above it the one that rested longest goes.
    pub max_uploads: usize,
    /// How long a client that is away is remembered, in uptime of the host.
    pub client_age: Duration,
    /// How long an upload that nobody finished or used is kept, in uptime of the host.
    pub upload_age: Duration,
}

impl Settings {
    /// The usual settings for a folder: no quota, 64 MiB left free, 4,096 clients for 90 days, 64 uploads a client for a day.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            folder: folder.into(),
            media_quota_bytes: None,
            reserve_bytes: 64 << 20,
            max_clients: 4096,
            max_uploads: 64,
            client_age: DAY.saturating_mul(90),
            upload_age: DAY,
        }
    }
}
