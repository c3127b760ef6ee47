//! Decodes one piece of music on a thread of its own: opens it, goes to its start, fills its reel, ends.
//! Invariant: memory is a decoder's packet plus the reel, whatever the file's size.
//! Blocking on the disk is fine here: nobody but the reel waits for this thread.
//! A decoder that fails or panics ends the piece with a reason; what it gave before is played.

use crate::convert::{Converter, Format};
use crate::desk::{Claim, Desk};
use crate::error::AudioError;
use crate::reel::Reel;
use crate::station::MusicSource;
use crate::tape::Tape;
use rodio::{Decoder, Source};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Decoded before the piece takes the place of what plays.
const HEAD_START: Duration = Duration::from_millis(200);
/// Frames decoded between two looks at whether anybody still wants them.
const BLOCK_FRAMES: usize = 1_024;

/// What a track's thread needs.
pub(crate) struct Track {
    pub(crate) desk: Arc<Desk>,
    pub(crate) claim: Claim,
    pub(crate) source: Box<dyn MusicSource>,
    pub(crate) byte_len: Option<u64>,
    /// The output's format and number.
    pub(crate) format: Format,
    pub(crate) output: u64,
}

impl Track {
    /// Starts the thread. A machine that cannot start one more refuses the play.
    pub(crate) fn spawn(self) {
        let desk = Arc::clone(&self.desk);
        let id = self.claim.id;
        let spawned = std::thread::Builder::new()
            .name("audio-track".to_owned())
            .spawn(move || self.run());
        if let Err(error) = spawned {
            let reason = format!("no thread for its decoder: {error}");
            desk.refuse(id, AudioError::Unplayable(reason));
        }
    }

    fn run(self) {
        let Self {
            desk,
            claim,
            source,
            byte_len,
            format,
            output,
        } = self;
        let id = claim.id;
        if let Err(reason) = roll(&desk, claim, source, byte_len, format, output) {
            // Nothing happens here when it had begun: its reel carries the reason then.
            desk.refuse(id, AudioError::Unplayable(reason));
        }
    }
}

fn roll(
    desk: &Desk,
    claim: Claim,
    source: Box<dyn MusicSource>,
    byte_len: Option<u64>,
    format: Format,
    output: u64,
) -> Result<(), String> {
    let wanted = || !claim.cancelled.load(Ordering::Acquire);
    let tape =
        Tape::new(source, byte_len).map_err(|error| format!("it could not be read: {error}"))?;
    let mut frames = Frames::open(&tape, format)?;
    if !claim.start_at.is_zero() {
        frames = frames.go_to(claim.start_at, &tape, &wanted)?;
    }
    let reel = Arc::new(Reel::new(
        claim.id,
        claim.about,
        frames.duration,
        claim.start_at,
        format,
        Arc::clone(&claim.cancelled),
    ));
    let head = usize::try_from(format.frames(HEAD_START)).unwrap_or(0) * format.channels;
    let mut block = Vec::new();
    let mut samples = 0;
    let mut promoted = false;
    loop {
        let more = frames.read(&mut block);
        samples += block.len();
        let ended = !matches!(more, Ok(true));
        if !reel.feed(&block) {
            return Ok(());
        }
        if ended {
            let fault = more.err().or_else(|| tape.fault());
            if samples == 0 {
                return Err(fault.unwrap_or_else(|| match claim.start_at {
                    Duration::ZERO => "it holds no sound".to_owned(),
                    at => format!("it ends before {:.1} s", at.as_secs_f64()),
                }));
            }
            reel.complete(fault);
        }
        if !promoted && (samples >= head || ended) {
            promoted = true;
            if !desk.promote(&reel, output) {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
    }
}

/// Frames of one piece in the output's format.
struct Frames {
    decoder: Decoder<Tape>,
    converter: Converter,
    to: Format,
    duration: Option<Duration>,
    raw: Vec<f32>,
    /// The first frame of a run with another format than those before.
    next: Vec<f32>,
}

impl Frames {
    fn open(tape: &Tape, to: Format) -> Result<Self, String> {
        let len = tape.len();
        let tape = tape.clone();
        let decoder = guard(|| {
            Decoder::builder()
                .with_data(tape)
                .with_byte_len(len)
                .with_gapless(true)
                .build()
        })?
        .map_err(|error| error.to_string())?;
        let from = guard(|| format_of(&decoder))?;
        let duration = guard(|| decoder.total_duration())?;
        Ok(Self {
            decoder,
            converter: Converter::new(from, to),
            to,
            duration,
            raw: Vec::new(),
            next: Vec::new(),
        })
    }

    /// Moves on to `start_at`: by the container's own means, or by decoding all the way where those fail.
    fn go_to(
        mut self,
        start_at: Duration,
        tape: &Tape,
        wanted: &dyn Fn() -> bool,
    ) -> Result<Self, String> {
        if self.duration.is_some_and(|duration| start_at >= duration) {
            return Err(format!("it ends before {:.1} s", start_at.as_secs_f64()));
        }
        let sought = guard(|| self.decoder.try_seek(start_at));
        if matches!(sought, Ok(Ok(()))) {
            return Ok(self);
        }
        tracing::debug!(?sought, "seeking failed, decoding up to there instead");
        let mut tape = tape.clone();
        std::io::Seek::rewind(&mut tape).map_err(|error| error.to_string())?;
        let mut again = Self::open(&tape, self.to)?;
        let from = again.converter.from();
        let mut left = from.frames(start_at).saturating_mul(from.channels as u64);
        while left > 0 && wanted() {
            let count = left.min(65_536);
            let skipped = guard(|| {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                again.decoder.by_ref().take(count).count()
            })?;
            if skipped == 0 {
                break;
            }
            left -= (skipped as u64).min(left);
        }
        Ok(again)
    }

    /// Replaces `out` by the next block. False when that was the last one.
    fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, String> {
        out.clear();
        let Self {
            decoder,
            converter,
            to,
            raw,
            next,
            ..
        } = self;
        raw.clear();
        raw.append(next);
        let from = converter.from();
        let outcome = guard(|| {
            for _ in 0..BLOCK_FRAMES {
                let Some(first) = decoder.next() else {
                    return Run::End;
                };
                // Only now do these speak of the packet that the sample came from.
                let format = format_of(decoder);
                let frame = if format == from {
                    &mut *raw
                } else {
                    &mut *next
                };
                frame.push(first);
                for _ in 1..format.channels {
                    frame.push(decoder.next().unwrap_or(0.0));
                }
                if format != from {
                    return Run::Changed(format);
                }
            }
            Run::More
        });
        let whole = raw.len() - raw.len() % from.channels;
        converter.feed(raw.get(..whole).unwrap_or_default(), out);
        match outcome {
            Ok(Run::More) => Ok(true),
            Ok(Run::Changed(format)) => {
                converter.finish(out);
                *converter = Converter::new(format, *to);
                Ok(true)
            }
            Ok(Run::End) => {
                converter.finish(out);
                Ok(false)
            }
            Err(panicked) => {
                converter.finish(out);
                Err(panicked)
            }
        }
    }
}

enum Run {
    More,
    Changed(Format),
    End,
}

fn format_of(decoder: &Decoder<Tape>) -> Format {
    Format {
        channels: usize::from(decoder.channels().get()),
        rate: decoder.sample_rate().get(),
    }
}

/// Calls into the decoder. A panic in there is a bug of a library that reads strangers' files: it ends the piece,
/// and the decoder is not used again.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        format!(
            "the decoder failed: {}",
            message.as_deref().unwrap_or("it panicked")
        )
    })
}
