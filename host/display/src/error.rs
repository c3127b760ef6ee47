//! What can go wrong, seen from outside: settings that make no sense, scenes that cannot be shown.
//! Not here: a failing panel. That is no caller's fault; see `Shown::waiting` and `DisplayEvent`.

use crate::limits;

/// Why a scene was not shown. What was on the panel before is still there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DisplayError {
    /// The source could not be opened or read.
    #[error("failed to read the picture: {0}")]
    Read(String),
    /// The bytes are no picture that this display knows.
    #[error("not a PNG, JPEG, BMP, GIF or WebP picture")]
    UnknownFormat,
    /// The bytes begin as a picture but do not decode.
    #[error("failed to decode the {format} picture: {reason}")]
    Decode {
        /// Which format it claimed to be.
        format: &'static str,
        /// The decoder's own words.
        reason: String,
    },
    /// The decoder panicked; the display goes on.
    #[error("the picture is damaged in a way that its decoder cannot handle")]
    DecoderGaveUp,
    /// The picture would need too much memory.
    #[error(
        "the picture is {width} x {height} pixels; at most {max_pixels} pixels and {} a side are shown, so make it smaller",
        limits::MAX_SOURCE_SIDE
    )]
    TooLarge {
        /// Pixels a row.
        width: u32,
        /// Rows.
        height: u32,
        /// How many pixels are allowed.
        max_pixels: u64,
    },
    /// The frames given as pixels would need too much memory.
    #[error(
        "the frames are {bytes} bytes; at most {} are shown, so send fewer or smaller frames",
        limits::MAX_FRAMES_BYTES
    )]
    TooManyFrames {
        /// All frames together.
        bytes: u64,
    },
    /// No frame, or a side of zero.
    #[error("there is nothing to show: {0}")]
    Empty(&'static str),
    /// Width, height and pixels do not agree.
    #[error("{width} x {height} RGBA pixels are {expected} bytes, got {got}")]
    WrongLength {
        /// Pixels a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes that belong to this size.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// A frame rate outside [`limits::FRAME_RATES`].
    #[error("the frame rate must be between {} and {} frames per second, got {got}; leave it out for the file's own timing", limits::FRAME_RATES.start(), limits::FRAME_RATES.end())]
    FrameRate {
        /// What was asked for.
        got: f64,
    },
    /// Too many scenes at once.
    #[error(
        "the display has {} scenes waiting; send them more slowly",
        limits::MAX_WAITING_SCENES
    )]
    Busy,
    /// The display was shut down.
    #[error("the display is shut down")]
    Stopped,
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No such backend.
    #[error("unknown display {got:?}; expected auto, {known}")]
    Backend {
        /// What was asked for.
        got: String,
        /// The names that exist.
        known: String,
    },
    /// The part after the colon does not fit the backend.
    #[error("display {backend}: {reason}")]
    Options {
        /// Which backend.
        backend: &'static str,
        /// What it expected.
        reason: String,
    },
    /// A size outside 1 to [`limits::MAX_PANEL_SIDE`].
    #[error(
        "the panel's size must be WIDTHxHEIGHT with 1 to {} pixels a side, such as 64x64; got {got}",
        limits::MAX_PANEL_SIDE
    )]
    Size {
        /// What came.
        got: String,
    },
    /// Not one of the four rotations.
    #[error("rotate must be 0, 90, 180 or 270 degrees, got {0}")]
    Rotation(u32),
    /// Not between 0 and 1.
    #[error("brightness must be between 0.0 and 1.0, got {0}")]
    Brightness(f64),
    /// Not a colour.
    #[error("a colour must be written #rrggbb, got {0:?}")]
    Colour(String),
    /// Not a known word.
    #[error("expected {expected}, got {got:?}")]
    Word {
        /// The words that exist.
        expected: &'static str,
        /// What came.
        got: String,
    },
}
