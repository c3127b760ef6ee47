//! WAV: the chunks are walked, the samples stepped over; a gigabyte takes as long as a second of sound.
//! The player's own reader then decodes the first second behind a clean header.

use super::MAX_TAG_BYTES;
use crate::fields::{next, u16_le, u32_le};
use crate::media::{Checked, Format, Media, playing_time};
use crate::refusal::Refusal;
use crate::source::Source;
use std::io;
use symphonia::core::codecs::{CodecParameters, DecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::default::formats::WavReader;
use symphonia::default::get_codecs;

const FORMAT: Format = Format::Wav;
const BUFFER_BYTES: usize = 4 << 10;
/// Written by programs that do not know the length when they begin.
const UNKNOWN_LENGTH: u32 = u32::MAX;
/// The longest form of a format chunk has 40 bytes.
const MAX_FORMAT_BYTES: u32 = 64;
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

struct Layout {
    format: Vec<u8>,
    channels: u16,
    sample_rate: u32,
    /// Of one sample of all channels.
    block_bytes: u64,
    data_start: u64,
    data_bytes: u64,
}

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let layout = walk(source)?;
    let samples = layout.data_bytes / layout.block_bytes;
    if samples == 0 {
        return Err(Refusal::damaged(FORMAT, "it holds no sound"));
    }
    let decoded = decode_first_second(source, &layout)?;
    let checked = if decoded >= samples {
        Checked::Whole
    } else {
        Checked::Part
    };
    let duration = playing_time(samples, layout.sample_rate);
    Ok(Media::audio(
        FORMAT,
        layout.sample_rate,
        layout.channels,
        Some(duration),
        checked,
    ))
}

fn walk(source: &Source) -> Result<Layout, Refusal> {
    let mut reader = source.reader(12, BUFFER_BYTES);
    let mut at = 12;
    let mut format = None;
    loop {
        let place = if format.is_some() {
            "before its sound data"
        } else {
            "before its format"
        };
        let cut = |_: io::Error| Refusal::cut(FORMAT, place, source.len());
        let header = next::<8>(&mut reader).map_err(cut)?;
        let len = u32_le(&header, 4).unwrap_or(0);
        let body = at + 8;
        let rest = source.len() - body;
        let name = header.get(..4).unwrap_or_default();
        if name == b"data" {
            let format = format
                .ok_or_else(|| Refusal::damaged(FORMAT, "its sound comes before its format"))?;
            let data_bytes = if len == UNKNOWN_LENGTH {
                rest
            } else {
                u64::from(len)
            };
            if data_bytes > rest {
                return Err(Refusal::short(
                    FORMAT,
                    "in its sound data",
                    data_bytes,
                    rest,
                    "bytes",
                ));
            }
            return layout(format, body, data_bytes);
        }
        if u64::from(len) > rest {
            let place = format!("in its chunk {:?}", String::from_utf8_lossy(name));
            return Err(Refusal::short(FORMAT, place, u64::from(len), rest, "bytes"));
        }
        if u64::from(len) > MAX_TAG_BYTES {
            let reason = format!(
                "{len} bytes of {:?} come before the sound",
                String::from_utf8_lossy(name)
            );
            return Err(Refusal::damaged(FORMAT, reason));
        }
        if name == b"fmt " {
            if !(16..=MAX_FORMAT_BYTES).contains(&len) {
                return Err(Refusal::damaged(
                    FORMAT,
                    format_args!("its format has {len} bytes"),
                ));
            }
            format = Some(source.peek(body, u64::from(len)));
        }
        let padded = u64::from(len) + u64::from(len % 2);
        reader
            .seek_relative(i64::try_from(padded).unwrap_or(i64::MAX))
            .map_err(cut)?;
        at = body + padded;
        if at > source.len() {
            return Err(Refusal::cut(FORMAT, place, source.len()));
        }
    }
}

fn layout(format: Vec<u8>, data_start: u64, data_bytes: u64) -> Result<Layout, Refusal> {
    let short = |at| u16_le(&format, at).unwrap_or(0);
    let code = short(0);
    let (channels, block_bytes, bits) = (short(2), short(12), short(14));
    let sample_rate = u32_le(&format, 4).unwrap_or(0);
    if !matches!(code, PCM | FLOAT | A_LAW | MU_LAW | EXTENSIBLE) {
        let found = format!("sound compressed by method {code}");
        return Err(Refusal::Unsupported {
            format: FORMAT,
            found,
            instead: "plain 16-bit wav, flac or mp3",
        });
    }
    if sample_rate == 0
        || channels == 0
        || u32::from(block_bytes) != u32::from(channels) * u32::from(bits.div_ceil(8))
    {
        let reason = format!(
            "its format does not add up: {channels} channels of {bits} bits in {block_bytes} bytes at {sample_rate} hz"
        );
        return Err(Refusal::damaged(FORMAT, reason));
    }
    if block_bytes == 0 {
        return Err(Refusal::damaged(FORMAT, "its samples have no bits"));
    }
    Ok(Layout {
        channels,
        sample_rate,
        block_bytes: u64::from(block_bytes),
        data_start,
        data_bytes,
        format,
    })
}

/// How many samples of each channel were decoded.
fn decode_first_second(source: &Source, layout: &Layout) -> Result<u64, Refusal> {
    let second = layout
        .block_bytes
        .saturating_mul(u64::from(layout.sample_rate));
    let bytes = layout.data_bytes.min(second) / layout.block_bytes * layout.block_bytes;
    if !source.may_decode_more(0) {
        return Ok(0);
    }
    let window = source.window_behind(
        header(layout, bytes),
        layout.data_start..layout.data_start + bytes,
    );
    let stream = MediaSourceStream::new(Box::new(window), MediaSourceStreamOptions::default());
    let damaged = |error: Error| Refusal::damaged(FORMAT, error);
    let mut reader = WavReader::try_new(stream, &FormatOptions::default()).map_err(damaged)?;
    let parameters = reader
        .tracks()
        .first()
        .map(|track| track.codec_params.clone())
        .unwrap_or_else(CodecParameters::new);
    let mut decoder = get_codecs()
        .make(&parameters, &DecoderOptions::default())
        .map_err(damaged)?;
    let mut decoded_bytes = 0;
    while source.may_decode_more(decoded_bytes) {
        let packet = match reader.next_packet() {
            Ok(packet) => packet,
            Err(Error::IoError(error)) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(damaged(error)),
        };
        decoder.decode(&packet).map_err(damaged)?;
        decoded_bytes += packet.buf().len() as u64;
    }
    Ok(decoded_bytes / layout.block_bytes)
}

/// A header for `bytes` bytes of sound, without what other programs put between format and sound.
fn header(layout: &Layout, bytes: u64) -> Vec<u8> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let format_bytes = u32::try_from(layout.format.len()).unwrap_or(0);
    let mut header = Vec::with_capacity(128);
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(
        &bytes
            .saturating_add(format_bytes + 20 + format_bytes % 2)
            .to_le_bytes(),
    );
    header.extend_from_slice(b"WAVEfmt ");
    header.extend_from_slice(&format_bytes.to_le_bytes());
    header.extend_from_slice(&layout.format);
    header.resize(header.len().next_multiple_of(2), 0);
    header.extend_from_slice(b"data");
    header.extend_from_slice(&bytes.to_le_bytes());
    header
}
