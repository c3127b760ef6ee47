//! Bytes from the device, however large, as they come.
//! Invariant: what was given out is in order and without gaps, and at the end its SHA-256 was checked; after a break it goes on
//! where it stood. Runs in its caller: who reads slowly gives credit slowly, so memory holds at most one window.
//! `save` leaves no half file under the asked name; what it has stays beside it, and the next `save` goes on from there.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::Instant;

use pixelboy_protocol::{Blob, Code, Credit, Data, OpenDownload};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::client::{Client, Progress};
use crate::error::Error;
use crate::transfer::{Lane, Told};

/// Bytes that may be on their way.
const WINDOW_BYTES: u64 = 1 << 20;
/// Damaged chunks after which the network or a memory is taken for faulty.
const BAD_CHUNKS: u32 = 3;

/// Bytes that the device holds for this client.
pub struct Download<'a> {
    client: &'a Client,
    blob: Blob,
    lane: Option<Lane>,
    /// Of the next chunk.
    position: u64,
    limit: u64,
    hasher: Sha256,
    moved: Instant,
    bad: u32,
    is_complete: bool,
    /// Why there is no connection.
    trouble: Option<String>,
}

impl<'a> Download<'a> {
    pub(crate) fn new(client: &'a Client, blob: Blob) -> Self {
        Self {
            client,
            blob,
            lane: None,
            position: 0,
            limit: 0,
            hasher: Sha256::new(),
            moved: Instant::now(),
            bad: 0,
            is_complete: false,
            trouble: None,
        }
    }

    /// In bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.blob.length
    }

    /// Where the next chunk lies, in bytes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Tells of bytes that are here already, from an earlier attempt; for use before the first chunk.
    pub fn skip(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
    }

    /// What is fetched.
    #[must_use]
    pub fn blob(&self) -> Blob {
        self.blob
    }

    /// Goes on with the same bytes under the name that a later reply gave them, where they are the same as far as is announced;
    /// for use after `blob-gone`. At the end the SHA-256 tells.
    #[must_use]
    pub fn goes_on_with(&mut self, blob: Blob) -> bool {
        let is_same = blob.length == self.blob.length
            && (blob.sha256 == self.blob.sha256
                || blob.sha256.is_none()
                || self.blob.sha256.is_none());
        if is_same {
            self.blob.id = blob.id;
            self.lane = None;
        }
        is_same
    }

    /// The next bytes; none when all have come and their SHA-256 is right.
    ///
    /// # Errors
    /// When nothing comes for as long as [`Options::deadline`](crate::Options::deadline), the device no longer holds the bytes
    /// (`blob-gone`), or they are not the announced ones.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.moved = Instant::now();
        while !self.is_complete {
            let until = self.moved + self.client.options().deadline;
            let told = match &mut self.lane {
                None => {
                    self.lane = Some(Lane::open(self.client.commands()).await?);
                    continue;
                }
                Some(lane) => tokio::time::timeout_at(until.into(), lane.hear()).await,
            };
            let Ok(told) = told else {
                return Err(Error::TimedOut {
                    what: "no byte came".to_owned(),
                    after: self.client.options().deadline,
                    why: self.standing(),
                });
            };
            if let Some(chunk) = self.on_told(told?)? {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// How far it came, and what is in the way.
    fn standing(&self) -> String {
        let trouble = self
            .trouble
            .as_ref()
            .map(|why| format!("; no connection: {why}"))
            .unwrap_or_default();
        format!(
            " ({} of {} are here{trouble})",
            self.position, self.blob.length
        )
    }

    fn on_told(&mut self, told: Told) -> Result<Option<Vec<u8>>, Error> {
        let Some(lane) = &mut self.lane else {
            return Ok(None);
        };
        match told {
            Told::Connected { .. } => {
                self.trouble = None;
                self.limit = self.position.saturating_add(WINDOW_BYTES);
                lane.send(OpenDownload {
                    transfer: lane.number,
                    blob: self.blob.id,
                    offset: self.position,
                    limit: self.limit,
                });
            }
            // It goes on under another number.
            Told::Lost(why) => {
                self.lane = None;
                self.trouble = Some(why);
            }
            Told::Data {
                offset,
                crc32c,
                chunk,
            } => return self.on_data(offset, crc32c, chunk),
            Told::Finish(finish) => {
                let hasher = std::mem::take(&mut self.hasher);
                let sha256: [u8; 32] = hasher.finalize().into();
                let whole = finish.length == self.position && finish.length == self.blob.length;
                if !whole
                    || finish.sha256 != sha256
                    || self
                        .blob
                        .sha256
                        .is_some_and(|announced| announced != sha256)
                {
                    return Err(Error::Mismatch);
                }
                self.is_complete = true;
            }
            Told::Aborted(failure) => return Err(Error::Failed(failure)),
            _ => {}
        }
        Ok(None)
    }

    fn on_data(
        &mut self,
        offset: u64,
        crc32c: u32,
        chunk: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(lane) = &mut self.lane else {
            return Ok(None);
        };
        let end = offset.saturating_add(chunk.len() as u64);
        let intact = Data {
            transfer: lane.number,
            offset,
            crc32c,
            chunk: &chunk,
        }
        .is_intact();
        if !intact || offset != self.position || end > self.limit || chunk.is_empty() {
            self.bad += 1;
            let what = format!(
                "a damaged or misplaced chunk at {offset}, expected at {}",
                self.position
            );
            if self.bad >= BAD_CHUNKS {
                return Err(self.client.protocol_error(what));
            }
            lane.broken(Code::BadChunk, what);
            lane.is_done = true;
            self.lane = None;
            return Ok(None);
        }
        self.position = end;
        self.hasher.update(&chunk);
        let limit = end.saturating_add(WINDOW_BYTES);
        if self.limit < self.blob.length && limit >= self.limit + WINDOW_BYTES / 4 {
            self.limit = limit;
            lane.send(Credit {
                transfer: lane.number,
                limit,
            });
        }
        Ok(Some(chunk))
    }

    /// All bytes. Takes memory for them.
    ///
    /// # Errors
    /// As [`Download::chunk`].
    pub async fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Writes all bytes to `to`, which is called `name` in messages.
    ///
    /// # Errors
    /// As [`Download::chunk`]; then `to` has got a part. When it takes no more.
    pub async fn write_to(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        name: &str,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        while let Some(chunk) = self.chunk().await? {
            to.write_all(&chunk)
                .await
                .map_err(|error| Error::file(name, &error))?;
            progress(self.position, self.blob.length);
        }
        to.flush().await.map_err(|error| Error::file(name, &error))
    }

    /// Writes all bytes to a file, which appears under its name when all are on disk. What an attempt that failed has got stays
    /// in `PATH.part`, and the next one goes on from there.
    ///
    /// # Errors
    /// As [`Download::chunk`]; when the file cannot be written, or another program is fetching to it.
    pub async fn save(mut self, path: &Path, progress: Progress<'_>) -> Result<(), Error> {
        let part = beside(path);
        let name = path.display().to_string();
        let failed = |error: std::io::Error| Error::file(name.as_str(), &error);
        let mut file = take_part(&part, &name).await?;
        let mut kept = self.skip_kept(&mut file).await.map_err(failed)?;
        loop {
            let written = self.write_to(&mut file, &name, progress).await;
            // What came is kept also where the rest did not.
            let synced = file.sync_all().await.map_err(failed);
            match written.and(synced) {
                Ok(()) => break,
                Err(Error::Mismatch) if kept => {
                    // The part was of other bytes.
                    self = Download::new(self.client, self.blob);
                    empty(&mut file).await.map_err(failed)?;
                    kept = false;
                }
                Err(Error::Mismatch) => {
                    let _ = tokio::fs::remove_file(&part).await;
                    return Err(Error::Mismatch);
                }
                Err(error) if self.position == 0 => {
                    let _ = tokio::fs::remove_file(&part).await;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        tokio::fs::rename(&part, path).await.map_err(failed)
    }

    /// Whether there is a part of an earlier attempt; it is hashed, and skipped.
    async fn skip_kept(&mut self, file: &mut File) -> std::io::Result<bool> {
        let mut buffer = vec![0; 256 * 1_024];
        loop {
            let bytes = file.read(&mut buffer).await?;
            self.skip(buffer.get(..bytes).unwrap_or_default());
            if self.position > self.blob.length {
                *self = Download::new(self.client, self.blob);
                empty(file).await?;
                return Ok(false);
            }
            if bytes == 0 {
                return Ok(self.position > 0);
            }
        }
    }
}

/// The file that takes the bytes until all have come, for this program alone: two that add to it would spoil it.
async fn take_part(part: &Path, name: &str) -> Result<File, Error> {
    loop {
        let opened = tokio::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(part)
            .await
            .map_err(|error| Error::file(name, &error))?;
        let file = opened.into_std().await;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::File {
                    name: name.to_owned(),
                    why: "another program is fetching to it now".to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(Error::file(name, &error)),
        }
        // Who had it before may just have finished, and given the file its name.
        if tokio::fs::try_exists(part).await.unwrap_or(true) {
            return Ok(File::from_std(file));
        }
    }
}

async fn empty(file: &mut File) -> std::io::Result<()> {
    file.set_len(0).await?;
    file.rewind().await.map(drop)
}

fn beside(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}
