//! How the calls of one version end: whether it ever worked, and whether it crashes again and again.
//! Invariant: a call that is done wipes out all crashes before it; a rest is over by itself, a quarantine never.
//! Not here: what is done about it (`loader` rolls back, `dispatch` refuses calls). Time is handed in.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Crashes of a version that has done nothing yet, after which the one before it serves again.
const HOPELESS_CRASHES: u32 = 3;

/// Crashes in a row after which it rests.
const CRASHES_IN_A_ROW: u32 = 5;

/// The first rest; each one that follows without a call that is done is twice as long.
const FIRST_REST: Duration = Duration::from_secs(1);

/// Rests after which it is in quarantine: all in all about two minutes.
const RESTS: u32 = 7;

/// Why no call is let through now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// It crashed several times in a row: the next call is let through after this time.
    Rests(Duration),
    /// Its last chance is gone: until its file or its table in config.toml changes, or the host starts anew.
    Quarantined,
}

/// What is known of one version.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// An operation of it was done.
    proven: AtomicBool,
    /// Crashes since the last operation that was done.
    crashes: AtomicU32,
    out: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    taken: u32,
    until: Option<Instant>,
}

impl Health {
    /// An operation was done, or refused for a reason.
    pub(crate) fn done(&self) {
        self.proven.store(true, Ordering::Relaxed);
        if self.crashes.load(Ordering::Relaxed) > 0 {
            self.crashes.store(0, Ordering::Relaxed);
            *self.rest() = Rest::default();
        }
    }

    /// An operation crashed.
    pub(crate) fn crashed(&self, now: Instant) {
        let crashes = self.crashes.fetch_add(1, Ordering::Relaxed) + 1;
        if crashes >= CRASHES_IN_A_ROW {
            let mut rest = self.rest();
            rest.until = Some(now + FIRST_REST * 2_u32.pow(rest.taken.min(RESTS)));
            rest.taken += 1;
        }
    }

    /// Whether it crashed again and again and never did anything.
    pub(crate) fn is_hopeless(&self) -> bool {
        !self.proven.load(Ordering::Relaxed)
            && self.crashes.load(Ordering::Relaxed) >= HOPELESS_CRASHES
    }

    /// Crashes since the last operation that was done.
    pub(crate) fn crashes(&self) -> u32 {
        self.crashes.load(Ordering::Relaxed)
    }

    /// Why no call is to be let through at `now`; none where one is.
    pub(crate) fn out(&self, now: Instant) -> Option<Out> {
        if self.crashes.load(Ordering::Relaxed) < CRASHES_IN_A_ROW {
            return None;
        }
        let rest = self.rest();
        if rest.taken > RESTS {
            return Some(Out::Quarantined);
        }
        let left = rest.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(Out::Rests(left))
    }

    fn rest(&self) -> std::sync::MutexGuard<'_, Rest> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_longer_after_each_crash_and_ends_in_quarantine() {
        let health = Health::default();
        let mut now = Instant::now();
        for _ in 0..CRASHES_IN_A_ROW {
            assert_eq!(health.out(now), None);
            health.crashed(now);
        }
        for rest in 0..RESTS {
            let length = FIRST_REST * 2_u32.pow(rest);
            assert_eq!(health.out(now), Some(Out::Rests(length)));
            now += length;
            assert_eq!(
                health.out(now),
                None,
                "one call is let through after a rest"
            );
            health.crashed(now);
        }
        assert_eq!(health.out(now), Some(Out::Quarantined));
        assert_eq!(
            health.out(now + Duration::from_secs(86_400)),
            Some(Out::Quarantined)
        );
    }

    #[test]
    fn a_call_that_is_done_wipes_out_the_crashes() {
        let health = Health::default();
        let now = Instant::now();
        for _ in 0..CRASHES_IN_A_ROW {
            health.crashed(now);
        }
        health.done();
        assert_eq!((health.out(now), health.crashes()), (None, 0));
        for _ in 1..CRASHES_IN_A_ROW {
            health.crashed(now);
        }
        assert_eq!(health.out(now), None);
        assert!(!health.is_hopeless(), "it has worked");
    }
}
