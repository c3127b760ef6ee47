//! Pictures, one file per format. Each walks the container to its end and decodes what the budget affords.

pub(crate) mod bmp;
pub(crate) mod gif;
pub(crate) mod jpeg;
pub(crate) mod png;
pub(crate) mod webp;

use crate::media::Format;
use crate::refusal::Refusal;
use crate::source::Source;
use std::io;

/// Buffer of a reader that walks a container, in bytes.
const BUFFER_BYTES: usize = 8 << 10;

/// Refuses a picture without pixels and one with more than the budget allows.
fn check_size(source: &Source, format: Format, width: u32, height: u32) -> Result<(), Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal::damaged(
            format,
            format_args!("its size is {width} x {height} pixels"),
        ));
    }
    let max_pixels = source.budget().max_pixels;
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(Refusal::TooLarge {
            format,
            width,
            height,
            max_pixels,
        });
    }
    Ok(())
}

/// What a failed read of the container means: nearly always that the file ends early.
fn broken_off(source: &Source, format: Format, place: &str, error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Refusal::cut(format, place, source.len())
    } else {
        Refusal::damaged(format, error)
    }
}
