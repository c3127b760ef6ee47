//! What one operation has to go by and has staged so far.
//! Invariant: dropped without a commit, nothing of it ever happened.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pixelboy_store::Transaction;

use super::effect::Effect;
use super::{failure, timer};
use crate::plugin::contract::pixelboy::plugin::types::{Failure, Node, Values};

/// Where an operation came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// The session; 0 for none.
    pub(crate) session: u64,
    /// It is an operation of the plugin's own, of no client.
    pub(crate) own: bool,
    /// The name the client gave itself.
    pub(crate) name: std::sync::Arc<str>,
}

/// One operation under way in a guest.
#[derive(Default)]
pub(crate) struct Work {
    /// Reads and staged writes; none outside an operation.
    pub(crate) transaction: Option<Transaction>,
    /// Staged effects, in the order asked for.
    pub(crate) effects: Vec<Effect>,
    /// Timers set and cancelled, in order.
    pub(crate) timers: Vec<timer::Change>,
    /// Answers to operations that were put off, by their tokens.
    pub(crate) completed: Vec<(u64, Result<Values, Failure>)>,
    /// Who asked.
    pub(crate) caller: Caller,
    /// Until when the client waits.
    pub(crate) deadline: Option<Instant>,
    now_ms: Option<u64>,
    seed: Option<u64>,
    token: Option<u64>,
    /// Bytes that staged effects and key-value data hold in the host's memory.
    staged_bytes: usize,
}

/// Effects of one operation.
const MAX_EFFECTS: usize = 64;

/// Bytes of pixels, pushes and data that one operation may stage; what is in files does not count, it is on disk.
const MAX_STAGED_BYTES: usize = 16 << 20;

/// What a staged change takes in memory besides its content, about.
pub(crate) const CHANGE_BYTES: usize = 256;

impl Work {
    /// Work for an operation that begins now.
    pub(crate) fn begin(
        transaction: Transaction,
        caller: Caller,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            transaction: Some(transaction),
            effects: Vec::new(),
            timers: Vec::new(),
            completed: Vec::new(),
            caller,
            deadline,
            now_ms: None,
            seed: None,
            token: None,
            staged_bytes: 0,
        }
    }

    /// Stages an effect.
    pub(crate) fn stage(&mut self, effect: Effect) -> Result<(), Failure> {
        if self.effects.len() >= MAX_EFFECTS {
            return Err(failure::too_large(format!(
                "an operation may ask for {MAX_EFFECTS} effects; an animation is one"
            )));
        }
        self.hold(effect.staged_bytes())?;
        self.effects.push(effect);
        Ok(())
    }

    /// Stages an answer.
    pub(crate) fn complete(
        &mut self,
        token: u64,
        reply: Result<Values, Failure>,
    ) -> Result<(), Failure> {
        if self.completed.len() >= MAX_EFFECTS {
            return Err(failure::too_large(format!(
                "an operation may complete {MAX_EFFECTS} others"
            )));
        }
        if let Ok(values) = &reply {
            self.hold(values.nodes.iter().map(node_bytes).sum())?;
        }
        self.completed.push((token, reply));
        Ok(())
    }

    /// Counts bytes that wait in memory for the commit.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Failure> {
        let held = self.staged_bytes.saturating_add(bytes);
        if held > MAX_STAGED_BYTES {
            let most = MAX_STAGED_BYTES >> 20;
            let advice = "store it as a file, with a writer";
            return Err(failure::too_large(format!(
                "an operation may stage {most} MiB of pixels and data; {advice}"
            )));
        }
        self.staged_bytes = held;
        Ok(())
    }

    /// The operation's clock: read once, when it is asked for first.
    pub(crate) fn now_ms(&mut self) -> u64 {
        let now = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
        };
        *self.now_ms.get_or_insert_with(|| now().as_millis() as u64)
    }

    /// The operation's random number.
    pub(crate) fn seed(&mut self) -> u64 {
        *self.seed.get_or_insert_with(random)
    }

    /// The operation's token for a later answer.
    pub(crate) fn token(&mut self) -> u64 {
        *self.token.get_or_insert_with(random)
    }

    /// The transaction of the operation under way. Outside one (in `describe`) there is nothing to read or write.
    pub(crate) fn transaction(&mut self) -> wasmtime::Result<&mut Transaction> {
        self.transaction.as_mut().ok_or_else(|| {
            wasmtime::Error::msg("host functions are not to be called in `describe`")
        })
    }
}

/// About what a node takes in memory.
fn node_bytes(node: &Node) -> usize {
    size_of::<Node>()
        + match node {
            Node::Text(text) => text.len(),
            Node::Bytes(bytes) => bytes.len(),
            Node::List(items) => size_of_val(items.as_slice()),
            Node::Map(items) => items.iter().map(|(key, _)| key.len() + 32).sum(),
            _ => 0,
        }
}

/// A number that differs between operations; for games and jitter, not for secrets.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}
