//! Where an output takes its sound from: what plays, whether it is paused, how loud.
//! Invariant: a [`Tap`] gives a sample for every one asked, silence when there is nothing, and never waits or locks.
//! Pause, stop, replacement and volume act on the next frame and are faded over some milliseconds, so they do not
//! click; what the device has already taken still sounds (see `backend/speaker.rs` for how much that is).

use crate::convert::Format;
use crate::output_thread::Note;
use crate::reel::{Reel, Taken};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;

/// Fade from full to silent, in seconds.
const FADE_S: f32 = 0.005;

/// Shared by the handles, which set it, and the output, which obeys.
pub(crate) struct Line {
    pub(crate) current: ArcSwapOption<Reel>,
    volume: AtomicU32,
}

impl Line {
    pub(crate) fn new(volume: f32) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            volume: AtomicU32::new(volume.to_bits()),
        }
    }

    pub(crate) fn volume(&self) -> f32 {
        f32::from_bits(self.volume.load(Ordering::Acquire))
    }

    pub(crate) fn set_volume(&self, volume: f32) {
        self.volume.store(volume.to_bits(), Ordering::Release);
    }

    /// Whether `frames` can be taken now without missing one: nothing plays, it is paused, or enough is decoded.
    pub(crate) fn is_ready(&self, frames: usize) -> bool {
        match &*self.current.load() {
            None => true,
            Some(reel) => reel.paused.load(Ordering::Acquire) || reel.is_ready(frames),
        }
    }
}

/// The output's end of the line. One output holds one tap.
pub(crate) struct Tap {
    line: Arc<Line>,
    notes: Sender<Note>,
    channels: usize,
    step: f32,
    playing: Option<Arc<Reel>>,
    /// Fade of what plays, 0.0 to 1.0, apart from the volume.
    fade: f32,
    volume: f32,
    /// The reel whose end has been told.
    told_end_of: u64,
}

impl Tap {
    pub(crate) fn new(line: Arc<Line>, notes: Sender<Note>, format: Format) -> Self {
        let volume = line.volume();
        Self {
            line,
            notes,
            channels: format.channels,
            step: 1.0 / (format.rate as f32 * FADE_S).max(1.0),
            playing: None,
            fade: 0.0,
            volume,
            told_end_of: 0,
        }
    }

    /// Fills `out` with interleaved frames at the output's own format.
    pub(crate) fn pull(&mut self, out: &mut [f32]) {
        let wanted = self.line.current.load_full();
        let volume = self.line.volume();
        for frame in out.chunks_mut(self.channels) {
            self.volume = approach(self.volume, volume, self.step);
            if !self.take(frame, wanted.as_ref()) {
                frame.fill(0.0);
                continue;
            }
            let gain = self.fade * self.volume;
            if gain < 1.0 {
                for sample in frame {
                    *sample *= gain;
                }
            }
        }
        if let Some(reel) = &self.playing {
            reel.ask_for_more();
        }
    }

    /// One frame of what plays; false when there is only silence.
    fn take(&mut self, frame: &mut [f32], wanted: Option<&Arc<Reel>>) -> bool {
        let mut on_air = same(self.playing.as_ref(), wanted);
        if !on_air && self.fade <= 0.0 {
            self.playing = wanted.cloned();
            on_air = true;
            // A piece from its beginning starts as it was recorded; one from the middle is faded in.
            if wanted
                .is_some_and(|reel| reel.begin.is_zero() && !reel.paused.load(Ordering::Acquire))
            {
                self.fade = 1.0;
            }
        }
        let Some(reel) = &self.playing else {
            return false;
        };
        let audible = on_air && !reel.paused.load(Ordering::Acquire);
        self.fade = approach(self.fade, if audible { 1.0 } else { 0.0 }, self.step);
        if self.fade <= 0.0 {
            return false;
        }
        match reel.take(frame) {
            Taken::Frame(first) => {
                if first {
                    // Nobody is left to tell when the station is ending.
                    let _ = self.notes.send(Note::Started(reel.id));
                }
                true
            }
            Taken::Missed => false,
            Taken::End => {
                self.fade = 0.0;
                if on_air && self.told_end_of != reel.id {
                    self.told_end_of = reel.id;
                    let _ = self.notes.send(Note::Drained(reel.id));
                }
                false
            }
        }
    }
}

fn same(a: Option<&Arc<Reel>>, b: Option<&Arc<Reel>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn approach(value: f32, target: f32, step: f32) -> f32 {
    if value < target {
        (value + step).min(target)
    } else {
        (value - step).max(target)
    }
}
