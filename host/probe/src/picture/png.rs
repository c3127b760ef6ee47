//! PNG: all chunks are walked, then the rows are decoded one by one, so memory does not grow with the picture.
//! An animated PNG counts as its default picture, which is what every decoder here shows.

use super::{BUFFER_BYTES, broken_off, check_size};
use crate::fields::{next, u32_be};
use crate::media::{Checked, Format, Media};
use crate::refusal::Refusal;
use crate::source::Source;
use ::png::{DecodingError, Limits};
use std::io;

const FORMAT: Format = Format::Png;
const SIGNATURE_BYTES: u64 = 8;

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let (width, height) = size(source)?;
    check_size(source, FORMAT, width, height)?;
    let transparent_colour = walk(source)?;

    let memory = usize::try_from(source.budget().max_memory_bytes).unwrap_or(usize::MAX);
    let mut decoder =
        ::png::Decoder::new_with_limits(source.reader(0, BUFFER_BYTES), Limits { bytes: memory });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let row_bytes = decoder
        .read_header_info()
        .map_err(|error| refusal(source, error))?
        .raw_row_length() as u64;
    let has_alpha = transparent_colour
        || decoder.read_header_info().is_ok_and(|info| {
            matches!(
                info.color_type,
                ::png::ColorType::GrayscaleAlpha | ::png::ColorType::Rgba
            )
        });
    let media = |checked| Media::image(FORMAT, (width, height), has_alpha, checked);

    // Three rows: as stored, the one above it, as handed out.
    if !source.affords(0, row_bytes.saturating_mul(3)) {
        return Ok(media(Checked::Part));
    }
    let mut rows = decoder
        .read_info()
        .map_err(|error| refusal(source, error))?;
    let mut decoded = 0;
    while rows
        .next_row()
        .map_err(|error| refusal(source, error))?
        .is_some()
    {
        decoded += row_bytes;
        if !source.may_decode_more(decoded) {
            return Ok(media(Checked::Part));
        }
    }
    rows.finish().map_err(|error| refusal(source, error))?;
    Ok(media(Checked::Whole))
}

fn size(source: &Source) -> Result<(u32, u32), Refusal> {
    let start = source.peek(SIGNATURE_BYTES, 17);
    if start.get(4..8).is_some_and(|name| name != b"IHDR") {
        return Err(Refusal::damaged(FORMAT, "it does not begin with a header"));
    }
    u32_be(&start, 8)
        .zip(u32_be(&start, 12))
        .ok_or_else(|| Refusal::cut(FORMAT, "in its header", source.len()))
}

/// Walks to the end mark; whether there is a transparent colour.
fn walk(source: &Source) -> Result<bool, Refusal> {
    let mut reader = source.reader(SIGNATURE_BYTES, BUFFER_BYTES);
    let mut at = SIGNATURE_BYTES;
    let mut transparent_colour = false;
    loop {
        let header = next::<8>(&mut reader)
            .map_err(|error| broken_off(source, FORMAT, "before its end mark", &error))?;
        let len = u32_be(&header, 0).unwrap_or(0);
        let name = header.get(4..).unwrap_or_default();
        let end = at + 12 + u64::from(len);
        if !name.iter().all(u8::is_ascii_alphabetic) {
            return Err(Refusal::damaged(
                FORMAT,
                format_args!("at byte {at} there is no chunk"),
            ));
        }
        if end > source.len() {
            let place = format!("in its chunk {}", String::from_utf8_lossy(name));
            return Err(Refusal::short(FORMAT, place, end, source.len(), "bytes"));
        }
        match name {
            b"IEND" => return Ok(transparent_colour),
            b"tRNS" => transparent_colour = true,
            _ => {}
        }
        reader
            .seek_relative(i64::from(len) + 4)
            .map_err(|error| broken_off(source, FORMAT, "before its end mark", &error))?;
        at = end;
    }
}

fn refusal(source: &Source, error: DecodingError) -> Refusal {
    match error {
        DecodingError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Refusal::cut(FORMAT, "in its pixels", source.len())
        }
        other => Refusal::damaged(FORMAT, other),
    }
}
