//! Bytes that replies of a client have named, until they are fetched or forgotten.
//! Invariant: an id is random and never names two things; the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pixelboy_protocol::limits;
use pixelboy_store::Blob;

/// The blobs of one client.
#[derive(Default)]
pub(crate) struct Blobs(Mutex<VecDeque<(u64, Blob)>>);

impl Blobs {
    /// Names bytes for a reply.
    pub(crate) fn name(&self, blob: Blob) -> u64 {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = loop {
            let id = random();
            if !named.iter().any(|(other, _)| *other == id) {
                break id;
            }
        };
        if named.len() >= limits::BLOBS {
            named.pop_front();
        }
        named.push_back((id, blob));
        id
    }

    /// What an id names.
    pub(crate) fn find(&self, id: u64) -> Option<Blob> {
        let named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        named
            .iter()
            .find(|(other, _)| *other == id)
            .map(|(_, blob)| blob.clone())
    }

    /// The session has ended.
    pub(crate) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Not 0; without the system's randomness, a number from the clock.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) | 1,
        Err(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |now| now.as_nanos() as u64 | 1),
    }
}
