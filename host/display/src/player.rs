//! Decides which frame of an animation is due, and has it ready before.
//! Invariant: frame times add up from the first frame's time, so lateness never accumulates.
//! Not here: a clock or a thread. The caller says what time it is, so tests need no waiting.
//! A file that breaks off is played up to there, with one warning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::canvas::Canvas;
use crate::frame::Frame;
use crate::reel::Reel;
use crate::settings::Look;
use crate::{DisplayError, limits};

/// How an animation is to be played.
pub(crate) struct Pace {
    /// Frames per second; `None` is the file's own timing.
    pub(crate) fps: Option<f64>,
    /// `None` is the file's own number, 0 for ever.
    pub(crate) loops: Option<u32>,
    /// Finished frames kept, in bytes.
    pub(crate) cache_bytes: usize,
}

/// A panel frame and how long it is held.
#[derive(Clone)]
struct Held {
    frame: Arc<Frame>,
    hold: Duration,
}

/// What is to be done now.
pub(crate) enum Turn {
    /// Nothing yet.
    Wait,
    /// Put this on the panel.
    Present(Arc<Frame>),
    /// The last play is over; its last frame stays.
    Ended,
}

/// One animation at some place in its time.
pub(crate) struct Player {
    frames: Frames,
    /// Decoded ahead: `Some(None)` when nothing follows.
    ahead: Option<Option<Held>>,
    /// When the frame on the panel has been held long enough; `None` when it stays for ever.
    until: Option<Instant>,
}

impl Player {
    /// Decodes the first frame, which is to be presented at `now`.
    ///
    /// # Errors
    /// When there is no first frame, or the rate makes no sense.
    pub(crate) fn start(
        mut reel: Box<dyn Reel>,
        look: &Look,
        pace: &Pace,
        now: Instant,
    ) -> Result<(Self, First), DisplayError> {
        let fixed_hold = pace.fps.map(hold_of_rate).transpose()?;
        let plays = match pace.loops {
            None => reel.plays(),
            Some(0) => None,
            Some(plays) => Some(plays),
        };
        let Some(still) = reel.next()? else {
            return Err(DisplayError::Empty("the animation has no frames"));
        };
        let canvas = Canvas::new(look, still.pixels);
        let first = Held {
            frame: Arc::new(canvas.paint(still.pixels)),
            hold: fixed_hold.unwrap_or(still.hold),
        };
        let shown = First {
            frame: Arc::clone(&first.frame),
            width: still.pixels.width,
            height: still.pixels.height,
        };
        let until = now.checked_add(first.hold);
        let mut frames = Frames {
            reel: Some(reel),
            canvas,
            fixed_hold,
            plays_left: plays.map(|plays| plays.saturating_sub(1)),
            cache: Cache {
                held: Vec::new(),
                bytes: 0,
                limit: pace.cache_bytes,
                complete: true,
            },
            position: 0,
            warned: false,
        };
        frames.cache.keep(&first);
        Ok((
            Self {
                frames,
                ahead: None,
                until,
            },
            shown,
        ))
    }

    /// When `turn` has something to do next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.until
    }

    /// Decodes the next frame while the current one is held. Call it after presenting.
    pub(crate) fn prepare(&mut self) {
        if self.ahead.is_none() {
            let next = self.frames.next();
            if next.is_some() && self.frames.is_still() {
                // One frame for ever: nothing will ever change.
                self.until = None;
            }
            self.ahead = Some(next);
        }
    }

    /// What is due at `now`. Late frames are passed over so that the clock is kept.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        let Some(mut until) = self.until.filter(|until| *until <= now) else {
            return Turn::Wait;
        };
        if now.duration_since(until) > limits::GIVE_UP_CATCHING_UP {
            until = now;
        }
        let mut skipped = 0;
        loop {
            self.prepare();
            let Some(next) = self.ahead.take().flatten() else {
                self.until = None;
                return Turn::Ended;
            };
            self.until = until.checked_add(next.hold);
            match self.until {
                Some(end) if end <= now && skipped < limits::MAX_SKIPPED_FRAMES => {
                    skipped += 1;
                    until = end;
                }
                _ => return Turn::Present(next.frame),
            }
        }
    }
}

/// The first frame, and the size of its source.
pub(crate) struct First {
    pub(crate) frame: Arc<Frame>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

fn hold_of_rate(fps: f64) -> Result<Duration, DisplayError> {
    if limits::FRAME_RATES.contains(&fps) {
        Ok(Duration::from_secs_f64(1.0 / fps))
    } else {
        Err(DisplayError::FrameRate { got: fps })
    }
}

/// The frames in the order of playing, loop after loop.
struct Frames {
    /// Gone when every frame is in the cache.
    reel: Option<Box<dyn Reel>>,
    canvas: Canvas,
    fixed_hold: Option<Duration>,
    /// Plays after the current one; `None` is for ever.
    plays_left: Option<u32>,
    cache: Cache,
    /// The frame given last, when they come from the cache.
    position: usize,
    /// Whether a broken file was reported.
    warned: bool,
}

impl Frames {
    fn next(&mut self) -> Option<Held> {
        let Some(mut reel) = self.reel.take() else {
            return self.next_cached();
        };
        if let Some(held) = self.decode(reel.as_mut()) {
            self.cache.keep(&held);
            self.reel = Some(reel);
            return Some(held);
        }
        if self.cache.complete {
            self.position = self.cache.held.len();
            return self.next_cached();
        }
        if !self.play_again() {
            return None;
        }
        let again = reel.rewind().map_err(|error| self.warn(&error)).ok();
        let held = again.and_then(|()| self.decode(reel.as_mut()));
        self.reel = Some(reel);
        held
    }

    /// The reel's next frame; a broken one is its end.
    fn decode(&mut self, reel: &mut dyn Reel) -> Option<Held> {
        let still = reel.next().unwrap_or_else(|error| {
            self.warn(&error);
            None
        })?;
        let frame = Arc::new(self.canvas.paint(still.pixels));
        Some(Held {
            frame,
            hold: self.fixed_hold.unwrap_or(still.hold),
        })
    }

    /// Once per animation, not once per loop.
    fn warn(&mut self, error: &DisplayError) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(%error, "animation breaks off and is played up to there");
        }
    }

    fn next_cached(&mut self) -> Option<Held> {
        self.position += 1;
        if self.position >= self.cache.held.len() {
            if !self.play_again() {
                return None;
            }
            self.position = 0;
        }
        self.cache.held.get(self.position).cloned()
    }

    fn play_again(&mut self) -> bool {
        match &mut self.plays_left {
            None => true,
            Some(0) => false,
            Some(plays) => {
                *plays -= 1;
                true
            }
        }
    }

    /// One picture for ever.
    fn is_still(&self) -> bool {
        self.reel.is_none() && self.cache.held.len() == 1 && self.plays_left.is_none()
    }
}

/// Finished frames of the first play, as long as all of them fit.
struct Cache {
    held: Vec<Held>,
    bytes: usize,
    limit: usize,
    /// Whether every frame so far is kept.
    complete: bool,
}

impl Cache {
    fn keep(&mut self, held: &Held) {
        if !self.complete {
            return;
        }
        self.bytes += held.frame.bytes() + size_of::<Held>();
        if self.bytes > self.limit {
            self.complete = false;
            self.held = Vec::new();
        } else {
            self.held.push(held.clone());
        }
    }
}

#[cfg(test)]
mod tests;
