//! The panel. Needs the grant `display`.
//!
//! What is asked for here is seen when the operation has committed. The last writer owns the screen; the loser can handle
//! the event `screen-lost`.

pub use crate::canvas::Canvas;

use crate::bindings::pixelboy::plugin::display as host;
use crate::failure::FromHost as _;
use crate::{Failure, Result};

/// Width and height in pixels, as the viewer sees it; `no-device` where there is no display.
pub fn panel() -> Result<(u32, u32)> {
    match size() {
        (0, _) | (_, 0) => Err(Failure::no_device("this device has no display")),
        size => Ok(size),
    }
}

/// Width and height in pixels, as the viewer sees it; (0, 0) without a display.
pub fn size() -> (u32, u32) {
    host::size()
}

/// Shows a stored file's first frame, scaled as the device is set up.
pub fn show(path: &str) -> Result<()> {
    host::show(path).or_failure()
}

/// Plays a stored animation. Without `fps` in its own timing; without `loops` as often as it says, 0 is for ever.
pub fn play(path: &str, fps: Option<f64>, loops: Option<u32>) -> Result<()> {
    host::play(path, fps, loops).or_failure()
}

/// Draws pixels, row by row, 4 bytes (red, green, blue, alpha) each.
pub fn draw(width: u32, height: u32, rgba: &[u8]) -> Result<()> {
    host::draw(width, height, rgba).or_failure()
}

/// Frames with their times, handed over whole; the host plays them.
#[derive(Debug)]
pub struct Animation(host::Animation);

impl Animation {
    /// An empty one of this size in pixels. It repeats `loops` times, 0 is for ever.
    pub fn new(width: u32, height: u32, loops: u32) -> Self {
        Self(host::Animation::new(width, height, loops))
    }

    /// Adds a frame, row by row, 4 bytes (red, green, blue, alpha) a pixel.
    pub fn frame(&mut self, rgba: &[u8], duration_ms: u32) -> Result<()> {
        self.0.frame(rgba, duration_ms).or_failure()
    }
}

/// Plays frames.
pub fn animate(frames: Animation) -> Result<()> {
    host::animate(frames.0).or_failure()
}

/// Makes the screen dark.
pub fn clear() -> Result<()> {
    host::clear().or_failure()
}

/// What is on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `picture`, `animation` or `pixels`.
    pub kind: String,
    /// The file, where it came from one.
    pub path: Option<String>,
}

/// What is on the screen; none when it is dark.
pub fn shown() -> Option<Shown> {
    host::shown().map(|(kind, path)| Shown { kind, path })
}
