//! Looks at a whole data folder: every file against its digests and the record; and repairs it.
//! Invariant: looking changes nothing, and reads from the disk instead of the cache. Repairing loses nothing that was not
//! lost: what is not intact is moved to `aside/`, and only then does the record forget it.
//! Not here: what is served of a damaged folder (`recovery`).
//! A repair that is cut off is done again; what was moved aside stays there.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::Digest;

use super::recovery::{self, Record};
use crate::blob::{Blob, Content};
use crate::body::BodyError;
use crate::change::{Change, FileRow};
use crate::disk::{Disk, Place, forget_cached};
use crate::memory::{Slot, Stage, UploadName};
use crate::sqlite::{remove_record, salvage};
use crate::staging::StagedWriter;
use crate::transaction::Transaction;
use crate::verify::{Fault, Problem, Progress, Repaired, Report};
use crate::view::FileState;
use crate::{
    Announced, MediaPath, OpenError, Settings, Sha256, SqliteStore, Store, StoreError, UploadError,
    UploadState,
};

/// A data folder that was looked at, and is held so that nobody changes it meanwhile.
pub struct Inspection {
    settings: Settings,
    report: Report,
    disk: Disk,
    _lock: File,
    /// The record that the files were compared with is made from a damaged one.
    salvaged: bool,
}

impl std::fmt::Debug for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspection")
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// Bytes read at a time.
const CHUNK_BYTES: usize = 256 << 10;

impl Inspection {
    /// Reads everything in the folder of the settings and compares it. *Blocking*, for as long as reading takes.
    ///
    /// # Errors
    /// [`OpenError`]: among others, a host is using the folder, or there is none.
    pub fn of(
        settings: Settings,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self, OpenError> {
        let folder = settings.folder.clone();
        // Looking makes no folder.
        if !folder.join("lock").exists() && !folder.join("record.sqlite").exists() {
            return Err(OpenError::Io {
                what: "find a data folder at",
                path: folder,
                source: io::ErrorKind::NotFound.into(),
            });
        }
        recovery::refuse_strangers(&folder)?;
        let (disk, lock) = Disk::hold(&folder).map_err(|error| recovery::held(&folder, error))?;
        let mut inspection = Self {
            settings,
            report: Report::default(),
            disk,
            _lock: lock,
            salvaged: false,
        };
        let wal = folder.join("record.sqlite-wal");
        let closed_well = wal.metadata().map_or(true, |found| found.len() == 0);
        let record = match Record::read(&inspection.disk, &inspection.settings, u64::MAX) {
            Err(OpenError::Damaged { detail, .. }) => inspection.salvage(detail)?,
            other => other?,
        };
        inspection
            .look(&record, progress)
            .map_err(|error| recovery::failed(&folder, error))?;
        // A record that was closed well stays one file; one that was not is left as it is.
        if inspection.salvaged || closed_well {
            record
                .tables
                .close()
                .map_err(|error| recovery::failed(&folder, error))?;
        }
        Ok(inspection)
    }

    /// What was found.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What can still be read of the record.
    fn salvage(&mut self, detail: String) -> Result<Record, OpenError> {
        let view = self.disk.view_path();
        let of = |error| recovery::RedoError::Tables(error).of(self.disk.root());
        let salvaged = salvage(&self.disk.record_path(), &view, self.disk.noted()).map_err(of)?;
        self.report.record.push(detail);
        self.report.record.extend(salvaged.lost);
        self.salvaged = true;
        Record::open(&view, &self.settings, false).map_err(|error| error.of(self.disk.root()))
    }

    /// Compares everything with the record.
    fn look(
        &mut self,
        record: &Record,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), StoreError> {
        let Self { disk, report, .. } = self;
        report.commits = record.memory.head.0;
        let files = files(disk, record)?;
        let parts: Vec<&Slot> = record
            .memory
            .uploads
            .iter()
            .map(|(_, slot)| slot)
            .filter(|slot| !matches!(slot.stage, Stage::Consumed { .. }))
            .collect();
        report.files = files.len() as u64;
        report.bytes = files.iter().map(|(_, row, _)| row.size).sum();
        report.uploads = parts.len() as u64;
        let mut reading = Reading {
            done: 0,
            total: report.bytes + parts.iter().map(|slot| slot.durable).sum::<u64>(),
            place: String::new(),
            progress,
        };
        for (path, row, state) in &files {
            reading.place = format!("media/{path}");
            if let Some(fault) = compare(disk, path, row, state.as_deref(), &mut reading) {
                report.problems.push(Problem {
                    place: reading.place.clone(),
                    path: Some(path.clone()),
                    fault,
                });
            }
        }
        for slot in parts {
            reading.place = format!("staging/{}", slot.part);
            if let Some(fault) = compare_part(disk, slot, &mut reading) {
                report.problems.push(Problem {
                    place: reading.place.clone(),
                    path: None,
                    fault,
                });
            }
        }
        let known: HashSet<&str> = files.iter().map(|(path, ..)| path.as_str()).collect();
        let mut strange = Vec::new();
        disk.walk_media(&mut |path, _| {
            if !known.contains(path.as_str()) {
                strange.push(path);
            }
        })
        .map_err(super::io("look through the media folder"))?;
        strange.sort_unstable();
        report
            .problems
            .extend(strange.into_iter().map(|path| Problem {
                place: format!("media/{path}"),
                path: Change::path(&path),
                fault: Fault::Strange,
            }));
        Ok(())
    }

    /// Moves aside what is not intact, and lets the record forget it; a damaged record is replaced by what can be read of
    /// it. Files that were put there by hand stay where they are, and those for which `leave` is true. *Blocking*.
    ///
    /// # Errors
    /// [`OpenError`]; what was done until then stays done.
    pub fn repair(self, leave: &dyn Fn(&MediaPath) -> bool) -> Result<Repaired, OpenError> {
        let folder = self.settings.folder.clone();
        let failed =
            |what, path: PathBuf| move |source: io::Error| OpenError::Io { what, path, source };
        let mut repaired = Repaired::default();
        let mut moved = |to: Option<PathBuf>| {
            if let Some(to) = to {
                // `aside/N/…`
                repaired.aside = Some(to.iter().take(2).collect());
            }
        };
        if self.salvaged {
            let new = self.disk.new_record_path();
            std::fs::rename(self.disk.view_path(), &new)
                .and_then(|()| recovery::replace_record(&self.disk, &new))
                .map(&mut moved)
                .map_err(failed("replace", self.disk.record_path()))?;
        }
        let mut removed = Vec::new();
        for problem in &self.report.problems {
            let of_media = match &problem.fault {
                Fault::Strange => continue,
                Fault::Part { sound } if *sound > 0 => continue,
                _ if problem.path.as_ref().is_some_and(leave) => continue,
                _ => problem.path.clone(),
            };
            let place = Path::new(&problem.place);
            if folder.join(place).symlink_metadata().is_ok() {
                let to = self
                    .disk
                    .set_aside(place)
                    .map_err(failed("move aside", folder.join(place)))?;
                moved(Some(to));
            }
            removed.extend(of_media);
        }
        let settings = self.settings.clone();
        let report = self.report.clone();
        drop(self);
        let store = SqliteStore::open(settings)?;
        cut_parts(&store, &report).map_err(|error| recovery::failed(&folder, error))?;
        let mut transaction = store.begin();
        for path in &removed {
            match transaction.remove(path) {
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(recovery::failed(&folder, error)),
            }
        }
        commit(&store, transaction).map_err(|error| recovery::failed(&folder, error))?;
        store
            .close()
            .map_err(|error| recovery::failed(&folder, error))?;
        repaired.removed = removed;
        Ok(repaired)
    }
}

impl Drop for Inspection {
    fn drop(&mut self) {
        if self.salvaged {
            let _ = remove_record(&self.disk.view_path());
        }
    }
}

impl SqliteStore {
    /// Takes a plain file of `media/` in as it is, as if it had been stored under its path now. *Blocking*.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; as [`Transaction::put`].
    pub fn adopt(
        &self,
        path: &MediaPath,
        kind: &str,
        properties: Vec<(String, String)>,
    ) -> Result<u64, StoreError> {
        let disk = self.engine().disk();
        let place = Place::Media(path.clone());
        if disk
            .size(&place)
            .map_err(super::io("look at the file"))?
            .is_none()
        {
            return Err(StoreError::NotFound { path: path.clone() });
        }
        let mut file = disk.open(&place).map_err(super::io("open the file"))?;
        let mut transaction = self.begin();
        let mut writer: StagedWriter = transaction.writer();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let filled = file.read(&mut buffer).map_err(super::io("read the file"))?;
            if filled == 0 {
                break;
            }
            writer.write(buffer.get(..filled).unwrap_or_default())?;
        }
        let blob = writer.finish()?;
        transaction.put(path, &blob, kind, properties)?;
        commit(self, transaction)?;
        Ok(blob.len())
    }
}

/// The record has no more of unfinished uploads than what is sound.
fn cut_parts(store: &SqliteStore, report: &Report) -> Result<(), StoreError> {
    let damaged: HashSet<&str> = report
        .problems
        .iter()
        .filter(|problem| matches!(problem.fault, Fault::Part { .. }))
        .filter_map(|problem| problem.place.strip_prefix("staging/"))
        .collect();
    let uploads: Vec<UploadName> = store
        .engine()
        .memory()
        .uploads
        .iter()
        .filter(|(_, slot)| damaged.contains(&*slot.part))
        .map(|(name, _)| *name)
        .collect();
    for (client, number) in uploads {
        let opened = store.open_upload(client, number, Announced::default());
        let cut = opened.and_then(|state| match state {
            UploadState::Open(mut upload) => upload.sync().map(drop),
            _ => Ok(()),
        });
        match cut {
            Ok(()) => {}
            Err(UploadError::Failed(error)) => return Err(error),
            Err(other) => tracing::warn!(error = %other, "a damaged upload stays as it is"),
        }
    }
    Ok(())
}

/// Commits and waits.
fn commit(store: &SqliteStore, transaction: Transaction) -> Result<(), StoreError> {
    let position = store
        .commit(transaction, None)
        .map_err(|error| match error {
            crate::CommitError::Failed(error) => error,
            crate::CommitError::NoSpace(error) => error.into(),
            _ => StoreError::ReadOnly,
        })?;
    store
        .wait(position)
        .block()
        .map(|_| ())
        .map_err(|error| match error {
            crate::NotDurable::Unknown(_) => StoreError::ReadOnly,
            crate::NotDurable::TakenBack(why) => why.into(),
        })
}

/// A file of the record: its row, and how it stands where the log has it.
type Known = (MediaPath, FileRow, Option<std::sync::Arc<FileState>>);

/// Every file that the record has.
fn files(disk: &Disk, record: &Record) -> Result<Vec<Known>, StoreError> {
    let overlay = &record.memory.overlay;
    let mut files = Vec::new();
    let mut after = String::new();
    loop {
        let rows = record.tables.sizes(&after, 512)?;
        let Some((last, _)) = rows.last() else { break };
        after.clone_from(last);
        for (text, _) in rows {
            let Some(path) = Change::path(&text) else {
                continue;
            };
            if overlay.file(&path).is_none()
                && let Some((_, row, _)) = record.tables.file(&text)?
            {
                files.push((path, row, None));
            }
        }
    }
    for (path, _, state) in overlay.files() {
        if let Some(state) = state {
            recovery::as_found(disk, path, state, !record.gaps)
                .map_err(super::io("look at a stored file"))?;
            files.push((path.clone(), state.row.clone(), Some(state.clone())));
        }
    }
    Ok(files)
}

/// Reads, and tells how far.
struct Reading<'a> {
    done: u64,
    total: u64,
    place: String,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Reading<'_> {
    fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        (self.progress)(Progress {
            done: self.done,
            total: self.total.max(self.done),
            place: &self.place,
        });
    }
}

/// What is wrong with a media file.
fn compare(
    disk: &Disk,
    path: &MediaPath,
    row: &FileRow,
    state: Option<&FileState>,
    reading: &mut Reading<'_>,
) -> Option<Fault> {
    let unreadable = |error: &io::Error| Fault::Unreadable {
        reason: error.to_string(),
    };
    let own;
    let body = match state {
        Some(state) => &*state.body,
        None => {
            own = crate::body::Body::on_disk(Place::Media(path.clone()), row.size);
            &own
        }
    };
    let at = body.lock().place.clone();
    let expected = body.lock().on_disk;
    let content = match body.open(disk, row.size) {
        Ok((content, _)) => {
            if let Content::File { file, .. } = &content {
                forget_cached(file);
            }
            content
        }
        Err(BodyError::Io(error)) => return Some(unreadable(&error)),
        Err(BodyError::Changed(_) | BodyError::Gone) => {
            let found = at.and_then(|place| disk.size(&place).ok().flatten());
            return Some(match found {
                Some(found) => Fault::Length { expected, found },
                None => Fault::Gone,
            });
        }
    };
    let blob = Blob::stored(row.size, content, None, row.crc32c, None);
    let mut crc = 0;
    let mut sha256 = sha2::Sha256::new();
    let read = blob.for_each_chunk(&mut |chunk| {
        crc = crc32c::crc32c_append(crc, chunk);
        if row.sha256.is_some() {
            sha256.update(chunk);
        }
        reading.add(chunk.len());
        Ok(())
    });
    if let Err(error) = read {
        return Some(unreadable(&error));
    }
    let is = Sha256(sha256.finalize().into());
    let right = crc == row.crc32c && row.sha256.is_none_or(|sha256| sha256 == is);
    (!right).then_some(Fault::Bytes)
}

/// What is wrong with what came of an upload.
fn compare_part(disk: &Disk, slot: &Slot, reading: &mut Reading<'_>) -> Option<Fault> {
    let mut file = match disk.open(&Place::Staging(slot.part.clone())) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // An unfinished one of which nothing is on disk has no part yet.
            return (slot.durable > 0).then_some(Fault::Gone);
        }
        Err(error) => {
            let reason = error.to_string();
            return Some(Fault::Unreadable { reason });
        }
    };
    forget_cached(&file);
    let mut sha256 = sha2::Sha256::new();
    let mut at = 0;
    let mut buffer = vec![0; CHUNK_BYTES];
    for (end, expected) in &slot.runs {
        let start = at;
        let mut run = 0;
        while at < *end {
            let wanted = usize::try_from(end - at)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let filled = match file.read(buffer.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => break,
                Ok(filled) => filled,
                Err(error) => {
                    let reason = error.to_string();
                    return Some(Fault::Unreadable { reason });
                }
            };
            let bytes = buffer.get(..filled).unwrap_or_default();
            run = crc32c::crc32c_append(run, bytes);
            sha256.update(bytes);
            reading.add(filled);
            at += filled as u64;
        }
        if at != *end || run != *expected {
            // A finished one is of no use without its end.
            let sound = if slot.is_complete() { 0 } else { start };
            return Some(Fault::Part { sound });
        }
    }
    let is = Sha256(sha256.finalize().into());
    match slot.stage {
        Stage::Complete {
            length,
            sha256: expected,
            ..
        } if length != at || is != expected => Some(Fault::Part { sound: 0 }),
        _ => None,
    }
}
