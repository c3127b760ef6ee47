//! Files that are being made: their bytes lie in `staging/` until a commit adopts them.
//! Invariant: one that nobody adopts is removed when its last handle goes, or at the next open of the store.
//! Not here: uploads' own bookkeeping (`upload`). A full disk or quota ends the writing with an error.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::Digest;

use crate::blob::{Blob, Bytes, Content};
use crate::disk::{Disk, Folder, Place};
use crate::view::View;
use crate::{ClientId, Sha256, StoreError};

/// A file in `staging/`.
pub(crate) struct StagedFile {
    disk: Arc<Disk>,
    name: Arc<str>,
    file: File,
    upload: Option<(ClientId, u64)>,
    synced: AtomicBool,
    claimed: AtomicBool,
    kept: AtomicBool,
}

impl StagedFile {
    /// Makes a new, empty one.
    pub(crate) fn create(disk: Arc<Disk>, name: Arc<str>) -> io::Result<Self> {
        let file = disk.create(&Place::Staging(name.clone()))?;
        Ok(Self::of(disk, name, file, None))
    }

    /// A second name for the file at `from`.
    pub(crate) fn link(disk: Arc<Disk>, name: Arc<str>, from: &Place) -> io::Result<Self> {
        let place = Place::Staging(name.clone());
        disk.link(from, &place)?;
        let file = disk.open(&place)?;
        Ok(Self::of(disk, name, file, None))
    }

    /// The part of a finished upload; never removed by dropping it.
    pub(crate) fn of_upload(
        disk: Arc<Disk>,
        name: Arc<str>,
        file: File,
        upload: (ClientId, u64),
    ) -> Self {
        let staged = Self::of(disk, name, file, Some(upload));
        staged.synced.store(true, Ordering::Relaxed);
        staged.kept.store(true, Ordering::Relaxed);
        staged
    }

    fn of(disk: Arc<Disk>, name: Arc<str>, file: File, upload: Option<(ClientId, u64)>) -> Self {
        Self {
            disk,
            name,
            file,
            upload,
            synced: AtomicBool::new(false),
            claimed: AtomicBool::new(false),
            kept: AtomicBool::new(false),
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The upload whose part it is.
    pub(crate) fn upload(&self) -> Option<(ClientId, u64)> {
        self.upload
    }

    /// Whether its bytes and its name are on disk.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// The bytes and names of all of them are on disk afterwards. *Blocking*.
    pub(crate) fn sync_all(disk: &Disk, files: &[&Arc<Self>]) -> io::Result<()> {
        let unsynced: Vec<_> = files.iter().filter(|file| !file.is_synced()).collect();
        if unsynced.is_empty() {
            return Ok(());
        }
        unsynced.iter().try_for_each(|file| disk.sync(&file.file))?;
        disk.sync_folder(&Folder::Staging)?;
        unsynced
            .iter()
            .for_each(|file| file.synced.store(true, Ordering::Release));
        Ok(())
    }

    /// From now on the record decides when it goes.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }

    /// The commit that adopted it was taken back.
    pub(crate) fn release(&self) {
        if self.upload.is_none() {
            self.kept.store(false, Ordering::Release);
        }
    }

    /// A handle of its own on the same file.
    pub(crate) fn handle(&self) -> io::Result<File> {
        Ok(File::from(self.file.as_fd().try_clone_to_owned()?))
    }

    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write_at(&self.file, bytes, offset)
    }

    pub(crate) fn start_write_back(&self, offset: u64, len: u64) {
        self.disk.start_write_back(&self.file, offset, len);
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire) {
            let _ = self.disk.remove(&Place::Staging(self.name.clone()));
        }
    }
}

/// The right to adopt a staged file; one transaction has it at a time.
pub(crate) struct Claim {
    file: Arc<StagedFile>,
    adopted: bool,
}

impl Claim {
    /// None where another has it.
    pub(crate) fn take(file: &Arc<StagedFile>) -> Option<Self> {
        let free = !file.claimed.swap(true, Ordering::AcqRel);
        free.then(|| Self {
            file: file.clone(),
            adopted: false,
        })
    }

    pub(crate) fn file(&self) -> &Arc<StagedFile> {
        &self.file
    }

    /// The commit has it: nobody can claim it again.
    pub(crate) fn adopt(mut self) -> Arc<StagedFile> {
        self.adopted = true;
        self.file.keep();
        self.file.clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.adopted {
            self.file.claimed.store(false, Ordering::Release);
        }
    }
}

/// Bytes up to this many stay in memory, and travel in the record.
pub(crate) const INLINE_BYTES: usize = 64 << 10;

/// Between two requests for write-back, and between two looks at the free space.
const WRITE_BACK_BYTES: u64 = 1 << 20;

/// Bytes made piece by piece. Dropped without [`StagedWriter::finish`], nothing remains.
pub struct StagedWriter {
    view: Arc<dyn View>,
    small: Vec<u8>,
    file: Option<Arc<StagedFile>>,
    len: u64,
    written_back: u64,
    crc32c: u32,
    sha256: sha2::Sha256,
}

impl StagedWriter {
    pub(crate) fn new(view: Arc<dyn View>) -> Self {
        Self {
            view,
            small: Vec::new(),
            file: None,
            len: 0,
            written_back: 0,
            crc32c: 0,
            sha256: sha2::Sha256::new(),
        }
    }

    /// Adds bytes at the end. Goes to the page cache; waits for nothing else.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`], or the disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.sha256.update(bytes);
        if self.file.is_none() && self.small.len() + bytes.len() <= INLINE_BYTES {
            self.small.extend_from_slice(bytes);
            self.len += bytes.len() as u64;
            return Ok(());
        }
        if self.file.is_none()
            || self.len + bytes.len() as u64 > self.written_back + WRITE_BACK_BYTES
        {
            self.view.check_room(bytes.len() as u64)?;
        }
        let failed = |source| StoreError::of_io("write a staged file", source);
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = self.view.stage()?;
                file.write_at(&self.small, 0).map_err(failed)?;
                self.small = Vec::new();
                self.file.insert(file)
            }
        };
        file.write_at(bytes, self.len).map_err(failed)?;
        self.len += bytes.len() as u64;
        if self.len >= self.written_back + WRITE_BACK_BYTES {
            file.start_write_back(self.written_back, self.len - self.written_back);
            self.written_back = self.len;
        }
        Ok(())
    }

    /// In bytes, so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written. It is synced with the commit that uses it.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self) -> Result<Blob, StoreError> {
        let sha256 = Sha256(self.sha256.finalize().into());
        let (content, origin) = match self.file {
            None => (Content::Memory(Bytes::from(self.small)), None),
            Some(file) => {
                let handle = file
                    .handle()
                    .map_err(|source| StoreError::of_io("open a staged file", source))?;
                (
                    Content::File {
                        file: handle,
                        on_disk: self.len,
                        tail: Vec::new(),
                    },
                    Some(file),
                )
            }
        };
        Ok(Blob::from_staged(
            self.len,
            content,
            Some(sha256),
            Some(self.crc32c),
            origin,
        ))
    }
}
