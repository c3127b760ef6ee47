//! JPEG: all segments and scans are walked to the end marker, because the decoder fills what is missing with grey.
//! The decoder wants the whole file in memory; a picture that needs more than the budget is walked only.

use super::{broken_off, check_size};
use crate::fields::{next, u16_be};
use crate::media::{Checked, Format, Media};
use crate::refusal::Refusal;
use crate::source::{Source, Window};
use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;
use std::io::{self, BufRead, BufReader};

const FORMAT: Format = Format::Jpeg;
const BUFFER_BYTES: usize = 32 << 10;
const END: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

struct Frame {
    width: u32,
    height: u32,
    components: u64,
    progressive: bool,
}

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let (frame, scans) = walk(source)?;
    check_size(source, FORMAT, frame.width, frame.height)?;
    let media = |checked| Media::image(FORMAT, (frame.width, frame.height), false, checked);

    // Blocks are padded to at most 32 pixels. Each scan of a progressive picture visits every block again.
    let pixels =
        u64::from(frame.width.next_multiple_of(32)) * u64::from(frame.height.next_multiple_of(32));
    let coefficients = if frame.progressive {
        2 * frame.components * pixels
    } else {
        0
    };
    let rows = u64::from(frame.width) * frame.components * 256;
    let memory = source.len().saturating_mul(2) + 4 * pixels + coefficients + rows;
    let work = pixels
        .saturating_mul(frame.components)
        .saturating_mul(scans.max(1));
    if !source.affords(work, memory) {
        return Ok(media(Checked::Part));
    }
    let decoder = JpegDecoder::new(source.reader(0, BUFFER_BYTES))
        .map_err(|error| Refusal::damaged(FORMAT, error))?;
    let bytes = usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX);
    if bytes as u64 > source.budget().max_memory_bytes {
        return Ok(media(Checked::Part));
    }
    decoder
        .read_image(&mut vec![0; bytes])
        .map_err(|error| Refusal::damaged(FORMAT, error))?;
    Ok(media(Checked::Whole))
}

/// The frame header and the number of scans.
fn walk(source: &Source) -> Result<(Frame, u64), Refusal> {
    let cut = |error: io::Error| broken_off(source, FORMAT, "before its end marker", &error);
    let mut reader = source.reader(2, BUFFER_BYTES);
    let mut frame = None;
    let mut scans = 0;
    loop {
        let marker = next_marker(&mut reader).map_err(cut)?;
        match marker {
            END => break,
            // Without a length: restarts, a second start, a reserved one.
            0x01 | 0xd0..=0xd8 => continue,
            START_OF_SCAN => scans += 1,
            _ => {}
        }
        let len = u16::from_be_bytes(next::<2>(&mut reader).map_err(cut)?);
        let Some(payload) = len.checked_sub(2) else {
            return Err(Refusal::damaged(
                FORMAT,
                "a segment is shorter than its own length",
            ));
        };
        let is_frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
        let mut left = payload;
        if is_frame && payload >= 6 {
            let header = next::<6>(&mut reader).map_err(cut)?;
            left -= 6;
            frame = Some(Frame {
                height: u32::from(u16_be(&header, 1).unwrap_or(0)),
                width: u32::from(u16_be(&header, 3).unwrap_or(0)),
                components: u64::from(header[5]),
                progressive: matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce),
            });
        }
        reader.seek_relative(i64::from(left)).map_err(cut)?;
    }
    match frame {
        Some(frame) if scans > 0 => Ok((frame, scans)),
        Some(_) => Err(Refusal::damaged(FORMAT, "it has no pixels")),
        None => Err(Refusal::damaged(FORMAT, "it has no frame header")),
    }
}

/// Skips pixels and stray bytes.
fn next_marker(reader: &mut BufReader<Window>) -> io::Result<u8> {
    let mut after_ff = false;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if after_ff {
            let byte = buffer.first().copied().unwrap_or(0);
            reader.consume(1);
            match byte {
                0xff => {}
                0 => after_ff = false,
                marker => return Ok(marker),
            }
            continue;
        }
        let skipped = buffer.iter().position(|byte| *byte == 0xff);
        after_ff = skipped.is_some();
        let count = skipped.map_or(buffer.len(), |at| at + 1);
        reader.consume(count);
    }
}
