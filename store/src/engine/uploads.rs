//! Uploads as the store sees them: opened, resumed, finished, used, dropped.
//! Invariant: what an upload's row says is synced; an unfinished one that was cut off by a restart is read and verified run
//! by run before anything is added to it.
//! Not here: the bytes as they come (`upload`).

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use sha2::Digest;

use super::checked::READ_BYTES;
use super::{Engine, WaitFuture};
use crate::blob::{Blob, Check, Content};
use crate::change::{Change, UploadRow};
use crate::disk::Place;
use crate::memory::{Live, Memory, Slot, Stage, UploadName};
use crate::staging::StagedFile;
use crate::upload::{Announced, Upload, UploadState};
use crate::wait::block_on;
use crate::{ClientId, CommitError, NotDurable, Position, Sha256, StoreError, UploadError};

/// What to do about a slot that is there.
enum Found {
    New,
    Anew,
    Resume,
    Stands(UploadState),
    /// All of it, once this commit is durable.
    Whole(UploadState, Position),
}

impl Engine {
    /// See [`crate::Store::open_upload`].
    pub(crate) fn open_upload(
        self: &Arc<Self>,
        client: ClientId,
        number: u64,
        announced: Announced,
    ) -> Result<UploadState, UploadError> {
        let name = (client, number);
        let mut memory = self.memory();
        if memory.refused {
            return Err(UploadError::ReadOnly);
        }
        match found(&memory, name, announced)? {
            Found::Stands(state) => return Ok(state),
            Found::Whole(state, at) => {
                drop(memory);
                return self.wait_for_upload(at).map(|()| state);
            }
            Found::Resume => {}
            Found::Anew => {
                self.commit_changes(&mut memory, vec![Change::NoUpload { client, number }])
                    .map_err(refused)?;
                self.new_upload(&mut memory, name, announced)?;
            }
            Found::New => match memory.uploads.same_bytes(client, announced) {
                Some(earlier) => self.take_over(&mut memory, earlier, name)?,
                None => self.new_upload(&mut memory, name, announced)?,
            },
        }
        let Some(slot) = memory.uploads.get_mut(&name) else {
            return Err(UploadError::Unknown { number });
        };
        slot.announced.length = announced.length.or(slot.announced.length);
        slot.announced.sha256 = announced.sha256.or(slot.announced.sha256);
        let announced = slot.announced;
        let part = slot.part.clone();
        let runs = slot.runs.clone();
        let known = match std::mem::replace(&mut slot.stage, Stage::Busy) {
            Stage::Resting(live) => live,
            _ => None,
        };
        let has_room = memory.check_disk(&self.disk, 1);
        drop(memory);
        // From here on dropping `upload` gives the slot back.
        let mut upload = Upload::new(self.clone(), name, part.clone(), announced);
        let (file, live) = match known.and_then(|live| self.open_part(&part, live)) {
            Some(known) => known,
            None => self.verify_part(&part, runs).map_err(|source| {
                StoreError::of_io("read what came of an upload earlier", source)
            })?,
        };
        upload.go_on(file, live);
        has_room?;
        Ok(UploadState::Open(upload))
    }

    /// See [`crate::Store::upload`].
    pub(crate) fn upload(&self, client: ClientId, number: u64) -> Result<Blob, UploadError> {
        let (part, length, sha256, crc32c, is_old) = {
            let memory = self.memory();
            let slot = memory
                .uploads
                .get(&(client, number))
                .ok_or(UploadError::Unknown { number })?;
            match slot.stage {
                Stage::Complete {
                    length,
                    sha256,
                    crc32c,
                    ..
                } => (slot.part.clone(), length, sha256, crc32c, slot.is_old),
                Stage::Consumed { by, .. } => return Err(UploadError::Consumed { number, by }),
                Stage::Busy | Stage::Resting(_) => return Err(UploadError::NotReady { number }),
            }
        };
        let failed = |source| StoreError::of_io("open an upload", source);
        let file = self
            .disk
            .open(&Place::Staging(part.clone()))
            .map_err(failed)?;
        let staged = StagedFile::of_upload(self.disk.clone(), part, file, (client, number));
        let content = Content::File {
            file: staged.handle().map_err(failed)?,
            on_disk: length,
            tail: Vec::new(),
        };
        // Smaller ones were compared at the start.
        let check = (is_old && length > READ_BYTES).then(|| Check::new(crc32c, |_| {}));
        Ok(Blob::uploaded(
            length,
            content,
            (sha256, crc32c),
            Arc::new(staged),
            check,
        ))
    }

    /// See [`crate::Store::abort_upload`].
    pub(crate) fn abort_upload(&self, client: ClientId, number: u64) -> Result<(), UploadError> {
        let mut memory = self.memory();
        let slot = memory
            .uploads
            .get(&(client, number))
            .ok_or(UploadError::Unknown { number })?;
        match slot.stage {
            Stage::Busy => return Err(UploadError::Busy { number }),
            Stage::Consumed { by, .. } => return Err(UploadError::Consumed { number, by }),
            Stage::Resting(_) | Stage::Complete { .. } => {}
        }
        self.commit_changes(&mut memory, vec![Change::NoUpload { client, number }])
            .map_err(refused)?;
        drop(memory);
        self.pass_on();
        Ok(())
    }

    /// A new slot with an empty part; over the limit, the one of the client that rested longest goes.
    fn new_upload(
        &self,
        memory: &mut Memory,
        name: UploadName,
        announced: Announced,
    ) -> Result<(), UploadError> {
        let (oldest, unfinished) = memory.uploads.oldest_resting(name.0);
        if unfinished >= self.settings.max_uploads {
            let (client, number) = oldest.ok_or(UploadError::Busy { number: name.1 })?;
            self.commit_changes(memory, vec![Change::NoUpload { client, number }])
                .map_err(refused)?;
        }
        memory.check_room(&self.disk, announced.length.unwrap_or(0))?;
        let part = self.disk.new_name();
        let moved_ms = memory.uptime_ms;
        memory.uploads.insert(
            name,
            Slot {
                part,
                announced,
                written: 0,
                durable: 0,
                runs: Vec::new(),
                moved_ms,
                is_old: false,
                stage: Stage::Resting(None),
            },
        );
        Ok(())
    }

    /// Another number goes on with what came under an earlier one.
    fn take_over(
        &self,
        memory: &mut Memory,
        earlier: UploadName,
        name: UploadName,
    ) -> Result<(), UploadError> {
        let Some(slot) = memory.uploads.remove(&earlier) else {
            return Ok(());
        };
        let row = row(&slot, None, memory.uptime_ms);
        memory.uploads.insert(name, slot);
        let changes = vec![
            Change::Upload {
                client: name.0,
                number: name.1,
                row,
            },
            Change::NoUpload {
                client: earlier.0,
                number: earlier.1,
            },
        ];
        self.commit_changes(memory, changes).map_err(refused)?;
        Ok(())
    }

    /// The part that rested in this life, where it is as long as it was.
    fn open_part(&self, part: &Arc<str>, live: Box<Live>) -> Option<(File, Box<Live>)> {
        let place = Place::Staging(part.clone());
        let size = self.disk.size(&place).ok()??;
        let file = (size == live.written).then(|| self.disk.open_to_write(&place));
        Some((file?.ok()?, live))
    }

    /// Reads what is on disk of a part, and keeps it up to the first run that is not what was synced.
    fn verify_part(
        &self,
        part: &Arc<str>,
        runs: Vec<(u64, u32)>,
    ) -> std::io::Result<(File, Box<Live>)> {
        let place = Place::Staging(part.clone());
        let file = match self.disk.size(&place)? {
            Some(_) => self.disk.open_to_write(&place)?,
            None => self.disk.create(&place)?,
        };
        let mut live = Box::new(Live {
            sha256: sha2::Sha256::new(),
            crc32c: 0,
            run_crc32c: 0,
            written: 0,
            durable: 0,
            runs: Vec::new(),
            // Made just now, or by a run that was cut off before it synced the folder: nobody knows.
            named: false,
            written_back: 0,
        });
        let mut reader = &file;
        let mut buffer = vec![0; 128 << 10];
        for (end, expected) in runs {
            // The state before the run, to go back to if it is damaged.
            let (sha256, crc32c) = (live.sha256.clone(), live.crc32c);
            let mut at = live.written;
            let mut run = 0;
            while at < end {
                let wanted = usize::try_from(end - at)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                let filled = reader.read(buffer.get_mut(..wanted).unwrap_or_default())?;
                let bytes = buffer.get(..filled).unwrap_or_default();
                if bytes.is_empty() {
                    break;
                }
                live.sha256.update(bytes);
                run = crc32c::crc32c_append(run, bytes);
                live.crc32c = crc32c::crc32c_append(live.crc32c, bytes);
                at += filled as u64;
            }
            if at != end || run != expected {
                tracing::warn!(
                    from = live.written,
                    to = end,
                    "a part of an upload is damaged; it is asked for again"
                );
                (live.sha256, live.crc32c) = (sha256, crc32c);
                break;
            }
            live.runs.push((end, expected));
            (live.written, live.durable) = (end, end);
        }
        self.disk.set_len(&file, live.written)?;
        live.written_back = live.written;
        Ok((file, live))
    }

    // ---- for `Upload` ----

    /// The upload's row is committed; unless the upload was dropped meanwhile. *Blocking*.
    pub(crate) fn record_upload(
        &self,
        name: UploadName,
        part: &Arc<str>,
        live: &Live,
        complete: Option<Sha256>,
    ) -> Result<Position, UploadError> {
        let mut memory = self.memory();
        let now_ms = memory.uptime_ms;
        let Some(slot) = memory
            .uploads
            .get_mut(&name)
            .filter(|slot| slot.part == *part)
        else {
            return Err(UploadError::Unknown { number: name.1 });
        };
        slot.written = live.written;
        slot.durable = live.durable;
        slot.runs.clone_from(&live.runs);
        slot.moved_ms = now_ms;
        let done = complete.map(|sha256| (sha256, live.crc32c));
        let row = row(slot, done, now_ms);
        let position = self
            .commit_changes(
                &mut memory,
                vec![Change::Upload {
                    client: name.0,
                    number: name.1,
                    row,
                }],
            )
            .map_err(refused)?;
        if let (Some((sha256, crc32c)), Some(slot)) = (done, memory.uploads.get_mut(&name)) {
            slot.is_old = false;
            slot.stage = Stage::Complete {
                at: position,
                length: live.written,
                sha256,
                crc32c,
            };
        }
        Ok(position)
    }

    /// So much has come: the space is counted, and where the length is not known, asked for.
    pub(crate) fn count_upload(
        &self,
        name: UploadName,
        written: u64,
        more: u64,
    ) -> Result<(), UploadError> {
        let mut memory = self.memory();
        if memory.refused {
            return Err(UploadError::ReadOnly);
        }
        let Some(slot) = memory.uploads.get_mut(&name) else {
            return Err(UploadError::Unknown { number: name.1 });
        };
        slot.written = written;
        let announced = slot.announced.length.is_some();
        memory.check_room(&self.disk, if announced { 0 } else { more })?;
        Ok(())
    }

    /// Nobody sends the upload any more. Where it was dropped, its part goes when that is durable, and not before.
    pub(crate) fn rest_upload(&self, name: UploadName, part: &Arc<str>, live: Option<Box<Live>>) {
        let mut memory = self.memory();
        let now_ms = memory.uptime_ms;
        if let Some(slot) = memory.uploads.sent_by(&name, part) {
            slot.written = live.as_ref().map_or(slot.durable, |live| live.written);
            slot.moved_ms = now_ms;
            slot.stage = Stage::Resting(live);
        }
    }

    /// The upload's bytes are not what they should be: it goes.
    pub(crate) fn drop_upload(&self, name: UploadName, part: &Arc<str>) {
        let mut memory = self.memory();
        if memory
            .uploads
            .get(&name)
            .is_some_and(|slot| slot.part == *part)
        {
            let change = Change::NoUpload {
                client: name.0,
                number: name.1,
            };
            if self.commit_changes(&mut memory, vec![change]).is_err() {
                memory.uploads.remove(&name);
            }
        }
        drop(memory);
        self.pass_on();
    }

    /// *Blocking*, until what was said of an upload is durable.
    pub(crate) fn wait_for_upload(self: &Arc<Self>, position: Position) -> Result<(), UploadError> {
        block_on(WaitFuture::new(self.clone(), position))
            .map(|_| ())
            .map_err(|error| match error {
                NotDurable::Unknown(_) => UploadError::ReadOnly,
                NotDurable::TakenBack(why) => UploadError::Failed(why.into()),
            })
    }

    pub(crate) fn disk(&self) -> &crate::disk::Disk {
        &self.disk
    }
}

/// What there is under a name.
fn found(memory: &Memory, name: UploadName, announced: Announced) -> Result<Found, UploadError> {
    let Some(slot) = memory.uploads.get(&name) else {
        return Ok(Found::New);
    };
    match slot.stage {
        Stage::Busy => Err(UploadError::Busy { number: name.1 }),
        Stage::Consumed { .. } if announced.contradicts(slot.announced) => {
            Err(UploadError::NumberReused { number: name.1 })
        }
        Stage::Consumed { by, .. } => Ok(Found::Stands(UploadState::Consumed { number: by })),
        Stage::Complete {
            at, length, sha256, ..
        } => {
            let is = Announced {
                length: Some(length),
                sha256: Some(sha256),
            };
            if announced.contradicts(is) {
                return Err(UploadError::NumberReused { number: name.1 });
            }
            Ok(Found::Whole(UploadState::Complete { length, sha256 }, at))
        }
        Stage::Resting(_) => {
            let too_short = announced.length.is_some_and(|length| length < slot.written);
            Ok(if too_short || announced.contradicts(slot.announced) {
                Found::Anew
            } else {
                Found::Resume
            })
        }
    }
}

fn row(slot: &Slot, complete: Option<(Sha256, u32)>, moved_ms: u64) -> UploadRow {
    UploadRow {
        part: (*slot.part).to_owned(),
        length: slot.announced.length,
        sha256: complete.map(|(sha256, _)| sha256).or(slot.announced.sha256),
        durable: slot.durable,
        runs: slot.runs.clone(),
        complete: complete.map(|(_, crc32c)| crc32c),
        moved_ms,
    }
}

fn refused(error: CommitError) -> UploadError {
    match error {
        CommitError::NoSpace(error) => error.into(),
        CommitError::Failed(error) => error.into(),
        CommitError::UploadConsumed { number, by } => UploadError::Consumed { number, by },
        CommitError::UploadMissing { number } => UploadError::Unknown { number },
        CommitError::ReadOnly
        | CommitError::Conflict
        | CommitError::OutOfOrder { .. }
        | CommitError::TooManyClients { .. } => UploadError::ReadOnly,
    }
}
