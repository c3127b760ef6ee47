//! FLAC: the metadata is walked, then the player's own reader decodes behind a clean header that holds nothing else.
//! A file that is decoded whole is compared with the checksum of its sound; of a longer one the end must be there.

use super::{BUFFER_BYTES, SAMPLE_BYTES, id3};
use crate::fields::{next, u24_be, u32_be, u32_le};
use crate::media::{Checked, Format, Media, playing_time};
use crate::refusal::Refusal;
use crate::source::Source;
use std::io;
use std::ops::Range;
use symphonia::core::codecs::{CodecParameters, Decoder, DecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::default::codecs::FlacDecoder;
use symphonia::default::formats::FlacReader;

const FORMAT: Format = Format::Flac;
const STREAM_INFO_BYTES: u64 = 34;
/// How much of the end is decoded when not everything is.
const TAIL_BYTES: u64 = 1 << 20;
/// What the reader may hold while it looks for a frame among damage: the longest frame that it believes in, thrice.
const READER_BYTES: u64 = 3 * (16 << 20);

struct Stream {
    info: Vec<u8>,
    sample_rate: u32,
    channels: u16,
    /// Of each channel; none when the encoder did not know.
    samples: Option<u64>,
    frames_start: u64,
}

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let stream = walk(source)?;
    let checked = decode(source, &stream)?;
    let (samples, checked) = match checked {
        Decoded::Whole { samples } => (Some(samples), Checked::Whole),
        Decoded::Part => (stream.samples, Checked::Part),
    };
    let duration = samples.map(|samples| playing_time(samples, stream.sample_rate));
    Ok(Media::audio(
        FORMAT,
        stream.sample_rate,
        stream.channels,
        duration,
        checked,
    ))
}

fn walk(source: &Source) -> Result<Stream, Refusal> {
    let start = id3::skip_tags(source, 0)?;
    let cut = |_: io::Error| Refusal::cut(FORMAT, "in its metadata", source.len());
    let mut reader = source.reader(start + 4, BUFFER_BYTES);
    let mut at = start + 4;
    let mut info = None;
    loop {
        let header = next::<4>(&mut reader).map_err(cut)?;
        let len = u64::from(u24_be(&header, 1).unwrap_or(0));
        let body = at + 4;
        at = body + len;
        if at > source.len() {
            return Err(Refusal::short(
                FORMAT,
                "in its metadata",
                at,
                source.len(),
                "bytes",
            ));
        }
        match header[0] & 0x7f {
            0 if len == STREAM_INFO_BYTES && info.is_none() => info = Some(source.peek(body, len)),
            4 => check_comments(&source.peek(body, len))
                .map_err(|reason| Refusal::damaged(FORMAT, reason))?,
            6 => check_picture(source, body, len)?,
            _ => {}
        }
        reader
            .seek_relative(i64::try_from(len).unwrap_or(0))
            .map_err(cut)?;
        if header[0] & 0x80 != 0 {
            break;
        }
    }
    let info = info.ok_or_else(|| {
        Refusal::damaged(FORMAT, "it does not say what it holds (no stream info)")
    })?;
    // 20 bits of rate, 3 of channels, 5 of bits per sample, 36 of samples.
    let rate_and_channels = u32_be(&info, 10).unwrap_or(0);
    let sample_rate = rate_and_channels >> 12;
    let samples =
        u64::from(rate_and_channels & 0xf) << 32 | u64::from(u32_be(&info, 14).unwrap_or(0));
    if sample_rate == 0 {
        return Err(Refusal::damaged(FORMAT, "its sample rate is 0 hz"));
    }
    let channels = (rate_and_channels >> 9 & 7) as u16 + 1;
    let samples = (samples > 0).then_some(samples);
    Ok(Stream {
        info,
        sample_rate,
        channels,
        samples,
        frames_start: at,
    })
}

/// Comments as Vorbis has them: no length may claim more than there is, because a player allocates it unseen.
pub(super) fn check_comments(body: &[u8]) -> Result<(), String> {
    let vendor_end = field_end(body)?;
    let after_vendor = body.get(vendor_end..).unwrap_or_default();
    let count = u32_le(after_vendor, 0).ok_or("its comments are cut off")?;
    let mut rest = after_vendor.get(4..).unwrap_or_default();
    for _ in 0..count {
        rest = rest.get(field_end(rest)?..).unwrap_or_default();
    }
    Ok(())
}

/// The end of a text behind its length.
fn field_end(bytes: &[u8]) -> Result<usize, String> {
    let len = u32_le(bytes, 0).ok_or("its comments are cut off")?;
    let end = usize::try_from(len)
        .ok()
        .and_then(|len| len.checked_add(4))
        .unwrap_or(usize::MAX);
    let came = bytes.len() - 4;
    (end <= bytes.len())
        .then_some(end)
        .ok_or_else(|| format!("one of its comments announces {len} bytes, {came} came"))
}

fn check_picture(source: &Source, start: u64, len: u64) -> Result<(), Refusal> {
    let end = start + len;
    let mut at = start + 4;
    // Media type, description, then four numbers, then the picture.
    for skip in [0, 0, 16] {
        at += skip;
        let bytes = u64::from(u32_be(&source.peek(at, 4), 0).unwrap_or(u32::MAX));
        at += 4 + bytes;
        if at > end {
            let reason = format!("its cover picture announces {bytes} bytes in a block of {len}");
            return Err(Refusal::damaged(FORMAT, reason));
        }
    }
    Ok(())
}

enum Decoded {
    Whole { samples: u64 },
    Part,
}

fn decode(source: &Source, stream: &Stream) -> Result<Decoded, Refusal> {
    let range = stream.frames_start..source.len();
    if range.is_empty() {
        return Err(Refusal::short(
            FORMAT,
            "behind its metadata",
            stream.samples.unwrap_or(1),
            0,
            "samples",
        ));
    }
    let memory = READER_BYTES.min(3 * (range.end - range.start) + (1 << 20));
    if memory > source.budget().max_memory_bytes || !source.may_decode_more(0) {
        return Ok(Decoded::Part);
    }
    let pass = run(source, stream, range.clone(), true)?;
    if pass.stopped {
        // The budget ended it: the end must still be there.
        if let Some(samples) = stream.samples {
            let tail_start = range.end.saturating_sub(TAIL_BYTES).max(range.start);
            let tail = run(source, stream, tail_start..range.end, false)?;
            if !tail.stopped && tail.end != samples {
                return Err(Refusal::short(
                    FORMAT,
                    "in its sound",
                    samples,
                    tail.end,
                    "samples",
                ));
            }
        }
        return Ok(Decoded::Part);
    }
    if let Some(samples) = stream.samples.filter(|samples| *samples != pass.decoded) {
        if pass.end < samples {
            return Err(Refusal::short(
                FORMAT,
                "in its sound",
                samples,
                pass.end,
                "samples",
            ));
        }
        let reason = format!(
            "{samples} samples are announced, {} can be decoded",
            pass.decoded
        );
        return Err(Refusal::damaged(FORMAT, reason));
    }
    if pass.decoded == 0 {
        return Err(Refusal::damaged(FORMAT, "it holds no sound"));
    }
    if pass.checksum_agrees == Some(false) {
        return Err(Refusal::damaged(
            FORMAT,
            "its sound does not agree with its checksum",
        ));
    }
    Ok(Decoded::Whole {
        samples: pass.decoded,
    })
}

struct Pass {
    /// Samples of each channel.
    decoded: u64,
    /// The number of the sample behind the last frame.
    end: u64,
    /// By the budget, before the end of the range.
    stopped: bool,
    checksum_agrees: Option<bool>,
}

fn run(source: &Source, stream: &Stream, range: Range<u64>, verify: bool) -> Result<Pass, Refusal> {
    let mut header = b"fLaC\x80\0\0\x22".to_vec();
    header.extend_from_slice(&stream.info);
    let window = source.window_behind(header, range);
    let damaged = |error: Error| Refusal::damaged(FORMAT, error);
    let media = MediaSourceStream::new(Box::new(window), MediaSourceStreamOptions::default());
    let mut pass = Pass {
        decoded: 0,
        end: 0,
        stopped: false,
        checksum_agrees: None,
    };
    let mut reader = match FlacReader::try_new(media, &FormatOptions::default()) {
        Ok(reader) => reader,
        Err(error) if is_end(&error) => return Ok(pass),
        Err(error) => return Err(damaged(error)),
    };
    let parameters = reader
        .tracks()
        .first()
        .map(|track| track.codec_params.clone())
        .unwrap_or_else(CodecParameters::new);
    let mut decoder =
        FlacDecoder::try_new(&parameters, &DecoderOptions { verify }).map_err(damaged)?;
    loop {
        let packet = match reader.next_packet() {
            Ok(packet) => packet,
            Err(error) if is_end(&error) => break,
            Err(error) => return Err(damaged(error)),
        };
        let frames = decoder.decode(&packet).map_err(damaged)?.frames() as u64;
        pass.decoded += frames;
        pass.end = packet.ts() + frames;
        if verify
            && !source.may_decode_more(pass.decoded * u64::from(stream.channels) * SAMPLE_BYTES)
        {
            pass.stopped = true;
            return Ok(pass);
        }
    }
    pass.checksum_agrees = decoder.finalize().verify_ok;
    Ok(pass)
}

fn is_end(error: &Error) -> bool {
    matches!(error, Error::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::check_comments;

    #[test]
    fn a_comment_that_claims_more_than_there_is_is_refused() {
        assert!(check_comments(b"\x02\0\0\0ok\x01\0\0\0\x03\0\0\0a=b").is_ok());
        assert!(check_comments(b"\x02\0\0\0ok\x01\0\0\0\xff\xff\xff\xffa=b").is_err());
        assert!(check_comments(b"\xff\xff\xff\x7fok").is_err());
        assert!(
            check_comments(b"\0\0\0\0\x02\0\0\0\x03\0\0\0a=b").is_err(),
            "one of two is missing"
        );
        assert!(check_comments(b"").is_err());
    }
}
