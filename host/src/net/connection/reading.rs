//! The receiving side: bytes into one buffer, and the first frame, which must be Hello.
//! Invariant: at most one frame and one read are buffered.

use bytes::{Buf, BytesMut};
use pixelboy_protocol::{Code, Hello, Kind, Opening, PREAMBLE, Split, Splitter, WireError, limits};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use super::End;

/// Bytes asked for at a time: a chunk of data with its header.
const READ_BYTES: usize = limits::CHUNK_BYTES + 64;

/// Why there is no Hello.
pub(super) enum Introduction {
    Stranger(Opening),
    Gone,
    Wrong(Code, String),
}

impl From<WireError> for Introduction {
    fn from(error: WireError) -> Self {
        Self::Wrong(error.code(), error.to_string())
    }
}

/// The receiving side.
pub(super) struct Reading {
    pub(super) socket: OwnedReadHalf,
    pub(super) buffer: BytesMut,
    pub(super) splitter: Splitter,
}

impl Reading {
    /// Reads some bytes; false at the end.
    pub(super) async fn more(&mut self) -> bool {
        self.buffer.reserve(READ_BYTES);
        matches!(self.socket.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// Before Welcome nothing may follow Hello; what had not arrived by then can't be told from what came after.
    pub(super) fn nothing_more(&mut self) -> Result<(), End> {
        self.buffer.reserve(READ_BYTES);
        let _ = self.socket.try_read_buf(&mut self.buffer);
        loop {
            match self.splitter.split(&self.buffer) {
                Ok(Split::Skip { end, .. }) => self.buffer.advance(end),
                Ok(Split::NeedMore { .. }) if self.buffer.is_empty() => return Ok(()),
                Ok(_) => {
                    let message = "nothing may follow Hello before Welcome has come";
                    return Err(Some((Code::HelloExpected, message.to_owned())));
                }
                Err(error) => return Err(Some((error.code(), error.to_string()))),
            }
        }
    }

    /// The preamble and the first frame, which must be Hello.
    pub(super) async fn hello(&mut self) -> Result<Hello, Introduction> {
        loop {
            match Opening::check(&self.buffer) {
                Opening::Pixelboy => break,
                Opening::NeedMore if self.more().await => {}
                Opening::NeedMore if self.buffer.is_empty() => return Err(Introduction::Gone),
                Opening::NeedMore => {
                    return Err(Introduction::Stranger(Opening::check_last(&self.buffer)));
                }
                Opening::OtherFraming => {
                    return Err(Introduction::Wrong(
                        Code::Version,
                        "this host speaks framing 1 only; update it, or use an older client".into(),
                    ));
                }
                stranger => return Err(Introduction::Stranger(stranger)),
            }
        }
        self.buffer.advance(PREAMBLE.len());
        loop {
            match self.splitter.split(&self.buffer)? {
                Split::Frame {
                    kind: Kind::Hello,
                    body,
                } => {
                    let hello = Hello::decode(self.buffer.get(body.clone()).unwrap_or_default())?;
                    self.buffer.advance(body.end);
                    return Ok(hello);
                }
                Split::Frame { kind, .. } => {
                    return Err(Introduction::Wrong(
                        Code::HelloExpected,
                        format!("the first frame must be Hello, got {}", kind.name()),
                    ));
                }
                Split::Skip { end, .. } => self.buffer.advance(end),
                Split::NeedMore { .. } => {
                    if !self.more().await {
                        return Err(Introduction::Gone);
                    }
                }
            }
        }
    }
}
