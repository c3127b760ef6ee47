//! Which format a file has, by its first bytes.
//! Not here: whether it is sound; a matching start is all that is asked.
//! What is not known is refused with its first bytes and, where they are well known, the name of what it is.

use crate::fields::{u32_be, u32_le};
use crate::media::Format;
use crate::refusal::Refusal;
use crate::sound::{id3, mp3};
use crate::source::Source;

/// Enough for every signature.
const START_BYTES: u64 = 64;
/// How many first bytes a refusal shows.
const SHOWN_BYTES: usize = 16;

pub(crate) fn format(source: &Source) -> Result<Format, Refusal> {
    let start = source.peek(0, START_BYTES);
    if let Some(format) = by_signature(&start) {
        return Ok(format);
    }
    if start.starts_with(b"ID3") {
        let after = id3::skip_tags(source, 0)?;
        return Ok(if source.peek(after, 4) == b"fLaC" {
            Format::Flac
        } else {
            Format::Mp3
        });
    }
    let looks_like = well_known(&start);
    if looks_like.is_none() && mp3::find_first_frame(source, 0).is_some() {
        return Ok(Format::Mp3);
    }
    let start = start.into_iter().take(SHOWN_BYTES).collect();
    Err(Refusal::UnknownFormat { start, looks_like })
}

fn by_signature(start: &[u8]) -> Option<Format> {
    let riff = |kind: &[u8]| start.starts_with(b"RIFF") && start.get(8..12) == Some(kind);
    if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Format::Png)
    } else if start.starts_with(b"\xff\xd8\xff") {
        Some(Format::Jpeg)
    } else if start.starts_with(b"GIF87a") || start.starts_with(b"GIF89a") {
        Some(Format::Gif)
    } else if riff(b"WEBP") {
        Some(Format::Webp)
    } else if riff(b"WAVE") {
        Some(Format::Wav)
    } else if start.starts_with(b"fLaC") {
        Some(Format::Flac)
    } else if start.starts_with(b"OggS") {
        Some(Format::Ogg)
    } else if start.starts_with(b"BM")
        && matches!(u32_le(start, 14), Some(12 | 40 | 52 | 56 | 64 | 108 | 124))
    {
        // Two letters alone could be text; the size of the header behind them makes it a bitmap.
        Some(Format::Bmp)
    } else {
        None
    }
}

fn well_known(start: &[u8]) -> Option<&'static str> {
    const STARTS: [(&[u8], &str); 12] = [
        (b"%PDF", "a pdf document"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "gzip data"),
        (b"II*\0", "a tiff picture"),
        (b"MM\0*", "a tiff picture"),
        (b"FORM", "an aiff sound"),
        (b"MThd", "a midi file"),
        (b"RIFF", "an avi video or another riff file"),
        (b"\x1a\x45\xdf\xa3", "a matroska or webm video"),
        (b"<svg", "an svg drawing"),
        (b"<?xml", "xml text"),
        (b"<!DOCTYPE html", "a web page"),
    ];
    if u32_be(start, 4) == Some(u32::from_be_bytes(*b"ftyp")) {
        return Some("an mp4, m4a, heic or avif file");
    }
    if matches!(start, [0xff, second, ..] if second & 0xf6 == 0xf0) {
        return Some("an aac sound");
    }
    if matches!(start, [0xff, second, ..] if second & 0xfe == 0xfc) {
        return Some("an mp2 sound (mpeg layer 2)");
    }
    STARTS
        .iter()
        .find(|(bytes, _)| start.starts_with(bytes))
        .map(|(_, name)| *name)
}
