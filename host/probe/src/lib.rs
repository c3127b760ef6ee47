//! What is this file: kind, size, frames, duration, or why it cannot be shown or played. By content, never by name.
//! Invariant: the container is walked to its end, contents are decoded as far as the [`Budget`] goes, and memory does
//! not grow with the file. Not here: wasmtime, the store, the protocol, names of files.
//! A decoder that gives up, even by a panic, becomes a [`Refusal`]; the source is only ever read.
//!
//! One file per format, in the order of the data's way: `sniff` picks the format, `picture/` and `sound/` examine it,
//! `source` meters every byte they read.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )
)]

mod budget;
mod fields;
mod media;
mod picture;
mod refusal;
mod sniff;
mod sound;
mod source;
mod text;

pub use budget::Budget;
pub use media::{Checked, Format, Kind, Media, extension_agrees};
pub use refusal::{Limit, Refusal};
pub use text::is_text;

use source::Source;
use std::any::Any;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Examines `source`, which has `len` bytes, and blocks while it does: up to [`Budget::max_time`].
///
/// # Errors
/// A [`Refusal`] says why the file cannot be shown or played, or that looking at it exceeded the budget.
pub fn probe(
    source: impl Read + Seek + Send + 'static,
    len: u64,
    budget: Budget,
) -> Result<Media, Refusal> {
    if len == 0 {
        return Err(Refusal::Empty);
    }
    let source = Source::new(Box::new(source), len, budget);
    let result = sniff::format(&source).and_then(|format| {
        // Nothing of a decoder outlives its panic; the meter is never locked while one runs.
        catch_unwind(AssertUnwindSafe(|| examine(&source, format)))
            .unwrap_or_else(|panic| Err(Refusal::damaged(format, panic_text(&*panic))))
    });
    // A decoder may have taken a reached limit for the end of the file.
    source.fault().map_or(result, Err)
}

fn examine(source: &Source, format: Format) -> Result<Media, Refusal> {
    match format {
        Format::Png => picture::png::examine(source),
        Format::Jpeg => picture::jpeg::examine(source),
        Format::Gif => picture::gif::examine(source),
        Format::Bmp => picture::bmp::examine(source),
        Format::Webp => picture::webp::examine(source),
        Format::Mp3 => sound::mp3::examine(source),
        Format::Wav => sound::wav::examine(source),
        Format::Flac => sound::flac::examine(source),
        Format::Ogg => sound::ogg::examine(source),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "its decoder gave up ({})",
        text.unwrap_or("without a reason")
    )
}
