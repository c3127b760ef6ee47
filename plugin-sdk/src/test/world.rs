//! What there is on the device under test.
//! Invariant: a thread's world is there only while a handler runs; each operation works on a copy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::Level;
use crate::canvas::Canvas;
use crate::{Result, Value};

/// Everything that a plugin can reach.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) files: BTreeMap<String, Stored>,
    pub(crate) kv: BTreeMap<String, Vec<u8>>,
    pub(crate) settings: BTreeMap<String, Value>,
    pub(crate) media: Vec<(Vec<u8>, Probed)>,
    pub(crate) panel: (u32, u32),
    pub(crate) screen: Screen,
    pub(crate) sound: Option<Sound>,
    pub(crate) volume: f64,
    /// With the clients' names.
    pub(crate) sessions: BTreeMap<u64, String>,
    pub(crate) pushed: Vec<Pushed>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) timers: BTreeMap<String, Timer>,
    /// Answers that were put off, by token; what they became.
    pub(crate) put_off: BTreeMap<u64, Option<Result<Vec<Value>>>>,
    pub(crate) log: Vec<(Level, String)>,
    pub(crate) now_ms: u64,
}

/// A stored file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Such as `image` or `text`.
    pub kind: String,
    /// What was put with it.
    pub properties: BTreeMap<String, String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub modified_ms: u64,
}

/// What the probe is to say about some bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// `image`, `animation` or `audio`.
    pub kind: &'static str,
    /// Such as `png`.
    pub format: &'static str,
    /// In pixels.
    pub size: (u32, u32),
    /// 1 for a still picture.
    pub frames: u32,
    /// Of one pass.
    pub duration_ms: Option<u64>,
    /// In Hz, of audio.
    pub sample_rate: Option<u32>,
    /// Of audio.
    pub channels: Option<u32>,
}

/// What is on the screen.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Screen {
    /// Nothing.
    #[default]
    Dark,
    /// A stored file's first frame.
    Picture(String),
    /// A stored animation.
    Animation {
        /// The file.
        path: String,
        /// Frames a second; none is the file's own timing.
        fps: Option<f64>,
        /// How often; none is what the file says, 0 is for ever.
        loops: Option<u32>,
    },
    /// What the plugin drew.
    Pixels(Canvas),
    /// An animation that the plugin drew.
    Frames {
        /// Each with how long it is shown.
        frames: Vec<(Canvas, Duration)>,
        /// How often; 0 is for ever.
        loops: u32,
    },
}

/// What plays or is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// The file.
    pub path: String,
    /// Whether it is held.
    pub paused: bool,
    /// Whether it goes on without the client that started it.
    pub outlives_session: bool,
}

/// What a client was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// To whom.
    pub session: u64,
    /// What.
    pub op: String,
    /// With what.
    pub args: Vec<Value>,
}

/// What a client was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Who.
    pub session: u64,
    /// What.
    pub op: String,
    /// With what.
    pub args: Vec<Value>,
    /// How long the plugin waits.
    pub timeout: Duration,
    /// By which the plugin knows the answer.
    pub tag: String,
}

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// When it fires: milliseconds since 1970-01-01 UTC.
    pub at_ms: u64,
    /// What the handler gets.
    pub payload: Vec<u8>,
    /// Whether it survives a restart.
    pub durable: bool,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Reads or changes the world of the operation that runs on this thread.
pub(crate) fn world<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| match world {
        Some(world) => work(world),
        None => panic!(
            "what a plugin asks of its host works in the host, and in a handler called by pixelboy_plugin::test::Device"
        ),
    })
}

/// Runs `work` in this world; the world as it left it.
pub(super) fn within<T>(own: World, work: impl FnOnce() -> T) -> (T, World) {
    WORLD.set(Some(own));
    let done = work();
    (done, WORLD.take().unwrap_or_default())
}
