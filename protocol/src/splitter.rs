//! Finds the frames in a stream of bytes.
//! Invariant: any split of the stream gives the same frames; a length is checked before the body is waited for.
//! Not here: reading from a socket; `Splitter` looks at the caller's buffer, `FrameReader` brings its own.
//! After an error the stream is lost: there is no finding the next frame.

use std::ops::Range;

use crate::error::WireError;
use crate::frame::{Frame, HEADER_BYTES, Kind, OPTIONAL_FROM};
use crate::limits;

/// What a buffer begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// An incomplete frame: at least this many bytes must be added.
    NeedMore {
        /// Bytes, at least 1.
        missing_bytes: usize,
    },
    /// A frame. The next one begins at `body.end`.
    Frame {
        /// Its kind.
        kind: Kind,
        /// Where its body lies in the buffer.
        body: Range<usize>,
    },
    /// A frame of an optional kind that is not known. The next one begins at `end`.
    Skip {
        /// The number of its kind.
        number: u8,
        /// Bytes of the whole frame.
        end: usize,
    },
}

/// Looks for a frame at the beginning of a buffer that the caller fills and drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splitter {
    max_body_bytes: usize,
}

impl Splitter {
    /// With the limit that holds before `Welcome`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_body_bytes: limits::FIRST_FRAME_BYTES,
        }
    }

    /// From `Welcome` on the full limit holds.
    pub fn welcomed(&mut self) {
        self.max_body_bytes = limits::FRAME_BYTES;
    }

    /// What `buffer` begins with.
    ///
    /// # Errors
    /// When the frame announces a length over the limit, or is of an unknown kind that must be known.
    pub fn split(&self, buffer: &[u8]) -> Result<Split, WireError> {
        let Some((length, rest)) = buffer.split_first_chunk::<4>() else {
            return Ok(Split::NeedMore {
                missing_bytes: HEADER_BYTES - buffer.len(),
            });
        };
        let length = u32::from_le_bytes(*length);
        let limit_bytes = self.max_body_bytes;
        let body_bytes = usize::try_from(length)
            .ok()
            .filter(|bytes| *bytes <= limit_bytes)
            .ok_or(WireError::FrameTooLarge {
                bytes: length,
                limit_bytes,
            })?;
        let Some((&number, rest)) = rest.split_first() else {
            return Ok(Split::NeedMore {
                missing_bytes: 1 + body_bytes,
            });
        };
        let kind = Kind::from_number(number);
        if kind.is_none() && number < OPTIONAL_FROM {
            return Err(WireError::UnknownKind(number));
        }
        if rest.len() < body_bytes {
            return Ok(Split::NeedMore {
                missing_bytes: body_bytes - rest.len(),
            });
        }
        let end = HEADER_BYTES + body_bytes;
        Ok(match kind {
            Some(kind) => Split::Frame {
                kind,
                body: HEADER_BYTES..end,
            },
            None => Split::Skip { number, end },
        })
    }
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame whose body has not been decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// Its kind.
    pub kind: Kind,
    /// Its encoded fields.
    pub body: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn decode(&self) -> Result<Frame<'a>, WireError> {
        Frame::decode(self.kind, self.body)
    }
}

/// A [`Splitter`] with a buffer, for whoever has none.
#[derive(Debug, Default)]
pub struct FrameReader {
    splitter: Splitter,
    buffer: Vec<u8>,
    begin: usize,
}

impl FrameReader {
    /// Empty, with the limit that holds before `Welcome`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From `Welcome` on the full limit holds.
    pub fn welcomed(&mut self) {
        self.splitter.welcomed();
    }

    /// Adds what was read. Take all frames out before adding more, and the buffer stays at one frame and one read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.begin.min(self.buffer.len()));
        self.begin = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame; optional ones that are not known are skipped. None: more bytes are needed.
    ///
    /// # Errors
    /// When the stream breaks the protocol; there are no more frames then.
    pub fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, WireError> {
        loop {
            let waiting = self.buffer.get(self.begin..).unwrap_or_default();
            match self.splitter.split(waiting)? {
                Split::NeedMore { .. } => return Ok(None),
                Split::Skip { end, .. } => self.begin += end,
                Split::Frame { kind, body } => {
                    let from = self.begin + body.start;
                    let to = self.begin + body.end;
                    self.begin = to;
                    return Ok(self
                        .buffer
                        .get(from..to)
                        .map(|body| RawFrame { kind, body }));
                }
            }
        }
    }
}
