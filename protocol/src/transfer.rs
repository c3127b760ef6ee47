//! Frames of transfers: bytes too large to travel inside a request or a reply.
//! Invariant: a chunk lies raw at the end of its frame, so neither side copies it to encode or decode.
//! Not here: credit and resuming, which are the business of both ends.

use crate::code::Code;
use crate::codec::{Field, Reader, Writer, body};
use crate::connection::cut;
use crate::error::{EncodeError, WireError};
use crate::frame::Kind;
use crate::limits;

body! {
    /// The client begins or resumes an upload.
    #[derive(Clone, Debug, PartialEq, Eq)]
    OpenUpload {
        /// Chosen by the client, from 1, unique for the client id.
        transfer: u64,
        /// In bytes, where known.
        length: Option<u64>,
        /// Of the whole, where known.
        sha256: Option<[u8; 32]>,
        /// [`OpenUpload::STORED`], or the reserved [`OpenUpload::LIVE`], which is refused `unsupported`.
        mode: u8,
    }

    /// The client asks for the bytes of a blob.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    OpenDownload {
        /// Chosen by the client, of the same numbers as uploads.
        transfer: u64,
        /// From a reply's value.
        blob: u64,
        /// Where to begin, in bytes.
        offset: u64,
        /// The first credit: bytes below this offset may be sent.
        limit: u64,
    }

    /// The host's answer to both.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Opened {
        /// The open frame's.
        transfer: u64,
        /// Where it stands.
        state: OpenState,
        /// In bytes, where known.
        length: Option<u64>,
        /// Of the whole, where known.
        sha256: Option<[u8; 32]>,
    }

    /// The receiver allows more bytes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Credit {
        /// Which.
        transfer: u64,
        /// Bytes below this offset may be sent.
        limit: u64,
    }

    /// The end of the data.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Finish {
        /// Which.
        transfer: u64,
        /// Of the whole, in bytes.
        length: u64,
        /// Of the whole.
        sha256: [u8; 32],
    }

    /// The upload is on disk, whole; a request may name it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Finished {
        /// Which.
        transfer: u64,
        /// Of the whole.
        sha256: [u8; 32],
    }

    /// How much of an upload is on disk.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Durable {
        /// Which.
        transfer: u64,
        /// Bytes below this offset are on disk.
        offset: u64,
    }

    /// The transfer ends here.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Abort {
        /// Which.
        transfer: u64,
        /// Why.
        code: Code,
        /// A sentence a person can act on.
        message: String,
    }
}

impl OpenUpload {
    /// The bytes are kept until a request uses them.
    pub const STORED: u8 = 0;
    /// Reserved: the bytes are used as they come.
    pub const LIVE: u8 = 1;
}

impl Abort {
    /// With a message cut to [`limits::MESSAGE_BYTES`].
    #[must_use]
    pub fn new(transfer: u64, code: Code, message: &str) -> Self {
        Self {
            transfer,
            code,
            message: cut(message, limits::MESSAGE_BYTES).to_owned(),
        }
    }
}

/// Where an opened transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenState {
    /// Bytes go from `offset`, at first up to `limit`.
    At {
        /// In bytes.
        offset: u64,
        /// In bytes, absolute.
        limit: u64,
    },
    /// Nothing to send: requests may name it.
    Complete,
    /// A request has used it.
    Consumed {
        /// The request's.
        number: u64,
    },
}

impl<'a> Field<'a> for OpenState {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::At { offset, limit } => {
                to.byte(0);
                to.varint(*offset);
                to.varint(*limit);
            }
            Self::Complete => to.byte(1),
            Self::Consumed { number } => {
                to.byte(2);
                to.varint(*number);
            }
        }
        Ok(())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        match from.varint(32)? {
            0 => Ok(Self::At {
                offset: Field::get(from)?,
                limit: Field::get(from)?,
            }),
            1 => Ok(Self::Complete),
            2 => Ok(Self::Consumed {
                number: Field::get(from)?,
            }),
            variant => Err(WireError::BadVariant {
                of: "state",
                variant,
            }),
        }
    }
}

/// One chunk of a transfer; borrowed from the frame it came in, or from the sender's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Which.
    pub transfer: u64,
    /// Where the chunk lies, in bytes.
    pub offset: u64,
    /// CRC-32C of the chunk.
    pub crc32c: u32,
    /// At most 64 KiB.
    pub chunk: &'a [u8],
}

impl<'a> Data<'a> {
    /// With the CRC of the chunk.
    #[must_use]
    pub fn new(transfer: u64, offset: u64, chunk: &'a [u8]) -> Self {
        Self {
            transfer,
            offset,
            crc32c: crc32c::crc32c(chunk),
            chunk,
        }
    }

    /// Whether the CRC is the chunk's; otherwise the answer is `bad-chunk`.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        crc32c::crc32c(self.chunk) == self.crc32c
    }
}

impl<'a> Field<'a> for Data<'a> {
    const LEAST_BYTES: usize = 3;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.chunk.len() > limits::CHUNK_BYTES {
            return Err(EncodeError::ValueTooLarge);
        }
        to.varint(self.transfer);
        to.varint(self.offset);
        to.varint(u64::from(self.crc32c));
        to.raw(self.chunk)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let transfer = Field::get(from)?;
        let offset = Field::get(from)?;
        let crc32c = Field::get(from)?;
        let chunk = from.rest();
        if chunk.len() > limits::CHUNK_BYTES {
            return Err(WireError::ValueTooLarge);
        }
        Ok(Self {
            transfer,
            offset,
            crc32c,
            chunk,
        })
    }
}

/// Appends all of a `Data` frame but its chunk, for a sender that writes the chunk from where it lies.
///
/// # Errors
/// When the chunk is over 64 KiB; then `out` is as it was.
pub fn encode_data_header(data: &Data<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if data.chunk.len() > limits::CHUNK_BYTES {
        return Err(EncodeError::ValueTooLarge);
    }
    let start = out.len();
    Data {
        chunk: &[],
        ..*data
    }
    .encode(out)?;
    crate::frame::patch_length(out, start, Kind::Data, data.chunk.len())
}
