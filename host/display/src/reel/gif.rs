//! Composes the frames of a GIF as browsers do.
//! Invariant: the canvas holds what is seen; what a frame's disposal asks for happens when the next
//! frame comes. Areas outside every frame are transparent; the file's background colour is ignored.
//! Not `image`'s own composer: it cannot tell "play once" from "for ever", and gives a new canvas a frame.
//! A file that breaks off gives an error at the broken frame; the frames before it are good.

use std::num::NonZeroU64;
use std::time::Duration;

use gif::{ColorOutput, Decoder, DecodingError, DisposalMethod, MemoryLimit, Repeat};

use super::{Reel, Still, file_hold};
use crate::canvas::{Channels, Pixels};
use crate::picture::{check_size, read_error};
use crate::{DisplayError, ReadSeek, Source, limits};

/// A GIF file, moving or not.
pub(crate) struct GifReel {
    source: Source,
    decoder: Decoder<Box<dyn ReadSeek>>,
    width: u32,
    height: u32,
    /// What is seen, RGBA.
    canvas: Vec<u8>,
    /// The canvas before a frame that is to be taken back.
    before: Vec<u8>,
    /// The decoded frame itself, RGBA.
    frame: Vec<u8>,
    /// What becomes of the frame on the canvas when the next one comes.
    disposal: Disposal,
}

enum Disposal {
    Keep,
    Clear(Area),
    Restore,
}

/// A frame's place on the canvas, in pixels; it may reach beyond.
#[derive(Clone, Copy)]
struct Area {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl GifReel {
    /// Reads the header and makes the canvas.
    pub(crate) fn open(mut source: Source) -> Result<Self, DisplayError> {
        let decoder = decoder(&mut source)?;
        let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
        check_size(width, height, limits::MAX_ANIMATION_PIXELS)?;
        let canvas = vec![0; width as usize * height as usize * 4];
        Ok(Self {
            source,
            decoder,
            width,
            height,
            canvas,
            before: Vec::new(),
            frame: Vec::new(),
            disposal: Disposal::Keep,
        })
    }

    fn dispose(&mut self) {
        match std::mem::replace(&mut self.disposal, Disposal::Keep) {
            Disposal::Keep => {}
            Disposal::Clear(area) => {
                for row in area.rows(&mut self.canvas, self.width) {
                    row.fill(0);
                }
            }
            Disposal::Restore => self.canvas.copy_from_slice(&self.before),
        }
    }
}

impl Area {
    /// The part of each canvas row that the area covers.
    fn rows(self, canvas: &mut [u8], canvas_width: u32) -> impl Iterator<Item = &mut [u8]> {
        let canvas_width = canvas_width as usize;
        let left = self.left.min(canvas_width);
        let right = (self.left + self.width).min(canvas_width);
        canvas
            .chunks_exact_mut(canvas_width * 4)
            .skip(self.top)
            .take(self.height)
            .filter_map(move |row| row.get_mut(left * 4..right * 4))
    }
}

impl Reel for GifReel {
    /// Without the Netscape extension a GIF is played once; its number N means N repetitions, so
    /// N + 1 plays, as Chrome and Firefox read it; 0 is for ever.
    fn plays(&self) -> Option<u32> {
        match self.decoder.repeat() {
            Repeat::Infinite => None,
            Repeat::Finite(repetitions) => Some(u32::from(repetitions) + 1),
        }
    }

    fn next(&mut self) -> Result<Option<Still<'_>>, DisplayError> {
        let Some(info) = self.decoder.next_frame_info().map_err(gif_error)? else {
            return Ok(None);
        };
        let area = Area {
            left: info.left.into(),
            top: info.top.into(),
            width: info.width.into(),
            height: info.height.into(),
        };
        let (frame_width, frame_height) = (info.width, info.height);
        let dispose = info.dispose;
        let hold = file_hold(Duration::from_millis(u64::from(info.delay) * 10));
        self.dispose();
        if frame_width > 0 && frame_height > 0 {
            check_size(
                frame_width.into(),
                frame_height.into(),
                limits::MAX_ANIMATION_PIXELS,
            )?;
            // Zeroed: a pixel whose colour is not in the palette stays transparent.
            self.frame.clear();
            self.frame.resize(self.decoder.buffer_size(), 0);
            self.decoder
                .read_into_buffer(&mut self.frame)
                .map_err(gif_error)?;
            self.disposal = match dispose {
                DisposalMethod::Any | DisposalMethod::Keep => Disposal::Keep,
                DisposalMethod::Background => Disposal::Clear(area),
                DisposalMethod::Previous => {
                    self.before.clone_from(&self.canvas);
                    Disposal::Restore
                }
            };
            let painted = self.frame.chunks_exact(area.width * 4);
            for (row, painted) in area.rows(&mut self.canvas, self.width).zip(painted) {
                for (seen, pixel) in row.chunks_exact_mut(4).zip(painted.chunks_exact(4)) {
                    if pixel.last() != Some(&0) {
                        seen.copy_from_slice(pixel);
                    }
                }
            }
        }
        let pixels = Pixels {
            width: self.width,
            height: self.height,
            channels: Channels::Rgba,
            bytes: &self.canvas,
        };
        Ok(Some(Still { pixels, hold }))
    }

    fn rewind(&mut self) -> Result<(), DisplayError> {
        let decoder = decoder(&mut self.source)?;
        let size = (u32::from(decoder.width()), u32::from(decoder.height()));
        if size != (self.width, self.height) {
            return Err(DisplayError::Read(
                "the file has changed while it was shown".into(),
            ));
        }
        self.decoder = decoder;
        self.canvas.fill(0);
        self.disposal = Disposal::Keep;
        Ok(())
    }
}

fn decoder(source: &mut Source) -> Result<Decoder<Box<dyn ReadSeek>>, DisplayError> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    if let Some(bytes) = NonZeroU64::new(limits::MAX_GIF_METADATA_BYTES) {
        options.set_memory_limit(MemoryLimit::Bytes(bytes));
    }
    options
        .read_info(source.open().map_err(read_error)?)
        .map_err(gif_error)
}

fn gif_error(error: DecodingError) -> DisplayError {
    match error {
        DecodingError::Io(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => read_error(io),
        other => DisplayError::Decode {
            format: "GIF",
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
pub(crate) mod tests;
