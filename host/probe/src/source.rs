//! The file under examination, metered.
//! Invariant: never more than `max_bytes_read` bytes are read from it, and nothing after `max_time`.
//! Decoders get a [`Window`]: a range of the file, with bytes in front where a clean header replaces the file's own.
//! A reached limit or a failed read is remembered; [`Source::fault`] tells it, whatever a decoder made of the error.

use crate::budget::Budget;
use crate::refusal::{Limit, Refusal};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use symphonia::core::io::MediaSource;

pub(crate) trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

struct Metered {
    file: Box<dyn ReadSeek>,
    position: Option<u64>,
    bytes_read: u64,
    started: Instant,
    budget: Budget,
    fault: Option<Refusal>,
}

impl Metered {
    fn read_at(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.fault.is_some() {
            return Err(io::Error::other("the probe has ended"));
        }
        let allowed = self.budget.max_bytes_read.saturating_sub(self.bytes_read);
        if allowed == 0 {
            return self.fail(Refusal::Budget {
                limit: Limit::BytesRead(self.budget.max_bytes_read),
            });
        }
        if self.started.elapsed() >= self.budget.max_time {
            let ms = u64::try_from(self.budget.max_time.as_millis()).unwrap_or(u64::MAX);
            return self.fail(Refusal::Budget {
                limit: Limit::TimeMs(ms),
            });
        }
        let wanted = buffer
            .len()
            .min(usize::try_from(allowed).unwrap_or(usize::MAX));
        match self.read_file(position, buffer.get_mut(..wanted).unwrap_or_default()) {
            Ok(count) => {
                self.bytes_read += count as u64;
                Ok(count)
            }
            Err(error) => self.fail(Refusal::Unreadable {
                reason: error.to_string(),
            }),
        }
    }

    fn read_file(&mut self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position.take() != Some(position) {
            self.file.seek(SeekFrom::Start(position))?;
        }
        loop {
            match self.file.read(buffer) {
                Ok(count) => {
                    self.position = Some(position + count as u64);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn fail(&mut self, fault: Refusal) -> io::Result<usize> {
        let error = io::Error::other(fault.to_string());
        self.fault = Some(fault);
        Err(error)
    }
}

/// The whole file. All its windows share one meter.
pub(crate) struct Source {
    metered: Arc<Mutex<Metered>>,
    len: u64,
    budget: Budget,
}

impl Source {
    pub(crate) fn new(file: Box<dyn ReadSeek>, len: u64, budget: Budget) -> Self {
        let metered = Metered {
            file,
            position: None,
            bytes_read: 0,
            started: Instant::now(),
            budget,
            fault: None,
        };
        Self {
            metered: Arc::new(Mutex::new(metered)),
            len,
            budget,
        }
    }

    /// In bytes, as the caller says.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The limit that was reached or the failure of the source.
    pub(crate) fn fault(&self) -> Option<Refusal> {
        lock(&self.metered).fault.clone()
    }

    /// Whether decoding may go on after `decoded` bytes: half of the time and of the reading is kept for the container.
    pub(crate) fn may_decode_more(&self, decoded: u64) -> bool {
        let metered = lock(&self.metered);
        decoded < self.budget.max_bytes_decoded
            && metered.bytes_read < self.budget.max_bytes_read / 2
            && metered.started.elapsed() < self.budget.max_time / 2
    }

    /// Whether a picture file may be decoded in one piece.
    pub(crate) fn affords(&self, decoded_bytes: u64, memory_bytes: u64) -> bool {
        decoded_bytes <= self.budget.max_bytes_decoded
            && memory_bytes <= self.budget.max_memory_bytes
            && self.len <= self.budget.max_bytes_read / 2
            && self.may_decode_more(0)
    }

    /// How far sound is walked before the middle is left out, in bytes.
    pub(crate) fn walk_bytes(&self) -> u64 {
        self.budget.max_bytes_read / 4
    }

    /// A part of the file as a stream of its own.
    pub(crate) fn window(&self, range: Range<u64>) -> Window {
        self.window_behind(Vec::new(), range)
    }

    /// A part of the file behind other bytes.
    pub(crate) fn window_behind(&self, prefix: Vec<u8>, range: Range<u64>) -> Window {
        let end = range.end.min(self.len);
        Window {
            metered: Arc::clone(&self.metered),
            prefix,
            start: range.start.min(end),
            end,
            position: 0,
        }
    }

    /// A buffered reader from `start` to the end of the file.
    pub(crate) fn reader(&self, start: u64, buffer_bytes: usize) -> BufReader<Window> {
        BufReader::with_capacity(buffer_bytes, self.window(start..self.len))
    }

    /// Up to `count` bytes at `start`; fewer only at the end of the file or after a fault.
    pub(crate) fn peek(&self, start: u64, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let end = start.saturating_add(count);
        // A fault is remembered by the meter; whoever looks at the bytes sees them missing.
        let _ = self.window(start..end).read_to_end(&mut bytes);
        bytes
    }
}

/// A range of the file behind optional other bytes.
pub(crate) struct Window {
    metered: Arc<Mutex<Metered>>,
    prefix: Vec<u8>,
    start: u64,
    end: u64,
    position: u64,
}

impl Window {
    fn len(&self) -> u64 {
        self.prefix.len() as u64 + (self.end - self.start)
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let prefix = usize::try_from(self.position)
            .ok()
            .and_then(|at| self.prefix.get(at..))
            .unwrap_or_default();
        let count = if prefix.is_empty() {
            let at = self.start + (self.position - self.prefix.len() as u64);
            let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let wanted = buffer.len().min(left);
            lock(&self.metered).read_at(at, buffer.get_mut(..wanted).unwrap_or_default())?
        } else {
            (&*prefix).read(buffer)?
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let target = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the start"))?;
        // Behind the end there is nothing to read, wherever exactly.
        self.position = target.min(self.len());
        Ok(target)
    }
}

impl MediaSource for Window {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len())
    }
}

// A decoder's panic cannot leave the meter half-changed: no decoder runs while it is locked.
fn lock(metered: &Mutex<Metered>) -> MutexGuard<'_, Metered> {
    metered.lock().unwrap_or_else(PoisonError::into_inner)
}
