//! GIF: all frames are walked to the end mark, then decoded one line's worth at a time.
//! Frames may reach over the edge of the picture, as other viewers accept too.

use super::check_size;
use crate::media::{Checked, Format, Media};
use crate::refusal::Refusal;
use crate::source::Source;
use ::gif::{DecodeOptions, DecodingError, MemoryLimit, Repeat};
use std::io;
use std::num::NonZeroU64;
use std::time::Duration;

const FORMAT: Format = Format::Gif;
/// Pixels decoded at a time; one byte each.
const CHUNK_BYTES: usize = 64 << 10;

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let mut options = options(source);
    options.skip_frame_decoding(true);
    let mut walk = options
        .read_info(source.window(0..source.len()))
        .map_err(|error| refusal(source, 0, error))?;
    let size = (u32::from(walk.width()), u32::from(walk.height()));
    check_size(source, FORMAT, size.0, size.1)?;

    let (mut frames, mut pass, mut has_alpha) = (0_u32, Duration::ZERO, false);
    while let Some(frame) = walk
        .next_frame_info()
        .map_err(|error| refusal(source, frames, error))?
    {
        check_size(
            source,
            FORMAT,
            u32::from(frame.width),
            u32::from(frame.height),
        )?;
        pass += Duration::from_millis(u64::from(frame.delay) * 10);
        has_alpha |= frame.transparent.is_some();
        frames = frames.saturating_add(1);
    }
    if frames == 0 {
        return Err(Refusal::damaged(FORMAT, "it holds no picture"));
    }
    let loops = match walk.repeat() {
        Repeat::Infinite => 0,
        Repeat::Finite(0) => 1,
        Repeat::Finite(count) => u32::from(count),
    };
    drop(walk);
    let checked = decode(source)?;
    Ok(Media::image(FORMAT, size, has_alpha, checked).animated(frames, loops, pass))
}

fn decode(source: &Source) -> Result<Checked, Refusal> {
    if !source.may_decode_more(0) {
        return Ok(Checked::Part);
    }
    let window = source.window(0..source.len());
    let mut decoder = options(source)
        .read_info(window)
        .map_err(|error| refusal(source, 0, error))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut number, mut decoded) = (0, 0);
    while let Some(frame) = decoder
        .next_frame_info()
        .map_err(|error| refusal(source, number, error))?
    {
        let mut left = usize::from(frame.width) * usize::from(frame.height);
        while left > 0 {
            let wanted = left.min(CHUNK_BYTES);
            let part = chunk.get_mut(..wanted).unwrap_or_default();
            if !decoder
                .fill_buffer(part)
                .map_err(|error| refusal(source, number, error))?
            {
                let reason =
                    format_args!("frame {} holds fewer pixels than it announces", number + 1);
                return Err(Refusal::damaged(FORMAT, reason));
            }
            left -= wanted;
            decoded += wanted as u64;
            if !source.may_decode_more(decoded) {
                return Ok(Checked::Part);
            }
        }
        number += 1;
    }
    Ok(Checked::Whole)
}

fn options(source: &Source) -> DecodeOptions {
    let mut options = DecodeOptions::new();
    // Pixels go into a chunk of ours; this bounds what the decoder keeps of metadata.
    let limit = NonZeroU64::new(source.budget().max_memory_bytes / 4).unwrap_or(NonZeroU64::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(limit));
    options
}

fn refusal(source: &Source, frames: u32, error: DecodingError) -> Refusal {
    let ends_early = match &error {
        DecodingError::UnexpectedEof => true,
        DecodingError::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    };
    if ends_early {
        let place = if frames == 0 {
            "before its first frame".to_owned()
        } else {
            format!("after {frames} frames")
        };
        return Refusal::cut(FORMAT, format!("{place} ({error})"), source.len());
    }
    Refusal::damaged(FORMAT, format_args!("after {frames} frames: {error}"))
}
