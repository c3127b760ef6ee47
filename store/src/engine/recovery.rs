//! Opens a data folder, after whatever ended the last run.
//! Invariant: doing it again gives the same. The log is redone in memory; then each file that it names is settled by where
//! it *ends up*, not step by step, so that it does not matter how far the plain files had followed before.
//! Not here: uploads' parts; they are verified when they are resumed.
//! A log that does not decode is refused; a file that is not what the record says is told of, and not served.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use super::group::Group;
use super::{Engine, io};
use crate::change::Change;
use crate::disk::{Disk, HoldError, Place};
use crate::log::{self, LogError};
use crate::memory::{BodySource, Memory, Slot, Space, Stage, UploadName};
use crate::plain::{Dirty, Plain};
use crate::sqlite::{Loaded, Tables, TablesError};
use crate::view::FileState;
use crate::{MediaPath, OpenError, Position, Settings, StoreError};

/// Files up to this size are read and compared with their CRC-32C where the log names them; of larger ones the length.
const VERIFY_BYTES: u64 = 64 << 20;

/// Why the log can't be redone.
enum RedoError {
    Tables(TablesError),
    Log(LogError),
}

impl From<TablesError> for RedoError {
    fn from(error: TablesError) -> Self {
        Self::Tables(error)
    }
}

impl Engine {
    /// Opens the folder of the settings, or makes it. *Blocking*.
    pub(crate) fn open(settings: Settings) -> Result<Self, OpenError> {
        let folder = settings.folder.clone();
        refuse_strangers(&folder)?;
        let (disk, lock) = Disk::hold(&folder).map_err(|error| held(&folder, error))?;
        let damaged = |detail: String| OpenError::Damaged {
            folder: folder.clone(),
            detail,
        };
        let newer = |found, known| OpenError::Newer {
            folder: folder.clone(),
            found,
            known,
        };
        let opened = |error: TablesError| match error {
            TablesError::Newer { found, known } => newer(found, known),
            TablesError::Damaged(detail) => damaged(detail),
        };
        let tables = Tables::open(&disk.record_path()).map_err(opened)?;
        let loaded = tables.load().map_err(opened)?;
        let mut memory = Memory::new(Space::new(
            settings.media_quota_bytes,
            settings.reserve_bytes,
        ));
        let store = remember(&mut memory, loaded);
        redo_log(&tables, &mut memory).map_err(|error| match error {
            RedoError::Tables(error) => opened(error),
            RedoError::Log(LogError::Newer(found)) => {
                newer(i64::from(found), i64::from(log::VERSION))
            }
            RedoError::Log(LogError::Damaged(detail)) => damaged(detail),
        })?;
        let head = memory.head;
        memory.durable = head;
        let engine = Self {
            settings,
            id: store,
            disk: Arc::new(disk),
            _lock: lock,
            tables,
            folding: Mutex::new(()),
            plain: Mutex::new(Plain::new(head)),
            folded_at_ms: AtomicU64::new(memory.uptime_ms),
            memory: Mutex::new(memory),
            group: Group::new(head),
            folds: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
            compared: AtomicBool::new(false),
        };
        let failed = |error: StoreError| match error {
            StoreError::Io { what, source } => OpenError::Io {
                what,
                path: folder.clone(),
                source,
            },
            other => damaged(other.to_string()),
        };
        let suspects = engine.settle().map_err(failed)?;
        engine.fold().map_err(failed)?;
        engine.mark_suspects(&suspects).map_err(failed)?;
        engine.memory().space.media = engine.tables.media_bytes().map_err(failed)?;
        engine.check_parts();
        engine
            .clear_staging()
            .map_err(io("clear the staging folder"))
            .map_err(failed)?;
        engine.prove().map_err(failed)?;

        Ok(engine)
    }

    /// Brings every file that the log names to where it ends up, and syncs it. Those that are not what they should be.
    fn settle(&self) -> Result<Vec<MediaPath>, StoreError> {
        let files: Vec<(MediaPath, Option<Arc<FileState>>)> = {
            let memory = self.memory();
            memory
                .overlay
                .files()
                .map(|(path, _, state)| (path.clone(), state.cloned()))
                .collect()
        };
        let mut dirty = Dirty::default();
        // First what goes, so that nothing is in the way of what stays.
        for (path, _) in files.iter().filter(|(_, state)| state.is_none()) {
            self.disk
                .remove(&Place::Media(path.clone()))
                .map_err(io("remove a stored file"))?;
            dirty.path(path);
        }
        let mut suspects = Vec::new();
        for (path, state) in &files {
            let Some(state) = state else { continue };
            if let Some(detail) = self
                .settle_file(path, state)
                .map_err(io("restore a stored file"))?
            {
                tracing::error!(%path, detail, "a stored file is not what the record says; it will not be served");
                suspects.push(path.clone());
            }
            dirty.body(&state.body);
            dirty.path(path);
        }
        dirty.sync(&self.disk).map_err(io("sync a stored file"))?;
        Ok(suspects)
    }

    /// One file. What is wrong with it, if anything is.
    fn settle_file(&self, path: &MediaPath, state: &FileState) -> std::io::Result<Option<String>> {
        let disk = &*self.disk;
        let target = Place::Media(path.clone());
        let mut body = state.body.lock();
        match body.place.take() {
            // Where the name in `staging/` is gone, it was renamed before.
            Some(from @ Place::Staging(_)) if disk.size(&from)?.is_some() => {
                disk.adopt(&from, &target)?;
            }
            Some(_) => {}
            None => {
                let staged = Place::Staging(disk.new_name());
                disk.create(&staged)?;
                disk.rename(&staged, &target)?;
            }
        }
        body.place = Some(target.clone());
        let Some(found) = disk.size(&target)? else {
            return Ok(Some("it is gone".into()));
        };
        if found < body.on_disk {
            return Ok(Some(format!(
                "it has {found} bytes instead of {}",
                state.row.size
            )));
        }
        #[cfg(test)]
        if self.disk.faults.skips_redo() {
            body.waiting.clear();
        }
        if !body.waiting.is_empty() {
            let file = disk.open_to_write(&target)?;
            while let Some(bytes) = body.waiting.pop_front() {
                disk.write_at(&file, &bytes, body.on_disk)?;
                body.on_disk += bytes.len() as u64;
            }
        }
        drop(body);
        let found = disk.size(&target)?.unwrap_or(0);
        if found != state.row.size {
            return Ok(Some(format!(
                "it has {found} bytes instead of {}",
                state.row.size
            )));
        }
        if found <= VERIFY_BYTES && checksum(disk, &target)? != state.row.crc32c {
            return Ok(Some("its checksum is wrong".into()));
        }
        Ok(None)
    }

    fn mark_suspects(&self, suspects: &[MediaPath]) -> Result<(), StoreError> {
        if suspects.is_empty() {
            return Ok(());
        }
        Tables::mark_suspects(&self.tables.writer(), suspects)
    }

    /// What was found in the record may never have been synced, if the last run was killed in the middle of it. Before
    /// anything is answered from it, it is.
    fn prove(&self) -> Result<(), StoreError> {
        let uptime_ms = self.memory().uptime_ms;
        let started = std::time::Instant::now();
        Tables::sync(&self.tables.writer(), uptime_ms)?;
        // So that it is known from the start whether this disk is a slow one.
        self.group.took(started.elapsed());
        self.disk.sync_root().map_err(io("sync the data folder"))
    }

    /// Finished uploads whose parts are gone are forgotten.
    fn check_parts(&self) {
        let mut memory = self.memory();
        let lost: Vec<UploadName> = memory
            .uploads
            .iter()
            .filter(|(_, slot)| match slot.stage {
                Stage::Complete { length, .. } => {
                    let place = Place::Staging(slot.part.clone());
                    !matches!(self.disk.size(&place), Ok(Some(found)) if found == length)
                }
                _ => false,
            })
            .map(|(name, _)| *name)
            .collect();
        let changes: Vec<Change> = lost
            .into_iter()
            .map(|(client, number)| Change::NoUpload { client, number })
            .collect();
        if !changes.is_empty() {
            tracing::error!(
                count = changes.len(),
                "finished uploads are gone from the staging folder"
            );
            if let Err(error) = self.commit_changes(&mut memory, changes) {
                tracing::error!(%error, "they could not be forgotten");
            }
        }
    }

    /// What lies in `staging/` and belongs to no upload was never adopted.
    fn clear_staging(&self) -> std::io::Result<()> {
        let parts: HashSet<String> = self
            .memory()
            .uploads
            .iter()
            .filter(|(_, slot)| !matches!(slot.stage, Stage::Consumed { .. }))
            .map(|(_, slot)| (*slot.part).to_owned())
            .collect();

        for name in self.disk.staged_names()? {
            if !parts.contains(&name) {
                self.disk.remove(&Place::Staging(name.into()))?;
            }
        }
        Ok(())
    }
}

/// Refuses a folder that has other things in it and no record.
fn refuse_strangers(folder: &Path) -> Result<(), OpenError> {
    match Disk::stranger(folder) {
        Ok(None) => Ok(()),
        Ok(Some(found)) => Err(OpenError::NotADataFolder {
            folder: folder.to_owned(),
            found,
        }),
        Err(error) => Err(held(
            folder,
            HoldError::Io("look into", folder.to_owned(), error),
        )),
    }
}

fn held(folder: &Path, error: HoldError) -> OpenError {
    match error {
        HoldError::InUse => OpenError::InUse {
            folder: folder.to_owned(),
        },
        HoldError::Io(_, path, error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            OpenError::NoPermission { path }
        }
        HoldError::Io(what, path, source) => OpenError::Io { what, path, source },
    }
}

fn remember(memory: &mut Memory, loaded: Loaded) -> crate::StoreId {
    memory.head = loaded.position;
    memory.uptime_ms = loaded.uptime_ms;
    memory.dropped_records = loaded.dropped_records;
    for (id, client) in loaded.clients {
        memory.clients.insert(id, client);
    }
    for (client, number, row, by) in loaded.uploads {
        let mut slot = Slot::of(&row);
        if let Some(by) = by {
            slot.stage = Stage::Consumed { by };
        }
        memory.uploads.insert((client, number), slot);
    }
    loaded.store
}

/// Redoes the log in memory.
fn redo_log(tables: &Tables, memory: &mut Memory) -> Result<(), RedoError> {
    tables.read_log(|first, body| {
        let expected = Position(memory.head.0 + 1);
        if first != expected {
            let detail = format!(
                "log entry {} comes where {} is expected",
                first.0, expected.0
            );
            return Err(RedoError::Log(LogError::Damaged(detail)));
        }
        for changes in log::commits(first, &body).map_err(RedoError::Log)? {
            memory.head.0 += 1;
            for change in changes {
                memory.apply(memory.head, change, BodySource::Redone);
            }
        }
        Ok(())
    })
}

fn checksum(disk: &Disk, place: &Place) -> std::io::Result<u32> {
    use std::io::Read;
    let mut file = disk.open(place)?;
    let mut buffer = vec![0; 128 << 10];
    let mut crc = 0;
    loop {
        let filled = file.read(&mut buffer)?;
        if filled == 0 {
            return Ok(crc);
        }
        crc = crc32c::crc32c_append(crc, buffer.get(..filled).unwrap_or_default());
    }
}
