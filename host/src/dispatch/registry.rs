//! The clients of this host, by id.
//! Invariant: one presence for each client id, so one order of its operations.
//! Over the cap, the one longest away goes; what it wrote stays in the store's record. One whose Hello is on its way is not away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pixelboy_store::{ClientId, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::Dispatch;
use super::presence::{Attach, Message, Presence};

struct Known {
    sender: mpsc::UnboundedSender<Message>,
    stays: Arc<Stays>,
    last_seen: Instant,
}

/// Why a presence can't be dropped: each reason counts one.
#[derive(Debug, Default)]
pub(crate) struct Stays(AtomicUsize);

impl Stays {
    /// One reason more.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// One reason less.
    pub(crate) fn end(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// Finds or makes a client's presence.
pub(crate) struct Registry {
    dispatch: Arc<Dispatch>,
    /// Clients whose operations are remembered in memory.
    max_clients: usize,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    known: HashMap<ClientId, Known>,
    /// The host stops: nobody comes in any more.
    stopping: bool,
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
    #[error("{0} clients are present; connect again when one has gone")]
    TooMany(usize),
    /// The host.
    #[error("the host stops; connect again later")]
    Stopping,
    /// The store.
    #[error("failed to look the client up: {0}")]
    Store(#[from] StoreError),
}

impl Registry {
    /// Nobody is here yet.
    pub(crate) fn new(dispatch: Arc<Dispatch>, max_clients: usize) -> Self {
        Self {
            dispatch,
            max_clients,
            clients: Mutex::default(),
        }
    }

    /// What the host offers.
    pub(crate) fn dispatch(&self) -> &Arc<Dispatch> {
        &self.dispatch
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a connection to the presence of `client`. `has_past`: it has used this id before; `same_store`: with this store.
    pub(crate) fn attach(
        &self,
        client: ClientId,
        has_past: bool,
        same_store: bool,
        attach: Attach,
    ) -> Result<mpsc::UnboundedSender<Message>, Refused> {
        let mut clients = self.clients();
        if clients.stopping {
            return Err(Refused::Stopping);
        }
        let is_known = clients
            .known
            .get(&client)
            .is_some_and(|known| !known.sender.is_closed());
        if !is_known {
            let known = self.admit(client, has_past, same_store, &mut clients.known)?;
            clients.known.insert(client, known);
        }
        let Some(known) = clients.known.get_mut(&client) else {
            return Err(Refused::Stopping);
        };
        known.last_seen = Instant::now();
        // Until the presence has taken it: its inbox outlives it where it doesn't.
        known.stays.begin();
        if known.sender.send(Message::Attach(attach)).is_err() {
            known.stays.end();
        }
        Ok(known.sender.clone())
    }

    /// A new presence, where there is room for it.
    fn admit(
        &self,
        client: ClientId,
        has_past: bool,
        same_store: bool,
        known: &mut HashMap<ClientId, Known>,
    ) -> Result<Known, Refused> {
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
        if known.len() >= self.max_clients {
            let absent = known.iter().filter(|(_, known)| known.stays.is_over());
            let oldest = absent
                .min_by_key(|(_, known)| known.last_seen)
                .map(|(id, _)| *id);
            known.remove(&oldest.ok_or(Refused::TooMany(self.max_clients))?);
        }
        let (sender, inbox) = mpsc::unbounded_channel();
        let stays = Arc::new(Stays::default());
        let presence = Presence::new(
            self.dispatch.clone(),
            client,
            executed_through,
            inbox,
            stays.clone(),
        );
        tokio::spawn(presence.serve());
        Ok(Known {
            sender,
            stays,
            last_seen: Instant::now(),
        })
    }

    /// Lets what runs end and closes every connection; waits for it at most `limit`.
    pub(crate) async fn stop(&self, limit: Duration) {
        let mut waits = Vec::new();
        {
            let mut clients = self.clients();
            clients.stopping = true;
            for known in clients.known.values() {
                let (stopped, wait) = oneshot::channel();
                if known.sender.send(Message::Stop(stopped)).is_ok() {
                    waits.push(wait);
                }
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
