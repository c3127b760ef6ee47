//! MP3, WAV, FLAC and OGG Vorbis to interleaved samples, one packet at a time (symphonia does the work).
//! Invariant: after `go_to` the first sample given is the one at that time, by the packets' own time stamps. Decoders
//! give nothing for some packets after a jump, so counting samples would be off by up to a packet.
//! A packet that does not decode is left out; the file's end, even a sudden one, is an end and no error.
//! Panics in the library are caught here: it reads strangers' files.

use crate::convert::Format;
use crate::front::Container;
use crate::tape::Tape;
use std::io::{ErrorKind, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{
    CODEC_TYPE_MP3, CODEC_TYPE_NULL, CodecParameters, Decoder as Codec, DecoderOptions,
};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo};
use symphonia::core::io::MediaSourceStream;
use symphonia::default::formats::{FlacReader, MpaReader, OggReader, WavReader};

/// Decoded in front of a jump's target and thrown away: MP3 and Vorbis need packets from before to be exact.
const RUN_UP: Duration = Duration::from_millis(250);
/// A length beyond this is a damaged header.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

/// An open piece of music.
pub(crate) struct Decoder {
    tape: Tape,
    container: Box<dyn FormatReader>,
    codec: Box<dyn Codec>,
    track: u32,
    rate: u32,
    /// Time stamp of the piece's first frame.
    first_ts: u64,
    /// Frames before this time stamp are not given.
    from_ts: u64,
    duration: Option<Duration>,
    samples: Option<SampleBuffer<f32>>,
}

/// One step of decoding.
pub(crate) enum Step {
    /// Samples of this format were given; perhaps none.
    Samples(Format),
    /// There are no more.
    End,
}

impl Decoder {
    /// Opens the container and finds its music.
    pub(crate) fn open(tape: &Tape) -> Result<Self, String> {
        guard(|| Self::open_inner(tape, true).map_err(|error| in_words(&error)))
    }

    fn open_inner(tape: &Tape, trim: bool) -> Result<Self, Error> {
        let mut rewound = tape.clone();
        rewound.rewind()?;
        let stream = MediaSourceStream::new(Box::new(rewound), Default::default());
        let options = FormatOptions {
            enable_gapless: trim,
            ..FormatOptions::default()
        };
        // Named, not probed: a probe would find a container within another one's bytes.
        let container: Box<dyn FormatReader> = match tape.container() {
            Container::Mp3 => Box::new(MpaReader::try_new(stream, &options)?),
            Container::Wav => Box::new(WavReader::try_new(stream, &options)?),
            Container::Flac => Box::new(FlacReader::try_new(stream, &options)?),
            Container::Ogg => Box::new(OggReader::try_new(stream, &options)?),
        };
        let (track, params) = music(container.as_ref())?;
        if trim && params.codec == CODEC_TYPE_MP3 && params.delay.is_none() {
            // Its length is a guess from the bit rate then; trimming would cut the music off there.
            return Self::open_inner(tape, false);
        }
        let codec = symphonia::default::get_codecs().make(&params, &DecoderOptions::default())?;
        let rate = params.sample_rate.unwrap_or(0);
        let duration = params
            .n_frames
            .filter(|_| rate > 0)
            .map(|frames| Format { channels: 1, rate }.duration(frames))
            .filter(|duration| *duration < LONGEST);
        Ok(Self {
            tape: tape.clone(),
            container,
            codec,
            track,
            rate,
            first_ts: params.start_ts,
            from_ts: 0,
            duration,
            samples: None,
        })
    }

    /// Length of the piece, as far as its container says.
    pub(crate) fn duration(&self) -> Option<Duration> {
        self.duration
    }

    /// Jumps to a time. Where the container cannot, the next steps decode all the way and give nothing until then.
    pub(crate) fn go_to(&mut self, time: Duration) -> Result<(), String> {
        guard(|| {
            let time_base = Format {
                channels: 1,
                rate: self.rate,
            };
            let target = self.first_ts.saturating_add(time_base.frames(time));
            let ts = target
                .saturating_sub(time_base.frames(RUN_UP))
                .max(self.first_ts);
            let to = SeekTo::TimeStamp {
                ts,
                track_id: self.track,
            };
            // Its own guard: a panic in a seek still leaves the way through decoding.
            let sought = guard(|| {
                self.container
                    .seek(SeekMode::Accurate, to)
                    .map_err(|error| in_words(&error))
            });
            match sought {
                Ok(_) => self.codec.reset(),
                Err(reason) => {
                    tracing::debug!(%reason, "cannot jump, decoding up to there instead");
                    let tape = self.tape.clone();
                    *self = Self::open_inner(&tape, true).map_err(|error| in_words(&error))?;
                }
            }
            self.from_ts = target;
            Ok(())
        })
    }

    /// Appends the next packet's samples to `out`.
    pub(crate) fn step(&mut self, out: &mut Vec<f32>) -> Result<Step, String> {
        guard(|| self.step_inner(out))
    }

    fn step_inner(&mut self, out: &mut Vec<f32>) -> Result<Step, String> {
        let nothing = Step::Samples(Format {
            channels: 0,
            rate: 0,
        });
        let packet = match self.container.next_packet() {
            Ok(packet) => packet,
            // Read errors look like this too; the tape remembers those.
            Err(Error::IoError(_)) => return Ok(Step::End),
            Err(Error::ResetRequired) => {
                // A second stream follows the first, as in recorded web radio.
                let again = music(self.container.as_ref()).and_then(|(track, params)| {
                    self.track = track;
                    symphonia::default::get_codecs().make(&params, &DecoderOptions::default())
                });
                self.codec = again.map_err(|error| in_words(&error))?;
                self.from_ts = 0;
                return Ok(nothing);
            }
            Err(error) => return Err(in_words(&error)),
        };
        if packet.track_id() != self.track {
            return Ok(nothing);
        }
        let decoded = match self.codec.decode(&packet) {
            Ok(decoded) => decoded,
            Err(Error::DecodeError(reason)) => {
                tracing::trace!(reason, "a packet is left out");
                return Ok(nothing);
            }
            Err(Error::IoError(_)) => return Ok(nothing),
            Err(error) => return Err(in_words(&error)),
        };
        let spec = *decoded.spec();
        let format = Format {
            channels: spec.channels.count(),
            rate: spec.rate,
        };
        if format.channels == 0 || format.rate == 0 || decoded.frames() == 0 {
            return Ok(nothing);
        }
        let room = decoded.capacity() * format.channels;
        let samples = match &mut self.samples {
            Some(samples) if samples.capacity() >= room => samples,
            other => other.insert(SampleBuffer::new(decoded.capacity() as u64, spec)),
        };
        samples.copy_interleaved_ref(decoded);
        let skip = self.from_ts.saturating_sub(packet.ts());
        let skip = usize::try_from(skip)
            .unwrap_or(usize::MAX)
            .saturating_mul(format.channels);
        out.extend_from_slice(samples.samples().get(skip..).unwrap_or_default());
        Ok(Step::Samples(format))
    }
}

/// The first track that a codec is known for.
fn music(container: &dyn FormatReader) -> Result<(u32, CodecParameters), Error> {
    container
        .tracks()
        .iter()
        .find(|track| track.codec_params.codec != CODEC_TYPE_NULL)
        .map(|track| (track.id, track.codec_params.clone()))
        .ok_or(Error::Unsupported("no music in it"))
}

fn in_words(error: &Error) -> String {
    match error {
        // The end of the file before anything was recognized.
        Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "its contents are no MP3, WAV, FLAC or OGG Vorbis, or too short".to_owned()
        }
        Error::IoError(error) => format!("it could not be read: {error}"),
        Error::Unsupported(reason) => {
            format!("its contents are no MP3, WAV, FLAC or OGG Vorbis ({reason})")
        }
        other => other.to_string(),
    }
}

/// Calls into the library. After a panic the decoder is not used again, except to open it anew.
fn guard<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(format!(
            "the decoder failed: {}",
            message.unwrap_or("it panicked")
        ))
    })
}
