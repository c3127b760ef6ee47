//! Median and spread of what was measured in rounds.
//! Invariant: a ratio is of two values of one round, so that a machine's moods meet both sides.

use serde::Serialize;

/// Five numbers that stand for many.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// A quarter is below.
    pub(crate) lower: f64,
    /// A quarter is above.
    pub(crate) upper: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one value; of none it is all zeros.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * sorted.len().saturating_sub(1) as f64;
            let value = |place: f64| sorted.get(place as usize).copied().unwrap_or_default();
            let (below, above) = (value(place.floor()), value(place.ceil()));
            below + (above - below) * place.fract()
        };
        Self {
            median: at(0.5),
            lower: at(0.25),
            upper: at(0.75),
            least: at(0.0),
            most: at(1.0),
        }
    }

    /// Of the ratios, round by round.
    pub(crate) fn of_ratios(ours: &[f64], floor: &[f64]) -> Self {
        Self::of(ours.iter().zip(floor).map(|(ours, floor)| ours / floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_lie_between_neighbours() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(
            (spread.least, spread.lower, spread.median),
            (1.0, 1.75, 2.5)
        );
        assert_eq!((spread.upper, spread.most), (3.25, 4.0));
    }

    #[test]
    fn a_slow_round_of_both_sides_leaves_the_ratio() {
        let spread = Spread::of_ratios(&[3.0, 30.0, 3.0], &[2.0, 20.0, 2.0]);
        assert_eq!((spread.least, spread.most), (1.5, 1.5));
    }
}
