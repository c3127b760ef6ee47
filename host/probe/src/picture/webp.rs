//! WebP: all chunks are walked, also those within frames, because the decoder believes the size that a lossy picture
//! inside claims before it compares it with the outer one. What the budget affords is then decoded.

use super::{BUFFER_BYTES, broken_off, check_size};
use crate::fields::{next, u16_le, u24_le, u32_le};
use crate::media::{Checked, Format, Media};
use crate::refusal::Refusal;
use crate::source::{Source, Window};
use image_webp::{DecodingError, WebPDecoder};
use std::io::{self, BufReader};
use std::time::Duration;

const FORMAT: Format = Format::Webp;
const HAS_ALPHA: u8 = 0x10;
const HAS_ANIMATION: u8 = 0x02;
/// What a part of a lossy picture can claim; the decoder allocates it before it looks whether it is there.
const PARTITION_BYTES: u64 = 16 << 20;

#[derive(Default)]
struct Walk {
    size: Option<(u32, u32)>,
    has_alpha: bool,
    is_animated: bool,
    frames: u32,
    loops: u32,
    pass: Duration,
}

pub(crate) fn examine(source: &Source) -> Result<Media, Refusal> {
    let end = 8 + u64::from(u32_le(&source.peek(4, 4), 0).unwrap_or(0));
    if end > source.len() {
        return Err(Refusal::short(
            FORMAT,
            "in its pixels",
            end,
            source.len(),
            "bytes",
        ));
    }
    let mut walk = Walk {
        loops: 1,
        ..Walk::default()
    };
    let mut reader = source.reader(12, BUFFER_BYTES);
    walk.chunks(source, &mut reader, 12, end)?;
    let Some(size) = walk.size else {
        return Err(Refusal::damaged(FORMAT, "it holds no picture"));
    };
    if walk.is_animated && walk.frames == 0 {
        return Err(Refusal::damaged(
            FORMAT,
            "it is an animation without frames",
        ));
    }
    check_size(source, FORMAT, size.0, size.1)?;
    let checked = decode(source, size, &walk)?;
    Ok(
        Media::image(FORMAT, size, walk.has_alpha, checked).animated(
            walk.frames,
            walk.loops,
            walk.pass,
        ),
    )
}

fn decode(source: &Source, size: (u32, u32), walk: &Walk) -> Result<Checked, Refusal> {
    // Handed out 4 bytes, in the making up to 7 (luma and chroma 1.5, alpha 1 and, compressed, 4), and of an animation
    // the canvas and the frame, 4 each.
    let pixels = u64::from(size.0) * u64::from(size.1);
    let per_pixel = if walk.is_animated { 19 } else { 11 };
    if !source.affords(
        4 * pixels,
        per_pixel * pixels + source.len() + PARTITION_BYTES,
    ) {
        return Ok(Checked::Part);
    }
    let mut decoder =
        WebPDecoder::new(source.reader(0, BUFFER_BYTES)).map_err(|error| refusal(source, error))?;
    if decoder.dimensions() != size {
        return Err(Refusal::damaged(
            FORMAT,
            "its parts disagree about its size",
        ));
    }
    let Some(bytes) = decoder.output_buffer_size() else {
        return Ok(Checked::Part);
    };
    let mut picture = vec![0; bytes];
    if !walk.is_animated {
        decoder
            .read_image(&mut picture)
            .map_err(|error| refusal(source, error))?;
        return Ok(Checked::Whole);
    }
    let mut decoded = 0;
    for _ in 0..decoder.num_frames() {
        if !source.may_decode_more(decoded) {
            return Ok(Checked::Part);
        }
        decoder
            .read_frame(&mut picture)
            .map_err(|error| refusal(source, error))?;
        decoded += 4 * pixels;
    }
    Ok(Checked::Whole)
}

impl Walk {
    /// The chunks of the file, from `at` to `end`.
    fn chunks(
        &mut self,
        source: &Source,
        reader: &mut BufReader<Window>,
        mut at: u64,
        end: u64,
    ) -> Result<(), Refusal> {
        let cut = |error: io::Error| broken_off(source, FORMAT, "in a chunk", &error);
        // A single byte left over is padding.
        while at + 8 <= end {
            let header = next::<8>(reader).map_err(cut)?;
            let len = u64::from(u32_le(&header, 4).unwrap_or(0));
            let name = header.first_chunk::<4>().copied().unwrap_or_default();
            let body = at + 8;
            at = body + len + len % 2;
            if body + len > end {
                return Err(Refusal::short(
                    FORMAT,
                    "in a chunk",
                    body + len,
                    end,
                    "bytes",
                ));
            }
            let mut done = 0;
            match &name {
                b"VP8X" if len >= 10 => {
                    let fields = next::<10>(reader).map_err(cut)?;
                    done = 10;
                    self.has_alpha = fields[0] & HAS_ALPHA != 0;
                    self.is_animated = fields[0] & HAS_ANIMATION != 0;
                    self.size = Some((
                        1 + u24_le(&fields, 4).unwrap_or(0),
                        1 + u24_le(&fields, 7).unwrap_or(0),
                    ));
                }
                b"ANIM" if len >= 6 => {
                    let fields = next::<6>(reader).map_err(cut)?;
                    done = 6;
                    self.loops = u32::from(u16_le(&fields, 4).unwrap_or(0));
                }
                b"ANMF" if self.is_animated && len >= 16 => {
                    let fields = next::<16>(reader).map_err(cut)?;
                    done = 16;
                    let frame = (
                        1 + u24_le(&fields, 6).unwrap_or(0),
                        1 + u24_le(&fields, 9).unwrap_or(0),
                    );
                    check_size(source, FORMAT, frame.0, frame.1)?;
                    self.pass += Duration::from_millis(u64::from(u24_le(&fields, 12).unwrap_or(0)));
                    self.frames = self.frames.saturating_add(1);
                    done += frame_picture(source, reader, frame, len - done)?;
                }
                b"VP8 " | b"VP8L" if !self.is_animated => {
                    let (inner, alpha) = picture_size(reader, &name, len).map_err(cut)?;
                    done = inner_header_bytes(&name).min(len);
                    self.has_alpha |= alpha && self.size.is_none();
                    if *self.size.get_or_insert(inner) != inner {
                        return Err(Refusal::damaged(
                            FORMAT,
                            "its parts disagree about its size",
                        ));
                    }
                }
                _ => {}
            }
            let skip = i64::try_from(len + len % 2 - done).unwrap_or(i64::MAX);
            reader.seek_relative(skip).map_err(cut)?;
        }
        Ok(())
    }
}

/// Finds the picture in a frame of `frame` pixels, whose chunks take `bytes`; how many bytes were read.
fn frame_picture(
    source: &Source,
    reader: &mut BufReader<Window>,
    frame: (u32, u32),
    bytes: u64,
) -> Result<u64, Refusal> {
    let cut = |error: io::Error| broken_off(source, FORMAT, "in a frame", &error);
    let mut done = 0;
    while done + 8 <= bytes {
        let header = next::<8>(reader).map_err(cut)?;
        let len = u64::from(u32_le(&header, 4).unwrap_or(0));
        let name = header.first_chunk::<4>().copied().unwrap_or_default();
        done += 8;
        if done + len > bytes {
            return Err(Refusal::damaged(
                FORMAT,
                "a part of a frame is longer than the frame",
            ));
        }
        if &name == b"VP8 " || &name == b"VP8L" {
            let (inner, _) = picture_size(reader, &name, len).map_err(cut)?;
            if inner != frame {
                return Err(Refusal::damaged(
                    FORMAT,
                    "a frame and its picture disagree about their size",
                ));
            }
            return Ok(done + inner_header_bytes(&name).min(len));
        }
        let padded = (len + len % 2).min(bytes - done);
        reader
            .seek_relative(i64::try_from(padded).unwrap_or(i64::MAX))
            .map_err(cut)?;
        done += padded;
    }
    Err(Refusal::damaged(FORMAT, "a frame holds no picture"))
}

fn inner_header_bytes(name: &[u8; 4]) -> u64 {
    if name == b"VP8 " { 10 } else { 5 }
}

/// Reads the inner header: width and height, and whether there is alpha. Too short a chunk counts as 0 x 0.
fn picture_size(
    reader: &mut BufReader<Window>,
    name: &[u8; 4],
    len: u64,
) -> io::Result<((u32, u32), bool)> {
    let mut header = [0; 10];
    let count = usize::try_from(inner_header_bytes(name).min(len)).unwrap_or(0);
    io::Read::read_exact(reader, header.get_mut(..count).unwrap_or_default())?;
    if len < inner_header_bytes(name) {
        return Ok(((0, 0), false));
    }
    if name == b"VP8 " {
        let side = |at| u32::from(u16_le(&header, at).unwrap_or(0) & 0x3fff);
        return Ok(((side(6), side(8)), false));
    }
    let bits = u32_le(&header, 1).unwrap_or(0);
    Ok((
        (1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff)),
        bits >> 28 & 1 != 0,
    ))
}

fn refusal(source: &Source, error: DecodingError) -> Refusal {
    match error {
        DecodingError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Refusal::cut(FORMAT, "in its pixels", source.len())
        }
        other => Refusal::damaged(FORMAT, other),
    }
}
