//! The handle the host holds: play, pause, resume, stop, volume, what plays now.
//! Invariant: no method waits for a disk, a decoder or a device (only `shutdown` waits, at most a second).
//! Not here: opcodes, sessions, what is remembered over a restart.

use crate::clock::{Clock, SystemClock};
use crate::desk::Desk;
use crate::error::AudioError;
use crate::output_thread::{Note, OutputThread};
use crate::reel::About;
use crate::settings::AudioSettings;
use std::io::{Read, Seek};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Bytes of music: anything readable and seekable that may move to the decoder's thread.
pub trait MusicSource: Read + Seek + Send {}

impl<T: Read + Seek + Send> MusicSource for T {}

/// One piece to play: MP3, WAV, FLAC or OGG Vorbis, recognized by its contents.
pub struct Play {
    /// Where its bytes come from. Read in blocks; memory does not depend on its size.
    pub source: Box<dyn MusicSource>,
    /// Length of the source in bytes; without it the source is asked by seeking to its end.
    pub byte_len: Option<u64>,
    /// What a person calls it, usually its path.
    pub label: String,
    /// Where in the piece to begin, to go on after a restart.
    pub start_at: Duration,
    /// Load it only; it is heard from the first `resume` on.
    pub paused: bool,
    /// Whoever it belongs to; handed back in [`Playing`] and [`AudioEvent`].
    pub owner: u64,
    /// Which play it is for the owner; handed back likewise.
    pub token: u64,
}

/// Sound has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Where in the piece it began.
    pub position: Duration,
    /// Length of the whole piece, as far as its container says.
    pub duration: Option<Duration>,
    /// True when it was paused before it began: it is loaded and begins with `resume`.
    pub paused: bool,
}

/// What plays at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playing {
    /// As given to `play`.
    pub label: String,
    /// As given to `play`.
    pub owner: u64,
    /// As given to `play`.
    pub token: u64,
    /// Where in the piece the output is. A device's speaker is behind by its buffer, about 45 ms.
    pub position: Duration,
    /// Whether it is paused.
    pub paused: bool,
    /// Length of the whole piece, as far as its container says.
    pub duration: Option<Duration>,
}

/// Something the owner of a piece may want to know. Only pieces whose start was confirmed end with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudioEvent {
    /// A piece is over.
    Ended {
        /// As given to `play`.
        token: u64,
        /// As given to `play`.
        owner: u64,
        /// As given to `play`.
        label: String,
        /// Why it is over.
        why: EndReason,
        /// How far it came.
        position: Duration,
    },
}

/// Why a piece is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Its last sample was taken by the output. Also for a file that is cut off: what is there was played.
    Finished,
    /// Somebody stopped it.
    Stopped,
    /// Another piece began in its place.
    Replaced,
    /// It could not go on: a read error, a decoder's failure.
    Failed(String),
    /// The device went away. Another play tries it again.
    DeviceLost(String),
}

/// The stream of events. It ends when the station has been shut down; that itself is no event of a piece,
/// so what played then can go on after a restart.
pub type AudioEvents = mpsc::UnboundedReceiver<AudioEvent>;

/// The audio station. Clones share it; when the last clone is dropped it ends.
#[derive(Clone)]
pub struct Audio(Arc<Handle>);

struct Handle {
    desk: Arc<Desk>,
    notes: Sender<Note>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.desk.close();
        // Fails only when the thread has ended already.
        let _ = self.notes.send(Note::Shutdown(None));
    }
}

impl Audio {
    /// Starts the station with the machine's clock. Never fails: what is missing is logged once as a warning, and
    /// each play tries again. The device or file is opened on the station's own thread, so this returns at once.
    /// A volume in `settings` outside 0.0 to 1.0 is moved to the nearer end (NaN to 0.0).
    #[must_use]
    pub fn start(settings: AudioSettings) -> (Self, AudioEvents) {
        Self::start_with_clock(settings, Arc::new(SystemClock::new()))
    }

    /// Like [`start`](Self::start), paced by the given clock where the output has none of its own.
    #[must_use]
    pub fn start_with_clock(settings: AudioSettings, clock: Arc<dyn Clock>) -> (Self, AudioEvents) {
        let (events, receiver) = mpsc::unbounded_channel();
        let (notes, inbox) = channel();
        let volume = if settings.volume.is_nan() {
            0.0
        } else {
            settings.volume.clamp(0.0, 1.0)
        };
        let desk = Arc::new(Desk::new(volume, notes.clone(), events));
        let for_thread = (Arc::clone(&desk), notes.clone());
        let spawned = std::thread::Builder::new()
            .name("audio-output".to_owned())
            .spawn(move || {
                // Made there: a device may belong to the thread that opened it.
                let (desk, notes) = for_thread;
                OutputThread::new(settings, desk, notes, clock).run(&inbox);
            });
        if let Err(error) = spawned {
            tracing::warn!("no sound: the audio thread cannot be started: {error}");
            desk.close();
        }
        (Self(Arc::new(Handle { desk, notes })), receiver)
    }

    /// Plays a piece instead of what plays now. The answer comes when the output has taken its first samples, or with
    /// the reason why not; then what played before goes on. A dropped answer changes nothing.
    pub fn play(&self, play: Play) -> oneshot::Receiver<Result<Started, AudioError>> {
        let (reply, answer) = oneshot::channel();
        let about = About {
            label: play.label,
            owner: play.owner,
            token: play.token,
        };
        let asked = (play.start_at, play.paused);
        if let Some(claim) = self.0.desk.claim(about, asked, reply) {
            let id = claim.id;
            let note = Note::Play {
                claim,
                source: play.source,
                byte_len: play.byte_len,
            };
            if self.0.notes.send(note).is_err() {
                self.0.desk.refuse(id, AudioError::Closed);
            }
        }
        answer
    }

    /// Pauses what plays, and what is about to. Pausing what is paused changes nothing and succeeds.
    ///
    /// # Errors
    /// [`AudioError::NothingPlaying`] when there is nothing to pause.
    pub fn pause(&self) -> Result<Playing, AudioError> {
        self.0.desk.set_paused(true)
    }

    /// Goes on where `pause` left. Resuming what is not paused changes nothing and succeeds.
    ///
    /// # Errors
    /// [`AudioError::NothingPlaying`] when there is nothing to resume.
    pub fn resume(&self) -> Result<Playing, AudioError> {
        self.0.desk.set_paused(false)
    }

    /// Ends what plays and what is about to, and tells how far it came.
    ///
    /// # Errors
    /// [`AudioError::NothingPlaying`] when there is nothing to stop.
    pub fn stop(&self) -> Result<Playing, AudioError> {
        self.0.desk.stop()
    }

    /// Ends the play with this token, whether it plays, is paused or is about to begin. False: there is none, and nothing
    /// has changed.
    pub fn stop_play(&self, token: u64) -> bool {
        self.0.desk.stop_play(token)
    }

    /// Sets the device's volume: a factor on every sample, 0.0 (silent) to 1.0 (as recorded), kept from piece to
    /// piece. Half of it is 6 dB less.
    ///
    /// # Errors
    /// [`AudioError::VolumeOutOfRange`] for anything else, NaN included; the volume stays as it was.
    pub fn set_volume(&self, volume: f32) -> Result<(), AudioError> {
        if !(0.0..=1.0).contains(&volume) {
            return Err(AudioError::VolumeOutOfRange(volume));
        }
        self.0.desk.line.set_volume(volume);
        Ok(())
    }

    /// The device's volume, 0.0 to 1.0.
    #[must_use]
    pub fn volume(&self) -> f32 {
        self.0.desk.line.volume()
    }

    /// What plays or is paused now. Cheap: no lock, no waiting.
    #[must_use]
    pub fn now(&self) -> Option<Playing> {
        self.0
            .desk
            .line
            .current
            .load()
            .as_ref()
            .map(|reel| reel.playing())
    }

    /// Ends the station: silence, the capture's file complete, the device closed. Waits for that at most a second.
    /// What played gets no event. Later commands answer [`AudioError::Closed`] or `NothingPlaying`.
    pub fn shutdown(&self) {
        self.0.desk.close();
        let (done, wait) = sync_channel(1);
        if self.0.notes.send(Note::Shutdown(Some(done))).is_ok() {
            // A disconnect also means that the thread has ended.
            if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
                wait.recv_timeout(Duration::from_secs(1))
            {
                tracing::warn!("the audio device did not close within a second");
            }
        }
    }
}

impl std::fmt::Debug for Audio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audio")
            .field("now", &self.now())
            .field("volume", &self.volume())
            .finish_non_exhaustive()
    }
}
