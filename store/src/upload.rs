//! Bytes that a client sends before a request names them.
//! Invariant: memory does not grow with the upload; its digest is taken while the bytes come. What is called durable has
//! been synced and stands in the record.
//! Not here: which uploads there are (`engine/uploads`). An error leaves what came before it, to be resumed, except where
//! the digest is wrong. All of it blocks.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use sha2::Digest;

use crate::disk::Folder;
use crate::engine::Engine;
use crate::memory::{Live, UploadName};
use crate::{Sha256, StoreError, UploadError};

/// What a client tells of an upload when it opens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// In bytes.
    pub length: Option<u64>,
    /// Of all bytes.
    pub sha256: Option<Sha256>,
}

impl Announced {
    /// Whether both tell something, and not the same.
    pub(crate) fn contradicts(self, other: Self) -> bool {
        let differ = |pair: Option<(u64, u64)>| pair.is_some_and(|(one, other)| one != other);
        differ(self.length.zip(other.length))
            || self
                .sha256
                .zip(other.sha256)
                .is_some_and(|(one, other)| one != other)
    }
}

/// How an upload stands when it is opened.
#[derive(Debug)]
pub enum UploadState {
    /// To be sent from its offset on.
    Open(Upload),
    /// All of it is on disk; a request may name it.
    Complete {
        /// In bytes.
        length: u64,
        /// Of all bytes.
        sha256: Sha256,
    },
    /// An operation used it.
    Consumed {
        /// The operation's number.
        number: u64,
    },
}

/// An upload under way. All calls but `offset` and `announced` are *blocking*. Dropped, it can be resumed.
pub struct Upload {
    engine: Arc<Engine>,
    name: UploadName,
    part: Arc<str>,
    announced: Announced,
    file: Option<File>,
    live: Option<Box<Live>>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("number", &self.name.1)
            .field("offset", &self.offset())
            .finish()
    }
}

/// Between two requests for write-back, and between two looks at the free space.
const STEP_BYTES: u64 = 1 << 20;

/// Runs that a row has at most; above it neighbours are made one.
const MOST_RUNS: usize = 256;

impl Upload {
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: UploadName,
        part: Arc<str>,
        announced: Announced,
    ) -> Self {
        Self {
            engine,
            name,
            part,
            announced,
            file: None,
            live: None,
        }
    }

    pub(crate) fn go_on(&mut self, file: File, live: Box<Live>) {
        (self.file, self.live) = (Some(file), Some(live));
    }

    /// Bytes that are there.
    pub fn offset(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.written)
    }

    /// What is known of all its bytes.
    pub fn announced(&self) -> Announced {
        self.announced
    }

    /// Adds bytes at the end, in the page cache.
    ///
    /// # Errors
    /// [`UploadError::LengthMismatch`] for more than announced; [`UploadError::NoSpace`]; the store's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let (Some(file), Some(live)) = (&self.file, &mut self.live) else {
            return Err(UploadError::Unknown {
                number: self.name.1,
            });
        };
        let more = bytes.len() as u64;
        let after = live.written + more;
        if let Some(announced) = self.announced.length.filter(|announced| after > *announced) {
            return Err(UploadError::LengthMismatch {
                came: after,
                announced,
            });
        }
        if live.written == 0 || after / STEP_BYTES != live.written / STEP_BYTES {
            self.engine.count_upload(
                self.name,
                live.written,
                more.max(STEP_BYTES.min(more * 16)),
            )?;
        }
        self.engine
            .disk()
            .write_at(file, bytes, live.written)
            .map_err(|source| StoreError::of_io("write an upload", source))?;
        live.sha256.update(bytes);
        live.crc32c = crc32c::crc32c_append(live.crc32c, bytes);
        live.run_crc32c = crc32c::crc32c_append(live.run_crc32c, bytes);
        live.written = after;
        if after - live.written_back >= STEP_BYTES {
            self.engine
                .disk()
                .start_write_back(file, live.written_back, after - live.written_back);
            live.written_back = after;
        }
        Ok(())
    }

    /// Makes what has come durable, to be resumed from there after a crash. The offset on disk.
    ///
    /// # Errors
    /// [`UploadError::Unknown`] where it was dropped meanwhile; [`UploadError::ReadOnly`]; the store's.
    pub fn sync(&mut self) -> Result<u64, UploadError> {
        self.sync_part()?;
        let Some(live) = &self.live else {
            return Err(UploadError::Unknown {
                number: self.name.1,
            });
        };
        let (durable, position) = (
            live.durable,
            self.engine
                .record_upload(self.name, &self.part, live, None)?,
        );
        self.engine.wait_for_upload(position)?;
        Ok(durable)
    }

    /// Ends the data: compares length and SHA-256, with what was announced and with what the sender says now, and makes
    /// the bytes durable; a request may name the upload then.
    ///
    /// # Errors
    /// [`UploadError::DigestMismatch`], [`UploadError::LengthMismatch`], and the part is dropped; the store's.
    pub fn finish(mut self, length: u64, sha256: Option<Sha256>) -> Result<Sha256, UploadError> {
        let came = self.offset();
        let announced = self.announced.length.unwrap_or(length);
        if let Some(announced) = [length, announced]
            .into_iter()
            .find(|announced| *announced != came)
        {
            self.engine.drop_upload(self.name, &self.part);
            return Err(UploadError::LengthMismatch { came, announced });
        }
        let Some(live) = &self.live else {
            return Err(UploadError::Unknown {
                number: self.name.1,
            });
        };
        let is = Sha256(live.sha256.clone().finalize().into());
        if [sha256, self.announced.sha256]
            .into_iter()
            .flatten()
            .any(|expected| expected != is)
        {
            self.engine.drop_upload(self.name, &self.part);
            return Err(UploadError::DigestMismatch);
        }
        self.sync_part()?;
        let Some(live) = &self.live else {
            return Err(UploadError::Unknown {
                number: self.name.1,
            });
        };
        let position = self
            .engine
            .record_upload(self.name, &self.part, live, Some(is))?;
        self.engine.wait_for_upload(position)?;
        Ok(is)
    }

    /// Lets go of it, to be resumed later; the same as dropping it.
    pub fn suspend(self) {}

    /// Bytes and name are on disk afterwards, and proved by a run more.
    fn sync_part(&mut self) -> Result<(), UploadError> {
        let (Some(file), Some(live)) = (&self.file, &mut self.live) else {
            return Err(UploadError::Unknown {
                number: self.name.1,
            });
        };
        if live.durable == live.written && live.named {
            return Ok(());
        }
        let disk = self.engine.disk();
        let synced = disk.sync(file).and_then(|()| {
            if live.named {
                Ok(())
            } else {
                disk.sync_folder(&Folder::Staging)
            }
        });
        if let Err(source) = synced {
            // The system may have dropped what it could not write: only what was durable before counts.
            self.live = None;
            return Err(StoreError::of_io("sync an upload", source).into());
        }
        live.named = true;
        if live.written > live.durable {
            live.runs
                .push((live.written, std::mem::take(&mut live.run_crc32c)));
            live.durable = live.written;
        }
        if live.runs.len() > MOST_RUNS {
            live.runs = halved(&live.runs);
        }
        Ok(())
    }

    /// Drops the upload with its part, in one step: opened again it begins anew.
    pub fn abort(self) {
        self.engine.drop_upload(self.name, &self.part);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.engine
            .rest_upload(self.name, &self.part, self.live.take());
    }
}

/// Every two runs made one.
fn halved(runs: &[(u64, u32)]) -> Vec<(u64, u32)> {
    runs.chunks(2)
        .filter_map(|pair| match pair {
            [(middle, first), (end, second)] => {
                let length = usize::try_from(end - middle).unwrap_or(usize::MAX);
                Some((*end, crc32c::crc32c_combine(*first, *second, length)))
            }
            [last] => Some(*last),
            _ => None,
        })
        .collect()
}
