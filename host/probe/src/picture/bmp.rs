//! BMP: the header tells how many bytes of pixels must follow; they are decoded in one piece if the budget affords it.

use super::{BUFFER_BYTES, check_size};
use crate::fields::{u16_le, u32_le};
use crate::media::{Checked, Format, Media};
use crate::refusal::Refusal;
use crate::source::Source;
use image::codecs::bmp::BmpDecoder;
use image::{ImageDecoder, ImageError};
use std::io;

const FORMAT: Format = Format::Bmp;

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let decoder =
        BmpDecoder::new(source.reader(0, BUFFER_BYTES)).map_err(|error| refusal(source, error))?;
    let (width, height) = decoder.dimensions();
    check_size(source, FORMAT, width, height)?;
    if let Some(declared) = declared_bytes(source).filter(|declared| *declared > source.len()) {
        return Err(Refusal::short(
            FORMAT,
            "in its pixels",
            declared,
            source.len(),
            "bytes",
        ));
    }
    let media = |checked| {
        Media::image(
            FORMAT,
            (width, height),
            decoder.color_type().has_alpha(),
            checked,
        )
    };

    let bytes = decoder.total_bytes();
    if !source.affords(bytes, bytes) {
        return Ok(media(Checked::Part));
    }
    let whole = media(Checked::Whole);
    let mut pixels = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    decoder
        .read_image(&mut pixels)
        .map_err(|error| refusal(source, error))?;
    Ok(whole)
}

/// The least length of the file; none for compressed pixels and for the header of OS/2.
fn declared_bytes(source: &Source) -> Option<u64> {
    let header = source.peek(0, 34);
    let uncompressed = u32_le(&header, 14)? >= 40 && matches!(u32_le(&header, 30)?, 0 | 3 | 6);
    if !uncompressed {
        return None;
    }
    let width = u64::from(u32_le(&header, 18)?);
    // Negative for a picture stored from its top.
    let height = u64::from(u32_le(&header, 22)?.cast_signed().unsigned_abs());
    let row_bytes = width
        .checked_mul(u64::from(u16_le(&header, 28)?))?
        .div_ceil(32)
        * 4;
    row_bytes
        .checked_mul(height)?
        .checked_add(u64::from(u32_le(&header, 10)?))
}

fn refusal(source: &Source, error: ImageError) -> Refusal {
    match error {
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Refusal::cut(FORMAT, "in its header or pixels", source.len())
        }
        other => Refusal::damaged(FORMAT, other),
    }
}
