//! Opens a data folder, after whatever ended the last run.
//! Invariant: doing it again gives the same. The log is redone in memory; then each file that it names is settled by where
//! it *ends up*, not step by step, so that it does not matter how far the plain files had followed before.
//! Not here: uploads' parts; they are verified when they are resumed.
//! A damaged record is left as it is: what is intact of it is served, and writes are refused until it is repaired
//! (`verify`). A file that is not what the record says is told of, and not served.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use super::checked::READ_BYTES;
use super::group::Group;
use super::{Engine, io};
use crate::change::Change;
use crate::disk::{Disk, HoldError, Place};
use crate::log;
use crate::memory::{BodySource, Memory, Slot, Space, Stage, UploadName};
use crate::plain::{Dirty, Plain};
use crate::sqlite::{Loaded, Tables, TablesError, remove_record, salvage};
use crate::view::FileState;
use crate::wait::Stir;
use crate::{MediaPath, OpenError, Position, Settings, StoreError, StoreId};

/// A record up to this size is read through at every start; of a larger one what the start needs.
const RECORD_BYTES: u64 = 32 << 20;

/// With less room than this the ballast is given up to start.
const NEEDED_BYTES: u64 = 1 << 20;

/// A record that was read, with its log redone in memory.
pub(crate) struct Record {
    pub(crate) tables: Tables,
    pub(crate) memory: Memory,
    pub(crate) store: StoreId,
    /// It was salvaged, so that log entries may be missing.
    pub(super) gaps: bool,
}

impl Record {
    /// Reads it from the disk. `most_bytes`: what is read through whatever it holds. *Blocking*.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], and those of opening.
    pub(crate) fn read(
        disk: &Disk,
        settings: &Settings,
        most_bytes: u64,
    ) -> Result<Self, OpenError> {
        let folder = disk.root();
        let failed = |what, path: &Path, source| OpenError::Io {
            what,
            path: path.to_owned(),
            source,
        };
        let path = disk.record_path();
        let new = disk.new_record_path();
        // A repair was cut off when the old record was out of the way.
        if !path.exists() && new.exists() {
            replace_record(disk, &new).map_err(|error| failed("rename", &new, error))?;
        }
        for ending in ["", "-wal"] {
            let file = folder.join(format!("record.sqlite{ending}"));
            disk.reread(&file)
                .map_err(|error| failed("sync", &file, error))?;
        }
        let is_new = !path.exists() || path.metadata().is_ok_and(|found| found.len() == 0);
        let may_make = !(is_new && disk.had_record());
        let record = Self::open(&path, settings, may_make).map_err(|error| error.of(folder))?;
        record
            .tables
            .examine(Some(most_bytes))
            .map_err(|error| RedoError::Tables(error).of(folder))?;
        let head = record.memory.head;
        match disk.noted() {
            Some(noted) if noted > head && !record.gaps => Err(OpenError::Damaged {
                folder: folder.to_owned(),
                detail: format!(
                    "it ends with commit {}, and commit {} was on disk",
                    head.0, noted.0
                ),
            }),
            _ => Ok(record),
        }
    }

    /// What is intact of a damaged record, in one of its own.
    fn salvage(disk: &Disk, settings: &Settings) -> Result<Self, OpenError> {
        let view = disk.view_path();
        salvage(&disk.record_path(), &view, disk.noted())
            .map_err(RedoError::Tables)
            .and_then(|salvaged| {
                for lost in salvaged.lost {
                    tracing::error!(lost, "this part of the record is damaged");
                }
                Self::open(&view, settings, false)
            })
            .map_err(|error| error.of(disk.root()))
    }

    /// Opens and loads the tables at `path`, and redoes their log.
    pub(crate) fn open(
        path: &Path,
        settings: &Settings,
        may_make: bool,
    ) -> Result<Self, RedoError> {
        let tables = Tables::open(path, may_make)?;
        let loaded = tables.load()?;
        let gaps = loaded.gaps;
        let mut memory = Memory::new(Space::new(
            settings.media_quota_bytes,
            settings.reserve_bytes,
        ));
        let store = remember(&mut memory, loaded);
        redo_log(&tables, &mut memory, gaps)?;
        Ok(Self {
            tables,
            memory,
            store,
            gaps,
        })
    }
}

/// The record, if there is one, moves aside, and the one at `new` takes its place. Cut off in between, it is done at the
/// next start. Where the old one lies now.
pub(crate) fn replace_record(disk: &Disk, new: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut aside = None;
    // The old write-ahead log must not meet the new record.
    for ending in ["", "-wal", "-shm"] {
        let name = format!("record.sqlite{ending}");
        if disk.root().join(&name).exists() {
            aside = Some(disk.set_aside(Path::new(&name))?);
        }
    }
    std::fs::rename(new, disk.record_path())?;
    disk.sync_root()?;
    Ok(aside)
}

/// Why the record can't be read.
pub(crate) enum RedoError {
    Tables(TablesError),
    Log(log::Damaged),
}

impl RedoError {
    /// For the person at the device.
    pub(crate) fn of(self, folder: &Path) -> OpenError {
        let folder = folder.to_owned();
        match self {
            Self::Tables(TablesError::Newer { found, known }) => OpenError::Newer {
                folder,
                found,
                known,
            },
            Self::Tables(TablesError::Damaged(detail)) | Self::Log(log::Damaged(detail)) => {
                OpenError::Damaged { folder, detail }
            }
            Self::Tables(TablesError::Foreign) => OpenError::NotADataFolder {
                folder,
                found: "a record.sqlite of another program".into(),
            },
            Self::Tables(TablesError::Failed(reason)) => OpenError::Io {
                what: "open the record in",
                path: folder,
                source: std::io::Error::other(reason),
            },
        }
    }
}

/// What failed on the way, for the person at the device.
pub(super) fn failed(folder: &Path, error: StoreError) -> OpenError {
    match error {
        StoreError::Damaged { detail } => OpenError::Damaged {
            folder: folder.to_owned(),
            detail,
        },
        StoreError::Io { what, source } => OpenError::Io {
            what,
            path: folder.to_owned(),
            source,
        },
        other => OpenError::Io {
            what: "recover",
            path: folder.to_owned(),
            source: std::io::Error::other(other.to_string()),
        },
    }
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
        if disk.free_bytes().is_ok_and(|free| free < NEEDED_BYTES) {
            disk.drop_ballast();
        }
        let mut record = Record::read(&disk, &settings, RECORD_BYTES);
        let damage = match &record {
            Err(OpenError::Damaged { detail, .. }) => Some(detail.clone()),
            _ => None,
        };
        if let Some(detail) = &damage {
            record = Record::salvage(&disk, &settings);
            tracing::error!(
                detail,
                "the record is damaged: what is intact of it is served, and nothing is written; \
                 stop pixelboyd, and see `pixelboyd verify`"
            );
        }
        let Record {
            tables,
            mut memory,
            store,
            gaps,
        } = record?;
        memory.refused = damage.is_some();
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
            retreats: AtomicU64::new(0),
            stir: Stir::default(),
            stuck: AtomicBool::new(false),
            why_stuck: Mutex::default(),
            checked: Arc::default(),
            compared: AtomicBool::new(false),
            log_laid_out: AtomicBool::new(false),
        };
        let recovered = match damage {
            Some(_) => engine.look(false),
            None => engine.recover(gaps),
        };
        match recovered {
            Err(why @ (StoreError::NoSpace(_) | StoreError::DiskReadOnly)) => {
                tracing::error!(
                    %why,
                    "files can't be brought to where the record says: reading goes on, and nothing is written; make room, then restart pixelboyd"
                );
                engine.begin_again()?;
                engine.look(true).map_err(|error| failed(&folder, error))?;
            }
            other => other.map_err(|error| failed(&folder, error))?,
        }
        Ok(engine)
    }

    /// What is remembered is as the record has it, and nothing is written.
    fn begin_again(&self) -> Result<(), OpenError> {
        let record = Record::open(&self.disk.record_path(), &self.settings, false)
            .map_err(|error| error.of(self.disk.root()))?;
        let mut memory = record.memory;
        memory.refused = true;
        memory.durable = memory.head;
        *self.memory() = memory;
        Ok(())
    }

    /// Brings the folder to where the record says that it is, and makes sure that all of it is on disk.
    fn recover(&self, gaps: bool) -> Result<(), StoreError> {
        // Of a record that was damaged, and is not any more; what is left there does no harm.
        let _ = remove_record(&self.disk.view_path());
        let suspects = self.settle()?;
        self.clear_staging()
            .map_err(io("clear the staging folder"))?;
        let tidied = self.tidy_record(gaps, &suspects);
        if let Err(StoreError::NoSpace(_)) = &tidied {
            // All of it was read from the disk, so that it is there; the log is folded when there is room.
            tracing::warn!("the disk is full; remove files");
            self.group.set_unfolded(1, 0);
        } else {
            tidied?;
        }
        let media = self.media_bytes(&self.memory())?;
        self.memory().space.media = media;
        self.check_parts();
        let durable = self.memory().durable;
        self.disk.note_durable(durable);
        self.disk.lay_ballast(self.settings.reserve_bytes);
        Ok(())
    }

    /// Brings the log into the tables.
    fn tidy_record(&self, gaps: bool, suspects: &[MediaPath]) -> Result<(), StoreError> {
        self.fold()?;
        if gaps {
            Tables::close_gaps(&self.tables.writer())?;
        }
        self.mark_suspects(suspects)?;
        self.prove()
    }

    /// Takes the files as they are, and changes nothing. Each is compared before it is served. `is_last`: the record is
    /// sound, so that no commit is missing.
    fn look(&self, is_last: bool) -> Result<(), StoreError> {
        let memory = self.memory();
        for (path, _, state) in memory.overlay.files() {
            if let Some(state) = state {
                as_found(&self.disk, path, state, is_last).map_err(io("look at a stored file"))?;
            }
        }
        Ok(())
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
        // Only now, and from the disk: what an earlier sync failed on may still look right.
        for (path, state) in &files {
            let Some(state) = state.as_ref().filter(|_| !suspects.contains(path)) else {
                continue;
            };
            let place = Place::Media(path.clone());
            if state.row.size <= READ_BYTES
                && checksum(&self.disk, &place).map_err(io("read a stored file"))?
                    != state.row.crc32c
            {
                tracing::error!(%path, "a stored file is not what was stored; it will not be served");
                suspects.push(path.clone());
            }
        }
        Ok(suspects)
    }

    /// One file. What is wrong with it, if anything is.
    fn settle_file(&self, path: &MediaPath, state: &FileState) -> std::io::Result<Option<String>> {
        let disk = &*self.disk;
        let target = Place::Media(path.clone());
        self.clear_way(path)?;
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
        Ok(None)
    }

    /// Moves what was put by hand where a stored file is to be.
    fn clear_way(&self, path: &MediaPath) -> std::io::Result<()> {
        while let Some(way) = self.disk.in_the_way(path) {
            let to = self
                .disk
                .set_aside(&Path::new("media").join(way.as_str()))?;
            tracing::warn!(
                from = %format!("media/{way}"),
                to = %to.display(),
                "what was put by hand where a stored file is to be was moved aside"
            );
        }
        Ok(())
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

    /// Finished uploads whose parts are gone, or are not what they were, are forgotten.
    fn check_parts(&self) {
        let mut memory = self.memory();
        let is_whole = |part: &Arc<str>, length: u64, crc32c: u32| {
            let place = Place::Staging(part.clone());
            matches!(self.disk.size(&place), Ok(Some(found)) if found == length)
                && (length > READ_BYTES
                    || checksum(&self.disk, &place).is_ok_and(|found| found == crc32c))
        };
        let lost: Vec<UploadName> = memory
            .uploads
            .iter()
            .filter(|(_, slot)| match slot.stage {
                Stage::Complete { length, crc32c, .. } => !is_whole(&slot.part, length, crc32c),
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
                "finished uploads are gone from the staging folder, or were changed there; they are asked for again"
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
pub(super) fn refuse_strangers(folder: &Path) -> Result<(), OpenError> {
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

pub(super) fn held(folder: &Path, error: HoldError) -> OpenError {
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
            slot.consume(by, Position(0));
        }
        memory.uploads.insert((client, number), slot);
    }
    loaded.store
}

/// Redoes the log in memory.
fn redo_log(tables: &Tables, memory: &mut Memory, gaps: bool) -> Result<(), RedoError> {
    tables.read_log(|first, body| {
        let log::Entry { after, commits } = log::read(first, &body).map_err(RedoError::Log)?;
        if after != memory.head && !(gaps && first > memory.head) {
            let detail = format!(
                "log entry {} follows commit {}, but commit {} is the last before it",
                first.0, after.0, memory.head.0
            );
            return Err(RedoError::Log(log::Damaged(detail)));
        }
        memory.head = Position(first.0.saturating_sub(1));
        for changes in commits {
            memory.head.0 += 1;
            for change in changes {
                memory.apply(memory.head, change, BodySource::Redone);
            }
        }
        Ok(())
    })
}

/// Takes a file of the log as it is, however far the plain file had followed: nothing is written. `is_last`: no later
/// commit can have changed it.
pub(crate) fn as_found(
    disk: &Disk,
    path: &MediaPath,
    state: &FileState,
    is_last: bool,
) -> std::io::Result<()> {
    let target = Place::Media(path.clone());
    let mut body = state.body.lock();
    match &body.place {
        Some(from @ Place::Staging(_)) if disk.size(from)?.is_none() => {
            body.place = Some(target.clone());
        }
        // All of its bytes are in the log, and are as good.
        None if is_last || disk.size(&target)?.is_none() => return Ok(()),
        // The plain file may be of a later commit that is lost.
        None => {
            body.waiting.clear();
            body.on_disk = state.row.size;
            body.place = Some(target.clone());
        }
        Some(_) => {}
    }
    let Some(place) = body.place.clone() else {
        return Ok(());
    };
    // What was added later may have been written already, whole pieces or half of one.
    let found = disk.size(&place)?.unwrap_or(0).min(state.row.size);
    let mut written = found.saturating_sub(body.on_disk);
    while written > 0
        && let Some(piece) = body.waiting.pop_front()
    {
        let taken = usize::try_from(written)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        body.on_disk += taken as u64;
        written -= taken as u64;
        if let Some(rest) = piece.get(taken..).filter(|rest| !rest.is_empty()) {
            body.waiting.push_front(rest.into());
        }
    }
    Ok(())
}

fn checksum(disk: &Disk, place: &Place) -> std::io::Result<u32> {
    use std::io::Read;
    let mut file = disk.open(place)?;
    crate::disk::forget_cached(&file);
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
