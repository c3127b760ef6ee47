//! Puts a picture on the panel's pixels: background, fit, filter, brightness, rotation.
//! Invariant: composed over the background first and scaled once, so that transparent edges don't
//! bleed; the filter is chosen at an animation's first frame and kept, so that it doesn't flicker.
//! Not here: decoding, timing. Nothing here fails: every picture with at least one pixel can be put.

use std::collections::HashSet;

use image::RgbImage;
use image::imageops::{self, FilterType};

use crate::frame::Frame;
use crate::settings::{Filter, Fit, Look, Rotation};

/// More colours than this in a picture, and it is taken for a photograph.
const FEW_COLOURS: usize = 256;

/// How many pixels are looked at to count colours.
const COLOUR_SAMPLES: usize = 65_536;

/// A reduction in two steps keeps so many times the pixels needed for the second.
const SPARE: u32 = 3;

/// Borrowed pixels with 3 (RGB) or 4 (RGBA, alpha not premultiplied) bytes each, row by row.
#[derive(Clone, Copy)]
pub(crate) struct Pixels<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) channels: Channels,
    pub(crate) bytes: &'a [u8],
}

/// Bytes a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channels {
    Rgb = 3,
    Rgba = 4,
}

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scaling {
    Copy,
    Nearest,
    /// Means of whole blocks: exact for pixel art that was enlarged before.
    Blocks,
    Smooth(FilterType),
}

/// Paints pictures of one size onto the panel, all in the same way.
pub(crate) struct Canvas {
    look: Look,
    /// Which part of the picture is seen.
    crop: Area,
    /// Where on the (unrotated) panel it goes.
    place: Area,
    scaling: Scaling,
}

impl Canvas {
    /// Fitted to the size of `first`, with the filter that suits it.
    pub(crate) fn new(look: &Look, first: Pixels<'_>) -> Self {
        let (crop, place) = fit(look.fit, (first.width, first.height), look.logical_size());
        let scaling = scaling(look.filter, crop, place, || {
            has_few_colours(&flatten(first, crop, look.background))
        });
        Self {
            look: look.clone(),
            crop,
            place,
            scaling,
        }
    }

    /// The panel frame for one picture of this canvas's size.
    pub(crate) fn paint(&self, pixels: Pixels<'_>) -> Frame {
        let flat = flatten(pixels, self.crop, self.look.background);
        let scaled = scale(flat, self.crop, self.place, self.scaling);
        let (width, height) = self.look.logical_size();
        let mut panel = self
            .look
            .background
            .repeat(width as usize * height as usize);
        let left = self.place.x as usize * 3;
        let row_bytes = self.place.width as usize * 3;
        let rows = panel
            .chunks_exact_mut(width as usize * 3)
            .skip(self.place.y as usize);
        for (row, painted) in rows.zip(scaled.chunks_exact(row_bytes)) {
            if let Some(part) = row.get_mut(left..left + row_bytes) {
                part.copy_from_slice(painted);
            }
        }
        finish(&self.look, panel)
    }
}

/// The panel without a picture.
pub(crate) fn blank(look: &Look) -> Frame {
    Frame::filled(
        look.width,
        look.height,
        look.background.map(|v| dim(v, look.brightness)),
    )
}

fn dim(value: u8, brightness: f64) -> u8 {
    // In range: brightness was checked to be between 0 and 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 255"
    )]
    let dimmed = (f64::from(value) * brightness).round() as u8;
    dimmed
}

/// Brightness and rotation: from the panel as seen to the panel as wired.
fn finish(look: &Look, mut panel: Vec<u8>) -> Frame {
    if look.brightness < 1.0 {
        let table: Vec<u8> = (0..=u8::MAX)
            .map(|value| dim(value, look.brightness))
            .collect();
        for value in &mut panel {
            *value = table.get(usize::from(*value)).copied().unwrap_or_default();
        }
    }
    let (width, height) = look.logical_size();
    let turned = RgbImage::from_raw(width, height, panel).map(|upright| match look.rotate {
        Rotation::Upright => upright,
        Rotation::Right => imageops::rotate90(&upright),
        Rotation::Half => imageops::rotate180(&upright),
        Rotation::Left => imageops::rotate270(&upright),
    });
    turned
        .and_then(|image| Frame::new(look.width, look.height, image.into_raw()))
        .unwrap_or_else(|| blank(look))
}

/// Which part of the picture goes where on the panel.
fn fit(fit: Fit, picture: (u32, u32), panel: (u32, u32)) -> (Area, Area) {
    let ((w, h), (pw, ph)) = (picture, panel);
    let all = Area {
        x: 0,
        y: 0,
        width: w,
        height: h,
    };
    let whole_panel = Area {
        x: 0,
        y: 0,
        width: pw,
        height: ph,
    };
    // w/h > pw/ph without fractions.
    let wider = u64::from(w) * u64::from(ph) > u64::from(h) * u64::from(pw);
    match fit {
        Fit::Stretch => (all, whole_panel),
        Fit::Contain => {
            let size = if wider {
                (pw, ratio(h, pw, w))
            } else {
                (ratio(w, ph, h), ph)
            };
            (all, centred(size, panel))
        }
        Fit::Cover => {
            let size = if wider {
                (ratio(h, pw, ph), h)
            } else {
                (w, ratio(w, ph, pw))
            };
            (centred(size, picture), whole_panel)
        }
        Fit::None => {
            let size = (w.min(pw), h.min(ph));
            (centred(size, picture), centred(size, panel))
        }
    }
}

/// `value * up / down`, rounded, at least 1.
fn ratio(value: u32, up: u32, down: u32) -> u32 {
    let down = u64::from(down.max(1));
    let scaled = (u64::from(value) * u64::from(up) + down / 2) / down;
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

fn centred(size: (u32, u32), within: (u32, u32)) -> Area {
    let (width, height) = (size.0.min(within.0), size.1.min(within.1));
    Area {
        x: (within.0 - width) / 2,
        y: (within.1 - height) / 2,
        width,
        height,
    }
}

fn scaling(filter: Filter, from: Area, to: Area, few_colours: impl FnOnce() -> bool) -> Scaling {
    let shrinks = to.width < from.width || to.height < from.height;
    let whole = |large: u32, small: u32| large.is_multiple_of(small.max(1));
    if (from.width, from.height) == (to.width, to.height) {
        return Scaling::Copy;
    }
    match filter {
        Filter::Nearest => Scaling::Nearest,
        Filter::Smooth if shrinks => Scaling::Smooth(FilterType::Lanczos3),
        Filter::Smooth => Scaling::Smooth(FilterType::CatmullRom),
        Filter::Auto if !shrinks => {
            let whole = whole(to.width, from.width) && whole(to.height, from.height);
            if whole || few_colours() {
                Scaling::Nearest
            } else {
                Scaling::Smooth(FilterType::CatmullRom)
            }
        }
        Filter::Auto if few_colours() => {
            if whole(from.width, to.width) && whole(from.height, to.height) {
                Scaling::Blocks
            } else {
                // Lanczos would draw halos around flat colours.
                Scaling::Smooth(FilterType::Triangle)
            }
        }
        Filter::Auto => Scaling::Smooth(FilterType::Lanczos3),
    }
}

fn has_few_colours(rgb: &[u8]) -> bool {
    let step = (rgb.len() / 3 / COLOUR_SAMPLES).max(1);
    let mut colours = HashSet::new();
    rgb.chunks_exact(3).step_by(step).all(|pixel| {
        colours.insert(pixel);
        colours.len() <= FEW_COLOURS
    })
}

/// The seen part of a picture as RGB over the background.
fn flatten(pixels: Pixels<'_>, crop: Area, background: [u8; 3]) -> Vec<u8> {
    let channels = pixels.channels as usize;
    let columns = crop.x as usize * channels..(crop.x + crop.width) as usize * channels;
    let row_bytes = crop.width as usize * 3;
    let mut flat = vec![0; row_bytes * crop.height as usize];
    let rows = pixels
        .bytes
        .chunks_exact(pixels.width.max(1) as usize * channels);
    for (row, flat) in rows
        .skip(crop.y as usize)
        .zip(flat.chunks_exact_mut(row_bytes))
    {
        let seen = row.get(columns.clone()).unwrap_or_default();
        match pixels.channels {
            Channels::Rgb if seen.len() == flat.len() => flat.copy_from_slice(seen),
            Channels::Rgb => {}
            Channels::Rgba => {
                for (flat, pixel) in flat.chunks_exact_mut(3).zip(seen.chunks_exact(4)) {
                    let &[red, green, blue, alpha] = pixel else {
                        continue;
                    };
                    let mut colour = [red, green, blue];
                    if alpha != u8::MAX {
                        for (value, below) in colour.iter_mut().zip(background) {
                            *value = over(*value, below, alpha);
                        }
                    }
                    flat.copy_from_slice(&colour);
                }
            }
        }
    }
    flat
}

fn over(colour: u8, background: u8, alpha: u8) -> u8 {
    let alpha = u16::from(alpha);
    let mixed = u16::from(colour) * alpha + u16::from(background) * (255 - alpha);
    u8::try_from((mixed + 127) / 255).unwrap_or(u8::MAX)
}

fn scale(flat: Vec<u8>, from: Area, to: Area, scaling: Scaling) -> Vec<u8> {
    match scaling {
        Scaling::Copy => flat,
        Scaling::Nearest => nearest(&flat, from, to),
        Scaling::Blocks => blocks(&flat, (from.width, from.height), (to.width, to.height)),
        Scaling::Smooth(filter) => smooth(flat, (from.width, from.height), to, filter),
    }
}

/// A picture many times too large is first reduced by means of whole blocks, to at least
/// `SPARE` times what is needed: not to be seen, and several times as fast.
fn smooth(mut flat: Vec<u8>, from: (u32, u32), to: Area, filter: FilterType) -> Vec<u8> {
    let reduced = |from: u32, to: u32| from / (from / (to.max(1) * SPARE)).max(1);
    let middle = (reduced(from.0, to.width), reduced(from.1, to.height));
    if middle != from {
        flat = blocks(&flat, from, middle);
    }
    RgbImage::from_raw(middle.0, middle.1, flat)
        .map(|image| imageops::resize(&image, to.width, to.height, filter).into_raw())
        .unwrap_or_default()
}

/// Every target pixel takes the source pixel under its centre.
fn nearest(flat: &[u8], from: Area, to: Area) -> Vec<u8> {
    let under = |target: u32, from: u32, to: u32| {
        let centre = (2 * u64::from(target) + 1) * u64::from(from) / (2 * u64::from(to.max(1)));
        usize::try_from(centre).unwrap_or(usize::MAX)
    };
    let row_bytes = from.width as usize * 3;
    let mut scaled = Vec::with_capacity(to.width as usize * to.height as usize * 3);
    for y in 0..to.height {
        let start = under(y, from.height, to.height) * row_bytes;
        let row = flat.get(start..start + row_bytes).unwrap_or_default();
        for x in 0..to.width {
            let start = under(x, from.width, to.width) * 3;
            scaled.extend_from_slice(row.get(start..start + 3).unwrap_or(&[0; 3]));
        }
    }
    scaled
}

/// Every target pixel is the mean of its block. Where the sizes don't divide, some blocks are one pixel
/// larger, evenly spread. The target is not larger than the source.
fn blocks(flat: &[u8], from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    let edge = |at: u32, from: u32, to: u32| {
        let edge = u64::from(at) * u64::from(from) / u64::from(to.max(1));
        usize::try_from(edge).unwrap_or(usize::MAX)
    };
    let row_bytes = from.0 as usize * 3;
    let mut scaled = Vec::with_capacity(to.0 as usize * to.1 as usize * 3);
    let mut columns = vec![0u32; row_bytes];
    for y in 0..to.1 {
        let (top, bottom) = (edge(y, from.1, to.1), edge(y + 1, from.1, to.1));
        let band = flat
            .get(top * row_bytes..bottom * row_bytes)
            .unwrap_or_default();
        columns.fill(0);
        for row in band.chunks_exact(row_bytes) {
            for (sum, value) in columns.iter_mut().zip(row) {
                *sum += u32::from(*value);
            }
        }
        for x in 0..to.0 {
            let (left, right) = (edge(x, from.0, to.0), edge(x + 1, from.0, to.0));
            let mut sums = [0u64; 3];
            for column in columns
                .get(left * 3..right * 3)
                .unwrap_or_default()
                .chunks_exact(3)
            {
                for (sum, value) in sums.iter_mut().zip(column) {
                    *sum += u64::from(*value);
                }
            }
            let count = (((bottom - top) * (right - left)) as u64).max(1);
            let mean = |sum: u64| u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX);
            scaled.extend(sums.map(mean));
        }
    }
    scaled
}

#[cfg(test)]
mod tests;
