//! What outputs without a device are paced by.
//! Invariant: time never goes back. The WAV capture and `null` take sound exactly as fast as this clock runs.
//! Not here: the default device, which brings its own clock.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A clock that an output can wait on.
pub trait Clock: Send + Sync {
    /// Time since the clock's own beginning.
    fn now(&self) -> Duration;

    /// Blocks until `at`, or returns early after at most some 50 ms; the caller looks at [`now`](Clock::now) again.
    fn wait_until(&self, at: Duration);
}

/// The machine's monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    begun: Instant,
}

impl SystemClock {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn wait_until(&self, at: Duration) {
        let left = at.saturating_sub(self.now());
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

/// A clock that moves only when told to, for tests of what depends on time.
#[derive(Debug, Default)]
pub struct ManualClock {
    state: Mutex<ManualState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ManualState {
    now: Duration,
    /// Until when an output waits, once it has done all that was due.
    waiting_until: Option<Duration>,
}

/// How long a waiting output sleeps before it looks again whether it should end.
const RECHECK: Duration = Duration::from_millis(20);
/// How long an advance waits for the output to keep up before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

impl ManualClock {
    /// A clock that stands at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves on by `by` and returns when the output has taken all the sound due by then.
    /// Returns false when no output kept up within 10 s of real time.
    pub fn advance(&self, by: Duration) -> bool {
        let mut state = self.state();
        state.now += by;
        self.changed.notify_all();
        let begun = Instant::now();
        while state.waiting_until.is_none_or(|until| until <= state.now) {
            if begun.elapsed() > PATIENCE {
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, RECHECK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.state().now
    }

    fn wait_until(&self, at: Duration) {
        let mut state = self.state();
        state.waiting_until = Some(at);
        self.changed.notify_all();
        if state.now < at {
            drop(
                self.changed
                    .wait_timeout(state, RECHECK)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }
}
