//! Every number that bounds memory or time, with its unit and its reason.
//! Invariant: together they keep one scene below about 256 MiB, whatever a file claims to be.

use std::time::Duration;

/// Largest panel side, in pixels.
pub const MAX_PANEL_SIDE: u32 = 2048;

/// Largest side of a stored picture, in pixels.
pub const MAX_SOURCE_SIDE: u32 = 16_384;

/// Largest still picture, in pixels: a 24-megapixel photograph.
pub const MAX_PICTURE_PIXELS: u64 = 25_000_000;

/// Largest animation canvas, in pixels: 3840 x 2160. An animation needs up to 16 bytes per pixel
/// (canvas, saved canvas, frame, flattened frame).
pub const MAX_ANIMATION_PIXELS: u64 = 3840 * 2160;

/// The largest decoded picture, and what a decoder may allocate beside it where it supports being told,
/// in bytes.
pub const MAX_DECODER_BYTES: u64 = 128 * 1024 * 1024;

/// Text and colour profiles inside a GIF, in bytes. They are not used, but the decoder keeps them.
pub const MAX_GIF_METADATA_BYTES: u64 = 1024 * 1024;

/// Finished panel frames kept for one animation, in bytes. A longer animation is decoded again in
/// every loop. 32 MiB are 2,730 frames of 64 x 64.
pub const FRAME_CACHE_BYTES: usize = 32 * 1024 * 1024;

/// Frames given as pixels ([`Scene::Frames`](crate::Scene::Frames)), in bytes, all together.
pub const MAX_FRAMES_BYTES: u64 = 128 * 1024 * 1024;

/// Scenes waiting for the display's thread; more are refused as busy.
pub const MAX_WAITING_SCENES: usize = 64;

/// A file's frame time of at most this is taken for a mistake and becomes [`MISTAKEN_HOLD`].
/// Browsers do the same (GIFs with a delay of 0 or 1 hundredths of a second are common and were
/// drawn at about 10 frames per second by the first viewers).
pub const MISTAKEN_HOLD_AT_MOST: Duration = Duration::from_millis(10);

/// What a mistaken frame time becomes.
pub const MISTAKEN_HOLD: Duration = Duration::from_millis(100);

/// Shortest time a frame given as pixels is held: 200 frames per second.
pub const MIN_HOLD: Duration = Duration::from_millis(5);

/// Frame rates that may be asked for, in frames per second.
pub const FRAME_RATES: std::ops::RangeInclusive<f64> = 0.001..=200.0;

/// Late by more than this (a suspended machine, a slow decoder), an animation goes on from now
/// instead of catching up.
pub const GIVE_UP_CATCHING_UP: Duration = Duration::from_secs(1);

/// At most so many frames are passed over at once to catch up, so that something is always drawn.
pub const MAX_SKIPPED_FRAMES: u32 = 4;

/// How long [`Display::shutdown`](crate::Display::shutdown) waits for the panel.
pub const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(1);
