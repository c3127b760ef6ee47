//! Where the bytes of an upload come from, readable from any offset so that an upload can go on.
//! Invariant: the length is known before the first byte is sent. What cannot be read from an offset (a pipe) is copied to a
//! temporary file first.
//! Opening and reading block; `upload` reads on a thread for it.
//! A file that becomes shorter meanwhile is an error; one that changes otherwise is noticed by its SHA-256.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::error::Error;

const HASHED_AT_A_TIME: usize = 256 * 1_024;

/// Bytes with a length, and a name for messages.
#[derive(Clone, Debug)]
pub struct Source {
    name: Arc<str>,
    length: u64,
    bytes: Bytes,
}

#[derive(Clone, Debug)]
enum Bytes {
    Memory(Arc<[u8]>),
    File(Arc<Mutex<File>>),
}

impl Source {
    /// From memory.
    #[must_use]
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            name: "the bytes".into(),
            length: bytes.len() as u64,
            bytes: Bytes::Memory(bytes),
        }
    }

    /// From a file. Blocks while it is opened, and while a pipe is copied.
    ///
    /// # Errors
    /// When it cannot be read, or is a folder.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let failed = |error: &std::io::Error| Error::file(name.as_str(), error);
        let file = File::open(path).map_err(|error| failed(&error))?;
        let about = file.metadata().map_err(|error| failed(&error))?;
        if about.is_dir() {
            return Err(Error::File {
                name,
                why: "is a folder; name a file".to_owned(),
            });
        }
        if !about.is_file() {
            return Self::reader(file, &name);
        }
        Ok(Self {
            length: about.len(),
            bytes: Bytes::File(Arc::new(Mutex::new(file))),
            name: name.into(),
        })
    }

    /// From something that is read to its end, such as standard input. Blocks until then; `name` is for messages.
    ///
    /// # Errors
    /// When reading fails, or there is no room for a temporary copy.
    pub fn reader(mut from: impl Read, name: &str) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::file(name, &error);
        let mut copy = tempfile::tempfile().map_err(failed)?;
        let length = std::io::copy(&mut from, &mut copy).map_err(failed)?;
        Ok(Self {
            name: name.into(),
            length,
            bytes: Bytes::File(Arc::new(Mutex::new(copy))),
        })
    }

    /// For messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// In bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// So many bytes from an offset. Blocks.
    ///
    /// # Errors
    /// When they cannot be read, also because the file has become shorter.
    pub fn read(&self, offset: u64, bytes: usize) -> Result<Vec<u8>, Error> {
        let shorter = || Error::File {
            name: self.name.to_string(),
            why: "became shorter while it was read; send it again".to_owned(),
        };
        match &self.bytes {
            Bytes::Memory(memory) => {
                let start = usize::try_from(offset).map_err(|_| shorter())?;
                let end = start.checked_add(bytes).ok_or_else(shorter)?;
                memory
                    .get(start..end)
                    .map(<[u8]>::to_vec)
                    .ok_or_else(shorter)
            }
            Bytes::File(file) => {
                let mut buffer = vec![0; bytes];
                // A reader that panicked left nothing behind: the place is set anew.
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let done = file
                    .seek(SeekFrom::Start(offset))
                    .and_then(|_| file.read_exact(&mut buffer));
                match done {
                    Ok(()) => Ok(buffer),
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        Err(shorter())
                    }
                    Err(error) => Err(Error::file(&*self.name, &error)),
                }
            }
        }
    }

    /// At most so many bytes from the start. Blocks.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn head(&self, bytes: usize) -> Result<Vec<u8>, Error> {
        self.read(
            0,
            usize::try_from(self.length).map_or(bytes, |length| length.min(bytes)),
        )
    }

    /// Of all of it. Blocks.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn sha256(&self) -> Result<[u8; 32], Error> {
        let mut hasher = Sha256::new();
        let mut offset = 0;
        while offset < self.length {
            let piece = self.read(offset, piece_bytes(self.length - offset, HASHED_AT_A_TIME))?;
            hasher.update(&piece);
            offset += piece.len() as u64;
        }
        Ok(hasher.finalize().into())
    }
}

/// What is left, but not more than `most`.
pub(crate) fn piece_bytes(left: u64, most: usize) -> usize {
    usize::try_from(left).map_or(most, |left| left.min(most))
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn memory_a_file_and_a_pipe_read_alike() {
        let bytes: Vec<u8> = (0..700_000_u32).map(|index| index as u8).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        std::fs::write(&path, &bytes).unwrap();
        let sources = [
            Source::bytes(bytes.clone()),
            Source::file(&path).unwrap(),
            Source::reader(&bytes[..], "standard input").unwrap(),
        ];
        for source in &sources {
            assert_eq!(source.len(), 700_000);
            assert_eq!(source.read(699_990, 10).unwrap(), bytes[699_990..]);
            assert_eq!(source.head(3).unwrap(), bytes[..3]);
            assert_eq!(source.sha256().unwrap(), sources[0].sha256().unwrap());
            let error = source.read(699_999, 2).unwrap_err().to_string();
            assert!(error.contains("became shorter"), "{error}");
        }
    }

    #[test]
    fn what_is_no_file_is_told_with_its_name() {
        let missing = Source::file("/no/such/cat.png").unwrap_err().to_string();
        assert_eq!(missing, "/no/such/cat.png: no such file or directory");
        let folder = Source::file("/").unwrap_err().to_string();
        assert_eq!(folder, "/: is a folder; name a file");
    }
}
