//! Shows pictures and animations on one panel: `Scene` → `reel`/`picture` (decode) → `canvas`
//! (compose and scale, once) → `player` (when) → `backend` (where).
//! Invariant: the last writer owns the screen; a scene that cannot be shown leaves the former one running.
//! Not here: files, plugins, the network, what an opcode means. Callers hand over opened bytes or pixels.
//! On failure: a bad scene is refused with a reason; a panel that is missing, dies or does not read is a
//! warning and an event, never an exit.
//!
//! What exists:
//! - [`Display`]: the handle; one thread behind it owns the panel and its clock.
//! - [`DisplaySettings`]: which backend, which size, how pictures are fitted.
//! - [`Scene`], [`Source`]: what to show. [`Shown`], [`Showing`], [`DisplayEvent`]: what came of it.
//! - [`BACKENDS`]: `terminal`, `pipe`, `png`, `none`. A new one is a file in `backend/` and a row there.
//! - [`limits`]: every number that bounds memory or time.

mod backend;
mod canvas;
mod display;
mod error;
mod event;
mod frame;
pub mod limits;
mod picture;
mod player;
mod reel;
mod scene;
mod settings;
mod source;
mod stage;

pub use backend::{BACKENDS, Backend};
pub use display::Display;
pub use error::{DisplayError, SettingsError};
pub use event::DisplayEvent;
pub use scene::{Scene, SceneKind, Showing, Shown};
pub use settings::{Colour, DisplaySettings, Filter, Fit, Rotation};
pub use source::{ReadSeek, Source};
