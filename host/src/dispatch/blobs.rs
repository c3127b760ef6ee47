//! Bytes that replies of a client have named, until they are fetched or forgotten.
//! Invariant: an id is random and never names two things; the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pixelboy_protocol::limits;
use pixelboy_store::Blob;

use super::random_id;

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

    /// Keeps only what requests named of which `is_open` is true.
    pub(crate) fn keep(&self, is_open: impl Fn(u64) -> bool) {
        self.named().retain(|named| is_open(named.number));
    }
}
