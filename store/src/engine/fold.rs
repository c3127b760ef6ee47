//! The log moves into the tables.
//! Invariant: a commit leaves the log only after the plain files that it names are synced: until then its bytes in the log
//! are what they are redone from. Readers see the same before, while and after.
//! A failed sync of a plain file is as bad as one of the record: the system may have dropped the bytes.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{Engine, io};
use crate::StoreError;
use crate::memory::Stage;
use crate::sqlite::{FoldMarks, Tables, fault};

/// Pages of SQLite's write-ahead log above which even a busy one is brought in.
const MOST_WAL_PAGES: u64 = 32 << 10;

impl Engine {
    /// Moves everything durable whose plain files followed. *Blocking*.
    pub(crate) fn fold(&self) -> Result<(), StoreError> {
        let _one = self.folding.lock().unwrap_or_else(PoisonError::into_inner);
        // What the failed sync was to make durable stays in the log.
        if self.group.has_failed() {
            return Err(StoreError::ReadOnly);
        }
        let (followed, dirty) = self.plain().take_dirty();
        if let Err(error) = dirty.sync(&self.disk) {
            self.fail("sync a stored file", &error);
            return Err(io("sync a stored file")(error));
        }
        self.disk.at("fold").map_err(io("fold the record"))?;
        self.folds.fetch_add(1, Ordering::AcqRel);
        let uptime_ms = self.memory().uptime_ms;
        let (commits, bytes) = self.group.unfolded();
        let database = |error: rusqlite::Error| {
            if fault::is_failed_sync(&error) {
                self.fail("sync the record", &error);
            }
            fault::store_error("fold", &error)
        };
        // Not always as far as the files followed: an entry is folded whole or not at all.
        let through = loop {
            let folded = Tables::fold_some(&mut self.tables.writer(), followed, uptime_ms);
            self.pass_on();
            let (through, more) = folded.map_err(database)?;
            if !more {
                break through;
            }
        };
        let marks = self.marks(through);
        let written = Tables::write_marks(&mut self.tables.writer(), &marks);
        self.pass_on();
        written.map_err(database)?;
        {
            let mut memory = self.memory();
            memory.overlay.drop_through(through);
            memory.clients.unmark(&marks.clients, &marks.confirmed);
            for name in &marks.used_uploads {
                memory.uploads.remove(name);
            }
        }
        self.folds.fetch_add(1, Ordering::AcqRel);
        // What is left of an entry is for the next fold.
        if through >= followed {
            let (commits_now, bytes_now) = self.group.unfolded();
            self.group.set_unfolded(
                commits_now.saturating_sub(commits),
                bytes_now.saturating_sub(bytes),
            );
        }
        if self.tables.checkpoint().map_err(database)? > MOST_WAL_PAGES {
            let _nobody_writes = self.tables.writer();
            self.tables.checkpoint().map_err(database)?;
        }
        self.pass_on();
        Ok(())
    }

    /// What is to be written besides the commits.
    fn marks(&self, through: crate::Position) -> FoldMarks {
        let memory = self.memory();
        let (clients, confirmed) = memory.clients.marks(through);
        // A used upload is remembered until the request that used it is confirmed.
        let used = memory
            .uploads
            .iter()
            .filter(|((client, _), slot)| match slot.stage {
                Stage::Consumed { by, .. } => memory
                    .clients
                    .get(client)
                    .is_none_or(|client| client.has_confirmed(by)),
                _ => false,
            });
        FoldMarks {
            clients,
            confirmed,
            used_uploads: used.map(|(name, _)| *name).collect(),
            uptime_ms: memory.uptime_ms,
        }
    }
}
