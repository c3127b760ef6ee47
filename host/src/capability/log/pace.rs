//! How fast a plugin may write to the log.
//! Invariant: at most `BURST` lines at once and `PER_SECOND` a second in the long run; what is left out is counted and told.
//! Time is handed in.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Lines at once.
const BURST: f64 = 200.0;

/// Lines a second, in the long run.
const PER_SECOND: f64 = 20.0;

/// The pace of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    room: f64,
    since: Option<Instant>,
    left_out: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            room: BURST,
            since: None,
            left_out: 0,
        }
    }
}

impl Pace {
    /// Whether a line may be written at `now`: then with how many were left out before it.
    pub(crate) fn line(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(state.since.unwrap_or(now));
        state.since = Some(now);
        state.room = (state.room + passed.as_secs_f64() * PER_SECOND).min(BURST);
        if state.room < 1.0 {
            state.left_out += 1;
            return None;
        }
        state.room -= 1.0;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let pace = Pace::default();
        let start = Instant::now();
        let written = (0..10_000).filter(|_| pace.line(start).is_some()).count();
        assert_eq!(written, 200);
        let later = start + Duration::from_millis(100);
        assert_eq!(pace.line(later), Some(9_800));
        assert_eq!(pace.line(later), Some(0));
        assert_eq!(pace.line(later), None);
    }
}
