//! How long calls took, as counts in fixed ranges.
//! Invariant: noting one is an atomic addition; the memory is the same for one call and for all of them.
//! A percentile is the upper end of its range, a quarter above the truth at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Ranges for each doubling.
const PARTS: u32 = 4;

/// The last range begins at about 25 min and takes all that is longer.
const RANGES: usize = 120;

/// Counts by duration in µs.
pub(crate) struct Durations([AtomicU64; RANGES]);

impl Default for Durations {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; RANGES])
    }
}

impl Durations {
    /// Counts one.
    pub(crate) fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.0.get(range(us)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The µs that this share of all calls (0.0 to 1.0) did not exceed; none where there was no call.
    pub(crate) fn percentile_us(&self, share: f64) -> Option<u64> {
        let counts: Vec<u64> = self.0.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let rank = (all as f64 * share).ceil().max(1.0) as u64;
        let mut before = 0;
        let range = counts.iter().position(|count| {
            before += count;
            before >= rank
        })?;
        Some(last_us(range))
    }
}

fn range(us: u64) -> usize {
    if us < u64::from(PARTS) {
        return us as usize;
    }
    let doubling = us.ilog2();
    let part = (us >> (doubling - 2)) as u32 - PARTS;
    (((doubling - 1) * PARTS + part) as usize).min(RANGES - 1)
}

/// The longest duration of a range.
fn last_us(range: usize) -> u64 {
    let range = range as u64;
    let parts = u64::from(PARTS);
    if range < parts {
        return range;
    }
    let (doubling, part) = (range / parts + 1, range % parts);
    ((parts + part + 1) << (doubling - 2)) - 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_duration_is_in_a_range_that_ends_at_most_a_quarter_above_it() {
        let mut us = 0;
        while us < 1_000_000_000 {
            let last = last_us(range(us));
            assert!(last >= us && last <= us + us / 4, "{us} µs ends at {last}");
            assert!(range(last) == range(us) && range(last + 1) == range(us) + 1);
            us += 1 + us / 7;
        }
        assert_eq!(range(u64::MAX), RANGES - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_noted() {
        let durations = Durations::default();
        assert_eq!(durations.percentile_us(0.5), None);
        for us in 1..=1000 {
            durations.note(Duration::from_micros(us));
        }
        let half = durations.percentile_us(0.5).unwrap();
        let most = durations.percentile_us(0.99).unwrap();
        assert!((500..=640).contains(&half), "{half}");
        assert!((990..=1270).contains(&most), "{most}");
    }
}
