//! ID3v2 tags: title, cover and the like, in front of MP3 and sometimes FLAC.
//! Invariant: a tag that passes lies within the file, and no frame in it claims more than the tag holds: a player
//! allocates what a frame claims before it looks whether it is there.
//! Not here: what the tags say.

use super::MAX_TAG_BYTES;
use crate::fields::{u24_be, u32_be};
use crate::media::Format;
use crate::refusal::Refusal;
use crate::source::Source;

const FORMAT: Format = Format::Mp3;
const HEADER_BYTES: u64 = 10;

/// Where the first byte behind the tags is.
pub(crate) fn skip_tags(source: &Source, start: u64) -> Result<u64, Refusal> {
    let mut at = start;
    loop {
        let header = source.peek(at, HEADER_BYTES);
        if !header.starts_with(b"ID3") {
            return Ok(at);
        }
        let (Some(size), Some([version, _, flags])) = (syncsafe(&header, 6), header.get(3..6))
        else {
            return Err(Refusal::cut(FORMAT, "in its tag", source.len()));
        };
        let size = u64::from(size);
        let footer = if flags & 0x10 != 0 && *version >= 4 {
            HEADER_BYTES
        } else {
            0
        };
        let end = at + HEADER_BYTES + size + footer;
        if end > source.len() {
            return Err(Refusal::short(
                FORMAT,
                "in its tag",
                end,
                source.len(),
                "bytes",
            ));
        }
        if size > MAX_TAG_BYTES.min(source.budget().max_memory_bytes) {
            return Err(Refusal::damaged(
                FORMAT,
                format_args!("its tag has {size} bytes; remove the cover picture"),
            ));
        }
        let body = source.peek(at + HEADER_BYTES, size);
        check_frames(&body, *version, *flags)?;
        at = end;
    }
}

fn check_frames(body: &[u8], version: u8, flags: u8) -> Result<(), Refusal> {
    let unsynchronised;
    let mut rest = body;
    if flags & 0x80 != 0 && version < 4 {
        unsynchronised = without_stuffing(body);
        rest = &unsynchronised;
    }
    if flags & 0x40 != 0 && version >= 3 {
        // An extended header; players differ in how they read its length, so it is skipped as they do it: by fields.
        let skip = match version {
            3 => 10 + if u32_be(rest, 0) == Some(10) { 4 } else { 0 },
            _ => 6 + extended_fields(rest),
        };
        rest = rest.get(skip..).unwrap_or_default();
    }
    let header_bytes = if version == 2 { 6 } else { 10 };
    while rest.len() >= header_bytes {
        let id = rest
            .get(..if version == 2 { 3 } else { 4 })
            .unwrap_or_default();
        if !id
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        {
            return Ok(());
        }
        let size = match version {
            2 => u24_be(rest, 3),
            3 => u32_be(rest, 4),
            _ => syncsafe(rest, 4),
        };
        let size = usize::try_from(size.unwrap_or(0)).unwrap_or(usize::MAX);
        let body = rest.get(header_bytes..).unwrap_or_default();
        let Some(next) = body.get(size..) else {
            let name = String::from_utf8_lossy(id);
            let reason = format!(
                "the entry {name} of its tag announces {size} bytes, {} came",
                body.len()
            );
            return Err(Refusal::damaged(FORMAT, reason));
        };
        rest = next;
    }
    Ok(())
}

/// Bytes of the optional fields behind the flags of an extended header of version 4.
fn extended_fields(body: &[u8]) -> usize {
    let flags = body.get(5).copied().unwrap_or(0);
    let field = |bit: u8, bytes| if flags & bit != 0 { bytes } else { 0 };
    field(0x40, 1) + field(0x20, 6) + field(0x10, 2)
}

/// Removes the zeros that were put behind 0xff so that no player takes a tag for sound.
fn without_stuffing(body: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(body.len());
    let mut last = 0;
    for byte in body {
        if !(last == 0xff && *byte == 0) {
            clean.push(*byte);
        }
        last = *byte;
    }
    clean
}

/// Four bytes of seven bits each.
fn syncsafe(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(
        bytes
            .iter()
            .fold(0, |size, byte| size << 7 | u32::from(byte & 0x7f)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_claims_more_than_the_tag_is_refused_in_every_version() {
        let mut third = b"APIC\xff\xff\xff\xff\0\0cover".to_vec();
        assert!(check_frames(&third, 3, 0).is_err());
        third.splice(4..8, [0, 0, 0, 5]);
        assert!(check_frames(&third, 3, 0).is_ok());
        assert!(check_frames(b"PIC\0\0\x06cover", 2, 0).is_err());
        assert!(check_frames(b"PIC\0\0\x05cover", 2, 0).is_ok());
        assert!(check_frames(b"APIC\x7f\x7f\x7f\x7f\0\0cover", 4, 0).is_err());
        // Padding ends the tag.
        assert!(check_frames(&[0; 40], 3, 0).is_ok());
    }
}
