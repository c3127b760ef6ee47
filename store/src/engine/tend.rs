//! Housekeeping: what nobody waits for.
//! Invariant: nothing here is needed for a promise to hold; late or never only costs space and time at the next open.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Engine;
use crate::change::Change;
use crate::{ClientId, StoreError};

/// Commits and bytes in the log above which it is folded at the next call, and the age at which it is folded anyway.
const FOLD_COMMITS: u64 = 1_000;
const FOLD_BYTES: u64 = 1 << 20;
const FOLD_AGE: Duration = Duration::from_secs(30);

/// How often the uptime is written down where nothing else is.
const UPTIME_AGE: Duration = Duration::from_secs(3_600);

/// What must be free for the log to be made longer beforehand.
const ROOM_FOR_LOG: u64 = 16 << 20;

/// How long to wait before trying again.
const RETRY: Duration = Duration::from_secs(1);

/// Between two looks at what has become old, at most.
const AGEING: Duration = Duration::from_secs(60);

impl Engine {
    /// See [`crate::Store::tend`].
    pub(crate) fn tend(&self, uptime: Duration) -> Result<Duration, StoreError> {
        self.stir.clear();
        let now_ms = {
            let mut memory = self.memory();
            memory.uptime_ms = memory.uptime_ms.saturating_add(millis(uptime));
            memory.tidy_bodies();
            let thinned = memory.clients.thin_readers(self.settings.max_clients);
            memory.dropped_records |= thinned;
            memory.uptime_ms
        };
        self.disk.lay_ballast(self.settings.reserve_bytes);
        self.lay_out_log();
        self.catch_up();
        self.age(now_ms);
        self.flush();
        if !self.compared.swap(true, Ordering::Relaxed) {
            self.compare()?;
        }
        let since = now_ms.saturating_sub(self.folded_at_ms.load(Ordering::Relaxed));
        let (commits, bytes) = self.group.unfolded();
        let marks = self.memory().clients.has_marks();
        let due = commits >= FOLD_COMMITS
            || bytes >= FOLD_BYTES
            || ((commits > 0 || marks) && since >= millis(FOLD_AGE))
            || since >= millis(UPTIME_AGE);
        if due && !self.memory().refused {
            self.fold()?;
            self.folded_at_ms.store(now_ms, Ordering::Relaxed);
        }
        Ok(self.rest(now_ms))
    }

    /// Once, where there is room.
    fn lay_out_log(&self) {
        let room = ROOM_FOR_LOG.saturating_add(self.settings.reserve_bytes);
        if self.disk.free_bytes().is_ok_and(|free| free > room)
            && !self.log_laid_out.swap(true, Ordering::Relaxed)
            && let Err(error) = self.tables.lay_out_log(&self.disk)
        {
            tracing::debug!(%error, "the log could not be made longer beforehand");
        }
    }

    /// How long nothing is to be done.
    fn rest(&self, now_ms: u64) -> Duration {
        if self.stuck.load(Ordering::Acquire) {
            return RETRY;
        }
        let since = now_ms.saturating_sub(self.folded_at_ms.load(Ordering::Relaxed));
        let (commits, _) = self.group.unfolded();
        let memory = self.memory();
        let fold = if memory.refused || (commits == 0 && !memory.clients.has_marks()) {
            UPTIME_AGE
        } else {
            FOLD_AGE
        };
        let ages = [self.settings.client_age, self.settings.upload_age];
        let ageing = ages.iter().map(|age| *age / 8).fold(AGEING, Duration::min);
        fold.saturating_sub(Duration::from_millis(since))
            .min(ageing)
            .max(RETRY)
    }

    /// See [`crate::Store::close`].
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.flush();
        self.catch_up();
        let failed = std::mem::replace(&mut self.memory().refused, true);
        if failed {
            return Err(StoreError::ReadOnly);
        }
        // What came in between is made durable too; what comes after is refused.
        self.flush();
        self.fold()?;
        self.tables.close()
    }

    /// Plain files that could not follow the record try again.
    fn catch_up(&self) {
        let mut plain = self.plain();
        plain.retry(&self.disk);
        self.note_stuck(&plain);
    }

    /// Old records and uploads go.
    fn age(&self, now_ms: u64) {
        let mut memory = self.memory();
        if memory.refused {
            return;
        }
        let clients = memory
            .clients
            .aged(now_ms, millis(self.settings.client_age));
        let (wrote, read): (Vec<ClientId>, Vec<ClientId>) = clients
            .into_iter()
            .partition(|id| memory.clients.get(id).is_some_and(|client| client.wrote));
        for id in read {
            let gone = memory.clients.remove(&id);
            memory.dropped_records |= gone.is_some_and(|client| client.executed_through() > 0);
        }
        let mut changes: Vec<Change> = wrote
            .into_iter()
            .map(|client| Change::Forget {
                client,
                dropped: true,
            })
            .collect();
        let uploads = memory
            .uploads
            .aged(now_ms, millis(self.settings.upload_age));
        changes.extend(
            uploads
                .into_iter()
                .map(|(client, number)| Change::NoUpload { client, number }),
        );
        if !changes.is_empty()
            && let Err(error) = self.commit_changes(&mut memory, changes)
        {
            tracing::warn!(%error, "old records could not be dropped yet");
        }
    }

    /// Compares `media/` with the index, and tells what was changed by hand. Nothing is changed.
    fn compare(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let rows = self.tables.sizes(&after, 512)?;
            let Some((last, _)) = rows.last() else { break };
            after.clone_from(last);
            for (text, size) in rows {
                let Some(path) = Change::path(&text) else {
                    continue;
                };
                // What changes just now is looked at when it is read.
                if self.memory().overlay.file(&path).is_some() {
                    continue;
                }
                match self.disk.size(&crate::disk::Place::Media(path)) {
                    Ok(Some(found)) if found == size => {}
                    Ok(found) => tracing::error!(
                        path = text,
                        expected = size,
                        found,
                        "a stored file was changed by hand; it will not be served"
                    ),
                    Err(error) => {
                        tracing::error!(path = text, %error, "a stored file can't be looked at")
                    }
                }
            }
        }
        let mut strange = Vec::new();
        let walked = self.disk.walk_media(&mut |path, _| strange.push(path));
        if let Err(error) = walked {
            tracing::warn!(%error, "the media folder can't be looked through");
        }
        let recent: HashSet<String> = self
            .memory()
            .overlay
            .files()
            .map(|(path, ..)| path.as_str().to_owned())
            .collect();
        for path in strange {
            if !recent.contains(&path) && self.tables.file(&path)?.is_none() {
                tracing::warn!(
                    path,
                    "a file was put into the media folder by hand; it is not served"
                );
            }
        }
        Ok(())
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
