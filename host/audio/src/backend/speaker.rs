//! `default`: the system's default sound device, through rodio and cpal (ALSA on Linux).
//! Invariant: the device's callback only copies samples that are already decoded; no disk, no lock, no decoder.
//! Buffer: two periods of about 21 ms (1,024 frames at 44.1 or 48 kHz), so a pause is heard after some 45 ms at most;
//! a sound server adds its own. A device that does not allow this gets its own sizes.
//! An underrun is heard as a gap and no more; errors for half a second without sound mean that the device is lost.

use super::{Output, Wiring};
use crate::convert::Format;
use crate::line::Tap;
use rodio::cpal::traits::{DeviceTrait, HostTrait};
use rodio::cpal::{self, ErrorKind};
use rodio::{ChannelCount, DeviceSinkBuilder, MixerDeviceSink, Sample, SampleRate, Source};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Periods per second, before rounding up to a power of two frames.
const PERIODS_PER_S: u32 = 50;
/// Frames taken from the tap at once; the device asks sample by sample.
const BLOCK_FRAMES: usize = 64;
/// Errors without sound for so long mean that the device is gone.
const ERROR_PATIENCE: Duration = Duration::from_millis(500);
/// Between two errors.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

struct Speaker {
    format: Format,
    _device: MixerDeviceSink,
}

impl Output for Speaker {
    fn format(&self) -> Format {
        self.format
    }

    fn never_rests(&self) -> bool {
        false
    }
}

pub(super) fn open(_options: &str, wiring: Wiring) -> Result<Box<dyn Output>, String> {
    #[cfg(target_os = "linux")]
    crate::alsa_complaints::catch();
    let lost = wiring.lost();
    let pulls = Arc::new(AtomicU64::new(0));
    let mut trouble = Trouble::new(Arc::clone(&pulls));
    let on_error = move |error: cpal::Error| {
        if trouble.is_lost(&error) {
            lost(format!("it stopped taking sound ({error})"));
        }
    };
    let device = cpal::default_host()
        .default_output_device()
        .ok_or("this machine has no sound device")?;
    let rate = device
        .default_output_config()
        .map_err(|error| in_plain_words(&error))?
        .sample_rate();
    let period_frames = (rate / PERIODS_PER_S).max(1).next_power_of_two();
    let mut device = DeviceSinkBuilder::from_device(device)
        .map_err(|error| in_plain_words(&error))?
        .with_buffer_size(cpal::BufferSize::Fixed(period_frames))
        .with_error_callback(on_error)
        .open_sink_or_fallback()
        .map_err(|error| in_plain_words(&error))?;
    device.log_on_drop(false);
    let config = device.config();
    let (channels, rate) = (config.channel_count(), config.sample_rate());
    let format = Format {
        channels: usize::from(channels.get()),
        rate: rate.get(),
    };
    tracing::debug!(?config, "audio device open");
    device.mixer().add(TapSource {
        tap: wiring.tap(format),
        block: vec![0.0; BLOCK_FRAMES * format.channels],
        at: BLOCK_FRAMES * format.channels,
        channels,
        rate,
        pulls,
    });
    Ok(Box::new(Speaker {
        format,
        _device: device,
    }))
}

/// Errors of an open device: which of them mean that it is gone.
#[derive(Clone)]
struct Trouble {
    pulls: Arc<AtomicU64>,
    /// When errors began, and the count of pulls then.
    since: Option<(Instant, u64)>,
    told: bool,
}

impl Trouble {
    fn new(pulls: Arc<AtomicU64>) -> Self {
        Self {
            pulls,
            since: None,
            told: false,
        }
    }

    /// True once, when the device is gone. A sound server's stream answers with errors for its first moments too, so
    /// only errors without any sound in between for a while count.
    fn is_lost(&mut self, error: &cpal::Error) -> bool {
        tracing::trace!("audio device: {error}");
        let gone = match error.kind() {
            ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => return false,
            ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated => true,
            _ => {
                // The device's thread asks again at once, without end.
                std::thread::sleep(ERROR_PAUSE);
                let pulls = self.pulls.load(Ordering::Relaxed);
                match self.since {
                    Some((since, then)) if then == pulls => since.elapsed() >= ERROR_PATIENCE,
                    _ => {
                        self.since = Some((Instant::now(), pulls));
                        false
                    }
                }
            }
        };
        gone && !std::mem::replace(&mut self.told, true)
    }
}

/// The system's words with every cause, behind what they mean here.
fn in_plain_words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    format!(
        "the system's default sound device cannot be opened ({text}); is a speaker connected, or a sound server running?"
    )
}

/// The line's sound as rodio asks for it: one sample at a time, for ever.
struct TapSource {
    tap: Tap,
    block: Vec<f32>,
    at: usize,
    channels: ChannelCount,
    rate: SampleRate,
    /// Counts blocks taken, to tell a moment's trouble from a lost device.
    pulls: Arc<AtomicU64>,
}

impl Iterator for TapSource {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        if self.at >= self.block.len() {
            self.tap.pull(&mut self.block);
            self.pulls.fetch_add(1, Ordering::Relaxed);
            self.at = 0;
        }
        let sample = self.block.get(self.at).copied();
        self.at += 1;
        sample
    }
}

impl Source for TapSource {
    fn current_span_len(&self) -> Option<usize> {
        None
    }

    fn channels(&self) -> ChannelCount {
        self.channels
    }

    fn sample_rate(&self) -> SampleRate {
        self.rate
    }

    fn total_duration(&self) -> Option<Duration> {
        None
    }
}
