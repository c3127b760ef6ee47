//! The store's works: memory in front, the log and the tables behind, plain files following.
//! Invariant: locks are taken in the order folding, writer, plain, memory, one file's body; none but memory's and a body's
//! is held where a caller must not wait.
//! What each file does: `view` reads, `commit` gives a place in the order, `group` syncs for all who wait, `fold` moves the
//! log into the tables, `recovery` opens, `record` tells who may run, `tend` ages, `uploads` takes bytes in.

mod checked;
mod commit;
mod fold;
mod group;
mod inspect;
mod record;
mod recovery;
mod tend;
mod uploads;
mod view;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::Disk;
use crate::memory::Memory;
use crate::plain::{Plain, Stuck};
use crate::sqlite::Tables;
use crate::wait::Stir;
use crate::{Settings, StoreError, StoreId};

use checked::Checked;
pub(crate) use checked::READ_BYTES;
pub(crate) use group::{Committer, WaitFuture};
pub use inspect::Inspection;

/// Everything behind a store.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) id: StoreId,
    disk: Arc<Disk>,
    /// Nobody else opens the folder while this lives.
    _lock: std::fs::File,
    tables: Tables,
    folding: Mutex<()>,
    plain: Mutex<Plain>,
    memory: Mutex<Memory>,
    group: group::Group,
    /// Raised whenever commits move from memory to the tables.
    folds: AtomicU64,
    /// Raised whenever commits are taken back.
    retreats: AtomicU64,
    /// Plain files could not follow the record; files are not to be written until they do. Told by the second one.
    stuck: AtomicBool,
    why_stuck: Mutex<Option<Stuck>>,
    checked: Arc<Checked>,
    /// Something was written or confirmed since housekeeping last began.
    pub(crate) stir: Stir,
    /// The store's uptime at the last fold.
    folded_at_ms: AtomicU64,
    /// Whether the media folder was compared with the index since the store was opened.
    compared: AtomicBool,
    /// Whether SQLite's log was made longer beforehand.
    log_laid_out: AtomicBool,
}

impl Engine {
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plain(&self) -> MutexGuard<'_, Plain> {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether plain files follow the record, and why not.
    fn note_stuck(&self, plain: &Plain) {
        let stuck = plain.stuck().cloned();
        let is_stuck = stuck.is_some();
        if is_stuck || self.stuck.load(Ordering::Acquire) {
            *self
                .why_stuck
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = stuck;
        }
        self.stuck.store(is_stuck, Ordering::Release);
    }

    /// Why no file can be written now; none: it can.
    fn stuck(&self) -> Option<StoreError> {
        if !self.stuck.load(Ordering::Acquire) {
            return None;
        }
        let why = self
            .why_stuck
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Stuck { kind, why } = why.clone()?;
        Some(match StoreError::of_io("write plain files", kind.into()) {
            StoreError::Io { .. } => StoreError::Stuck { why },
            other => other,
        })
    }

    /// Nothing could be written, and nothing was synced: what is not durable is taken back, as if it had never been. Needs the
    /// writer.
    fn take_back(&self, why: StoreError) {
        let (durable, head) = {
            let mut memory = self.memory();
            self.retreats.fetch_add(1, Ordering::AcqRel);
            memory.take_back(true);
            if let Ok(bytes) = self.media_bytes(&memory) {
                memory.space.media = bytes;
            }
            memory.space.forget_answer();
            // Before anybody can add to the line again.
            self.group.no_staged();
            (memory.durable, memory.head)
        };
        self.folds.fetch_add(1, Ordering::AcqRel);
        let count = head.0 - durable.0;
        tracing::error!(%why, count, "operations could not be written, and were taken back");
        self.group.take_back(durable, head, why.into());
    }

    /// Bytes of all files as they are now.
    fn media_bytes(&self, memory: &Memory) -> Result<u64, StoreError> {
        let mut bytes = self.tables.media_bytes()?;
        for (path, _, state) in memory.overlay.files() {
            if let Some((_, row, _)) = self.tables.file(path.as_str())? {
                bytes = bytes.saturating_sub(row.size);
            }
            bytes = bytes.saturating_add(state.map_or(0, |state| state.row.size));
        }
        Ok(bytes)
    }

    /// A sync failed: nobody can tell any more what is on disk. Writes are refused from now on, and reads go back to what
    /// is known to be durable.
    fn fail(&self, what: &'static str, reason: &dyn std::fmt::Display) {
        tracing::error!(%reason, "failed to {what}: writes are refused until the host is restarted");
        let durable = {
            let mut memory = self.memory();
            memory.refused = true;
            memory.take_back(false);
            memory.durable
        };
        self.folds.fetch_add(1, Ordering::AcqRel);
        self.group.fail(durable);
    }
}

fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> StoreError {
    move |source| StoreError::of_io(what, source)
}
