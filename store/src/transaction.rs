//! An operation's reads, and what it has staged so far.
//! Invariant: nothing here is visible to anybody else before the commit, and dropped it leaves nothing behind; reads see
//! committed state plus the operation's own changes, and remember the newest commit that they met.
//! Not here: the commit itself (`engine`). Writes go to memory or to `staging/`, never to `media/`.

mod draft;
mod list;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blob::{Blob, Bytes};
use crate::staging::{Claim, StagedWriter};
use crate::view::{FileState, View};
use crate::{ClientId, Entry, KvNamespace, MediaPath, OperationId, Position, StoreError};

pub(crate) use draft::{DraftContent, DraftFile, FileDraft, now_ms};

/// An operation under way: its reads and its staged changes. Dropped, nothing of it ever happened.
pub struct Transaction {
    view: Arc<dyn View>,
    seen: Position,
    /// How often the tables had changed, and commits had been taken back, when this began.
    folds: u64,
    retreats: u64,
    /// The commit behind each file when it was first read, and its size; none for a file that was not there. A commit that
    /// changes one of them holds only while that is still so.
    read: BTreeMap<MediaPath, Option<(Position, u64)>>,
    /// The stored file that was opened last, so that what is looked at and then appended to is opened once.
    opened: Option<(MediaPath, Arc<FileState>, Blob)>,
    staged: Option<Box<Staged>>,
}

/// A transaction, for its commit.
pub(crate) struct Parts {
    pub(crate) seen: Position,
    pub(crate) folds: u64,
    pub(crate) retreats: u64,
    pub(crate) staged: Box<Staged>,
}

/// What a transaction has staged, and what its commit has to check.
#[derive(Default)]
pub(crate) struct Staged {
    pub(crate) files: BTreeMap<MediaPath, FileDraft>,
    pub(crate) kv: BTreeMap<(KvNamespace, String), Option<Bytes>>,
    /// The commits behind the keys that were read; none for a key that was not there.
    pub(crate) kv_read: BTreeMap<(KvNamespace, String), Option<Position>>,
    pub(crate) uploads: Vec<(ClientId, u64)>,
    pub(crate) answers: Vec<(OperationId, Vec<u8>)>,
    /// Bytes that its files will take more than now; less where it removes some.
    pub(crate) staged_bytes: u64,
}

/// Where the host's device state lies; no plugin can have this name.
const DEVICE: &str = "@device";

/// Bytes of a key, at most.
pub const MAX_KEY_BYTES: usize = 512;

/// Bytes of a value, at most.
pub const MAX_VALUE_BYTES: usize = 64 << 10;

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("seen", &self.seen)
            .field("has_writes", &self.has_writes())
            .field("staged_bytes", &self.staged_bytes())
            .finish()
    }
}

impl Transaction {
    pub(crate) fn new(view: Arc<dyn View>) -> Self {
        let retreats = view.retreats();
        let folds = view.folds();
        Self {
            view,
            seen: Position(0),
            folds,
            retreats,
            read: BTreeMap::new(),
            opened: None,
            staged: None,
        }
    }

    // ---- media ----

    /// What the index knows of a file; none where there is none.
    ///
    /// # Errors
    /// The store's.
    pub fn stat(&mut self, path: &MediaPath) -> Result<Option<Entry>, StoreError> {
        if let Some(draft) = self.draft(path) {
            return Ok(draft.now.as_ref().map(|file| file.entry(path)));
        }
        Ok(self.committed(path)?.map(|state| state.entry(path)))
    }

    /// A file and its bytes; none where there is none.
    ///
    /// # Errors
    /// [`StoreError::ChangedByHand`] where the plain file is not what was stored; the store's.
    pub fn open(&mut self, path: &MediaPath) -> Result<Option<(Entry, Blob)>, StoreError> {
        if let Some(draft) = self.draft(path) {
            let Some(file) = &draft.now else {
                return Ok(None);
            };
            return Ok(Some((file.entry(path), file.blob()?)));
        }
        Ok(self
            .open_committed(path)?
            .map(|(state, blob)| (state.entry(path), blob)))
    }

    /// Names in a folder (none: the top) in byte order, from after `after`, at most `limit`. A folder's name ends in `/`.
    /// A folder that is not there has no names.
    ///
    /// # Errors
    /// The store's.
    pub fn names(
        &mut self,
        folder: Option<&MediaPath>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let names = list::names(&*self.view, self.staged.as_deref(), folder, after, limit);
        self.seen = self.seen.max(self.view.head());
        names
    }

    /// Stages `blob` as the file `path`, replacing what is there. A finished upload and a writer's blob are adopted as they
    /// are; others above 64 KiB are copied (*blocking*).
    ///
    /// # Errors
    /// [`StoreError::FileInTheWay`], [`StoreError::FolderInTheWay`], [`StoreError::EntryTooLarge`],
    /// [`StoreError::NoSpace`]; the store's.
    pub fn put(
        &mut self,
        path: &MediaPath,
        blob: &Blob,
        kind: &str,
        properties: Vec<(String, String)>,
    ) -> Result<(), StoreError> {
        draft::check_entry(path, kind, &properties)?;
        self.check_way(path)?;
        let file = DraftFile::whole(self, blob, kind.to_owned(), properties)?;
        self.write_file(path, Some(file))
    }

    /// Stages `blob` at the end of a file, which is made with kind `text` if it is not there. The offset at which it lies.
    /// A file is built anew (*blocking*) where an operation adds more than 256 KiB to it.
    ///
    /// # Errors
    /// As [`Transaction::put`]; [`StoreError::ChangedByHand`].
    pub fn append(&mut self, path: &MediaPath, blob: &Blob) -> Result<u64, StoreError> {
        let drafted = self.draft(path).is_some();
        let Some(mut file) = self.take_file(path)? else {
            self.put(path, blob, "text", Vec::new())?;
            return Ok(0);
        };
        let offset = file.size;
        let done = file.append(blob, self);
        if drafted || done.is_ok() {
            self.write_file(path, Some(file))?;
        }
        done.map(|()| offset)
    }

    /// Stages `blob` over the start of a file that exists, keeping what is longer. The file is built anew (*blocking*).
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; as [`Transaction::put`].
    pub fn overwrite(&mut self, path: &MediaPath, blob: &Blob) -> Result<(), StoreError> {
        let Some((entry, old)) = self.open(path)? else {
            return Err(StoreError::NotFound { path: path.clone() });
        };
        let file = if blob.len() >= old.len() {
            DraftFile::whole(self, blob, entry.kind, entry.properties)?
        } else {
            DraftFile::patched(self, blob, &old, entry.kind, entry.properties)?
        };
        self.write_file(path, Some(file))
    }

    /// Stages the removal of a file. Folders that become empty go with it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; the store's.
    pub fn remove(&mut self, path: &MediaPath) -> Result<(), StoreError> {
        if self.stat(path)?.is_none() {
            return Err(StoreError::NotFound { path: path.clone() });
        }
        self.write_file(path, None)
    }

    /// Stages another path for a file, replacing what is there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; as [`Transaction::put`].
    pub fn rename(&mut self, from: &MediaPath, to: &MediaPath) -> Result<(), StoreError> {
        let Some(file) = self.take_file(from)? else {
            return Err(StoreError::NotFound { path: from.clone() });
        };
        if from == to {
            return self.write_file(from, Some(file));
        }
        // Without `from`, since a file may move to below its own name.
        self.write_file(from, None)?;
        let moved = match self.check_way(to) {
            Ok(()) => file.moved(&*self.view),
            Err(error) => Err(Box::new((file, error))),
        };
        match moved {
            Ok(file) => self.write_file(to, Some(file)),
            Err(refused) => {
                let (file, error) = *refused;
                self.write_file(from, Some(file))?;
                Err(error)
            }
        }
    }

    /// Bytes made piece by piece, for `put`, `append` or a reply.
    pub fn writer(&self) -> StagedWriter {
        StagedWriter::new(self.view.clone())
    }

    // ---- key-value data ----

    /// A key's value; none where it has none.
    ///
    /// # Errors
    /// [`StoreError::KeyLength`]; the store's.
    pub fn kv_get(
        &mut self,
        namespace: &KvNamespace,
        key: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        check_key(key)?;
        let name = (namespace.clone(), key.to_owned());
        if let Some(value) = self.staged.as_ref().and_then(|staged| staged.kv.get(&name)) {
            return Ok(value.as_ref().map(|value| value.to_vec()));
        }
        let found = self.view.kv(namespace, key)?;
        if found.recent {
            self.seen = self.seen.max(found.changed_at);
        }
        let version = found.value.as_ref().map(|_| found.changed_at);
        self.staged().kv_read.entry(name).or_insert(version);
        Ok(found.value.map(|value| value.to_vec()))
    }

    /// Stages a key's value.
    ///
    /// # Errors
    /// [`StoreError::KeyLength`], [`StoreError::ValueLength`].
    pub fn kv_set(
        &mut self,
        namespace: &KvNamespace,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), StoreError> {
        check_key(key)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(StoreError::ValueLength { bytes: value.len() });
        }
        let staged = self.staged();
        staged.staged_bytes += (key.len() + value.len()) as u64;
        staged
            .kv
            .insert((namespace.clone(), key.to_owned()), Some(value.into()));
        Ok(())
    }

    /// Stages that a key has no value. Fine where it has none.
    ///
    /// # Errors
    /// [`StoreError::KeyLength`].
    pub fn kv_delete(&mut self, namespace: &KvNamespace, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.staged()
            .kv
            .insert((namespace.clone(), key.to_owned()), None);
        Ok(())
    }

    /// Keys that begin with `prefix`, in byte order, from after `after`, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub fn kv_keys(
        &mut self,
        namespace: &KvNamespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let keys = list::keys(
            &*self.view,
            self.staged.as_deref(),
            namespace,
            prefix,
            after,
            limit,
        );
        self.seen = self.seen.max(self.view.head());
        keys
    }

    // ---- the host's own ----

    /// A piece of device state.
    ///
    /// # Errors
    /// As [`Transaction::kv_get`].
    pub fn state(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.kv_get(&device(), key)
    }

    /// Stages a piece of device state; the same limits as for key-value data.
    ///
    /// # Errors
    /// As [`Transaction::kv_set`].
    pub fn set_state(&mut self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.kv_set(&device(), key, bytes)
    }

    /// Names of device state that begin with `prefix`, as [`Transaction::kv_keys`].
    ///
    /// # Errors
    /// As [`Transaction::kv_keys`].
    pub fn state_keys(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.kv_keys(&device(), prefix, after, limit)
    }

    /// Stages that a piece of device state is gone.
    ///
    /// # Errors
    /// As [`Transaction::kv_delete`].
    pub fn clear_state(&mut self, key: &str) -> Result<(), StoreError> {
        self.kv_delete(&device(), key)
    }

    /// Whether it used an upload.
    pub fn uses_uploads(&self) -> bool {
        self.staged
            .as_ref()
            .is_some_and(|staged| !staged.uploads.is_empty())
    }

    /// The operation uses this upload: once it has succeeded no other can. By itself this is not a write.
    pub fn consume_upload(&mut self, client: ClientId, number: u64) {
        let uploads = &mut self.staged().uploads;
        if !uploads.contains(&(client, number)) {
            uploads.push((client, number));
        }
    }

    /// Stages another reply for an operation that was committed earlier (one that answered *later*). Its record keeps its
    /// place; nothing happens where the client has confirmed it already.
    pub fn answer(&mut self, operation: OperationId, reply: Vec<u8>) {
        self.staged().answers.push((operation, reply));
    }

    // ---- about the transaction ----

    /// The newest commit that a read met; a reply must wait for it. 0 when all that was read is on disk for long.
    /// A list counts as a read of everything.
    pub fn seen(&self) -> Position {
        self.seen
    }

    /// Whether it changes anything.
    pub fn has_writes(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| {
            !(staged.kv.is_empty() && staged.answers.is_empty())
                || staged.files.values().any(FileDraft::is_change)
        })
    }

    /// Bytes staged so far: of files, and of keys with their values. They never get fewer.
    pub fn staged_bytes(&self) -> u64 {
        self.staged.as_ref().map_or(0, |staged| staged.staged_bytes)
    }

    pub(crate) fn into_parts(self) -> Parts {
        Parts {
            seen: self.seen,
            folds: self.folds,
            retreats: self.retreats,
            staged: self.staged.unwrap_or_default(),
        }
    }

    pub(crate) fn view(&self) -> &Arc<dyn View> {
        &self.view
    }

    fn staged(&mut self) -> &mut Staged {
        self.staged.get_or_insert_default()
    }

    fn draft(&self, path: &MediaPath) -> Option<&FileDraft> {
        self.staged.as_ref()?.files.get(path)
    }

    /// The right to adopt the blob's staged file, where it has one that nobody else adopts.
    fn claim(&self, blob: &Blob) -> Option<Claim> {
        let origin = blob.origin()?;
        let files = self.staged.iter().flat_map(|staged| staged.files.values());
        let mut taken = files
            .filter_map(|draft| draft.now.as_ref()?.claim())
            .map(|claim| claim.file().name());
        if taken.any(|name| name == origin.name()) {
            None
        } else {
            Claim::take(origin)
        }
    }

    fn committed(&mut self, path: &MediaPath) -> Result<Option<Arc<FileState>>, StoreError> {
        let found = self.view.file(path)?;
        if found.recent {
            self.seen = self.seen.max(found.changed_at);
        }
        if !self.read.contains_key(path) {
            let version = found
                .value
                .as_ref()
                .map(|state| (state.changed_at, state.row.size));
            self.read.insert(path.clone(), version);
        }
        Ok(found.value)
    }

    fn open_committed(
        &mut self,
        path: &MediaPath,
    ) -> Result<Option<(Arc<FileState>, Blob)>, StoreError> {
        loop {
            let Some(state) = self.committed(path)? else {
                return Ok(None);
            };
            if let Some((known, as_it_was, blob)) = &self.opened
                && known == path
                && Arc::ptr_eq(as_it_was, &state)
            {
                return Ok(Some((state, blob.clone())));
            }
            // None where it was replaced between the two steps.
            if let Some(blob) = self.view.open_file(path, &state)? {
                self.opened = Some((path.clone(), state.clone(), blob.clone()));
                return Ok(Some((state, blob)));
            }
        }
    }

    /// Whether nothing lies in the way of a file at `path`.
    fn check_way(&mut self, path: &MediaPath) -> Result<(), StoreError> {
        for folder in path.folders() {
            if self.stat(&folder)?.is_some() || self.view.is_link(&folder) {
                return Err(StoreError::FileInTheWay {
                    path: path.clone(),
                    file: folder,
                });
            }
        }
        if !list::names(&*self.view, self.staged.as_deref(), Some(path), None, 1)?.is_empty() {
            return Err(StoreError::FolderInTheWay { path: path.clone() });
        }
        Ok(())
    }

    /// The draft of a file, taken out to be replaced; from the committed file where there is none yet.
    fn take_file(&mut self, path: &MediaPath) -> Result<Option<DraftFile>, StoreError> {
        if let Some(draft) = self
            .staged
            .as_mut()
            .and_then(|staged| staged.files.get_mut(path))
        {
            return Ok(draft.now.take());
        }
        Ok(self
            .open_committed(path)?
            .map(|(state, blob)| DraftFile::of(state, blob)))
    }

    fn write_file(&mut self, path: &MediaPath, file: Option<DraftFile>) -> Result<(), StoreError> {
        if self.draft(path).is_none() {
            if !self.read.contains_key(path) {
                self.committed(path)?;
            }
            let base = self.read.get(path).copied().flatten();
            self.staged()
                .files
                .insert(path.clone(), FileDraft { base, now: None });
        }
        if let Some(draft) = self.staged().files.get_mut(path) {
            draft.now = file;
        }
        Ok(())
    }
}

fn device() -> KvNamespace {
    KvNamespace(DEVICE.into())
}

fn check_key(key: &str) -> Result<(), StoreError> {
    if (1..=MAX_KEY_BYTES).contains(&key.len()) {
        return Ok(());
    }
    Err(StoreError::KeyLength { bytes: key.len() })
}
