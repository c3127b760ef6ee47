//! What the panel showed, as `png:FOLDER` captured it, and what it should show.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use image::{AnimationDecoder as _, Rgb, RgbImage};

/// The newest frame.
#[track_caller]
#[must_use]
pub fn now(folder: &Path) -> RgbImage {
    let file = folder.join("last.png");
    let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    image::load_from_memory(&bytes).unwrap().into_rgb8()
}

/// Every kept frame with its number and the time at which it was written, oldest first.
#[must_use]
pub fn all(folder: &Path) -> Vec<(u64, SystemTime, RgbImage)> {
    let mut frames = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let number = name
            .strip_prefix("frame-")
            .and_then(|rest| rest.strip_suffix(".png"));
        let Some(number) = number else { continue };
        let time = entry.metadata().unwrap().modified().unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().into_rgb8();
        frames.push((number.parse().unwrap(), time, picture));
    }
    frames.sort_by_key(|(number, ..)| *number);
    frames
}

/// A picture on black.
#[must_use]
pub fn decoded(bytes: &[u8]) -> RgbImage {
    on_black(&image::load_from_memory(bytes).unwrap().into_rgba8())
}

/// The frames of a GIF on black, as they look, not as they are stored.
#[must_use]
pub fn gif_frames(bytes: &[u8]) -> Vec<RgbImage> {
    let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(bytes)).unwrap();
    let frames = decoder.into_frames().collect_frames().unwrap();
    frames
        .iter()
        .map(|frame| on_black(frame.buffer()))
        .collect()
}

fn on_black(picture: &image::RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
        let mixed = |part: u8| ((u32::from(part) * u32::from(alpha) + 127) / 255) as u8;
        Rgb([mixed(red), mixed(green), mixed(blue)])
    })
}

/// Every pixel as a square of `times` pixels.
#[must_use]
pub fn enlarged(picture: &RgbImage, times: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    RgbImage::from_fn(width * times, height * times, |x, y| {
        *picture.get_pixel(x / times, y / times)
    })
}

/// All of one colour.
#[must_use]
pub fn plain(width: u32, height: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb(colour))
}

/// The largest difference of any part of any pixel; of pictures of different sizes 256.
#[must_use]
pub fn difference(a: &RgbImage, b: &RgbImage) -> u32 {
    if a.dimensions() != b.dimensions() {
        return 256;
    }
    let parts = a.as_raw().iter().zip(b.as_raw());
    parts
        .map(|(a, b)| u32::from(a.abs_diff(*b)))
        .max()
        .unwrap_or(0)
}

/// The mean difference of the parts of the pixels.
#[must_use]
pub fn mean_difference(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let parts = a.as_raw().iter().zip(b.as_raw());
    let sum: u64 = parts.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}
