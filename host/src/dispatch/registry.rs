//! The clients of this host, by id.
//! Invariant: one presence for each client id, so one order of its operations.
//! Those who are away age, and over a cap on clients and on memory the one longest away goes, first those with everything
//! confirmed; what it wrote stays in the store's record. One whose Hello is on its way is not away. One that said Goodbye
//! does not come back: what does is a late copy.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pixelboy_store::{ClientId, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::Dispatch;
use super::presence::{Attach, Message, Presence};

struct Known {
    sender: mpsc::UnboundedSender<Message>,
    stays: Arc<Stays>,
}

/// Bytes of memory that the replies of clients who are away may take together.
const AWAY_BYTES: usize = 64 << 20;

/// What the registry must know of a presence before it drops it.
#[derive(Debug)]
pub(crate) struct Stays {
    /// Why it can't be dropped: each reason counts one.
    reasons: AtomicUsize,
    /// It said Goodbye.
    left: AtomicBool,
    away: Mutex<Away>,
}

/// A client that is away.
#[derive(Clone, Copy, Debug)]
struct Away {
    since: Instant,
    /// Of what is kept for it; none where everything is confirmed.
    bytes: usize,
}

impl Stays {
    fn new() -> Self {
        Self {
            reasons: AtomicUsize::new(0),
            left: AtomicBool::new(false),
            away: Mutex::new(Away {
                since: Instant::now(),
                bytes: 0,
            }),
        }
    }

    /// One reason more.
    pub(crate) fn begin(&self) {
        self.reasons.fetch_add(1, Ordering::AcqRel);
    }

    /// One reason less.
    pub(crate) fn end(&self) {
        self.reasons.fetch_sub(1, Ordering::AcqRel);
    }

    /// The client goes away now; so many bytes are kept for it.
    pub(crate) fn away(&self, bytes: usize) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Away {
            since: Instant::now(),
            bytes,
        };
    }

    /// The client never comes back under this id.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.reasons.load(Ordering::Acquire) == 0
    }

    /// Since when, and with how much; none where it is not away.
    fn is_away(&self) -> Option<Away> {
        let away = *self.away.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_over().then_some(away)
    }
}

/// Who is remembered in memory, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    /// How many clients.
    pub(crate) clients: usize,
    /// How long one that is away.
    pub(crate) age: Duration,
}

/// Finds or makes a client's presence.
pub(crate) struct Registry {
    dispatch: Arc<Dispatch>,
    remembered: Remembered,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    known: HashMap<ClientId, Known>,
    /// Who said Goodbye last.
    left: VecDeque<ClientId>,
    /// The host stops: nobody comes in any more.
    stopping: bool,
}

/// Why a client is not let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The store does not know it, and it has a past.
    #[error(
        "this device does not know you any more: its data folder is new, you were away for very long, or said goodbye; \
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

/// Clients that are remembered to have said Goodbye.
const LEFT: usize = 1024;

impl Clients {
    /// Takes out whose presence has ended.
    fn bury(&mut self) {
        let ended = self
            .known
            .extract_if(|_, known| known.sender.is_closed())
            .filter(|(_, known)| known.stays.left.load(Ordering::Acquire));
        self.left.extend(ended.map(|(id, _)| id));
        let over = self.left.len().saturating_sub(LEFT);
        self.left.drain(..over);
    }
}

impl Registry {
    /// Nobody is here yet.
    pub(crate) fn new(dispatch: Arc<Dispatch>, remembered: Remembered) -> Self {
        Self {
            dispatch,
            remembered,
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
            clients.bury();
            if clients.left.contains(&client) {
                return Err(Refused::Forgotten);
            }
            shed(&mut clients.known);
            let known = self.admit(client, has_past, same_store, &mut clients.known)?;
            clients.known.insert(client, known);
        }
        let Some(known) = clients.known.get_mut(&client) else {
            return Err(Refused::Stopping);
        };
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
        let most = self.remembered.clients;
        if known.len() >= most {
            let (longest, _) = longest_away(known, |_| true).ok_or(Refused::TooMany(most))?;
            known.remove(&longest);
        }
        let (sender, inbox) = mpsc::unbounded_channel();
        let stays = Arc::new(Stays::new());
        let presence = Presence::new(
            self.dispatch.clone(),
            client,
            executed_through,
            has_past,
            inbox,
            stays.clone(),
        );
        tokio::spawn(presence.serve());
        Ok(Known { sender, stays })
    }

    /// Forgets who was away for too long, and who keeps too much; called now and then.
    pub(crate) fn tidy(&self) {
        let mut clients = self.clients();
        clients.bury();
        let known = &mut clients.known;
        let age = self.remembered.age;
        known.retain(|_, known| {
            let away = known.stays.is_away();
            away.is_none_or(|away| away.since.elapsed() <= age)
        });
        shed(known);
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

/// Drops who keeps too much together.
fn shed(known: &mut HashMap<ClientId, Known>) {
    let away = known.values().filter_map(|known| known.stays.is_away());
    let mut bytes: usize = away.map(|away| away.bytes).sum();
    while bytes > AWAY_BYTES
        && let Some((longest, away)) = longest_away(known, |away| away.bytes > 0)
    {
        tracing::debug!(
            bytes = away.bytes,
            "the replies kept for a client who is away were dropped"
        );
        known.remove(&longest);
        bytes -= away.bytes.min(bytes);
    }
}

/// Whom to drop first: the one longest away, of those with everything confirmed where there are such.
fn longest_away(
    known: &HashMap<ClientId, Known>,
    counts: impl Fn(&Away) -> bool,
) -> Option<(ClientId, Away)> {
    let away = known
        .iter()
        .filter_map(|(id, known)| Some((*id, known.stays.is_away()?)));
    away.filter(|(_, away)| counts(away))
        .min_by_key(|(_, away)| (away.bytes > 0, away.since))
}
