//! How long to wait before connecting again.
//! Invariant: never longer than the longest pause; different for each client, so that not all come back at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Doubles with each failure.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = FIRST
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST);
        self.failures += 1;
        pause.mul_f64(0.75 + 0.25 * random_part())
    }

    /// The connection was of use.
    pub(crate) fn worked(&mut self) {
        self.failures = 0;
    }
}

/// From 0 to 1.
fn random_part() -> f64 {
    let mut byte = [0; 1];
    // Without randomness clients come back together, which is no more than a burst.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte.first().copied().unwrap_or(255)) / 255.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn pauses_grow_up_to_a_limit_and_start_over_when_it_worked() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= Duration::from_millis(50));
        assert!(pauses[3] >= Duration::from_millis(300));
        assert!(pauses[11] <= Duration::from_secs(5) && pauses[11] >= Duration::from_millis(3_750));
        backoff.worked();
        assert!(backoff.next() <= Duration::from_millis(50));
    }
}
