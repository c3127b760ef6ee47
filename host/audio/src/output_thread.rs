//! The one thread that owns the output: opens it, closes it, passes on what the output and its decoders report.
//! Blocking is fine here: opening and closing a device may take seconds, and commands do not come this way.
//! Invariant: at most one output is open; a device that is missing is tried again at the next play.
//! A lost output ends what plays with a reason and leaves the station working.

use crate::backend::{self, Output, Wiring};
use crate::clock::Clock;
use crate::desk::{Claim, Desk, Overdue};
use crate::error::AudioError;
use crate::settings::AudioSettings;
use crate::station::MusicSource;
use crate::track::Track;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

/// An idle device is let go after this time, so that others can use it and it can sleep.
const REST_AFTER: Duration = Duration::from_secs(30);

/// What this thread is told.
pub(crate) enum Note {
    /// A play was asked for.
    Play {
        claim: Claim,
        source: Box<dyn MusicSource>,
        byte_len: Option<u64>,
    },
    /// Something changed at the desk.
    Look,
    /// The output took the first samples of this play.
    Started(u64),
    /// The output took the last samples of this play.
    Drained(u64),
    /// The output with this number cannot go on.
    Lost { output: u64, reason: String },
    /// End; tell the sender when done.
    Shutdown(Option<SyncSender<()>>),
}

/// The thread's own state.
pub(crate) struct OutputThread {
    settings: AudioSettings,
    desk: Arc<Desk>,
    notes: Sender<Note>,
    clock: Arc<dyn Clock>,
    output: Option<(u64, Box<dyn Output>)>,
    opened: u64,
    warned: bool,
    idle_since: Option<Instant>,
}

impl OutputThread {
    pub(crate) fn new(
        settings: AudioSettings,
        desk: Arc<Desk>,
        notes: Sender<Note>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            settings,
            desk,
            notes,
            clock,
            output: None,
            opened: 0,
            warned: false,
            idle_since: None,
        }
    }

    pub(crate) fn run(mut self, inbox: &Receiver<Note>) {
        // Only to say early what is missing.
        let _ = self.open();
        loop {
            let look_again = self.look();
            let note = match look_again {
                Some(wait) => inbox.recv_timeout(wait),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match note {
                Ok(Note::Play {
                    claim,
                    source,
                    byte_len,
                }) => self.play(claim, source, byte_len),
                Ok(Note::Started(id)) => self.desk.started(id),
                Ok(Note::Drained(id)) => self.desk.drained(id),
                Ok(Note::Lost { output, reason }) => {
                    if self
                        .output
                        .as_ref()
                        .is_some_and(|(number, _)| *number == output)
                    {
                        self.lose(&reason);
                    }
                }
                Ok(Note::Shutdown(done)) => {
                    self.output = None;
                    drop(done);
                    return;
                }
                Ok(Note::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn play(&mut self, claim: Claim, source: Box<dyn MusicSource>, byte_len: Option<u64>) {
        match self.open() {
            Err(reason) => self.desk.refuse(claim.id, AudioError::NoDevice(reason)),
            Ok((output, format)) => Track {
                desk: Arc::clone(&self.desk),
                claim,
                source,
                byte_len,
                format,
                output,
            }
            .spawn(),
        }
    }

    /// The open output's number and format; opens it first when there is none.
    fn open(&mut self) -> Result<(u64, crate::convert::Format), String> {
        if let Some((number, output)) = &self.output {
            return Ok((*number, output.format()));
        }
        self.opened += 1;
        let number = self.opened;
        let wiring = Wiring {
            desk: Arc::clone(&self.desk),
            notes: self.notes.clone(),
            clock: Arc::clone(&self.clock),
            output: number,
        };
        match backend::open(&self.settings, wiring) {
            Ok(output) => {
                if self.warned {
                    tracing::info!("audio output {} is there again", self.settings);
                }
                self.warned = false;
                let format = output.format();
                tracing::debug!(
                    "audio output {} is open: {} channels at {} Hz",
                    self.settings,
                    format.channels,
                    format.rate
                );
                self.desk.set_output(Some(number));
                self.output = Some((number, output));
                Ok((number, format))
            }
            Err(reason) => {
                if self.warned {
                    tracing::debug!("audio output {} still fails: {reason}", self.settings);
                } else {
                    tracing::warn!(
                        "no sound for now, though everything else works; the device is tried again at the next play: {reason}"
                    );
                }
                self.warned = true;
                Err(reason)
            }
        }
    }

    fn lose(&mut self, reason: &str) {
        tracing::warn!("the audio output {} was lost: {reason}", self.settings);
        self.warned = true;
        self.desk.lose_output(reason);
        self.output = None;
    }

    /// Looks after what nobody reports. Returns how long at most to wait for the next note.
    fn look(&mut self) -> Option<Duration> {
        let patience = match self.desk.overdue() {
            Overdue::Output => {
                self.lose("it takes no sound");
                None
            }
            Overdue::Nothing(wait) => wait,
        };
        if !self.desk.is_idle()
            || self
                .output
                .as_ref()
                .is_none_or(|(_, output)| output.never_rests())
        {
            self.idle_since = None;
            return patience;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        let left = REST_AFTER.saturating_sub(since.elapsed());
        if left.is_zero() {
            if self.desk.rest_output() {
                tracing::debug!("audio output {} rests", self.settings);
                self.output = None;
            }
            self.idle_since = None;
            return patience;
        }
        Some(patience.map_or(left, |other| other.min(left)))
    }
}
