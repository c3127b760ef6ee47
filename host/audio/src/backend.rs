//! The outputs there are: a trait, a table, one file each.
//! Invariant: an output takes sound from its tap until it is dropped, and dropping it closes it.
//! To add one: a file beside the others and a row in the table. The first row is the default.
//! An output that cannot go on reports it once through its wiring; it does not retry by itself.

mod null;
mod paced;
mod speaker;
mod wav;

use crate::clock::Clock;
use crate::convert::Format;
use crate::desk::Desk;
use crate::line::{Line, Tap};
use crate::output_thread::Note;
use crate::settings::AudioSettings;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// An open output.
pub(crate) trait Output {
    /// The frames it takes.
    fn format(&self) -> Format;

    /// Whether it stays open while nothing plays, because silence counts too.
    fn never_rests(&self) -> bool {
        true
    }
}

/// Opens an output with the options behind its name; the error says in plain words what is missing.
type Open = fn(&str, Wiring) -> Result<Box<dyn Output>, String>;

/// What may follow a backend's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionsRule {
    /// Nothing.
    None,
    /// A file name, which is needed.
    File,
}

/// One row of the table.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) options: OptionsRule,
    usage: &'static str,
    about: &'static str,
    open: Open,
}

/// Every output there is.
const BACKENDS: &[Backend] = &[
    Backend {
        name: "default",
        options: OptionsRule::None,
        usage: "default",
        about: "the system's default sound device",
        open: speaker::open,
    },
    Backend {
        name: "wav",
        options: OptionsRule::File,
        usage: "wav:FILE",
        about: "a WAV file with everything a speaker would have played, silence included",
        open: wav::open,
    },
    Backend {
        name: "null",
        options: OptionsRule::None,
        usage: "null",
        about: "no sound, but time passes as with a speaker",
        open: null::open,
    },
];

/// What a help text says about one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendInfo {
    /// How it is written in a setting, such as `default` or `wav:FILE`.
    pub usage: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
}

/// The outputs there are, the default one first.
pub fn backends() -> impl Iterator<Item = BackendInfo> {
    BACKENDS.iter().map(|row| BackendInfo {
        usage: row.usage,
        about: row.about,
    })
}

pub(crate) fn find(name: &str) -> Option<&'static Backend> {
    BACKENDS.iter().find(|row| row.name == name)
}

pub(crate) fn names() -> String {
    let usages: Vec<_> = backends().map(|row| row.usage).collect();
    usages.join(", ")
}

pub(crate) fn open(settings: &AudioSettings, wiring: Wiring) -> Result<Box<dyn Output>, String> {
    match find(&settings.backend) {
        Some(row) => (row.open)(&settings.options, wiring),
        None => Err(format!(
            "there is no audio output called {:?}; use one of {}",
            settings.backend,
            names()
        )),
    }
}

/// What an output is connected to.
pub(crate) struct Wiring {
    pub(crate) desk: Arc<Desk>,
    pub(crate) notes: Sender<Note>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Number of this output.
    pub(crate) output: u64,
}

impl Wiring {
    /// The sound, in the output's own format.
    fn tap(&self, format: Format) -> Tap {
        Tap::new(Arc::clone(&self.desk.line), self.notes.clone(), format)
    }

    /// What the output calls when it cannot go on.
    fn lost(&self) -> impl Fn(String) + Clone + Send + 'static {
        let notes = self.notes.clone();
        let output = self.output;
        move |reason| {
            // Nobody is left to tell when the station is ending.
            let _ = notes.send(Note::Lost { output, reason });
        }
    }

    fn line(&self) -> Arc<Line> {
        Arc::clone(&self.desk.line)
    }
}
