//! What the index knows of a stored file.

use crate::{MediaPath, Position, Sha256};

/// A stored file, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub path: MediaPath,
    /// In bytes.
    pub size: u64,
    /// What it was stored as: `image`, `animation`, `audio`, `text`, or what the plugin that stored it said.
    pub kind: String,
    /// What the plugin that stored it keeps with it, in the order given.
    pub properties: Vec<(String, String)>,
    /// Milliseconds since 1970-01-01 UTC of the last change, by the device's clock.
    pub modified_ms: u64,
    /// Of the whole file; none where the file grew since it was stored whole.
    pub sha256: Option<Sha256>,
    /// Of the whole file.
    pub crc32c: u32,
    /// The commit that last changed it; 0 while it is staged.
    pub changed_at: Position,
}

/// Bytes of a kind, at most.
pub const MAX_KIND_BYTES: usize = 64;

/// Bytes of all names and values of a file's properties together, at most.
pub const MAX_PROPERTIES_BYTES: usize = 4096;
