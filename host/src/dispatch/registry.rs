//! The clients of this host, by id.
//! Invariant: one presence for each client id, so one order of its operations.
//! Over the cap, the one longest away goes; what it wrote stays in the store's record.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pixelboy_store::{ClientId, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::Dispatch;
use super::presence::{Message, Presence};

/// Clients whose operations are remembered in memory.
const MAX_CLIENTS: usize = 1024;

struct Known {
    sender: mpsc::UnboundedSender<Message>,
    /// It has a session: it can't be dropped.
    present: Arc<AtomicBool>,
    last_seen: Instant,
}

/// Finds or makes a client's presence.
pub(crate) struct Registry {
    dispatch: Arc<Dispatch>,
    known: Mutex<HashMap<ClientId, Known>>,
}

/// Why a client is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The store does not know it, and it has a past.
    #[error(
        "this device does not know you any more: its data folder is new, or you were away for very long; \
         what was not answered may or may not have happened; take a new client id"
    )]
    Forgotten,
    /// The cap.
    #[error("{MAX_CLIENTS} clients are present; try again when one has gone")]
    TooMany,
    /// The store.
    #[error("failed to look the client up: {0}")]
    Store(#[from] StoreError),
}

impl Registry {
    /// Nobody is here yet.
    pub(crate) fn new(dispatch: Arc<Dispatch>) -> Self {
        Self {
            dispatch,
            known: Mutex::default(),
        }
    }

    /// What the host offers.
    pub(crate) fn dispatch(&self) -> &Arc<Dispatch> {
        &self.dispatch
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<ClientId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The presence of `client`. `has_past`: it has used this id before; `same_store`: with this store.
    pub(crate) fn find(
        &self,
        client: ClientId,
        has_past: bool,
        same_store: bool,
    ) -> Result<mpsc::UnboundedSender<Message>, Refused> {
        let mut known = self.known();
        if let Some(known) = known.get_mut(&client)
            && !known.sender.is_closed()
        {
            known.last_seen = Instant::now();
            return Ok(known.sender.clone());
        }
        let store = &self.dispatch.services.store;
        let executed_through = match store.client(client)? {
            Some(record) => record.executed_through,
            // It may have used this store without ever writing: then nothing of it is on disk.
            None if has_past && !(same_store && store.keeps_every_record()) => {
                return Err(Refused::Forgotten);
            }
            None => 0,
        };
        known.retain(|_, known| !known.sender.is_closed());
        if known.len() >= MAX_CLIENTS {
            let absent = known
                .iter()
                .filter(|(_, known)| !known.present.load(Ordering::Acquire));
            let oldest = absent
                .min_by_key(|(_, known)| known.last_seen)
                .map(|(id, _)| *id);
            known.remove(&oldest.ok_or(Refused::TooMany)?);
        }
        let (sender, inbox) = mpsc::unbounded_channel();
        let present = Arc::new(AtomicBool::new(true));
        let presence = Presence::new(
            self.dispatch.clone(),
            client,
            executed_through,
            inbox,
            present.clone(),
        );
        tokio::spawn(presence.serve());
        known.insert(
            client,
            Known {
                sender: sender.clone(),
                present,
                last_seen: Instant::now(),
            },
        );
        Ok(sender)
    }

    /// Lets what runs end and closes every connection; waits for it at most `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        let mut waits = Vec::new();
        for known in self.known().values() {
            let (stopped, wait) = oneshot::channel();
            if known.sender.send(Message::Stop(stopped)).is_ok() {
                waits.push(wait);
            }
        }
        let all = async {
            for wait in waits {
                let _ = wait.await;
            }
        };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!(
                ?limit,
                "operations were still running when the host stopped"
            );
        }
    }
}
