//! Pictures, animations and sounds of which no two are alike.

use faultfs::Random;
use image::codecs::gif::GifEncoder;
use image::{Delay, Frame, ImageFormat, Rgb, RgbImage, RgbaImage};

/// Pixels of the panel on each side.
pub const PANEL: u32 = 8;

/// A picture that fits the panel and says which it is: no two operations have the same.
#[must_use]
pub fn marked(client: u8, number: u64) -> RgbImage {
    let mut random = Random::new(u64::from(client) << 56 | number);
    let mut picture = RgbImage::from_fn(PANEL, PANEL, |_, _| {
        let [red, green, blue, ..] = random.any().to_le_bytes();
        Rgb([red, green, blue])
    });
    let [a, b, c, d, ..] = number.to_le_bytes();
    picture.put_pixel(0, 0, Rgb([0xA5, client, 0x5A]));
    picture.put_pixel(1, 0, Rgb([a, b, c]));
    picture.put_pixel(2, 0, Rgb([d, 0, 0]));
    picture
}

/// Whose picture is shown; none where it is dark.
///
/// # Panics
/// When something is shown that no client sent.
#[must_use]
pub fn whose(shown: &RgbImage) -> Option<(u8, u64)> {
    if shown.pixels().all(|pixel| pixel.0 == [0; 3]) {
        return None;
    }
    let client = shown.get_pixel(0, 0).0[1];
    let [a, b, c] = shown.get_pixel(1, 0).0;
    let number = u32::from_le_bytes([a, b, c, shown.get_pixel(2, 0).0[0]]);
    let number = u64::from(number);
    assert!(
        *shown == marked(client, number),
        "a picture was shown that nobody sent"
    );
    Some((client, number))
}

/// As a PNG file.
#[must_use]
pub fn png(picture: &RgbImage) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A picture of noise, as a PNG file of about so many bytes.
#[must_use]
pub fn noise(random: &mut Random, bytes: u64) -> Vec<u8> {
    let side = ((bytes / 3) as f64).sqrt() as u32 + 1;
    png(&RgbImage::from_fn(side, side, |_, _| {
        let [red, green, blue, ..] = random.any().to_le_bytes();
        Rgb([red, green, blue])
    }))
}

/// An animation of two frames.
#[must_use]
pub fn gif(random: &mut Random) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = GifEncoder::new(&mut file);
    for _ in 0..2 {
        let picture = RgbaImage::from_fn(PANEL, PANEL, |_, _| {
            let [red, green, blue, ..] = random.any().to_le_bytes();
            image::Rgba([red, green, blue, 255])
        });
        let delay = Delay::from_numer_denom_ms(100, 1);
        encoder
            .encode_frame(Frame::from_parts(picture, 0, 0, delay))
            .unwrap();
    }
    drop(encoder);
    file
}

/// A sound of noise.
#[must_use]
pub fn wav(random: &mut Random, bytes: u32) -> Vec<u8> {
    let bytes = bytes & !1;
    let mut file = harness::wav::header(8_000, bytes).to_vec();
    file.extend((0..bytes).map(|_| random.any() as u8));
    file
}
