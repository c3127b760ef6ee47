//! A station that captures into a file while a test turns its clock: every time in it is exact and nothing is waited
//! for by sleeping.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "a test aid, of which each test uses a part"
)]

use crate::pulse::Recording;
use pixelboy_audio::clock::ManualClock;
use pixelboy_audio::{
    Audio, AudioError, AudioEvent, AudioEvents, AudioSettings, EndReason, MusicSource, Play,
    Started,
};
use std::f64::consts::PI;
use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

/// What a play answers.
pub type Answer = Receiver<Result<Started, AudioError>>;

/// A station, its clock, and the file it writes.
pub struct Studio {
    pub audio: Audio,
    pub events: AudioEvents,
    pub clock: Arc<ManualClock>,
    pub capture: PathBuf,
    pub folder: tempfile::TempDir,
}

impl Studio {
    /// A station with a WAV capture.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("capture.wav");
        let settings = format!("wav:{}", capture.display()).parse().unwrap();
        Self::with(settings, folder, capture)
    }

    /// A station with any settings; `capture` is what they write, if they do.
    pub fn with(settings: AudioSettings, folder: tempfile::TempDir, capture: PathBuf) -> Self {
        let clock = Arc::new(ManualClock::new());
        let (audio, events) = Audio::start_with_clock(
            settings,
            Arc::clone(&clock) as Arc<dyn pixelboy_audio::clock::Clock>,
        );
        // Returns when the output is open and waits for time to pass.
        assert!(clock.advance(Duration::ZERO), "the output does not open");
        Self {
            audio,
            events,
            clock,
            capture,
            folder,
        }
    }

    /// Turns the clock on.
    pub fn advance(&self, by_ms: u64) {
        assert!(
            self.clock.advance(Duration::from_millis(by_ms)),
            "the output does not follow the clock"
        );
    }

    /// Turns the clock on in small steps until `done`; at most `limit_ms` on the clock.
    pub fn advance_until<T>(&self, limit_ms: u64, mut done: impl FnMut() -> Option<T>) -> T {
        for _ in 0..=limit_ms / 10 {
            // Other threads have work to do in real time; the limit on the clock stays what the test said.
            let real = Instant::now();
            while real.elapsed() < Duration::from_millis(3) {
                if let Some(value) = done() {
                    return value;
                }
                std::thread::yield_now();
            }
            self.advance(10);
        }
        panic!("it did not happen within {limit_ms} ms on the clock");
    }

    /// Turns the clock on until a play is answered.
    pub fn answer(&self, mut answer: Answer) -> Result<Started, AudioError> {
        self.advance_until(60_000, || match answer.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => panic!("a play was never answered"),
        })
    }

    /// Plays and waits for the answer.
    pub fn play(
        &self,
        source: impl MusicSource + 'static,
        start_at_ms: u64,
    ) -> Result<Started, AudioError> {
        let answer = self.audio.play(piece(source, start_at_ms, 0));
        self.answer(answer)
    }

    /// Turns the clock on until something ended.
    pub fn ended(&mut self, limit_ms: u64) -> (u64, EndReason, Duration) {
        let clock = Arc::clone(&self.clock);
        for _ in 0..=limit_ms / 10 {
            if let Ok(AudioEvent::Ended {
                token,
                why,
                position,
                ..
            }) = self.events.try_recv()
            {
                return (token, why, position);
            }
            assert!(clock.advance(Duration::from_millis(10)));
            // The decoder is a thread like any other: on a busy machine it must get its turn between two ticks.
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("nothing ended within {limit_ms} ms on the clock");
    }

    /// Shuts down and reads the capture.
    pub fn finish(self) -> Recording {
        self.audio.shutdown();
        Recording::read_wav(&self.capture).unwrap()
    }
}

/// A play with the given token.
pub fn piece(source: impl MusicSource + 'static, start_at_ms: u64, token: u64) -> Play {
    Play {
        paused: false,
        source: Box::new(source),
        byte_len: None,
        label: format!("piece {token}"),
        start_at: Duration::from_millis(start_at_ms),
        owner: 7,
        token,
    }
}

/// A file of the shared test media, or of this crate's own.
pub fn media(name: &str) -> File {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = folder.join("tests/media").join(name);
    let shared = folder.join("../../tests/media").join(name);
    File::open(if own.exists() { own } else { shared }).unwrap()
}

/// The bytes of such a file.
pub fn media_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut media(name), &mut bytes).unwrap();
    bytes
}

/// A WAV header for 16 bit PCM.
pub fn wav_header(rate: u32, channels: u16, data_bytes: u32) -> Vec<u8> {
    let frame = u32::from(channels) * 2;
    let mut header = b"RIFF".to_vec();
    header.extend((data_bytes + 36).to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend(16_u32.to_le_bytes());
    header.extend(1_u16.to_le_bytes());
    header.extend(channels.to_le_bytes());
    header.extend(rate.to_le_bytes());
    header.extend((rate * frame).to_le_bytes());
    header.extend((frame as u16).to_le_bytes());
    header.extend(16_u16.to_le_bytes());
    header.extend(b"data");
    header.extend(data_bytes.to_le_bytes());
    header
}

/// A WAV of one function of time.
pub fn wav(rate: u32, seconds: f64, wave: impl Fn(f64) -> f64) -> Cursor<Vec<u8>> {
    let frames = (seconds * f64::from(rate)) as u32;
    let mut bytes = wav_header(rate, 1, frames * 2);
    for n in 0..frames {
        let level = wave(f64::from(n) / f64::from(rate)) * 32_767.0;
        bytes.extend((level as i16).to_le_bytes());
    }
    Cursor::new(bytes)
}

/// A steady tone of half scale: its level is 0.354.
pub fn tone(seconds: f64) -> Cursor<Vec<u8>> {
    wav(44_100, seconds, |t| 0.5 * (2.0 * PI * 440.0 * t).sin())
}

/// The level of [`tone`].
pub const TONE_LEVEL: f64 = 0.353_6;

/// 10 s, at every whole second 50 ms of 1 kHz: the same as the kept `pips` files.
pub fn pips(rate: u32) -> Cursor<Vec<u8>> {
    wav(rate, 10.0, |t| {
        if t.fract() < 0.05 {
            0.5 * (2.0 * PI * 1_000.0 * t).sin()
        } else {
            0.0
        }
    })
}

/// Asserts that two times or levels are near each other.
#[track_caller]
pub fn near(what: &str, got: f64, wanted: f64, tolerance: f64) {
    assert!(
        (got - wanted).abs() <= tolerance,
        "{what}: {got:.4}, wanted {wanted:.4} within {tolerance}"
    );
}
