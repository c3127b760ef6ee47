//! The codes of failures, of `Close` and of `Abort`: one table for numbers and names.
//! Invariant: a number never changes its meaning; a number that is not here reads as [`Code::Failed`].
//! Not here: messages, which are made where a thing fails.

use crate::codec::{Field, Reader, Writer};
use crate::error::{EncodeError, WireError};

macro_rules! codes {
    ($( $(#[$doc:meta])* $number:literal $name:literal $code:ident; )*) => {
        /// Why a request failed, a connection closed or a transfer was aborted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Code { $( $(#[$doc])* $code = $number ),* }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &[Self] = &[ $( Self::$code ),* ];

            /// The code with this number; one that is not known is [`Code::Failed`].
            #[must_use]
            pub fn from_number(number: u16) -> Self {
                match number {
                    $( $number => Self::$code, )*
                    _ => Self::Failed,
                }
            }

            /// The kebab-case name, as `not-found`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$code => $name, )*
                }
            }

            /// The code with this name; any other is [`Code::Failed`].
            #[must_use]
            pub fn from_name(name: &str) -> Self {
                match name {
                    $( $name => Self::$code, )*
                    _ => Self::Failed,
                }
            }
        }
    };
}

codes! {
    /// The plugin says no; the message tells why.
    1 "failed" Failed;
    /// No plugin offers it.
    2 "unknown-op" UnknownOp;
    /// The message shows the signature and what came.
    3 "bad-arguments" BadArguments;
    /// No such file, folder or key.
    4 "not-found" NotFound;
    /// It is there already.
    5 "exists" Exists;
    /// The bytes are not what the opcode takes, or do not decode.
    6 "unsupported-media" UnsupportedMedia;
    /// Over a limit, which the message names.
    7 "too-large" TooLarge;
    /// The disk or the quota is full.
    8 "no-space" NoSpace;
    /// A path against the rules.
    9 "bad-path" BadPath;
    /// A queue is full; try later.
    10 "busy" Busy;
    /// The request's time ran out; nothing happened.
    11 "deadline" Deadline;
    /// Nothing happened.
    12 "cancelled" Cancelled;
    /// The plugin lacks a grant.
    13 "not-granted" NotGranted;
    /// The guest trapped; nothing happened.
    14 "plugin-crashed" PluginCrashed;
    /// The guest ran out of time or memory; nothing happened.
    15 "plugin-limit" PluginLimit;
    /// Not loaded, or quarantined.
    16 "plugin-unavailable" PluginUnavailable;
    /// Not finished.
    17 "upload-not-ready" UploadNotReady;
    /// Never opened, expired or aborted.
    18 "upload-unknown" UploadUnknown;
    /// Another request used it.
    19 "upload-consumed" UploadConsumed;
    /// The bytes are not those that were announced.
    20 "digest-mismatch" DigestMismatch;
    /// Fetch it anew with the request that gave it.
    21 "blob-gone" BlobGone;
    /// Two programs use one client id.
    22 "number-reused" NumberReused;
    /// Nothing of it is on disk; whether it ran or was refused is not known.
    23 "ran-reply-lost" RanReplyLost;
    /// It may or may not be on disk; not final: send it again under the same number after the host restarted.
    24 "outcome-unknown" OutcomeUnknown;
    /// A later answer, or a call, was lost.
    25 "interrupted" Interrupted;
    /// Nothing to pause, resume or stop.
    26 "nothing-playing" NothingPlaying;
    /// No display or speaker for it.
    27 "no-device" NoDevice;
    /// Not offered here.
    28 "unsupported" Unsupported;
    /// Writes are refused until the host restarts, or the disk is read-only.
    29 "read-only" ReadOnly;
    /// The disk failed; nothing was stored.
    30 "storage-failed" StorageFailed;
    /// The host stops; nothing happened.
    31 "shutting-down" ShuttingDown;
    /// Not possible as things are; the message tells what to do first.
    32 "bad-state" BadState;
    /// The client said that it has the reply.
    33 "already-confirmed" AlreadyConfirmed;

    /// Reason to close: as asked.
    100 "closed" Closed;
    /// Reason to close: a body that does not decode.
    101 "bad-frame" BadFrame;
    /// Reason to close: a kind below 0x80 that is not known.
    102 "unknown-kind" UnknownKind;
    /// Reason to close: a body longer than allowed.
    103 "frame-too-large" FrameTooLarge;
    /// Reason to close: no common version.
    104 "version" Version;
    /// Reason to close: another frame came first, or a second `Hello`.
    105 "hello-expected" HelloExpected;
    /// Reason to close.
    106 "auth-refused" AuthRefused;
    /// Reason to close: the same client id connected again.
    107 "fenced" Fenced;
    /// Reason to close: the store does not know this client.
    108 "client-forgotten" ClientForgotten;
    /// Reason to close: a request's number is out of order.
    109 "bad-number" BadNumber;
    /// Reason to close: a limit of `Welcome` was not kept.
    110 "limit-exceeded" LimitExceeded;
    /// Reason to close.
    111 "too-many-clients" TooManyClients;
    /// Reason to close or abort: CRC or offset is wrong, or beyond the credit.
    112 "bad-chunk" BadChunk;
    /// Reason to close: nothing came for four pings.
    113 "silent" Silent;
}

/// What a client does after a `Close`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterClose {
    /// Nothing more: it was asked for.
    Stop,
    /// Nothing more, and a person should know why.
    StopAndReport,
    /// Take a new client id, and report what was pending as *outcome unknown*.
    NewId,
    /// Connect again after a while.
    ConnectLater,
    /// Connect again.
    ConnectAgain,
}

impl Code {
    /// What a client does after a `Close` with this code.
    #[must_use]
    pub fn after_close(self) -> AfterClose {
        match self {
            Self::Closed => AfterClose::Stop,
            Self::ClientForgotten => AfterClose::NewId,
            Self::TooManyClients => AfterClose::ConnectLater,
            Self::Silent | Self::ShuttingDown => AfterClose::ConnectAgain,
            _ => AfterClose::StopAndReport,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether it only appears in `Close` and `Abort`, never as the failure of a request.
    #[must_use]
    pub fn is_close_reason(self) -> bool {
        self.number() >= 100
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(self.name())
    }
}

impl<'a> Field<'a> for Code {
    const LEAST_BYTES: usize = 1;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.number().put(to)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        u16::get(from).map(Self::from_number)
    }
}

#[cfg(test)]
mod tests {
    use super::{AfterClose, Code};

    #[test]
    fn every_code_is_found_by_its_number_and_by_its_name() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), *code);
            assert_eq!(Code::from_name(code.name()), *code);
        }
        assert_eq!(Code::ALL.len(), 33 + 14);
    }

    #[test]
    fn an_unknown_code_reads_as_failed() {
        assert_eq!(Code::from_number(0), Code::Failed);
        assert_eq!(Code::from_number(9_999), Code::Failed);
        assert_eq!(Code::from_name("on-fire"), Code::Failed);
    }

    #[test]
    fn the_table_is_the_specification_s() {
        let spec = include_str!("../SPEC.md");
        let (_, section) = spec.split_once("## 11. Codes").unwrap();
        let mut rows = std::collections::BTreeSet::new();
        for line in section.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let Some(number) = cells.get(1).and_then(|cell| cell.parse::<u16>().ok()) else {
                continue;
            };
            rows.insert((number, cells[2]));
            // The table of reasons to close has a column more.
            if cells.len() == 6 {
                let then = match Code::from_number(number).after_close() {
                    AfterClose::Stop => "stop",
                    AfterClose::StopAndReport => "stop, report",
                    AfterClose::NewId => "new id",
                    AfterClose::ConnectLater => "connect later",
                    AfterClose::ConnectAgain => "connect again",
                };
                assert_eq!(then, cells[4], "{number}");
            }
        }
        let ours = Code::ALL
            .iter()
            .map(|code| (code.number(), code.name()))
            .collect();
        assert_eq!(rows, ours);
    }
}
