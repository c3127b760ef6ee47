//! Where the bytes of a picture come from: opened by the caller, read here as often as needed.
//! Invariant: every `open` starts at the first byte and shares no position with anyone.
//! Not here: paths. Whoever hands a source over has already decided that it may be read.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that can be read from any place.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

type Opener = dyn FnMut() -> io::Result<Box<dyn ReadSeek>> + Send;

/// A picture's bytes. A long animation is read again in every loop, so this opens, not just reads.
pub struct Source(Box<Opener>);

impl Source {
    /// `open` is called at least once, and again whenever an animation starts over.
    pub fn new(open: impl FnMut() -> io::Result<Box<dyn ReadSeek>> + Send + 'static) -> Self {
        Self(Box::new(open))
    }

    pub(crate) fn open(&mut self) -> io::Result<Box<dyn ReadSeek>> {
        (self.0)()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// The file may be replaced or removed meanwhile: what was opened goes on being shown.
impl From<File> for Source {
    fn from(file: File) -> Self {
        let file = Arc::new(file);
        Self::new(move || {
            Ok(Box::new(FromStart {
                file: Arc::clone(&file),
                offset: 0,
            }))
        })
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        let bytes: Arc<[u8]> = bytes.into();
        Self::new(move || Ok(Box::new(Cursor::new(Arc::clone(&bytes)))))
    }
}

/// A file read with its own position, so that a shared handle is not moved under anyone's feet.
struct FromStart {
    file: Arc<File>,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl Seek for FromStart {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.offset.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.offset = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek before the start of the file",
            )
        })?;
        Ok(self.offset)
    }
}
