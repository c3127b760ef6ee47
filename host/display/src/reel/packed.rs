//! Animated PNG and WebP, composed by their decoders.
//! Invariant: one composed picture is in memory, and what the decoder itself keeps.
//! A still PNG or WebP gives its source back.

use std::time::Duration;

use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::LoopCount;
use image::{AnimationDecoder, Frames, ImageDecoder, ImageFormat, Rgba, RgbaImage};

use super::{Reel, Still, file_hold};
use crate::canvas::{Channels, Pixels};
use crate::picture::{buffered, check_size, decode_error, decoder_limits};
use crate::{DisplayError, Source, limits};

/// An animated PNG or WebP.
pub(crate) struct PackedReel {
    source: Source,
    format: ImageFormat,
    film: Film,
    shown: RgbaImage,
}

/// A decoder at some place of the file.
struct Film {
    frames: Frames<'static>,
    plays: Option<u32>,
}

/// What a file turned out to be.
pub(crate) enum Opened {
    /// It has frames.
    Moving(PackedReel),
    /// It has one picture; the source is given back.
    Still(Source),
}

impl PackedReel {
    /// Looks whether the file moves. Only PNG and WebP can.
    pub(crate) fn open(mut source: Source, format: ImageFormat) -> Result<Opened, DisplayError> {
        Ok(match film(&mut source, format)? {
            Some(film) => Opened::Moving(Self {
                source,
                format,
                film,
                shown: RgbaImage::default(),
            }),
            None => Opened::Still(source),
        })
    }
}

fn film(source: &mut Source, format: ImageFormat) -> Result<Option<Film>, DisplayError> {
    let wrong = |error| decode_error(format, error);
    match format {
        ImageFormat::Png => {
            let decoder =
                PngDecoder::with_limits(buffered(source)?, decoder_limits()).map_err(wrong)?;
            if !decoder.is_apng().map_err(wrong)? {
                return Ok(None);
            }
            check_canvas(&decoder)?;
            let decoder = decoder.apng().map_err(wrong)?;
            let plays = plays(decoder.loop_count());
            Ok(Some(Film {
                frames: decoder.into_frames(),
                plays,
            }))
        }
        ImageFormat::WebP => {
            let mut decoder = WebPDecoder::new(buffered(source)?).map_err(wrong)?;
            if !decoder.has_animation() {
                return Ok(None);
            }
            check_canvas(&decoder)?;
            // As browsers do: the file's own background colour is a hint that nobody follows.
            decoder.set_background_color(Rgba([0; 4])).map_err(wrong)?;
            let plays = plays(decoder.loop_count());
            Ok(Some(Film {
                frames: decoder.into_frames(),
                plays,
            }))
        }
        _ => Ok(None),
    }
}

fn check_canvas(decoder: &impl ImageDecoder) -> Result<(), DisplayError> {
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits::MAX_ANIMATION_PIXELS)
}

/// Both formats write how often the whole is played, 0 for ever.
fn plays(count: LoopCount) -> Option<u32> {
    match count {
        LoopCount::Infinite => None,
        LoopCount::Finite(plays) => Some(plays.get()),
    }
}

impl Reel for PackedReel {
    fn plays(&self) -> Option<u32> {
        self.film.plays
    }

    fn next(&mut self) -> Result<Option<Still<'_>>, DisplayError> {
        let Some(frame) = self.film.frames.next() else {
            return Ok(None);
        };
        let frame = frame.map_err(|error| decode_error(self.format, error))?;
        let hold = file_hold(Duration::from(frame.delay()));
        self.shown = frame.into_buffer();
        let pixels = Pixels {
            width: self.shown.width(),
            height: self.shown.height(),
            channels: Channels::Rgba,
            bytes: self.shown.as_raw(),
        };
        Ok(Some(Still { pixels, hold }))
    }

    fn rewind(&mut self) -> Result<(), DisplayError> {
        self.film = film(&mut self.source, self.format)?.ok_or(DisplayError::Empty(
            "the animation has become a still picture",
        ))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;

    // Made with ffmpeg: red, green and blue, 4 x 4, 0.2 s each, played twice.
    const PNG: &[u8] = include_bytes!("packed/moving.png");
    const WEBP: &[u8] = include_bytes!("packed/moving.webp");

    #[test]
    fn animated_png_and_webp_have_their_frames_times_and_plays() {
        for (bytes, format) in [(PNG, ImageFormat::Png), (WEBP, ImageFormat::WebP)] {
            let opened = PackedReel::open(bytes.to_vec().into(), format).unwrap();
            let Opened::Moving(mut reel) = opened else {
                panic!("{format:?} stands still")
            };
            assert_eq!(reel.plays(), Some(2), "{format:?}");
            for _ in 0..2 {
                for colour in [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]] {
                    let still = reel.next().unwrap().unwrap();
                    assert_eq!(still.hold, Duration::from_millis(200));
                    assert_eq!((still.pixels.width, still.pixels.height), (4, 4));
                    for (got, expected) in still.pixels.bytes.iter().zip(colour.repeat(16)) {
                        // The WebP decoder's blending rounds down: 254 for 255.
                        assert!(got.abs_diff(expected) <= 1, "{format:?}: {got}, {expected}");
                    }
                }
                assert!(reel.next().unwrap().is_none());
                reel.rewind().unwrap();
            }
        }
    }

    #[test]
    fn a_still_picture_gives_its_source_back() {
        let mut png = Vec::new();
        RgbaImage::new(1, 1)
            .write_to(&mut std::io::Cursor::new(&mut png), ImageFormat::Png)
            .unwrap();
        let opened = PackedReel::open(png.into(), ImageFormat::Png).unwrap();
        assert!(matches!(opened, Opened::Still(_)));
    }
}
