//! The bytes of one piece of music, as the decoder sees them.
//! Invariant: nothing is kept in memory here, and leading ID3v2 tags (a cover can be 256 MiB) are never shown to the
//! decoder, which would load them whole.
//! A read error is remembered, because decoders take it for the end of the file.

use crate::station::MusicSource;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A source shared by successive decoders; a clone reads the same bytes and shares the position.
#[derive(Clone)]
pub(crate) struct Tape(Arc<Mutex<Inner>>);

struct Inner {
    source: Box<dyn MusicSource>,
    /// Where the music begins in the source: after the tags.
    begin: u64,
    len: u64,
    fault: Option<String>,
}

impl Tape {
    /// Measures the source and skips its leading tags. Without `byte_len` the length is found by seeking to the end.
    pub(crate) fn new(mut source: Box<dyn MusicSource>, byte_len: Option<u64>) -> io::Result<Self> {
        let total = match byte_len {
            Some(len) => len,
            None => source.seek(SeekFrom::End(0))?,
        };
        let begin = skip_tags(&mut source, total)?;
        source.seek(SeekFrom::Start(begin))?;
        Ok(Self(Arc::new(Mutex::new(Inner {
            source,
            begin,
            len: total.saturating_sub(begin),
            fault: None,
        }))))
    }

    /// Bytes of music, without the leading tags.
    pub(crate) fn len(&self) -> u64 {
        self.inner().len
    }

    /// What went wrong while reading, if anything did.
    pub(crate) fn fault(&self) -> Option<String> {
        self.inner().fault.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The offset of the first byte after all leading ID3v2 tags.
fn skip_tags(source: &mut dyn MusicSource, total: u64) -> io::Result<u64> {
    let mut at = 0;
    loop {
        source.seek(SeekFrom::Start(at))?;
        let mut head = [0; 10];
        match source.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(at),
            Err(error) => return Err(error),
        }
        let [b'I', b'D', b'3', _, _, flags, size @ ..] = head else {
            return Ok(at);
        };
        if size.iter().any(|byte| *byte > 0x7f) {
            return Ok(at);
        }
        let body = size
            .iter()
            .fold(0_u64, |sum, byte| (sum << 7) | u64::from(*byte));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        let next = at + 10 + body + footer;
        if next > total {
            return Ok(at);
        }
        at = next;
    }
}

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner();
        let result = inner.source.read(buffer);
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            inner.fault = Some(format!("it could not be read: {error}"));
        }
        result
    }
}

impl Seek for Tape {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut inner = self.inner();
        let begin = inner.begin;
        let to = match to {
            SeekFrom::Start(offset) => SeekFrom::Start(begin.saturating_add(offset)),
            SeekFrom::End(offset) => SeekFrom::Start(
                begin
                    .saturating_add(inner.len)
                    .saturating_add_signed(offset)
                    .max(begin),
            ),
            SeekFrom::Current(offset) => SeekFrom::Current(offset),
        };
        inner.source.seek(to).map(|at| at.saturating_sub(begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn tag(body: usize) -> Vec<u8> {
        let size = [
            (body >> 21) as u8 & 0x7f,
            (body >> 14) as u8 & 0x7f,
            (body >> 7) as u8 & 0x7f,
            body as u8 & 0x7f,
        ];
        let mut bytes = b"ID3\x04\x00\x00".to_vec();
        bytes.extend(size);
        bytes.resize(bytes.len() + body, 0xAA);
        bytes
    }

    #[test]
    fn leading_tags_are_invisible_to_reads_and_seeks() {
        let mut bytes = tag(300);
        bytes.extend(tag(5));
        bytes.extend(b"music bytes");
        let mut tape = Tape::new(Box::new(Cursor::new(bytes)), None).unwrap();
        assert_eq!(tape.len(), 11);
        let mut text = String::new();
        tape.read_to_string(&mut text).unwrap();
        assert_eq!(text, "music bytes");
        assert_eq!(tape.seek(SeekFrom::End(-5)).unwrap(), 6);
        assert_eq!(tape.seek(SeekFrom::Start(6)).unwrap(), 6);
        text.clear();
        tape.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bytes");
    }

    #[test]
    fn a_tag_longer_than_the_file_or_with_a_bad_size_is_left_to_the_decoder() {
        for mut bytes in [tag(300)[..100].to_vec(), tag(300)] {
            if bytes.len() > 100 {
                bytes[6] = 0xFF;
            }
            let len = bytes.len() as u64;
            assert_eq!(
                Tape::new(Box::new(Cursor::new(bytes)), None).unwrap().len(),
                len
            );
        }
        assert_eq!(
            Tape::new(Box::new(Cursor::new(Vec::new())), None)
                .unwrap()
                .len(),
            0
        );
    }
}
