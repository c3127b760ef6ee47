//! A transaction gets its place in the order.
//! Invariant: everything is checked before anything is changed; then the commit is visible to all, and in line for the
//! next sync. Encoding happens outside of the lock.
//! An error leaves nothing: the transaction's staged files go with it.

use std::sync::Arc;

use super::Engine;
use crate::blob::Bytes;
use crate::body::Body;
use crate::change::{Change, FileRow, Redo};
use crate::disk::Place;
use crate::memory::{BodySource, Memory, Stage, UploadName, Waiting};
use crate::plain::PlainStep;
use crate::staging::{Claim, StagedFile};
use crate::transaction::{DraftContent, DraftFile, Parts, Staged, now_ms};
use crate::{
    ClientId, CommitError, KvNamespace, MediaPath, NoSpace, OperationRecord, Position, StoreError,
    Transaction, log,
};

/// What one commit may put into the log.
const MOST_BYTES: usize = 64 << 20;

/// A file's change with all that its commit does.
struct FileChange {
    path: MediaPath,
    base: Option<(Position, u64)>,
    size: Option<u64>,
    change: Change,
    bytes: NewBytes,
}

/// Where the file's bytes come from.
enum NewBytes {
    /// It is removed.
    None,
    /// It grows.
    Longer { body: Arc<Body>, tail: Bytes },
    /// They are in memory.
    Memory(Bytes),
    /// They are in a staged file, and then a tail.
    Staged {
        claim: Claim,
        len: u64,
        tail: Option<Bytes>,
    },
    /// They are another path's, and then a tail.
    Moved {
        body: Arc<Body>,
        link: Option<Claim>,
        tail: Option<Bytes>,
    },
}

impl Engine {
    /// See [`crate::Store::commit`].
    pub(crate) fn commit(
        &self,
        transaction: Transaction,
        record: Option<OperationRecord>,
    ) -> Result<Position, CommitError> {
        let writes = transaction.has_writes();
        let Parts {
            seen,
            folds,
            retreats,
            staged,
        } = transaction.into_parts();
        if !writes && record.is_none() && staged.uploads.is_empty() {
            return Ok(seen);
        }
        let Staged {
            files,
            kv,
            kv_read,
            uploads,
            answers,
            ..
        } = *staged;
        let now = now_ms();
        let files: Vec<FileChange> = files
            .into_iter()
            .filter(|(_, draft)| draft.is_change())
            .map(|(path, draft)| file_change(path, draft.base, draft.now, now))
            .collect();
        let mut changes: Vec<Change> = Vec::with_capacity(kv.len() + answers.len() + 1);
        for ((namespace, key), value) in &kv {
            let value = value
                .as_ref()
                .map(|value| serde_bytes::ByteBuf::from(value.to_vec()));
            changes.push(Change::Kv {
                namespace: (*namespace.0).to_owned(),
                key: key.clone(),
                value,
            });
        }
        for (operation, reply) in answers {
            changes.push(Change::Answer {
                client: operation.client,
                number: operation.number,
                reply,
            });
        }
        let (by, client) = record.as_ref().map_or((0, None), |record| {
            (record.operation.number, Some(record.operation.client))
        });
        if let Some(OperationRecord {
            operation,
            digest,
            reply,
        }) = record
        {
            changes.push(Change::Ran {
                client: operation.client,
                number: operation.number,
                digest,
                reply,
            });
        }
        let mut encoded = Vec::with_capacity(256);
        for change in files.iter().map(|file| &file.change).chain(&changes) {
            encode(&mut encoded, change)?;
        }
        if encoded.len() > MOST_BYTES {
            let reason = format!(
                "one operation changes {} bytes of it; at most {MOST_BYTES} are allowed",
                encoded.len()
            );
            return Err(StoreError::Database {
                what: "write",
                reason,
            }
            .into());
        }
        let uploads = used_uploads(uploads, &files);

        let mut memory = self.memory();
        if memory.refused {
            return Err(CommitError::ReadOnly);
        }
        if retreats != self.retreats.load(std::sync::atomic::Ordering::Acquire) {
            return Err(CommitError::Conflict);
        }
        if !files.is_empty()
            && let Some(stuck) = self.stuck()
        {
            return Err(stuck.into());
        }
        let folded = folds != self.folds.load(std::sync::atomic::Ordering::Acquire);
        self.check_files(&memory, &files, folded)?;
        for ((namespace, key), version) in &kv_read {
            if kv.contains_key(&(namespace.clone(), key.clone()))
                && self.kv_version(&memory, namespace, key, *version, folded)? != *version
            {
                return Err(CommitError::Conflict);
            }
        }
        let freed = check_uploads(&memory, &uploads)?;
        self.check_space(
            &mut memory,
            &files,
            freed,
            encoded.len(),
            kv.values().any(Option::is_some),
        )?;
        let mut extra: Vec<Change> = Vec::new();
        if let Some(client) = client {
            extra.extend(self.admit_client(&memory, client, by)?);
        }
        extra.extend(
            uploads
                .iter()
                .map(|(client, number)| Change::UploadConsumed {
                    client: *client,
                    number: *number,
                    by,
                }),
        );
        for change in &extra {
            encode(&mut encoded, change)?;
        }

        // From here on it has happened.
        let position = Position(memory.head.0 + 1);
        let mut steps = Vec::new();
        let mut staged_files = Vec::new();
        let mut adopted = Vec::new();
        let (dropped, used): (Vec<_>, Vec<_>) = extra
            .into_iter()
            .partition(|change| matches!(change, Change::Forget { .. }));
        for change in dropped {
            steps.extend(parts_of(&memory, &change));
            memory.apply(position, change, BodySource::MadeWithout);
        }
        apply_files(
            &mut memory,
            position,
            files,
            &mut steps,
            &mut staged_files,
            &mut adopted,
        );
        for change in changes {
            memory.apply(position, change, BodySource::MadeWithout);
        }
        for (change, name) in used.into_iter().zip(&uploads) {
            steps.extend(discard(&memory, name).filter(|_| !adopted.contains(name)));
            memory.apply(position, change, BodySource::MadeWithout);
        }
        self.line_up(&mut memory, position, encoded, staged_files, steps);
        Ok(position)
    }

    /// Commits changes of the store's own: uploads, and clients that go.
    pub(super) fn commit_changes(
        &self,
        memory: &mut Memory,
        changes: Vec<Change>,
    ) -> Result<Position, CommitError> {
        if memory.refused {
            return Err(CommitError::ReadOnly);
        }
        let mut encoded = Vec::new();
        for change in &changes {
            encode(&mut encoded, change)?;
        }
        let position = Position(memory.head.0 + 1);
        let mut steps = Vec::new();
        for change in changes {
            steps.extend(parts_of(memory, &change));
            memory.apply(position, change, BodySource::MadeWithout);
        }
        self.line_up(memory, position, encoded, Vec::new(), steps);
        Ok(position)
    }

    fn line_up(
        &self,
        memory: &mut Memory,
        position: Position,
        encoded: Vec<u8>,
        mut staged: Vec<Arc<StagedFile>>,
        steps: Vec<PlainStep>,
    ) {
        staged.retain(|file| !file.is_synced());
        self.group.add_staged(staged.len());
        memory.head = position;
        memory.line.push_back(Waiting {
            position,
            encoded,
            staged,
            steps,
        });
        self.stir.happen();
    }

    /// Whether what the transaction read of the files that it changes still holds.
    fn check_files(
        &self,
        memory: &Memory,
        files: &[FileChange],
        folded: bool,
    ) -> Result<(), CommitError> {
        let removed = |path: &MediaPath| {
            files
                .iter()
                .any(|file| file.size.is_none() && file.path == *path)
        };
        let live = |path: &MediaPath| -> Result<bool, StoreError> {
            Ok(!removed(path) && self.file_version(memory, path, None, folded)?.is_some())
        };
        for file in files {
            let base = file.base.map(|(position, _)| position);
            if self.file_version(memory, &file.path, base, folded)? != base {
                return Err(CommitError::Conflict);
            }
            if file.base.is_some() || file.size.is_none() {
                continue;
            }
            // A new path: another may have put a file or a folder in its way.
            for folder in file.path.folders() {
                if live(&folder)? {
                    return Err(CommitError::Conflict);
                }
            }
            let (from, to) = (format!("{}/", file.path), format!("{}0", file.path));
            let mut inside = memory.overlay.paths(&from, Some(&to));
            let mut found = inside.any(|(path, live)| live && !removed(path));
            if folded && !found {
                for path in self.tables.paths(&from, Some(&to), usize::from(u16::MAX))? {
                    let path = Change::path(&path);
                    found |= path.is_some_and(|path| {
                        memory.overlay.file(&path).is_none() && !removed(&path)
                    });
                }
            }
            if found {
                return Err(CommitError::Conflict);
            }
        }
        Ok(())
    }

    /// The commit behind a file; `read`: what the transaction found, which stands where nothing was folded since.
    fn file_version(
        &self,
        memory: &Memory,
        path: &MediaPath,
        read: Option<Position>,
        folded: bool,
    ) -> Result<Option<Position>, StoreError> {
        match memory.overlay.file(path) {
            Some((position, state)) => Ok(state.map(|_| position)),
            None if folded => Ok(self
                .tables
                .file(path.as_str())?
                .map(|(position, ..)| position)),
            None => Ok(read),
        }
    }

    fn kv_version(
        &self,
        memory: &Memory,
        namespace: &KvNamespace,
        key: &str,
        read: Option<Position>,
        folded: bool,
    ) -> Result<Option<Position>, StoreError> {
        match memory.overlay.kv(namespace, key) {
            Some((position, value)) => Ok(value.map(|_| position)),
            None if folded => Ok(self
                .tables
                .kv(&namespace.0, key)?
                .map(|(position, _)| position)),
            None => Ok(read),
        }
    }

    fn check_space(
        &self,
        memory: &mut Memory,
        files: &[FileChange],
        freed: u64,
        encoded: usize,
        sets: bool,
    ) -> Result<(), NoSpace> {
        let after: u64 = files.iter().filter_map(|file| file.size).sum();
        let before: u64 = files
            .iter()
            .filter_map(|file| file.base.map(|(_, size)| size))
            .sum();
        let more = after.saturating_sub(before);
        // What frees space is never refused for want of it.
        if more > 0 || sets {
            memory.check_quota(more, freed)?;
            memory.check_disk(&self.disk, encoded as u64)?;
        }
        Ok(())
    }

    /// Whether the client's operation may have its place; the client that makes room for it.
    fn admit_client(
        &self,
        memory: &Memory,
        client: ClientId,
        number: u64,
    ) -> Result<Option<Change>, CommitError> {
        let row = memory.clients.get(&client);
        let executed_through = row.map_or(0, |row| row.executed_through());
        if number <= executed_through {
            return Err(CommitError::OutOfOrder {
                number,
                executed_through,
            });
        }
        if row.is_some_and(|row| row.wrote) || memory.clients.writers() < self.settings.max_clients
        {
            return Ok(None);
        }
        let most = self.settings.max_clients;
        let victim = memory
            .clients
            .to_make_room()
            .ok_or(CommitError::TooManyClients { most })?;
        Ok(Some(Change::Forget {
            client: victim,
            dropped: true,
        }))
    }
}

fn encode(into: &mut Vec<u8>, change: &Change) -> Result<(), StoreError> {
    log::push_change(into, change).map_err(|error| StoreError::Database {
        what: "encode a change for",
        reason: error.to_string(),
    })
}

fn file_change(
    path: MediaPath,
    base: Option<(Position, u64)>,
    now: Option<DraftFile>,
    now_ms: u64,
) -> FileChange {
    let text = path.as_str().to_owned();
    let Some(file) = now else {
        return FileChange {
            path,
            base,
            size: None,
            change: Change::NoFile { path: text },
            bytes: NewBytes::None,
        };
    };
    let row = FileRow {
        size: file.size,
        kind: file.kind,
        properties: file.properties,
        modified_ms: file.modified_ms.unwrap_or(now_ms),
        sha256: file.sha256,
        crc32c: file.crc32c,
    };
    let tail = join(file.tail);
    let bytes_of =
        |tail: &Option<Bytes>| tail.as_ref().map(|tail| tail.to_vec()).unwrap_or_default();
    let (redo, bytes) = match file.content {
        DraftContent::Stored { state, .. } => {
            let redo = Redo::Tail(bytes_of(&tail));
            (
                redo,
                NewBytes::Longer {
                    body: state.body.clone(),
                    tail: tail.unwrap_or_default(),
                },
            )
        }
        DraftContent::Memory(bytes) => (Redo::Whole(bytes.to_vec()), NewBytes::Memory(bytes)),
        DraftContent::Staged { claim, blob } => {
            let redo = staged_redo(&claim, bytes_of(&tail));
            (
                redo,
                NewBytes::Staged {
                    claim,
                    len: blob.len(),
                    tail,
                },
            )
        }
        DraftContent::Moved {
            state, link, head, ..
        } => {
            let all = [
                join(head).map(|head| head.to_vec()).unwrap_or_default(),
                bytes_of(&tail),
            ]
            .concat();
            let redo = match &link {
                Some(link) => staged_redo(link, all),
                None => Redo::Whole(all),
            };
            (
                redo,
                NewBytes::Moved {
                    body: state.body.clone(),
                    link,
                    tail,
                },
            )
        }
    };
    FileChange {
        path,
        base,
        size: Some(row.size),
        change: Change::File {
            path: text,
            row,
            redo,
        },
        bytes,
    }
}

fn staged_redo(claim: &Claim, tail: Vec<u8>) -> Redo {
    let name = (**claim.file().name()).to_owned();
    if tail.is_empty() {
        Redo::Staged(name)
    } else {
        Redo::StagedThenTail(name, tail)
    }
}

fn join(mut pieces: Vec<Bytes>) -> Option<Bytes> {
    match pieces.len() {
        0 | 1 => pieces.pop(),
        _ => Some(
            pieces
                .iter()
                .map(|piece| &piece[..])
                .collect::<Vec<_>>()
                .concat()
                .into(),
        ),
    }
}

/// The uploads that the transaction says it used, and those whose parts it adopts.
fn used_uploads(mut uploads: Vec<UploadName>, files: &[FileChange]) -> Vec<UploadName> {
    for file in files {
        if let NewBytes::Staged { claim, .. } = &file.bytes
            && let Some(name) = claim.file().upload()
            && !uploads.contains(&name)
        {
            uploads.push(name);
        }
    }
    uploads
}

/// Whether all of them can be used; the space that they held.
fn check_uploads(memory: &Memory, uploads: &[UploadName]) -> Result<u64, CommitError> {
    let mut freed = 0u64;
    for name in uploads {
        match memory.uploads.get(name) {
            Some(slot) => match slot.stage {
                Stage::Complete { .. } => freed = freed.saturating_add(slot.space()),
                Stage::Consumed { by, .. } => {
                    return Err(CommitError::UploadConsumed { number: name.1, by });
                }
                Stage::Busy | Stage::Resting(_) => {
                    return Err(CommitError::UploadMissing { number: name.1 });
                }
            },
            None => return Err(CommitError::UploadMissing { number: name.1 }),
        }
    }
    Ok(freed)
}

/// The staged part of an upload goes.
fn discard(memory: &Memory, name: &UploadName) -> Option<PlainStep> {
    let slot = memory.uploads.get(name)?;
    let has_part = !matches!(slot.stage, Stage::Consumed { .. });
    has_part.then(|| PlainStep::Discard {
        name: slot.part.clone(),
    })
}

/// The staged parts that go with a change of the store's own.
fn parts_of(memory: &Memory, change: &Change) -> Vec<PlainStep> {
    match change {
        Change::NoUpload { client, number } | Change::UploadConsumed { client, number, .. } => {
            discard(memory, &(*client, *number)).into_iter().collect()
        }
        Change::Forget { client, .. } => {
            let names = memory.uploads.of_client(*client).map(|(name, _)| *name);
            names.filter_map(|name| discard(memory, &name)).collect()
        }
        _ => Vec::new(),
    }
}

/// The files' changes become visible; the steps that the plain files take once they are durable.
///
/// First everything that moves goes out of the way, then what goes, then what comes: so that files may change places.
fn apply_files(
    memory: &mut Memory,
    position: Position,
    files: Vec<FileChange>,
    steps: &mut Vec<PlainStep>,
    staged: &mut Vec<Arc<StagedFile>>,
    adopted: &mut Vec<UploadName>,
) {
    let replaced: Vec<Option<Arc<Body>>> = files
        .iter()
        .map(|file| memory.known_body(&file.path))
        .collect();
    let (mut parks, mut removals, mut arrivals) = (Vec::new(), Vec::new(), Vec::new());
    for (file, replaced) in files.into_iter().zip(replaced) {
        let FileChange {
            path,
            base,
            size,
            change,
            bytes,
        } = file;
        let before = base.map_or(0, |(_, size)| size);
        memory.space.media = memory
            .space
            .media
            .saturating_sub(before)
            .saturating_add(size.unwrap_or(0));
        let other = |body: &Arc<Body>| {
            replaced
                .clone()
                .filter(|replaced| !Arc::ptr_eq(replaced, body))
        };
        let grow = |body: &Arc<Body>, tail: Option<Bytes>| {
            tail.map(|tail| {
                body.push(tail);
                PlainStep::Write {
                    body: body.clone(),
                    pieces: 1,
                }
            })
        };
        let source = match bytes {
            NewBytes::None => {
                removals.push(PlainStep::Remove {
                    path: path.clone(),
                    replaced: replaced.clone(),
                });
                BodySource::MadeWithout
            }
            NewBytes::Longer { body, tail } => {
                arrivals.extend(grow(&body, Some(tail)));
                BodySource::Made(body)
            }
            NewBytes::Memory(bytes) => {
                let body = Arc::new(Body::in_memory(bytes));
                arrivals.push(PlainStep::Create {
                    path: path.clone(),
                    body: body.clone(),
                    replaced: other(&body),
                });
                BodySource::Made(body)
            }
            NewBytes::Staged { claim, len, tail } => {
                let file = claim.adopt();
                adopted.extend(file.upload());
                let body = Arc::new(Body::on_disk(Place::Staging(file.name().clone()), len));
                staged.push(file);
                arrivals.push(PlainStep::Adopt {
                    path: path.clone(),
                    body: body.clone(),
                    replaced: other(&body),
                });
                arrivals.extend(grow(&body, tail));
                BodySource::Made(body)
            }
            NewBytes::Moved { body, link, tail } => {
                let link = link.map(Claim::adopt);
                let name = link.as_ref().map(|file| file.name().clone());
                staged.extend(link);
                parks.push(PlainStep::Park {
                    body: body.clone(),
                    name,
                });
                arrivals.push(PlainStep::Adopt {
                    path: path.clone(),
                    body: body.clone(),
                    replaced: other(&body),
                });
                arrivals.extend(grow(&body, tail));
                BodySource::Made(body)
            }
        };
        memory.apply(position, change, source);
    }
    steps.extend(parks);
    steps.extend(removals);
    steps.extend(arrivals);
}
