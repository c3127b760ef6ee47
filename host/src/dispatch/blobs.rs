//! Bytes that replies of a client have named, until they are fetched or forgotten.
//! Invariant: an id is random and never names two things; over the limits of files and of memory the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pixelboy_protocol::limits;
use pixelboy_store::Blob;

use super::random_id;

/// Bytes of a client's blobs that are held in memory, but for the newest one's.
const MEMORY_BYTES: u64 = 16 << 20;

/// The blobs of one client.
#[derive(Default)]
pub(crate) struct Blobs(Mutex<VecDeque<Named>>);

struct Named {
    id: u64,
    /// The request whose reply named it.
    number: u64,
    blob: Blob,
}

impl Blobs {
    fn named(&self) -> std::sync::MutexGuard<'_, VecDeque<Named>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names bytes for the reply to request `number`.
    pub(crate) fn name(&self, number: u64, blob: Blob) -> u64 {
        let mut named = self.named();
        let id = loop {
            let id = random_id();
            if !named.iter().any(|other| other.id == id) {
                break id;
            }
        };
        if named.len() >= limits::BLOBS {
            named.pop_front();
        }
        let bytes = |named: &Named| named.blob.memory_bytes();
        let mut held = named.iter().map(bytes).sum::<u64>() + blob.memory_bytes();
        while held > MEMORY_BYTES
            && let Some(oldest) = named.pop_front()
        {
            held -= bytes(&oldest);
        }
        named.push_back(Named { id, number, blob });
        id
    }

    /// What an id names.
    pub(crate) fn find(&self, id: u64) -> Option<Blob> {
        self.named()
            .iter()
            .find(|named| named.id == id)
            .map(|named| named.blob.clone())
    }

    /// Bytes that are held in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.named()
            .iter()
            .map(|named| named.blob.memory_bytes())
            .sum()
    }

    /// Keeps only what requests named of which `is_open` is true.
    pub(crate) fn keep(&self, is_open: impl Fn(u64) -> bool) {
        self.named().retain(|named| is_open(named.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bytes_make_room_for_new_ones() {
        let blobs = Blobs::default();
        let name = |number, mib: usize| blobs.name(number, Blob::from_bytes(vec![0; mib << 20]));
        let first = name(1, 6);
        let second = name(2, 6);
        let third = name(3, 6);
        assert!(blobs.find(first).is_none());
        assert!(blobs.find(second).is_some() && blobs.find(third).is_some());
        assert_eq!(blobs.memory_bytes(), 12 << 20);
        // One that is larger than all may be is there until the next one.
        let large = name(4, 20);
        assert!(blobs.find(third).is_none() && blobs.find(large).is_some());
        blobs.keep(|number| number != 4);
        assert_eq!(blobs.memory_bytes(), 0);
    }

    #[test]
    fn at_most_so_many_are_named() {
        let blobs = Blobs::default();
        let ids: Vec<u64> = (0..=limits::BLOBS as u64)
            .map(|number| blobs.name(number, Blob::from_bytes(vec![0])))
            .collect();
        let found = ids.iter().filter(|id| blobs.find(**id).is_some());
        assert_eq!(found.count(), limits::BLOBS);
    }
}
