//! What is about to play and what plays; every change of either goes through here.
//! Invariant: a play is pending, then current, then over; it is answered exactly once, and only an answered start is
//! followed by one `Ended`. The lock is held for a few assignments, never over I/O.
//! The output never takes this lock: it reads [`Line`].

use crate::error::AudioError;
use crate::line::Line;
use crate::output_thread::Note;
use crate::reel::{About, Reel, Reply};
use crate::station::{AudioEvent, EndReason, Playing, Started};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// How long a decoder may take to its first samples: a slow card and a long way to `start_at`.
const DECODER_PATIENCE: Duration = Duration::from_secs(30);
/// How long an open output may take no samples before it counts as dead.
const OUTPUT_PATIENCE: Duration = Duration::from_secs(3);

/// Shared by the handles, the output thread and the decoders.
pub(crate) struct Desk {
    pub(crate) line: Arc<Line>,
    notes: Sender<Note>,
    state: Mutex<State>,
}

struct State {
    next_id: u64,
    pending: Option<Pending>,
    /// When the current reel was put on the line, until its start is told.
    promoted: Option<Instant>,
    /// Number of the open output; reels made for another one are not put on the line.
    output: Option<u64>,
    closed: bool,
    events: Option<UnboundedSender<AudioEvent>>,
}

struct Pending {
    id: u64,
    about: About,
    start_at: Duration,
    paused: bool,
    since: Instant,
    cancelled: Arc<AtomicBool>,
    reply: Reply,
}

/// A place in the queue of one, given to a play.
pub(crate) struct Claim {
    pub(crate) id: u64,
    pub(crate) about: About,
    pub(crate) start_at: Duration,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// What the watch over patience found.
pub(crate) enum Overdue {
    /// Nothing; look again within this time, if ever.
    Nothing(Option<Duration>),
    /// The output takes no samples.
    Output,
}

impl Desk {
    pub(crate) fn new(
        volume: f32,
        notes: Sender<Note>,
        events: UnboundedSender<AudioEvent>,
    ) -> Self {
        Self {
            notes,
            line: Arc::new(Line::new(volume)),
            state: Mutex::new(State {
                // Zero is no play.
                next_id: 1,
                pending: None,
                promoted: None,
                output: None,
                closed: false,
                events: Some(events),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A play was asked for. None when the station is closed; it has been answered then.
    pub(crate) fn claim(
        &self,
        about: About,
        (start_at, paused): (Duration, bool),
        reply: Reply,
    ) -> Option<Claim> {
        let mut state = self.state();
        if state.closed {
            // A caller who does not wait for the answer is fine, here and below.
            let _ = reply.send(Err(AudioError::Closed));
            return None;
        }
        state.drop_pending(AudioError::Superseded);
        let id = state.next_id;
        state.next_id += 1;
        let cancelled = Arc::new(AtomicBool::new(false));
        state.pending = Some(Pending {
            id,
            about: about.clone(),
            start_at,
            paused,
            since: Instant::now(),
            cancelled: Arc::clone(&cancelled),
            reply,
        });
        Some(Claim {
            id,
            about,
            start_at,
            cancelled,
        })
    }

    /// A play cannot begin, for this reason. What plays goes on.
    pub(crate) fn refuse(&self, id: u64, why: AudioError) {
        let mut state = self.state();
        if state
            .pending
            .as_ref()
            .is_some_and(|pending| pending.id == id)
        {
            state.drop_pending(why);
            self.wake();
        }
    }

    /// The first samples of a play are decoded: it takes the place of what plays. False when nobody wants it any more.
    pub(crate) fn promote(&self, reel: &Arc<Reel>, output: u64) -> bool {
        let mut state = self.state();
        let Some(pending) = state.pending.take_if(|pending| pending.id == reel.id) else {
            return false;
        };
        if state.output != Some(output) {
            let lost = AudioError::NoDevice("it went away before the first sound".to_owned());
            let _ = pending.reply.send(Err(lost));
            return false;
        }
        self.end_current(&mut state, EndReason::Replaced);
        reel.set_reply(pending.reply);
        if pending.paused {
            reel.paused.store(true, Ordering::Release);
            answer_started(reel);
        } else {
            state.promoted = Some(Instant::now());
        }
        self.line.current.store(Some(Arc::clone(reel)));
        self.wake();
        true
    }

    /// The output took the first samples of this play.
    pub(crate) fn started(&self, id: u64) {
        let mut state = self.state();
        if let Some(reel) = self.current(id) {
            state.promoted = None;
            answer_started(&reel);
        }
    }

    /// The output took the last samples of this play.
    pub(crate) fn drained(&self, id: u64) {
        let mut state = self.state();
        if let Some(reel) = self.current(id) {
            let why = match reel.fault() {
                None => EndReason::Finished,
                Some(fault) => EndReason::Failed(fault.to_owned()),
            };
            self.end_current(&mut state, why);
        }
    }

    pub(crate) fn set_paused(&self, paused: bool) -> Result<Playing, AudioError> {
        let mut state = self.state();
        let current = self.line.current.load_full();
        if let Some(reel) = &current {
            reel.paused.store(paused, Ordering::Release);
            if paused {
                // Nothing will be taken now, so nothing else would answer it.
                answer_started(reel);
                state.promoted = None;
            }
        }
        if let Some(pending) = &mut state.pending {
            pending.paused = paused;
        }
        match (current, &state.pending) {
            (Some(reel), _) => Ok(reel.playing()),
            (None, Some(pending)) => Ok(pending.playing()),
            (None, None) => Err(AudioError::NothingPlaying),
        }
    }

    pub(crate) fn stop(&self) -> Result<Playing, AudioError> {
        let mut state = self.state();
        let pending = state.pending.as_ref().map(Pending::playing);
        state.drop_pending(AudioError::Stopped);
        let current = self.end_current(&mut state, EndReason::Stopped);
        self.wake();
        current.or(pending).ok_or(AudioError::NothingPlaying)
    }

    /// Ends the play of this token. What plays goes on where it was only about to begin.
    pub(crate) fn stop_play(&self, token: u64) -> bool {
        let mut state = self.state();
        let pending = state.pending.as_ref();
        let is_pending = pending.is_some_and(|pending| pending.about.token == token);
        if is_pending {
            state.drop_pending(AudioError::Stopped);
        }
        let current = self.line.current.load();
        let is_current = current
            .as_ref()
            .is_some_and(|reel| reel.about.token == token);
        if is_current {
            self.end_current(&mut state, EndReason::Stopped);
        }
        if is_pending || is_current {
            self.wake();
        }
        is_pending || is_current
    }

    /// Remembers which output is open.
    pub(crate) fn set_output(&self, output: Option<u64>) {
        self.state().output = output;
    }

    /// Forgets the output unless something plays or is about to. True when it did.
    pub(crate) fn rest_output(&self) -> bool {
        let mut state = self.state();
        let idle = state.pending.is_none() && self.line.current.load().is_none();
        if idle {
            state.output = None;
        }
        idle
    }

    /// The output is gone: what plays fails for this reason.
    pub(crate) fn lose_output(&self, reason: &str) {
        let mut state = self.state();
        state.output = None;
        let started = self
            .line
            .current
            .load()
            .as_ref()
            .is_some_and(|reel| reel.has_started());
        if started {
            self.end_current(
                &mut state,
                EndReason::DeviceLost(format!("the audio device was lost: {reason}")),
            );
        } else {
            self.end_current(&mut state, EndReason::DeviceLost(reason.to_owned()));
        }
    }

    /// Refuses a play whose decoder is too slow, and finds an output that takes nothing.
    pub(crate) fn overdue(&self) -> Overdue {
        let mut state = self.state();
        let mut look_again = None;
        if let Some(pending) = &state.pending {
            let left = DECODER_PATIENCE.saturating_sub(pending.since.elapsed());
            if left.is_zero() {
                let seconds = DECODER_PATIENCE.as_secs();
                state.drop_pending(AudioError::Unplayable(format!(
                    "it gave no sound within {seconds} s"
                )));
            } else {
                look_again = Some(left);
            }
        }
        if let Some(promoted) = state.promoted {
            let left = OUTPUT_PATIENCE.saturating_sub(promoted.elapsed());
            if left.is_zero() {
                state.promoted = None;
                return Overdue::Output;
            }
            look_again = Some(look_again.map_or(left, |other: Duration| other.min(left)));
        }
        Overdue::Nothing(look_again)
    }

    /// Whether neither something plays nor is about to.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().pending.is_none() && self.line.current.load().is_none()
    }

    /// Ends everything without an event, for good.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.events = None;
        state.drop_pending(AudioError::Closed);
        self.end_current(&mut state, EndReason::Stopped);
    }

    /// Lets the output's thread look at what has changed: its waiting times depend on it.
    fn wake(&self) {
        // Nobody is left to look when the station is ending.
        let _ = self.notes.send(Note::Look);
    }

    fn current(&self, id: u64) -> Option<Arc<Reel>> {
        self.line.current.load_full().filter(|reel| reel.id == id)
    }

    /// Takes the current reel off the line, answers it if that is still due, and tells its end if it had started.
    fn end_current(&self, state: &mut State, why: EndReason) -> Option<Playing> {
        let reel = self.line.current.swap(None)?;
        reel.cancel();
        state.promoted = None;
        let playing = reel.playing();
        if reel.frames_missed() > 0 {
            let missed = reel.format.duration(reel.frames_missed());
            tracing::debug!(label = %reel.about.label, ?missed, "the decoder was too slow");
        }
        if reel.has_started() {
            answer_started(&reel);
        } else if let Some(reply) = reel.take_reply() {
            let error = match why {
                EndReason::Replaced => AudioError::Superseded,
                EndReason::Stopped if state.closed => AudioError::Closed,
                EndReason::Stopped => AudioError::Stopped,
                EndReason::Failed(reason) | EndReason::DeviceLost(reason) => {
                    AudioError::NoDevice(reason)
                }
                // Reels are promoted with samples in them, so this cannot be; an answer is due all the same.
                EndReason::Finished => AudioError::Unplayable("it holds no sound".to_owned()),
            };
            let _ = reply.send(Err(error));
            return Some(playing);
        }
        if let Some(events) = &state.events {
            // Nobody has to listen.
            let _ = events.send(AudioEvent::Ended {
                token: reel.about.token,
                owner: reel.about.owner,
                label: reel.about.label.clone(),
                why,
                position: playing.position,
            });
        }
        Some(playing)
    }
}

impl State {
    fn drop_pending(&mut self, why: AudioError) {
        if let Some(pending) = self.pending.take() {
            pending.cancelled.store(true, Ordering::Release);
            let _ = pending.reply.send(Err(why));
        }
    }
}

impl Pending {
    fn playing(&self) -> Playing {
        Playing {
            label: self.about.label.clone(),
            owner: self.about.owner,
            token: self.about.token,
            position: self.start_at,
            paused: self.paused,
            duration: None,
        }
    }
}

fn answer_started(reel: &Reel) {
    if let Some(reply) = reel.take_reply() {
        let _ = reply.send(Ok(Started {
            position: reel.begin,
            duration: reel.duration,
            paused: reel.paused.load(Ordering::Acquire),
        }));
    }
}
