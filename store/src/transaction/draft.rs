//! A file as an operation has staged it.
//! Invariant: a draft holds all that its commit needs; its bytes are in memory, in `staging/` or where they were.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Transaction;
use crate::blob::{Blob, Bytes};
use crate::entry::{MAX_KIND_BYTES, MAX_PROPERTIES_BYTES};
use crate::staging::{Claim, INLINE_BYTES, StagedWriter};
use crate::view::{FileState, View};
use crate::{Entry, MediaPath, Position, Sha256, StoreError};

/// Bytes that an operation can add to a file without its being built anew; they travel in the record.
const TAIL_BYTES: usize = 256 << 10;

/// A path that an operation has touched.
pub(crate) struct FileDraft {
    /// The commit that made the file as it was before, and its size then; none for no file.
    pub(crate) base: Option<(Position, u64)>,
    /// The file as it is to be; none for no file.
    pub(crate) now: Option<DraftFile>,
}

impl FileDraft {
    /// Whether there is something to commit.
    pub(crate) fn is_change(&self) -> bool {
        match &self.now {
            None => self.base.is_some(),
            Some(file) => {
                !matches!(file.content, DraftContent::Stored { .. }) || !file.tail.is_empty()
            }
        }
    }
}

/// A file that is to be.
pub(crate) struct DraftFile {
    pub(crate) kind: String,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) size: u64,
    pub(crate) crc32c: u32,
    pub(crate) sha256: Option<Sha256>,
    /// As it was, for a file that was only moved.
    pub(crate) modified_ms: Option<u64>,
    pub(crate) content: DraftContent,
    /// Added at the end.
    pub(crate) tail: Vec<Bytes>,
}

/// Where a draft's bytes are, less its tail.
pub(crate) enum DraftContent {
    /// In the file as it was committed, under this path.
    Stored { state: Arc<FileState>, blob: Blob },
    /// In a file that was committed under another path. `link`: its second name; none where it was not on disk yet.
    /// `head`: what had been committed but not written to it by then.
    Moved {
        state: Arc<FileState>,
        blob: Blob,
        link: Option<Claim>,
        head: Vec<Bytes>,
    },
    /// In memory, at most `INLINE_BYTES`.
    Memory(Bytes),
    /// In `staging/`.
    Staged { claim: Claim, blob: Blob },
}

impl DraftFile {
    /// A committed file, to be changed.
    pub(super) fn of(state: Arc<FileState>, blob: Blob) -> Self {
        Self {
            kind: state.row.kind.clone(),
            properties: state.row.properties.clone(),
            size: state.row.size,
            crc32c: state.row.crc32c,
            sha256: state.row.sha256,
            modified_ms: Some(state.row.modified_ms),
            content: DraftContent::Stored { state, blob },
            tail: Vec::new(),
        }
    }

    /// A file with these bytes. Adopts the blob's staged file where it can, copies larger ones otherwise.
    pub(super) fn whole(
        transaction: &mut Transaction,
        blob: &Blob,
        kind: String,
        properties: Vec<(String, String)>,
    ) -> Result<Self, StoreError> {
        let read = |source| StoreError::of_io("read bytes to store", source);
        // What is adopted is not read; what an earlier run left must be what came.
        blob.check().map_err(read)?;
        let (content, sha256) = match transaction.claim(blob) {
            Some(claim) => (
                DraftContent::Staged {
                    claim,
                    blob: blob.clone(),
                },
                blob.known_sha256(),
            ),
            None if blob.len() <= INLINE_BYTES as u64 => {
                transaction.view().check_room(blob.len())?;
                (
                    DraftContent::Memory(blob.load().map_err(read)?),
                    Some(blob.sha256().map_err(read)?),
                )
            }
            None => {
                let mut writer = transaction.writer();
                copy(blob, 0, &mut writer)?;
                let copied = writer.finish()?;
                return Self::whole(transaction, &copied, kind, properties);
            }
        };
        transaction.staged().staged_bytes += blob.len();
        Ok(Self {
            kind,
            properties,
            size: blob.len(),
            crc32c: blob.crc32c().map_err(read)?,
            sha256,
            modified_ms: None,
            content,
            tail: Vec::new(),
        })
    }

    /// `old` with `blob` over its start.
    pub(super) fn patched(
        transaction: &mut Transaction,
        blob: &Blob,
        old: &Blob,
        kind: String,
        properties: Vec<(String, String)>,
    ) -> Result<Self, StoreError> {
        let mut writer = transaction.writer();
        copy(blob, 0, &mut writer)?;
        copy(old, blob.len(), &mut writer)?;
        Self::whole(transaction, &writer.finish()?, kind, properties)
    }

    /// Adds bytes at the end. After an error it is as it was.
    pub(super) fn append(
        &mut self,
        blob: &Blob,
        transaction: &mut Transaction,
    ) -> Result<(), StoreError> {
        if blob.is_empty() {
            return Ok(());
        }
        let more = usize::try_from(blob.len()).unwrap_or(usize::MAX);
        let inline = match &self.content {
            DraftContent::Memory(bytes) => bytes.len().saturating_add(more) <= INLINE_BYTES,
            _ => {
                self.tail
                    .iter()
                    .map(|piece| piece.len())
                    .sum::<usize>()
                    .saturating_add(more)
                    <= TAIL_BYTES
            }
        };
        if !inline {
            let mut writer = transaction.writer();
            copy(&self.blob()?, 0, &mut writer)?;
            copy(blob, 0, &mut writer)?;
            let (kind, properties) = (self.kind.clone(), self.properties.clone());
            *self = Self::whole(transaction, &writer.finish()?, kind, properties)?;
            return Ok(());
        }
        transaction.view().check_room(blob.len())?;
        let bytes = blob
            .load()
            .map_err(|source| StoreError::of_io("read bytes to store", source))?;
        transaction.staged().staged_bytes += blob.len();
        self.size += blob.len();
        self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes);
        self.sha256 = None;
        self.modified_ms = None;
        if let DraftContent::Memory(before) = &mut self.content {
            *before = [&before[..], &bytes[..]].concat().into();
        } else {
            self.tail.push(bytes);
        }
        Ok(())
    }

    /// The same file, ready to be committed under another path. Comes back with the error where that fails.
    pub(super) fn moved(mut self, view: &dyn View) -> Result<Self, Box<(Self, StoreError)>> {
        let DraftContent::Stored { state, blob } = &self.content else {
            return Ok(self);
        };
        let body = state.body.lock();
        let mut missing = state.row.size.saturating_sub(body.on_disk);
        let mut head = Vec::new();
        for piece in &body.waiting {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(piece.len() as u64);
            head.push(piece.clone());
        }
        // Linked under the body's lock, so that the file does not move meanwhile.
        let link = match body
            .place
            .as_ref()
            .map(|place| view.link(place))
            .transpose()
        {
            Ok(link) => link.as_ref().and_then(Claim::take),
            Err(error) => {
                drop(body);
                return Err(Box::new((self, error)));
            }
        };
        drop(body);
        self.content = DraftContent::Moved {
            state: state.clone(),
            blob: blob.clone(),
            link,
            head,
        };
        Ok(self)
    }

    /// The staged file that its commit adopts.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        match &self.content {
            DraftContent::Staged { claim, .. }
            | DraftContent::Moved {
                link: Some(claim), ..
            } => Some(claim),
            DraftContent::Stored { .. }
            | DraftContent::Memory(_)
            | DraftContent::Moved { link: None, .. } => None,
        }
    }

    pub(super) fn entry(&self, path: &MediaPath) -> Entry {
        Entry {
            path: path.clone(),
            size: self.size,
            kind: self.kind.clone(),
            properties: self.properties.clone(),
            modified_ms: self.modified_ms.unwrap_or_else(now_ms),
            sha256: self.sha256,
            crc32c: self.crc32c,
            changed_at: Position(0),
        }
    }

    pub(super) fn blob(&self) -> Result<Blob, StoreError> {
        let base = match &self.content {
            DraftContent::Stored { blob, .. }
            | DraftContent::Moved { blob, .. }
            | DraftContent::Staged { blob, .. } => blob.clone(),
            DraftContent::Memory(bytes) => Blob::stored(
                self.size,
                crate::blob::Content::Memory(bytes.clone()),
                self.sha256,
                self.crc32c,
                None,
            ),
        };
        if self.tail.is_empty() {
            return Ok(base);
        }
        base.longer(&self.tail, self.crc32c)
            .map_err(|source| StoreError::of_io("open a stored file", source))
    }
}

/// Milliseconds since 1970 by the device's clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Writes what `from` holds from `offset` on.
fn copy(from: &Blob, offset: u64, into: &mut StagedWriter) -> Result<(), StoreError> {
    let read = |source: io::Error| StoreError::of_io("read stored bytes", source);
    if offset == 0
        && let Some(bytes) = from.memory()
    {
        return into.write(bytes);
    }
    let mut buffer = vec![0; 128 << 10];
    let mut at = offset;
    while at < from.len() {
        let filled = from.read_at(at, &mut buffer).map_err(read)?;
        into.write(buffer.get(..filled).unwrap_or_default())?;
        at += filled as u64;
    }
    Ok(())
}

pub(super) fn check_entry(
    path: &MediaPath,
    kind: &str,
    properties: &[(String, String)],
) -> Result<(), StoreError> {
    let too_large = |what, bytes, most| {
        Err(StoreError::EntryTooLarge {
            path: path.clone(),
            what,
            bytes,
            most,
        })
    };
    if kind.len() > MAX_KIND_BYTES {
        return too_large("the kind", kind.len(), MAX_KIND_BYTES);
    }
    let bytes = properties
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_PROPERTIES_BYTES {
        return too_large("the properties", bytes, MAX_PROPERTIES_BYTES);
    }
    Ok(())
}
