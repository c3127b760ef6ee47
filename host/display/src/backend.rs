//! Where frames go: a small trait, one file per backend, one table of names.
//! Invariant: a panel never ends the process and never waits longer than its file says.
//! Not here: what is shown and when (`stage`, `player`).
//! A panel that cannot take a frame says so and keeps the newest one for when it can.

mod none;
mod pipe;
mod png;
mod terminal;

use std::io::IsTerminal;
use std::time::Instant;

use crate::frame::Frame;
use crate::settings::Choice;

/// One row of the table of backends.
#[derive(Debug)]
pub struct Backend {
    /// The word in the settings.
    pub name: &'static str,
    /// What it is and which options it takes, for a help page.
    pub help: &'static str,
    /// Whether the options make sense, without touching anything.
    pub(crate) check: fn(options: &str) -> Result<(), String>,
    /// Opens the panel.
    pub(crate) open: fn(options: &str) -> Opened,
}

/// A panel, or for a person why there is none.
pub(crate) type Opened = Result<Box<dyn Panel>, String>;

/// Every backend there is.
pub const BACKENDS: &[Backend] = &[
    terminal::BACKEND,
    pipe::BACKEND,
    png::BACKEND,
    none::BACKEND,
];

/// Something that shows frames.
pub(crate) trait Panel: Send {
    /// Takes a frame. The frame is the panel's size.
    fn present(&mut self, frame: &Frame, step: Step, now: Instant) -> Delivery;

    /// When `tend` wants to be called, if at all.
    fn tend_at(&self) -> Option<Instant> {
        None
    }

    /// Looks after itself: a restart, a changed size.
    fn tend(&mut self, _now: Instant) -> Delivery {
        Delivery::Done
    }

    /// Leaves the panel in order. Called once, at the end; takes at most half a second.
    fn close(&mut self) {}
}

/// Whether a frame begins a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first frame of a scene.
    First,
    /// A later frame of an animation.
    Next,
}

/// What became of the newest frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The panel has it.
    Done,
    /// The panel cannot take it now, and why. It appears when it can.
    Waiting(String),
}

/// Opens what was chosen; without a panel it is `none`, said once.
pub(crate) fn open(choice: &Choice) -> (&'static str, Box<dyn Panel>) {
    let none: Box<dyn Panel> = Box::new(none::NoPanel);
    let (backend, options) = match choice {
        Choice::Named(backend, options) => (*backend, options.as_str()),
        Choice::Auto if std::io::stdout().is_terminal() => (&terminal::BACKEND, ""),
        Choice::None => return (none::BACKEND.name, none),
        Choice::Auto => {
            tracing::info!(
                "standard output is no terminal and no display is set: pictures are not shown"
            );
            return (none::BACKEND.name, none);
        }
    };
    match (backend.open)(options) {
        Ok(panel) => (backend.name, panel),
        Err(reason) => {
            tracing::warn!(display = backend.name, %reason, "no display: pictures are not shown");
            (none::BACKEND.name, none)
        }
    }
}

/// The check of a backend without options.
fn no_options(options: &str) -> Result<(), String> {
    if options.is_empty() {
        Ok(())
    } else {
        Err(format!("takes no options, got {options:?}"))
    }
}
