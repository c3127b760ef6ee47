//! Why bytes are refused, and why something cannot be sent.
//! Invariant: every [`WireError`] names the code that the connection closes with.
//! Not here: failures of a request, which are replies (`Failure`).

use crate::code::Code;

/// A breach of the protocol by the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The body ends inside a field, or announces more than it holds.
    #[error("the body ends before its last field")]
    Truncated,
    /// A varint is longer than needed or does not fit its type.
    #[error("a number is longer than it needs to be, or too large for its type")]
    BadVarint,
    /// A bool other than 0 and 1.
    #[error("a bool must be 0 or 1, got {0}")]
    BadBool(u8),
    /// The mark before an optional value is neither 0 nor 1.
    #[error("the mark of an optional value must be 0 or 1, got {0}")]
    BadOption(u8),
    /// An enum has no such variant in this version.
    #[error("unknown variant {variant} of {of}")]
    BadVariant {
        /// The enum.
        of: &'static str,
        /// The number that came.
        variant: u64,
    },
    /// Text that is not UTF-8.
    #[error("text must be UTF-8")]
    BadText,
    /// A map has a key twice.
    #[error("a map has the same key twice")]
    DuplicateKey,
    /// The name in `Hello` has more than 64 bytes.
    #[error("the client's name must be at most 64 bytes")]
    NameTooLong,
    /// More than 1,024 numbers in `Confirm`.
    #[error(
        "a confirmation must hold at most {} numbers",
        crate::limits::CONFIRM_ALSO
    )]
    TooManyNumbers,
    /// The numbers in `Confirm` do not rise.
    #[error("the numbers of a confirmation must rise")]
    NotRising,
    /// The message or a detail of a failure is too long, or there are too many details.
    #[error(
        "a failure must have a message of at most {} bytes and at most {} details of {} bytes",
        crate::limits::MESSAGE_BYTES,
        crate::limits::DETAILS,
        crate::limits::DETAIL_BYTES
    )]
    FailureTooLong,
    /// Lists and maps are nested deeper than 16.
    #[error("values must be nested at most {} deep", crate::limits::NESTING)]
    TooDeep,
    /// More than 4,096 values in one frame.
    #[error("a frame must hold at most {} values", crate::limits::NODES)]
    TooManyValues,
    /// A text or bytes value, or all of a reply together, has more than 64 KiB.
    #[error(
        "text and bytes must be at most {} bytes inside a frame; send more as a transfer",
        crate::limits::INLINE_BYTES
    )]
    ValueTooLarge,
    /// The announced length is over the limit.
    #[error("a frame's body must be at most {limit_bytes} bytes here, got {bytes}")]
    FrameTooLarge {
        /// What was announced, in bytes.
        bytes: u32,
        /// What is allowed, in bytes.
        limit_bytes: usize,
    },
    /// A kind below 0x80 that this version does not have.
    #[error("unknown frame kind 0x{0:02x}")]
    UnknownKind(u8),
}

impl WireError {
    /// The reason to close the connection with.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Truncated
            | Self::BadVarint
            | Self::BadBool(_)
            | Self::BadOption(_)
            | Self::BadVariant { .. }
            | Self::BadText
            | Self::DuplicateKey
            | Self::NameTooLong
            | Self::NotRising => Code::BadFrame,
            Self::TooDeep
            | Self::TooManyValues
            | Self::ValueTooLarge
            | Self::TooManyNumbers
            | Self::FailureTooLong => Code::LimitExceeded,
            Self::FrameTooLarge { .. } => Code::FrameTooLarge,
            Self::UnknownKind(_) => Code::UnknownKind,
        }
    }

    /// The name that `vectors/` uses for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadVarint => "bad-varint",
            Self::BadBool(_) => "bad-bool",
            Self::BadOption(_) => "bad-option",
            Self::BadVariant { .. } => "bad-variant",
            Self::BadText => "bad-text",
            Self::DuplicateKey => "duplicate-key",
            Self::NameTooLong => "name-too-long",
            Self::TooManyNumbers => "too-many-numbers",
            Self::NotRising => "not-rising",
            Self::FailureTooLong => "failure-too-long",
            Self::TooDeep => "too-deep",
            Self::TooManyValues => "too-many-values",
            Self::ValueTooLarge => "value-too-large",
            Self::FrameTooLarge { .. } => "frame-too-large",
            Self::UnknownKind(_) => "unknown-kind",
        }
    }
}

/// Why a frame cannot be sent: the other side would have to close the connection. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The body is over the limit of its kind.
    #[error("{kind} must be at most {limit_bytes} bytes; send large text and bytes as transfers")]
    FrameTooLarge {
        /// The kind's name, or what else is too large.
        kind: &'static str,
        /// In bytes.
        limit_bytes: usize,
    },
    /// Lists and maps are nested deeper than 16.
    #[error("values must be nested at most {} deep", crate::limits::NESTING)]
    TooDeep,
    /// More than 4,096 values.
    #[error("a frame must hold at most {} values", crate::limits::NODES)]
    TooManyValues,
    /// A text or bytes value, or all of a reply together, has more than 64 KiB.
    #[error(
        "text and bytes must be at most {} bytes inside a frame; send more as a transfer",
        crate::limits::INLINE_BYTES
    )]
    ValueTooLarge,
    /// A map has a key twice.
    #[error("a map has the same key twice")]
    DuplicateKey,
    /// The name in `Hello` has more than 64 bytes.
    #[error("the client's name must be at most 64 bytes")]
    NameTooLong,
    /// More than 1,024 numbers in `Confirm`.
    #[error(
        "a confirmation must hold at most {} numbers",
        crate::limits::CONFIRM_ALSO
    )]
    TooManyNumbers,
    /// The numbers in `Confirm` do not rise.
    #[error("the numbers of a confirmation must rise")]
    NotRising,
}
