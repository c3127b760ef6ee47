//! The registry of frames: every number with its name, its sender and its body, reserved ones too.
//! Invariant: a number is never used for anything else; below 0x80 an unknown one ends the connection.
//! Not here: what a frame leads to.
//! A frame that does not fit its limit is not encoded, and leaves the output as it was.

use std::ops::RangeInclusive;

use crate::calls::{Bind, Call, CallCancel, CallCredit, CallReply, Push, TimeOut};
use crate::codec::{Field, Reader, Writer};
use crate::connection::{Auth, Challenge, Close, Goodbye, Hello, Ping, Pong, Welcome};
use crate::error::{EncodeError, WireError};
use crate::limits;
use crate::reply::Reply;
use crate::request::{Cancel, Confirm, Request};
use crate::table::{GetTable, Table, TableChanged};
use crate::transfer::{
    Abort, Credit, Data, Durable, Finish, Finished, OpenDownload, OpenUpload, Opened,
};

/// The version of the protocol.
pub const VERSION: u16 = 1;
/// Bytes before a body: its length and its kind.
pub const HEADER_BYTES: usize = 5;
/// From this number on a receiver skips a kind that it does not know.
pub const OPTIONAL_FROM: u8 = 0x80;
/// Reserved for relaying between hosts.
pub const RESERVED_RELAY: RangeInclusive<u8> = 0x40..=0x4F;
/// Reserved for progress and log frames.
pub const RESERVED_PROGRESS: RangeInclusive<u8> = 0x81..=0x8F;

/// Who sends a kind of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Only clients.
    Client,
    /// Only the host.
    Host,
    /// Both.
    Both,
}

macro_rules! frames {
    ($( $(#[$doc:meta])* $number:literal $kind:ident from $sender:ident $(<$life:lifetime>)?; )*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind { $( $(#[$doc])* $kind = $number ),* }

        impl Kind {
            /// Every kind that has a body today.
            pub const ALL: &[Self] = &[ $( Self::$kind ),* ];

            /// None for a number that is reserved or unknown.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$kind), )*
                    _ => None,
                }
            }

            /// As in `SPEC.md`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$kind => stringify!($kind), )*
                }
            }

            /// Who sends it.
            #[must_use]
            pub fn sender(self) -> Sender {
                match self {
                    $( Self::$kind => Sender::$sender, )*
                }
            }
        }

        /// One frame; a chunk of data borrows from the buffer it came in.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Frame<'a> { $( $(#[$doc])* $kind($kind $(<$life>)?) ),* }

        impl<'a> Frame<'a> {
            /// Its kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self {
                    $( Self::$kind(_) => Kind::$kind, )*
                }
            }

            /// Decodes the body of a frame; what is left over at its end is ignored.
            ///
            /// # Errors
            /// When it does not decode or its values are beyond the limits.
            pub fn decode(kind: Kind, body: &'a [u8]) -> Result<Self, WireError> {
                match kind {
                    $( Kind::$kind => $kind::decode(body).map(Self::$kind), )*
                }
            }

            /// Appends the whole frame, header and body.
            ///
            /// # Errors
            /// When it is beyond a limit; then `out` is as it was.
            pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self {
                    $( Self::$kind(body) => body.encode(out), )*
                }
            }
        }

        $(
            impl $(<$life>)? $kind $(<$life>)? {
                /// Appends the whole frame, header and body.
                ///
                /// # Errors
                /// When it is beyond a limit; then `out` is as it was.
                pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                    encode_frame(Kind::$kind, out, |to| Field::put(self, to))
                }

                /// Decodes a body; what is left over at its end is ignored.
                ///
                /// # Errors
                /// When it does not decode or its values are beyond the limits.
                pub fn decode(body: &$($life)? [u8]) -> Result<Self, WireError> {
                    Field::get(&mut Reader::new(body))
                }
            }

            impl<'a> From<$kind $(<$life>)?> for Frame<'a> {
                fn from(body: $kind $(<$life>)?) -> Self {
                    Self::$kind(body)
                }
            }
        )*
    };
}

frames! {
    /// Introduces the client; its first frame.
    0x01 Hello from Client;
    /// The host takes the client in.
    0x02 Welcome from Host;
    /// The host asks for a proof.
    0x03 Challenge from Host;
    /// The proof.
    0x04 Auth from Client;
    /// The last frame of a side.
    0x05 Close from Both;
    /// The client will not come back.
    0x06 Goodbye from Client;
    /// Is anyone there?
    0x07 Ping from Both;
    /// Yes.
    0x08 Pong from Both;
    /// One call of an opcode.
    0x10 Request from Client;
    /// What became of it.
    0x11 Reply from Host;
    /// Replies have arrived.
    0x12 Confirm from Client;
    /// Drop an operation.
    0x13 Cancel from Client;
    /// The receive time-out ran out.
    0x18 TimeOut from Host;
    /// Something that needs no answer.
    0x19 Push from Host;
    /// The client offers an opcode.
    0x1A Bind from Client;
    /// The host calls it.
    0x1B Call from Host;
    /// The client's answer.
    0x1C CallReply from Client;
    /// Nobody waits for it.
    0x1D CallCancel from Host;
    /// More calls may be sent.
    0x1E CallCredit from Client;
    /// Begins or resumes an upload.
    0x20 OpenUpload from Client;
    /// Begins or resumes a download.
    0x21 OpenDownload from Client;
    /// Where it stands.
    0x22 Opened from Host;
    /// More bytes may be sent.
    0x23 Credit from Both;
    /// A chunk.
    0x24 Data from Both <'a>;
    /// The end of the data.
    0x25 Finish from Both;
    /// The upload is on disk.
    0x26 Finished from Host;
    /// So much of it is on disk.
    0x27 Durable from Host;
    /// The transfer ends here.
    0x28 Abort from Both;
    /// Asks for the opcode table.
    0x30 GetTable from Client;
    /// A part of it.
    0x31 Table from Host;
    /// It is another one now.
    0x80 TableChanged from Host;
}

impl Kind {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Bytes that a body of this kind may have: 1,024 for what is sent before `Welcome`.
    #[must_use]
    pub fn max_body_bytes(self) -> usize {
        match self {
            Self::Hello | Self::Welcome | Self::Challenge | Self::Auth | Self::Close => {
                limits::FIRST_FRAME_BYTES
            }
            _ => limits::FRAME_BYTES,
        }
    }
}

/// Appends a header and what `put` writes, then fills in the length.
pub(crate) fn encode_frame(
    kind: Kind,
    out: &mut Vec<u8>,
    put: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind.number()]);
    let mut to = Writer::new(out, kind.name(), kind.max_body_bytes());
    let done = put(&mut to).and_then(|()| to.finish());
    if let Err(error) = done {
        out.truncate(start);
        return Err(error);
    }
    patch_length(out, start, kind, 0)
}

/// Writes the length of the frame that begins at `start`, of which `to_come` bytes are not in `out`.
pub(crate) fn patch_length(
    out: &mut Vec<u8>,
    start: usize,
    kind: Kind,
    to_come: usize,
) -> Result<(), EncodeError> {
    let length = (out.len() + to_come).saturating_sub(start + HEADER_BYTES);
    match (
        u32::try_from(length),
        out.get_mut(start..).and_then(<[u8]>::first_chunk_mut),
    ) {
        (Ok(length), Some(place)) => {
            *place = length.to_le_bytes();
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(EncodeError::FrameTooLarge {
                kind: kind.name(),
                limit_bytes: kind.max_body_bytes(),
            })
        }
    }
}
