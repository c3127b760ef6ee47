//! What can be shown, and what is told about it.

use std::time::Duration;

use crate::Source;

/// Something for the panel. Pictures are fitted as the settings say.
#[derive(Debug)]
pub enum Scene {
    /// A still picture: PNG, JPEG (turned upright as its EXIF says), BMP, WebP, or a GIF's first frame.
    Picture(Source),
    /// A moving picture: GIF, animated PNG or WebP. A still one is an animation of one frame.
    Animation {
        /// The file's bytes.
        source: Source,
        /// Frames per second; `None` is the file's own timing.
        fps: Option<f64>,
        /// How often it is played: `None` is the file's own number, 0 for ever.
        loops: Option<u32>,
    },
    /// One picture, four bytes a pixel (red, green, blue, alpha not premultiplied).
    Pixels {
        /// Pixels a row.
        width: u32,
        /// Rows.
        height: u32,
        /// `width * height * 4` bytes, row by row.
        rgba: Vec<u8>,
    },
    /// Several pictures of one size, each with the time it stays
    /// (at least [`MIN_HOLD`](crate::limits::MIN_HOLD)).
    Frames {
        /// Pixels a row.
        width: u32,
        /// Rows.
        height: u32,
        /// `width * height * 4` bytes each, and how long it is held.
        frames: Vec<(Vec<u8>, Duration)>,
        /// How often they are played, 0 for ever.
        loops: u32,
    },
    /// The background colour, owned by nobody.
    Clear,
}

impl Scene {
    /// What kind of scene this is.
    pub fn kind(&self) -> SceneKind {
        match self {
            Self::Picture(_) => SceneKind::Picture,
            Self::Animation { .. } => SceneKind::Animation,
            Self::Pixels { .. } => SceneKind::Pixels,
            Self::Frames { .. } => SceneKind::Frames,
            Self::Clear => SceneKind::Clear,
        }
    }
}

/// The kinds of [`Scene`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SceneKind {
    /// [`Scene::Picture`]
    Picture,
    /// [`Scene::Animation`]
    Animation,
    /// [`Scene::Pixels`]
    Pixels,
    /// [`Scene::Frames`]
    Frames,
    /// [`Scene::Clear`]
    Clear,
}

/// The answer to a scene that was accepted: its first frame went to the panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Pixels a row of the source, before fitting.
    pub width: u32,
    /// Rows of the source, before fitting.
    pub height: u32,
    /// Why it is not to be seen yet, when the panel is lost or does not read; it appears when it can.
    pub waiting: Option<String>,
}

/// What is on the panel, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Showing {
    /// Which kind of scene.
    pub kind: SceneKind,
    /// What the caller called it, for instance the file's name.
    pub label: String,
    /// Whose it is.
    pub owner: u64,
    /// Whether frames still follow: an animation that has not ended.
    pub moving: bool,
}
