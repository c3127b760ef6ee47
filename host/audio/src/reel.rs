//! One piece of music between its decoder and the output.
//! Invariant: the position is its start plus the frames the output has taken, so it can neither run ahead of the
//! sound nor drift; everything here is read and written without a lock, as the output may be a real-time callback.

use crate::convert::Format;
use crate::error::AudioError;
use crate::ring::Ring;
use crate::station::{Playing, Started};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// What is decoded ahead. An SD card may stall that long without being heard; at 48 kHz stereo it is 1 MiB.
const AHEAD: Duration = Duration::from_secs(2);

/// What the person who asked for a play is told.
pub(crate) type Reply = oneshot::Sender<Result<Started, AudioError>>;

/// Who asked for a piece and what to call it.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) label: String,
    pub(crate) owner: u64,
    pub(crate) token: u64,
}

/// One piece of music on its way out.
pub(crate) struct Reel {
    /// Which play this is; never used twice.
    pub(crate) id: u64,
    pub(crate) about: About,
    /// Of the whole piece, as far as its container says.
    pub(crate) duration: Option<Duration>,
    /// Where in the piece the first frame of this reel lies.
    pub(crate) begin: Duration,
    pub(crate) format: Format,
    /// Set when nobody wants it any more; the decoder gives up.
    cancelled: Arc<AtomicBool>,
    pub(crate) paused: AtomicBool,
    ring: Ring,
    frames_taken: AtomicU64,
    frames_missed: AtomicU64,
    complete: AtomicBool,
    fault: OnceLock<String>,
    feeder: Thread,
    feeder_waits: AtomicBool,
    reply: Mutex<Option<Reply>>,
}

/// What a wish for one frame gave.
pub(crate) enum Taken {
    /// A frame; true when it is the reel's first.
    Frame(bool),
    /// Nothing yet: the decoder is behind.
    Missed,
    /// Nothing any more.
    End,
}

impl Reel {
    /// An empty reel, to be filled by the calling thread.
    pub(crate) fn new(
        id: u64,
        about: About,
        duration: Option<Duration>,
        begin: Duration,
        format: Format,
        cancelled: Arc<AtomicBool>,
    ) -> Self {
        let frames = usize::try_from(format.frames(AHEAD)).unwrap_or(usize::MAX);
        Self {
            id,
            about,
            duration,
            begin,
            format,
            cancelled,
            paused: AtomicBool::new(false),
            ring: Ring::new(frames.saturating_mul(format.channels)),
            frames_taken: AtomicU64::new(0),
            frames_missed: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            fault: OnceLock::new(),
            feeder: std::thread::current(),
            feeder_waits: AtomicBool::new(false),
            reply: Mutex::new(None),
        }
    }

    /// Where in the piece the output is.
    pub(crate) fn position(&self) -> Duration {
        self.begin
            + self
                .format
                .duration(self.frames_taken.load(Ordering::Acquire))
    }

    /// A picture of this moment.
    pub(crate) fn playing(&self) -> Playing {
        Playing {
            label: self.about.label.clone(),
            owner: self.about.owner,
            token: self.about.token,
            position: self.position(),
            paused: self.paused.load(Ordering::Acquire),
            duration: self.duration,
        }
    }

    /// Whether the output has taken its first frame.
    pub(crate) fn has_started(&self) -> bool {
        self.frames_taken.load(Ordering::Acquire) > 0
    }

    /// Frames that the output wanted and the decoder did not have.
    pub(crate) fn frames_missed(&self) -> u64 {
        self.frames_missed.load(Ordering::Relaxed)
    }

    /// Why the decoder ended before the end, if it did.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// Whom to tell when sound starts.
    pub(crate) fn set_reply(&self, reply: Reply) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
    }

    /// Takes whom to tell; the second taker gets nobody.
    pub(crate) fn take_reply(&self) -> Option<Reply> {
        self.reply
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Gives it up: the decoder stops at once.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.feeder.unpark();
    }

    /// Decoder's side: adds whole frames, waiting for room. False when nobody wants any more.
    pub(crate) fn feed(&self, samples: &[f32]) -> bool {
        let block = (self.ring.capacity() / 8 / self.format.channels).max(1) * self.format.channels;
        for part in samples.chunks(block) {
            while !self.is_cancelled() && !self.ring.push(part) {
                self.feeder_waits.store(true, Ordering::SeqCst);
                // Look again: the output may have made room before it could see that somebody waits.
                if self.ring.free() < part.len() {
                    std::thread::park_timeout(Duration::from_millis(250));
                }
                self.feeder_waits.store(false, Ordering::SeqCst);
            }
        }
        !self.is_cancelled()
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Decoder's side: there is no more, for this reason if it is not the end of the piece.
    pub(crate) fn complete(&self, fault: Option<String>) {
        if let Some(fault) = fault {
            // Only the first reason counts; there is only one caller anyway.
            let _ = self.fault.set(fault);
        }
        self.complete.store(true, Ordering::Release);
    }

    /// Output's side: the next frame.
    pub(crate) fn take(&self, frame: &mut [f32]) -> Taken {
        // Before the pop: a decoder that adds its last frames and completes in between must not be cut off.
        let complete = self.complete.load(Ordering::Acquire);
        if self.ring.pop(frame) {
            Taken::Frame(self.frames_taken.fetch_add(1, Ordering::AcqRel) == 0)
        } else if complete {
            Taken::End
        } else {
            self.frames_missed.fetch_add(1, Ordering::Relaxed);
            Taken::Missed
        }
    }

    /// Output's side: wakes the decoder when it waits and the ring is half empty.
    pub(crate) fn ask_for_more(&self) {
        if self.ring.free() >= self.ring.capacity() / 2
            && self.feeder_waits.swap(false, Ordering::SeqCst)
        {
            self.feeder.unpark();
        }
    }

    /// Whether `frames` can be taken without missing one.
    pub(crate) fn is_ready(&self, frames: usize) -> bool {
        self.complete.load(Ordering::Acquire)
            || self.ring.len() >= frames.saturating_mul(self.format.channels)
    }
}
