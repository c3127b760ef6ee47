//! Bytes that stay where they are until somebody reads them.
//! Invariant: a [`Blob`] stays as it was when it was made, also when its file is replaced, removed or appended to later.
//! Not here: where the bytes came from (`body`, `staging`, `upload`).
//! A read fails where the disk does, and where the plain file is no longer what was stored: nothing of such a file is given.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};

use rustix::io::{Errno, ReadWriteFlags};
use sha2::Digest;

use crate::Sha256;
use crate::staging::StagedFile;

/// Bytes in memory that are shared.
pub(crate) type Bytes = Arc<[u8]>;

/// Bytes in memory or in a file. Cheap to clone and to send around; every clone reads on its own.
#[derive(Clone)]
pub struct Blob(Arc<Inner>);

struct Inner {
    len: u64,
    content: Content,
    sha256: OnceLock<Sha256>,
    crc32c: OnceLock<u32>,
    origin: Option<Arc<StagedFile>>,
    check: Option<Check>,
}

/// A stored file's bytes are compared with their checksum before the first of them is given.
pub(crate) struct Check {
    expected_crc32c: u32,
    /// None: right; otherwise what is said.
    found: OnceLock<Option<String>>,
    /// Told once.
    tell: Box<dyn Fn(bool) + Send + Sync>,
}

impl Check {
    /// `tell`: whether the bytes are what was stored.
    pub(crate) fn new(expected_crc32c: u32, tell: impl Fn(bool) + Send + Sync + 'static) -> Self {
        Self {
            expected_crc32c,
            found: OnceLock::new(),
            tell: Box::new(tell),
        }
    }
}

pub(crate) enum Content {
    Memory(Bytes),
    /// The first `on_disk` bytes of the file, then what is not written to it yet.
    File {
        file: File,
        on_disk: u64,
        tail: Vec<Bytes>,
    },
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("len", &self.0.len)
            .field("sha256", &self.known_sha256())
            .finish()
    }
}

/// Bytes read at a time where all of a blob is read.
const CHUNK_BYTES: usize = 128 << 10;

impl Blob {
    /// Bytes in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::of_bytes(bytes.into())
    }

    pub(crate) fn of_bytes(bytes: Bytes) -> Self {
        Self(Arc::new(Inner {
            len: bytes.len() as u64,
            content: Content::Memory(bytes),
            sha256: OnceLock::new(),
            crc32c: OnceLock::new(),
            origin: None,
            check: None,
        }))
    }

    /// `len` bytes of `content`, with the digests as far as they are known.
    pub(crate) fn stored(
        len: u64,
        content: Content,
        sha256: Option<Sha256>,
        crc32c: u32,
        check: Option<Check>,
    ) -> Self {
        Self::of(len, content, sha256, Some(crc32c), None, check)
    }

    /// The bytes of a finished upload.
    pub(crate) fn uploaded(
        len: u64,
        content: Content,
        (sha256, crc32c): (Sha256, u32),
        origin: Arc<StagedFile>,
        check: Option<Check>,
    ) -> Self {
        let (sha256, crc32c) = (Some(sha256), Some(crc32c));
        Self::of(len, content, sha256, crc32c, Some(origin), check)
    }

    /// The bytes of a staged file.
    pub(crate) fn from_staged(
        len: u64,
        content: Content,
        sha256: Option<Sha256>,
        crc32c: Option<u32>,
        origin: Option<Arc<StagedFile>>,
    ) -> Self {
        Self::of(len, content, sha256, crc32c, origin, None)
    }

    fn of(
        len: u64,
        content: Content,
        sha256: Option<Sha256>,
        crc32c: Option<u32>,
        origin: Option<Arc<StagedFile>>,
        check: Option<Check>,
    ) -> Self {
        fn known<T>(value: Option<T>) -> OnceLock<T> {
            value.map_or_else(OnceLock::new, OnceLock::from)
        }
        Self(Arc::new(Inner {
            len,
            content,
            sha256: known(sha256),
            crc32c: known(crc32c),
            origin,
            check,
        }))
    }

    /// In bytes.
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// How many of them are held in memory.
    pub fn memory_bytes(&self) -> u64 {
        match &self.0.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File { tail, .. } => tail.iter().map(|bytes| bytes.len() as u64).sum(),
        }
    }

    /// All of it, where no disk is needed for that.
    pub fn in_memory(&self) -> Option<&[u8]> {
        self.memory().map(|bytes| &bytes[..])
    }

    /// SHA-256 of all of it: known, or computed once. *Blocking*.
    pub fn sha256(&self) -> io::Result<Sha256> {
        if let Some(known) = self.known_sha256() {
            return Ok(known);
        }
        let mut hash = sha2::Sha256::new();
        self.for_each_chunk(&mut |chunk| {
            hash.update(chunk);
            Ok(())
        })?;
        Ok(*self.0.sha256.get_or_init(|| Sha256(hash.finalize().into())))
    }

    /// SHA-256 where it is known without reading.
    pub fn known_sha256(&self) -> Option<Sha256> {
        self.0.sha256.get().copied()
    }

    /// CRC-32C of all of it: known, or computed once. *Blocking*.
    pub(crate) fn crc32c(&self) -> io::Result<u32> {
        if let Some(known) = self.0.crc32c.get() {
            return Ok(*known);
        }
        let mut crc = 0;
        self.for_each_chunk(&mut |chunk| {
            crc = crc32c::crc32c_append(crc, chunk);
            Ok(())
        })?;
        Ok(*self.0.crc32c.get_or_init(|| crc))
    }

    /// Whether the first read will not have to compare all of it with its checksum.
    pub fn is_checked(&self) -> bool {
        let check = self.0.check.as_ref();
        check.is_none_or(|check| check.found.get().is_some())
    }

    /// Whether it is what was stored: known, or found out by reading all of it once, before anything of it is given.
    /// *Blocking*.
    ///
    /// # Errors
    /// It is not: the plain file was changed by hand, or by the disk. Or the disk's.
    pub fn check(&self) -> io::Result<()> {
        let Some(check) = &self.0.check else {
            return Ok(());
        };
        if check.found.get().is_none() {
            let mut crc = 0;
            let read = self.read_all(&mut |chunk| {
                crc = crc32c::crc32c_append(crc, chunk);
                Ok(())
            });
            let wrong = match read {
                Ok(()) if crc == check.expected_crc32c => None,
                Ok(()) => Some(WRONG_CHECKSUM.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Some(error.to_string())
                }
                Err(error) => return Err(error),
            };
            let right = wrong.is_none();
            if check.found.set(wrong).is_ok() {
                (check.tell)(right);
            }
        }
        match check.found.get() {
            Some(Some(wrong)) => Err(io::Error::new(io::ErrorKind::InvalidData, wrong.clone())),
            _ => Ok(()),
        }
    }

    /// Reads at `offset` as much as there is and fits; 0 only at the end or for an empty buffer. *Blocking*.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.read_unchecked(offset, buffer)
    }

    fn read_unchecked(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self.part(offset, buffer) {
            Part::Memory(filled) => Ok(filled),
            Part::File(file, wanted) => match file.read_at(wanted, offset) {
                Ok(0) if !wanted.is_empty() => Err(cut_short()),
                done => done,
            },
        }
    }

    /// As [`Blob::read_at`], but never waits for the disk: none where it would have to. May fill less than there is.
    pub fn try_read_at_cached(&self, offset: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.is_checked() {
            return Ok(None);
        }
        self.check()?;
        match self.part(offset, buffer) {
            Part::Memory(filled) => Ok(Some(filled)),
            Part::File(_, []) => Ok(Some(0)),
            Part::File(file, wanted) => {
                let slices = &mut [IoSliceMut::new(wanted)];
                match rustix::io::preadv2(file, slices, offset, ReadWriteFlags::NOWAIT) {
                    Ok(0) => Err(cut_short()),
                    Ok(filled) => Ok(Some(filled)),
                    Err(
                        Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR,
                    ) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// All of it in order, each reader from the start on its own.
    pub fn reader(&self) -> BlobReader {
        BlobReader {
            blob: self.clone(),
            at: 0,
        }
    }

    /// These bytes and then `more`, which have this CRC-32C together.
    pub(crate) fn longer(&self, more: &[Bytes], crc32c: u32) -> io::Result<Self> {
        let len = self.len() + more.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let content = match &self.0.content {
            Content::Memory(bytes) => {
                let pieces = std::iter::once(bytes).chain(more).map(|piece| &piece[..]);
                Content::Memory(pieces.collect::<Vec<_>>().concat().into())
            }
            Content::File {
                file,
                on_disk,
                tail,
            } => {
                let on_disk = (*on_disk).min(self.len());
                let mut rest = usize::try_from(self.len() - on_disk).unwrap_or(usize::MAX);
                let mut pieces: Vec<Bytes> = Vec::new();
                for piece in tail {
                    pieces.extend(piece.get(..rest.min(piece.len())).map(Bytes::from));
                    rest = rest.saturating_sub(piece.len());
                }
                pieces.extend(more.iter().cloned());
                Content::File {
                    file: file.try_clone()?,
                    on_disk,
                    tail: pieces,
                }
            }
        };
        // The checksum of all of it finds the same fault as that of the stored part.
        let check = self.0.check.as_ref().map(|_| Check::new(crc32c, |_| {}));
        Ok(Self::of(len, content, None, Some(crc32c), None, check))
    }

    /// The staged file that holds all of it, where one does.
    pub(crate) fn origin(&self) -> Option<&Arc<StagedFile>> {
        self.0.origin.as_ref()
    }

    /// All of it, where it lies in memory.
    pub(crate) fn memory(&self) -> Option<&Bytes> {
        match &self.0.content {
            Content::Memory(bytes) => Some(bytes),
            Content::File { .. } => None,
        }
    }

    /// All of it in memory. *Blocking*; for small blobs.
    pub(crate) fn load(&self) -> io::Result<Bytes> {
        if let Some(bytes) = self.memory() {
            return Ok(bytes.clone());
        }
        let mut all = Vec::with_capacity(usize::try_from(self.len()).unwrap_or(0));
        self.for_each_chunk(&mut |chunk| {
            all.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(all.into())
    }

    /// Hands all of it to `take`, in order. *Blocking*.
    pub(crate) fn for_each_chunk(
        &self,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        self.check()?;
        self.read_all(take)
    }

    fn read_all(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Some(bytes) = self.memory() {
            return take(bytes);
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        while offset < self.len() {
            let filled = self.read_unchecked(offset, &mut buffer)?;
            take(buffer.get(..filled).unwrap_or_default())?;
            offset += filled as u64;
        }
        Ok(())
    }

    /// The part of the content that `offset` lies in; a read never crosses from the file into the tail.
    fn part<'a>(&'a self, offset: u64, buffer: &'a mut [u8]) -> Part<'a> {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        match &self.0.content {
            Content::Memory(bytes) => {
                Part::Memory(copy(std::slice::from_ref(bytes), offset, buffer))
            }
            Content::File { file, on_disk, .. } if offset < *on_disk => {
                let wanted = wanted.min(usize::try_from(on_disk - offset).unwrap_or(usize::MAX));
                Part::File(file, buffer.get_mut(..wanted).unwrap_or_default())
            }
            Content::File { on_disk, tail, .. } => {
                Part::Memory(copy(tail, offset - on_disk, buffer))
            }
        }
    }
}

enum Part<'a> {
    /// This many bytes were copied.
    Memory(usize),
    /// To be read from the file.
    File(&'a File, &'a mut [u8]),
}

/// Copies from a run of pieces, from `offset` on, as much as fits.
fn copy(pieces: &[Bytes], offset: u64, buffer: &mut [u8]) -> usize {
    let mut skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut filled = 0;
    for piece in pieces {
        let from = piece.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(piece.len());
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let count = from.len().min(room.len());
        if let (Some(room), Some(from)) = (room.get_mut(..count), from.get(..count)) {
            room.copy_from_slice(from);
        }
        filled += count;
    }
    filled
}

/// What is said of a stored file whose bytes are others than those that were stored.
const WRONG_CHECKSUM: &str = "the stored file is not what was stored: it was changed by hand, or damaged; \
     `pixelboyd verify` tells what can be done";

fn cut_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the stored file was cut short by hand",
    )
}

/// Reads a blob as a file. *Blocking*.
#[derive(Clone, Debug)]
pub struct BlobReader {
    blob: Blob,
    at: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let filled = self.blob.read_at(self.at, buffer)?;
        self.at += filled as u64;
        Ok(filled)
    }
}

impl Seek for BlobReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(by) => self.blob.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a seek to before the start")
        })?;
        Ok(self.at)
    }
}
