//! Turns a frame into lines of text.
//! Invariant: every line ends with the terminal's own colours.

use std::borrow::Cow;
use std::fmt::Write;

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::frame::Frame;

/// From dark to light on a dark terminal.
const SHADES: &[u8; 10] = b" .:-=+*#%@";

/// What lines are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// 24-bit colours.
    TrueColour,
    /// Characters only.
    Shades,
}

/// The frame, made smaller if it is larger than so many pixels. Its shape stays.
pub(super) fn within(frame: &Frame, max_width: u32, max_height: u32) -> Cow<'_, Frame> {
    let (width, height) = (frame.width(), frame.height());
    let (max_width, max_height) = (max_width.max(1), max_height.max(1));
    if width <= max_width && height <= max_height {
        return Cow::Borrowed(frame);
    }
    let scaled = |side: u32, up: u32, down: u32| {
        let side = u64::from(side) * u64::from(up) / u64::from(down.max(1));
        u32::try_from(side).unwrap_or(u32::MAX).max(1)
    };
    let narrow =
        u64::from(width) * u64::from(max_height) > u64::from(height) * u64::from(max_width);
    let (to_width, to_height) = if narrow {
        (max_width, scaled(height, max_width, width))
    } else {
        (scaled(width, max_height, height), max_height)
    };
    RgbImage::from_raw(width, height, frame.rgb().to_vec())
        .map(|image| imageops::resize(&image, to_width, to_height, FilterType::Triangle))
        .and_then(|image| Frame::new(to_width, to_height, image.into_raw()))
        .map_or(Cow::Borrowed(frame), Cow::Owned)
}

/// One line for every two rows of pixels, without line ends.
pub(super) fn lines(frame: &Frame, ink: Ink) -> Vec<String> {
    let rows: Vec<&[u8]> = frame.rows().collect();
    rows.chunks(2)
        .map(|pair| {
            let upper = pair.first().copied().unwrap_or_default();
            let lower = pair.get(1).copied();
            match ink {
                Ink::TrueColour => coloured(upper, lower),
                Ink::Shades => shaded(upper, lower),
            }
        })
        .collect()
}

fn coloured(upper: &[u8], lower: Option<&[u8]>) -> String {
    let mut line = String::new();
    let (mut ink, mut paper) = (None, None);
    let mut below = lower.unwrap_or_default().chunks_exact(3);
    for above in upper.chunks_exact(3) {
        let below = below.next();
        // Only what changes is written; writing to a String cannot fail.
        if ink != Some(above) {
            if let [red, green, blue] = above {
                let _ = write!(line, "\x1b[38;2;{red};{green};{blue}m");
            }
            ink = Some(above);
        }
        if paper != below {
            if let Some([red, green, blue]) = below {
                let _ = write!(line, "\x1b[48;2;{red};{green};{blue}m");
            }
            paper = below;
        }
        line.push('▀');
    }
    line.push_str("\x1b[0m");
    line
}

fn shaded(upper: &[u8], lower: Option<&[u8]>) -> String {
    let mut below = lower.unwrap_or(upper).chunks_exact(3);
    upper
        .chunks_exact(3)
        .map(|above| {
            let light = (luma(above) + luma(below.next().unwrap_or(above))) / 2;
            let shade = light as usize * SHADES.len() / 256;
            SHADES.get(shade).copied().map_or(' ', char::from)
        })
        .collect()
}

/// 0 to 255, as bright as the eye takes it.
fn luma(pixel: &[u8]) -> u32 {
    match pixel {
        [red, green, blue] => {
            (u32::from(*red) * 299 + u32::from(*green) * 587 + u32::from(*blue) * 114) / 1000
        }
        _ => 0,
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

    #[test]
    fn a_cell_holds_two_pixels_and_colours_are_written_when_they_change() {
        let rgb = [
            [1, 2, 3],
            [1, 2, 3],
            [4, 5, 6], // upper
            [7, 8, 9],
            [0, 0, 0],
            [0, 0, 0], // lower
            [9, 9, 9],
            [9, 9, 9],
            [9, 9, 9], // a last row without a lower one
        ];
        let frame = Frame::new(3, 3, rgb.concat()).unwrap();
        assert_eq!(
            lines(&frame, Ink::TrueColour),
            [
                "\x1b[38;2;1;2;3m\x1b[48;2;7;8;9m▀\x1b[48;2;0;0;0m▀\x1b[38;2;4;5;6m▀\x1b[0m",
                "\x1b[38;2;9;9;9m▀▀▀\x1b[0m",
            ]
        );
    }

    #[test]
    fn without_colour_light_becomes_dense_characters() {
        let rgb = [[0, 0, 0], [255, 255, 255], [0, 0, 0], [255, 255, 255]];
        assert_eq!(
            lines(&Frame::new(2, 2, rgb.concat()).unwrap(), Ink::Shades),
            [" @"]
        );
        let rgb = [[0, 0, 0], [0, 0, 0], [255, 255, 255], [0, 255, 0]];
        assert_eq!(
            lines(&Frame::new(2, 2, rgb.concat()).unwrap(), Ink::Shades),
            ["=:"]
        );
    }

    #[test]
    fn a_frame_too_large_is_made_smaller_in_its_shape() {
        let frame = Frame::filled(64, 32, [5, 6, 7]);
        assert_eq!(within(&frame, 64, 40).as_ref(), &frame);
        assert_eq!(
            within(&frame, 32, 40).as_ref(),
            &Frame::filled(32, 16, [5, 6, 7])
        );
        assert_eq!(
            within(&frame, 80, 8).as_ref(),
            &Frame::filled(16, 8, [5, 6, 7])
        );
        assert_eq!(
            within(&Frame::filled(2048, 1, [1; 3]), 80, 40)
                .as_ref()
                .height(),
            1
        );
    }
}
