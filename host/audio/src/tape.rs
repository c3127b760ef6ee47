//! The bytes of one piece of music, as its decoder sees them: a short head in front of the music itself.
//! Invariant: nothing of the music is kept in memory here; what `front` steps over cannot be reached.
//! A read error is remembered, because decoders take it for the end of the file.

use crate::front::{self, Container, Front, NoFront};
use crate::station::MusicSource;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use symphonia::core::io::MediaSource;

/// A source shared by successive decoders; a clone reads the same bytes and shares the position.
#[derive(Clone)]
pub(crate) struct Tape(Arc<Mutex<Inner>>);

struct Inner {
    source: Box<dyn MusicSource>,
    front: Front,
    /// Where the decoder is, in what it sees.
    at: u64,
    /// Whether the source has to be moved before the next read.
    moved: bool,
    fault: Option<String>,
}

impl Tape {
    /// Looks at a source. Without `byte_len` its length is found by seeking to its end.
    pub(crate) fn new(
        mut source: Box<dyn MusicSource>,
        byte_len: Option<u64>,
    ) -> Result<Self, String> {
        let total = match byte_len {
            Some(len) => Ok(len),
            None => source.seek(SeekFrom::End(0)),
        };
        let front = total
            .map_err(NoFront::Read)
            .and_then(|total| front::find(source.as_mut(), total))
            .map_err(|error| match error {
                NoFront::Read(error) => unreadable(&error),
                NoFront::Unknown(reason) => reason.to_owned(),
            })?;
        Ok(Self(Arc::new(Mutex::new(Inner {
            source,
            front,
            at: 0,
            moved: true,
            fault: None,
        }))))
    }

    /// What kind of file it is.
    pub(crate) fn container(&self) -> Container {
        self.inner().front.container
    }

    /// What went wrong while reading, if anything did.
    pub(crate) fn fault(&self) -> Option<String> {
        self.inner().fault.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("it could not be read: {error}")
}

impl Inner {
    fn head_len(&self) -> u64 {
        self.front.head.len() as u64
    }

    fn len(&self) -> u64 {
        self.head_len() + self.front.len
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let head = usize::try_from(self.at)
            .ok()
            .and_then(|at| self.front.head.get(at..))
            .unwrap_or_default();
        let count = if head.is_empty() {
            if self.moved {
                let at = self.front.begin + (self.at - self.head_len());
                self.source.seek(SeekFrom::Start(at))?;
                self.moved = false;
            }
            self.source.read(buffer)?
        } else {
            buffer
                .iter_mut()
                .zip(head)
                .map(|(to, from)| *to = *from)
                .count()
        };
        self.at += count as u64;
        Ok(count)
    }
}

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        let result = inner.read(buffer);
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            inner.moved = true;
            inner.fault = Some(unreadable(error));
        }
        result
    }
}

impl Seek for Tape {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut inner = self.inner();
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => inner.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => inner.at.checked_add_signed(offset),
        };
        let Some(target) = target else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        inner.at = target;
        inner.moved = true;
        Ok(target)
    }
}

/// As the decoder's library wants it.
impl MediaSource for Tape {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.inner().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A WAV with a comment in front of its sound and another behind it.
    fn tape() -> Tape {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        bytes.extend([1, 0, 1, 0, 0x44, 0xAC, 0, 0, 0x88, 0x58, 1, 0, 2, 0, 16, 0]);
        bytes.extend(b"LIST\x08\0\0\0INFOsecrdata\x0a\0\0\0");
        bytes.extend(b"0123456789LIST\x04\0\0\0more");
        Tape::new(Box::new(Cursor::new(bytes)), None).unwrap()
    }

    #[test]
    fn the_decoder_sees_head_and_music_as_one_file_and_nothing_else() {
        let mut tape = tape();
        assert_eq!(tape.byte_len(), Some(54));
        let mut all = Vec::new();
        tape.read_to_end(&mut all).unwrap();
        assert_eq!(all[..4], *b"RIFF");
        assert_eq!(all[36..40], *b"data");
        assert_eq!(all[44..], *b"0123456789");
        for size in [1, 3, 7, 100] {
            tape.rewind().unwrap();
            let mut again: Vec<u8> = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                match tape.read(&mut buffer).unwrap() {
                    0 => break,
                    count => again.extend(&buffer[..count]),
                }
            }
            assert_eq!(again, all);
        }
    }

    #[test]
    fn every_seek_lands_where_a_plain_file_would() {
        let mut tape = tape();
        let mut all = Vec::new();
        tape.read_to_end(&mut all).unwrap();
        let mut plain = Cursor::new(all);
        tape.rewind().unwrap();
        let mut targets = vec![SeekFrom::End(-60), SeekFrom::End(3)];
        for offset in [0, 10, 43, 44, 45, 53, 54, 60] {
            targets.push(SeekFrom::Start(offset));
            targets.push(SeekFrom::End(-(offset as i64).min(54)));
            targets.push(SeekFrom::Current(offset as i64 - 20));
        }
        for target in targets {
            assert_eq!(
                tape.seek(target).ok(),
                plain.seek(target).ok(),
                "{target:?}"
            );
            let (mut a, mut b) = ([0; 5], [0; 5]);
            let read = |source: &mut dyn Read, buffer: &mut [u8]| {
                let mut count = 0;
                while let Ok(more @ 1..) = source.read(&mut buffer[count..]) {
                    count += more;
                }
                count
            };
            assert_eq!(read(&mut tape, &mut a), read(&mut plain, &mut b));
            assert_eq!(a, b, "{target:?}");
        }
    }
}
