//! What one operation has to go by and has staged so far.
//! Invariant: dropped without a commit, nothing of it ever happened.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pixelboy_store::Transaction;

use super::effect::Effect;
use super::failure;
use crate::plugin::contract::pixelboy::plugin::types::Failure;

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

/// Bytes of pixels, pushes and key-value data that one operation may stage; files do not count, they are on disk.
const MAX_STAGED_BYTES: usize = 16 << 20;

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

/// A number that differs between operations; for games and jitter, not for secrets.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}
