//! Where the bytes of one file are: on disk as far as they are written, and in memory after that.
//! Invariant: `on_disk` bytes of the plain file are the file's own; what was committed after them is in `waiting`, in order.
//! Shared by all states of one file, so that a commit is readable before the plain file follows.
//! A plain file of another length than `on_disk` was changed by hand.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::MediaPath;
use crate::blob::{Bytes, Content};
use crate::disk::{Disk, Place};

/// The bytes of one file.
pub(crate) struct Body(Mutex<Inner>);

pub(crate) struct Inner {
    /// Where the plain file is now; none while all of it is in memory.
    pub(crate) place: Option<Place>,
    /// Bytes of it that are written.
    pub(crate) on_disk: u64,
    /// What comes after them.
    pub(crate) waiting: VecDeque<Bytes>,
    /// The time that a large plain file is to bear, so that a change by hand is noticed without reading all of it.
    pub(crate) modified_ms: u64,
    /// Its path was given to another file, or to none.
    pub(crate) gone: bool,
}

impl Inner {
    /// The file at `path` is another one from now on.
    pub(crate) fn leave(&mut self, path: &MediaPath) {
        if matches!(&self.place, Some(Place::Media(at)) if at == path) {
            self.place = None;
            self.gone = true;
        }
    }
}

/// Why a body can't be opened.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The plain file has another length than it should, or is gone.
    Changed(String),
    /// A commit after the one that was read has replaced it; read anew.
    Gone,
    /// The disk failed.
    Io(io::Error),
}

impl Body {
    /// A file that is on disk in full.
    pub(crate) fn on_disk(place: Place, len: u64) -> Self {
        Self(Mutex::new(Inner {
            place: Some(place),
            on_disk: len,
            waiting: VecDeque::new(),
            modified_ms: 0,
            gone: false,
        }))
    }

    /// A file that is in memory only.
    pub(crate) fn in_memory(bytes: Bytes) -> Self {
        Self(Mutex::new(Inner {
            place: None,
            on_disk: 0,
            waiting: VecDeque::from([bytes]),
            modified_ms: 0,
            gone: false,
        }))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes were committed at the end.
    pub(crate) fn push(&self, bytes: Bytes) {
        self.lock().waiting.push_back(bytes);
    }

    /// What was committed after the first `len` bytes never became durable.
    pub(crate) fn cut(&self, len: u64) {
        let inner = &mut *self.lock();
        let mut room = usize::try_from(len.saturating_sub(inner.on_disk)).unwrap_or(usize::MAX);
        inner.waiting.retain(|piece| {
            let stays = room > 0;
            room = room.saturating_sub(piece.len());
            stays
        });
    }

    /// The first `len` bytes, to be read; and how the plain file looks that has some of them.
    pub(crate) fn open(
        &self,
        disk: &Disk,
        len: u64,
    ) -> Result<(Content, Option<Stamp>), BodyError> {
        let inner = self.lock();
        if inner.gone {
            return Err(BodyError::Gone);
        }
        let Some(place) = &inner.place else {
            let bytes = match inner.waiting.front() {
                Some(only) if only.len() as u64 == len => only.clone(),
                _ => join(&inner.waiting, len),
            };
            return Ok((Content::Memory(bytes), None));
        };
        let file = match disk.open(place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BodyError::Changed("the plain file is gone".into()));
            }
            Err(error) => return Err(BodyError::Io(error)),
        };
        let found = Stamp::of(&file).map_err(BodyError::Io)?;
        // A write that failed half-way may have left some of what waits.
        let waiting: u64 = inner.waiting.iter().map(|piece| piece.len() as u64).sum();
        if found.len > inner.on_disk + waiting || found.len < inner.on_disk {
            return Err(BodyError::Changed(format!(
                "the plain file has {} bytes instead of {}",
                found.len, inner.on_disk
            )));
        }
        let mut missing = len.saturating_sub(inner.on_disk);
        let tail = inner
            .waiting
            .iter()
            .take_while(|piece| {
                let needed = missing > 0;
                missing = missing.saturating_sub(piece.len() as u64);
                needed
            })
            .cloned()
            .collect();
        let content = Content::File {
            file,
            on_disk: inner.on_disk,
            tail,
        };
        Ok((content, Some(found)))
    }
}

/// How a plain file looks without reading it: another one after any change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) len: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            len: found.len(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Whether the file bears this time.
    pub(crate) fn bears(&self, modified_ms: u64) -> bool {
        let (seconds, nanos) = self.modified;
        u64::try_from(seconds).is_ok_and(|seconds| {
            seconds.saturating_mul(1000) + nanos.cast_unsigned() / 1_000_000 == modified_ms
        }) && nanos % 1_000_000 == 0
    }
}

fn join(pieces: &VecDeque<Bytes>, len: u64) -> Bytes {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    let mut all: Vec<u8> = Vec::new();
    for piece in pieces {
        all.extend_from_slice(piece);
        if all.len() >= len {
            break;
        }
    }
    all.truncate(len);
    all.into()
}
