//! Decoded frames to the output's channels and rate.
//! Invariant: n input frames become ceil(n * output rate / input rate) output frames, whatever the block sizes, so a
//! position counted in output frames is exact; no delay is added.
//! Not here: rodio's own converter, which starts anew at every packet and interpolates linearly.

use std::f64::consts::PI;

/// Frames per second and samples per frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    /// Samples per frame, at least 1.
    pub(crate) channels: usize,
    /// Frames per second, at least 1.
    pub(crate) rate: u32,
}

impl Format {
    /// How long `frames` last.
    pub(crate) fn duration(self, frames: u64) -> std::time::Duration {
        let rate = u64::from(self.rate.max(1));
        std::time::Duration::from_secs(frames / rate)
            + std::time::Duration::from_nanos((frames % rate) * 1_000_000_000 / rate)
    }

    /// How many whole frames fit in `time`.
    pub(crate) fn frames(self, time: std::time::Duration) -> u64 {
        let rate = u64::from(self.rate);
        time.as_secs() * rate + u64::from(time.subsec_nanos()) * rate / 1_000_000_000
    }
}

/// Turns interleaved frames of one format into another, block by block.
pub(crate) struct Converter {
    from: Format,
    to: Format,
    resampler: Option<Resampler>,
    mapped: Vec<f32>,
}

impl Converter {
    pub(crate) fn new(from: Format, to: Format) -> Self {
        Self {
            from,
            to,
            resampler: (from.rate != to.rate)
                .then(|| Resampler::new(from.rate, to.rate, to.channels)),
            mapped: Vec::new(),
        }
    }

    /// Converts whole interleaved frames and appends the result to `out`.
    pub(crate) fn feed(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        match &mut self.resampler {
            None => map_channels(frames, self.from.channels, self.to.channels, out),
            Some(resampler) => {
                self.mapped.clear();
                map_channels(
                    frames,
                    self.from.channels,
                    self.to.channels,
                    &mut self.mapped,
                );
                resampler.feed(&self.mapped, out);
            }
        }
    }

    /// Appends what is still held back. Nothing may be fed afterwards.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) {
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(out);
        }
    }
}

/// One channel goes to the first two; more channels than the output has are mixed so that none gets lost and nothing
/// clips; output channels without a source stay silent. What is not a number becomes silence.
fn map_channels(frames: &[f32], from: usize, to: usize, out: &mut Vec<f32>) {
    let clean = |sample: f32| if sample.is_finite() { sample } else { 0.0 };
    for frame in frames.chunks_exact(from.max(1)) {
        let start = out.len();
        if from == 1 {
            out.extend(frame.iter().cycle().take(to.min(2)).copied().map(clean));
        } else if from <= to {
            out.extend(frame.iter().copied().map(clean));
        } else if to == 1 {
            out.push(frame.iter().copied().map(clean).sum::<f32>() / from as f32);
        } else {
            // Each front channel gets itself and half of every channel beyond the output's.
            let rest: f32 = frame.iter().skip(to).copied().map(clean).sum::<f32>() * 0.5;
            let scale = 1.0 / (1.0 + 0.5 * (from - to) as f32);
            out.extend(frame.iter().take(to).map(|s| (clean(*s) + rest) * scale));
        }
        out.resize(start + to, 0.0);
    }
}

/// Windowed-sinc interpolation between any two rates.
struct Resampler {
    in_rate: u64,
    out_rate: u64,
    channels: usize,
    /// Taps on each side of the wanted instant.
    half: usize,
    /// `PHASES + 1` rows of `2 * half` weights, for instants between two input frames.
    weights: Vec<f32>,
    /// Input not yet used up, led by `half - 1` frames before the wanted instant.
    pending: Vec<f32>,
    /// The next output's instant: whole input frames into `pending`, and the rest in units of 1/out_rate.
    whole: usize,
    rest: u64,
    sums: Vec<f32>,
}

const PHASES: usize = 256;
/// Taps on each side when the rate goes up; more when it goes down, as the filter gets longer.
const HALF_TAPS: f64 = 16.0;
/// Keep below half the lower rate, so that the filter's slope ends there.
const PASS_BAND: f64 = 0.92;
const KAISER_BETA: f64 = 8.0;

impl Resampler {
    fn new(in_rate: u32, out_rate: u32, channels: usize) -> Self {
        let ratio = (f64::from(out_rate) / f64::from(in_rate)).min(1.0);
        let cutoff = ratio * PASS_BAND;
        let half = (HALF_TAPS / ratio).ceil() as usize;
        let mut weights = Vec::with_capacity((PHASES + 1) * 2 * half);
        for phase in 0..=PHASES {
            let fraction = phase as f64 / PHASES as f64;
            let row: Vec<f64> = (0..2 * half)
                .map(|tap| {
                    let x = tap as f64 - (half as f64 - 1.0) - fraction;
                    sinc(cutoff * x) * kaiser(x / half as f64)
                })
                .collect();
            let sum: f64 = row.iter().sum();
            weights.extend(row.iter().map(|weight| (weight / sum) as f32));
        }
        Self {
            in_rate: u64::from(in_rate),
            out_rate: u64::from(out_rate),
            channels,
            half,
            weights,
            pending: vec![0.0; (half - 1) * channels],
            whole: 0,
            rest: 0,
            sums: vec![0.0; channels],
        }
    }

    fn feed(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        self.pending.extend_from_slice(frames);
        let taps = 2 * self.half;
        while let Some(window) = self
            .pending
            .get(self.whole * self.channels..(self.whole + taps) * self.channels)
        {
            let place = self.rest as f64 / self.out_rate as f64 * PHASES as f64;
            let phase = place as usize;
            let between = (place - phase as f64) as f32;
            let mut rows = self.weights.chunks_exact(taps).skip(phase);
            let (Some(lower), Some(upper)) = (rows.next(), rows.next()) else {
                break;
            };
            self.sums.fill(0.0);
            for (frame, (a, b)) in window
                .chunks_exact(self.channels)
                .zip(lower.iter().zip(upper))
            {
                let weight = a + (b - a) * between;
                for (sum, sample) in self.sums.iter_mut().zip(frame) {
                    *sum += weight * sample;
                }
            }
            out.extend_from_slice(&self.sums);
            self.rest += self.in_rate;
            self.whole += (self.rest / self.out_rate) as usize;
            self.rest %= self.out_rate;
        }
        let used = (self.whole * self.channels).min(self.pending.len());
        self.pending.drain(..used);
        self.whole -= used / self.channels;
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        let silence = vec![0.0; self.half * self.channels];
        self.feed(&silence, out);
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// The Kaiser window at `x` from -1 to 1, up to a constant factor that the row's sum takes out.
fn kaiser(x: f64) -> f64 {
    bessel_i0(KAISER_BETA * (1.0 - x * x).max(0.0).sqrt())
}

fn bessel_i0(x: f64) -> f64 {
    let mut sum = 1.0;
    let mut term = 1.0;
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hertz: f64, frames: usize) -> Vec<f32> {
        (0..frames)
            .map(|n| (2.0 * PI * hertz * n as f64 / f64::from(rate)).sin() as f32 * 0.5)
            .collect()
    }

    fn mono(rate: u32) -> Format {
        Format { channels: 1, rate }
    }

    fn convert_in_blocks(input: &[f32], from: u32, to: u32, block: usize) -> Vec<f32> {
        let mut converter = Converter::new(mono(from), mono(to));
        let mut out = Vec::new();
        for part in input.chunks(block) {
            converter.feed(part, &mut out);
        }
        converter.finish(&mut out);
        out
    }

    #[test]
    fn every_pair_of_usual_rates_keeps_length_phase_and_level_of_a_tone() {
        for from in [8_000, 11_025, 22_050, 44_100, 48_000, 96_000] {
            for to in [44_100, 48_000] {
                let input = sine(from, 1_000.0, from as usize);
                let out = convert_in_blocks(&input, from, to, 1_152);
                assert_eq!(out.len(), to as usize, "{from} to {to}");
                let wanted = sine(to, 1_000.0, to as usize);
                // The edges ring against the silence around the file; the inside must match.
                let error = wanted
                    .iter()
                    .zip(&out)
                    .skip(200)
                    .take(to as usize - 400)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max);
                assert!(error < 2e-4, "{from} to {to}: off by {error}");
            }
        }
    }

    #[test]
    fn the_block_size_does_not_change_a_single_sample() {
        let input = sine(44_100, 3_000.0, 10_000);
        let whole = convert_in_blocks(&input, 44_100, 48_000, input.len());
        assert_eq!(whole.len(), (10_000 * 160_usize).div_ceil(147));
        for block in [1, 7, 576, 1_152] {
            assert_eq!(convert_in_blocks(&input, 44_100, 48_000, block), whole);
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_removed_instead_of_folded_back() {
        let input = sine(48_000, 15_000.0, 48_000);
        let out = convert_in_blocks(&input, 48_000, 22_050, 1_000);
        let loudest = out
            .iter()
            .skip(200)
            .take(21_000)
            .fold(0.0_f32, |m, s| m.max(s.abs()));
        assert!(loudest < 1e-3, "{loudest}");
    }

    #[test]
    fn channels_are_spread_and_mixed_so_that_none_is_lost_and_nothing_clips() {
        let map = |frames: &[f32], from, to| {
            let mut out = Vec::new();
            map_channels(frames, from, to, &mut out);
            out
        };
        assert_eq!(map(&[0.5, -0.5], 1, 2), [0.5, 0.5, -0.5, -0.5]);
        assert_eq!(map(&[0.5], 1, 4), [0.5, 0.5, 0.0, 0.0]);
        assert_eq!(map(&[0.25, 0.75], 2, 1), [0.5]);
        assert_eq!(map(&[0.25, 0.75], 2, 2), [0.25, 0.75]);
        assert_eq!(map(&[0.25, f32::NAN], 2, 2), [0.25, 0.0]);
        let loud = map(&[1.0; 6], 6, 2);
        assert!(
            loud.iter().all(|s| (*s - 1.0).abs() < 1e-6),
            "full scale stays full scale: {loud:?}"
        );
        let centre = map(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 6, 2);
        assert!(centre[0] > 0.1 && centre[0] == centre[1]);
    }

    #[test]
    fn frames_and_time_convert_both_ways_without_drift_over_a_day() {
        let format = Format {
            channels: 2,
            rate: 44_100,
        };
        let day = std::time::Duration::from_secs(86_400);
        assert_eq!(format.frames(day), 86_400 * 44_100);
        assert_eq!(format.duration(86_400 * 44_100), day);
        assert_eq!(format.duration(441), std::time::Duration::from_millis(10));
    }
}
