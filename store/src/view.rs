//! What a transaction needs of the store that it reads from.
//! Invariant: an answer is committed state, durable or not, with the commit that made it.

use std::sync::Arc;

use crate::blob::{Blob, Bytes};
use crate::body::Body;
use crate::change::FileRow;
use crate::disk::Place;
use crate::staging::StagedFile;
use crate::{Entry, KvNamespace, MediaPath, NoSpace, Position, StoreError};

/// A file as a commit left it.
pub(crate) struct FileState {
    pub(crate) row: FileRow,
    pub(crate) body: Arc<Body>,
    pub(crate) changed_at: Position,
    /// The plain file was found to be not what was stored.
    pub(crate) suspect: bool,
}

impl FileState {
    pub(crate) fn entry(&self, path: &MediaPath) -> Entry {
        let row = &self.row;
        Entry {
            path: path.clone(),
            size: row.size,
            kind: row.kind.clone(),
            properties: row.properties.clone(),
            modified_ms: row.modified_ms,
            sha256: row.sha256,
            crc32c: row.crc32c,
            changed_at: self.changed_at,
        }
    }
}

/// Something read, and the commit that put it there; the removal's commit for nothing that is known to have been removed.
pub(crate) struct Found<T> {
    pub(crate) value: Option<T>,
    /// 0 where nothing is known of a commit.
    pub(crate) changed_at: Position,
    /// Whether that commit may not be durable yet.
    pub(crate) recent: bool,
}

/// Committed state, to be read.
pub(crate) trait View: Send + Sync {
    /// The newest commit.
    fn head(&self) -> Position;

    /// How often changes moved from memory to the tables; as long as it stays the same, so do the tables.
    fn folds(&self) -> u64;

    /// How often commits were taken back; who began before such a time may have seen what never was.
    fn retreats(&self) -> u64;

    fn file(&self, path: &MediaPath) -> Result<Found<Arc<FileState>>, StoreError>;

    /// Whether a symbolic link, put there by hand, lies where a folder is to be: it may lead out of the media.
    fn is_link(&self, folder: &MediaPath) -> bool;

    /// The bytes of a file; none where another file took its path since the state was read.
    fn open_file(&self, path: &MediaPath, state: &FileState) -> Result<Option<Blob>, StoreError>;

    /// Up to `limit` paths from `from` (included) to `to` (not included; none: to the end), in byte order.
    fn paths(&self, from: &str, to: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError>;

    fn kv(&self, namespace: &KvNamespace, key: &str) -> Result<Found<Bytes>, StoreError>;

    /// Up to `limit` keys from `from` (included) on, in byte order.
    fn kv_keys(
        &self,
        namespace: &KvNamespace,
        from: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// A new staged file.
    fn stage(&self) -> Result<Arc<StagedFile>, StoreError>;

    /// A second name in `staging/` for a file.
    fn link(&self, from: &Place) -> Result<Arc<StagedFile>, StoreError>;

    /// Whether quota and disk have room for this much more.
    fn check_room(&self, bytes: u64) -> Result<(), NoSpace>;
}
