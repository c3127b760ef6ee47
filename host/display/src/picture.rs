//! Decodes a still picture.
//! Invariant: sides, pixels and the decoder's memory are bounded before anything is allocated.
//! Not here: GIFs (their first frame comes from `reel::gif`, which composes it), scaling.

use std::io::{BufRead, BufReader, Seek};

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::canvas::{Channels, Pixels};
use crate::{DisplayError, Source, limits};

/// A decoded picture.
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    channels: Channels,
    bytes: Vec<u8>,
}

impl Picture {
    /// From RGBA pixels, checked.
    pub(crate) fn from_rgba(width: u32, height: u32, rgba: Vec<u8>) -> Result<Self, DisplayError> {
        check_size(width, height, limits::MAX_PICTURE_PIXELS)?;
        let expected = u64::from(width) * u64::from(height) * 4;
        if rgba.len() as u64 != expected {
            let got = rgba.len() as u64;
            return Err(DisplayError::WrongLength {
                width,
                height,
                expected,
                got,
            });
        }
        Ok(Self {
            width,
            height,
            channels: Channels::Rgba,
            bytes: rgba,
        })
    }

    pub(crate) fn pixels(&self) -> Pixels<'_> {
        Pixels {
            width: self.width,
            height: self.height,
            channels: self.channels,
            bytes: &self.bytes,
        }
    }
}

impl From<DynamicImage> for Picture {
    fn from(image: DynamicImage) -> Self {
        let (width, height) = (image.width(), image.height());
        let (channels, bytes) = if image.color().has_alpha() {
            (Channels::Rgba, image.into_rgba8().into_raw())
        } else {
            (Channels::Rgb, image.into_rgb8().into_raw())
        };
        Self {
            width,
            height,
            channels,
            bytes,
        }
    }
}

/// What the first bytes say.
pub(crate) fn format(source: &mut Source) -> Result<ImageFormat, DisplayError> {
    let reader = buffered(source)?;
    let reader = ImageReader::new(reader)
        .with_guessed_format()
        .map_err(read_error)?;
    match reader.format() {
        Some(
            format @ (ImageFormat::Png
            | ImageFormat::Jpeg
            | ImageFormat::Bmp
            | ImageFormat::Gif
            | ImageFormat::WebP),
        ) => Ok(format),
        _ => Err(DisplayError::UnknownFormat),
    }
}

/// The whole picture (of a moving one the first), upright.
pub(crate) fn decode(source: &mut Source, format: ImageFormat) -> Result<Picture, DisplayError> {
    let mut reader = ImageReader::with_format(buffered(source)?, format);
    reader.limits(decoder_limits());
    let mut decoder = reader
        .into_decoder()
        .map_err(|error| decode_error(format, error))?;
    let (width, height) = decoder.dimensions();
    // 16 bits a channel take twice the memory, so half the pixels are allowed.
    let pixel_bytes = u64::from(decoder.color_type().bytes_per_pixel()).max(1);
    let affordable = limits::MAX_DECODER_BYTES / pixel_bytes;
    check_size(width, height, affordable.min(limits::MAX_PICTURE_PIXELS))?;
    // A camera's "this side up"; unreadable EXIF data is no reason to refuse the picture.
    let orientation = decoder
        .orientation()
        .unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image =
        DynamicImage::from_decoder(decoder).map_err(|error| decode_error(format, error))?;
    image.apply_orientation(orientation);
    Ok(image.into())
}

/// From the first byte, buffered.
pub(crate) fn buffered(source: &mut Source) -> Result<impl BufRead + Seek + 'static, DisplayError> {
    Ok(BufReader::new(source.open().map_err(read_error)?))
}

pub(crate) fn decoder_limits() -> Limits {
    let mut bounds = Limits::default();
    bounds.max_image_width = Some(limits::MAX_SOURCE_SIDE);
    bounds.max_image_height = Some(limits::MAX_SOURCE_SIDE);
    bounds.max_alloc = Some(limits::MAX_DECODER_BYTES);
    bounds
}

/// Refuses pictures of no size and of too large a size.
pub(crate) fn check_size(width: u32, height: u32, max_pixels: u64) -> Result<(), DisplayError> {
    if width == 0 || height == 0 {
        return Err(DisplayError::Empty("the picture has no pixels"));
    }
    let side = limits::MAX_SOURCE_SIDE;
    if width > side || height > side || u64::from(width) * u64::from(height) > max_pixels {
        return Err(DisplayError::TooLarge {
            width,
            height,
            max_pixels,
        });
    }
    Ok(())
}

pub(crate) fn read_error(error: std::io::Error) -> DisplayError {
    DisplayError::Read(error.to_string())
}

pub(crate) fn decode_error(format: ImageFormat, error: ImageError) -> DisplayError {
    match error {
        // A file that ends too early is a bad picture, not a bad disk.
        ImageError::IoError(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => read_error(io),
        other => DisplayError::Decode {
            format: name(format),
            reason: other.to_string(),
        },
    }
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        ImageFormat::WebP => "WebP",
        _ => "unknown",
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
    use std::io::Cursor;

    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageEncoder, RgbImage};

    use super::*;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image
            .write_to(&mut Cursor::new(&mut bytes), format)
            .unwrap();
        bytes
    }

    fn decoded(bytes: Vec<u8>) -> Result<Picture, DisplayError> {
        let mut source = Source::from(bytes);
        let format = format(&mut source)?;
        decode(&mut source, format)
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                }
            })
        };
        !bytes.iter().fold(!0, step)
    }

    #[test]
    fn every_format_decodes_to_its_pixels() {
        let image = RgbImage::from_fn(8, 4, |x, _| image::Rgb([if x < 4 { 255 } else { 0 }; 3]));
        let image = DynamicImage::from(image);
        let formats = [
            ImageFormat::Png,
            ImageFormat::Bmp,
            ImageFormat::WebP,
            ImageFormat::Jpeg,
        ];
        for format in formats {
            let picture = decoded(encoded(&image, format)).unwrap();
            assert_eq!((picture.width, picture.height), (8, 4), "{format:?}");
            for (got, expected) in picture.bytes.iter().zip(image.as_bytes()) {
                // JPEG is lossy.
                let tolerance = if format == ImageFormat::Jpeg { 2 } else { 0 };
                assert!(got.abs_diff(*expected) <= tolerance, "{format:?}");
            }
        }
        let transparent = DynamicImage::new_rgba8(1, 1);
        let picture = decoded(encoded(&transparent, ImageFormat::Png)).unwrap();
        assert_eq!(
            (picture.channels, picture.bytes),
            (Channels::Rgba, vec![0; 4])
        );
        let gray = DynamicImage::new_luma16(2, 1);
        assert_eq!(
            decoded(encoded(&gray, ImageFormat::Png)).unwrap().bytes,
            [0; 6]
        );
    }

    #[test]
    fn a_camera_turned_on_its_side_gives_an_upright_picture() {
        // EXIF: little-endian TIFF, one entry, orientation (0x0112, u16) 6: turn right.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
        encoder
            .write_image(&[1, 1, 1, 2, 2, 2], 2, 1, ExtendedColorType::Rgb8)
            .unwrap();
        let picture = decoded(bytes).unwrap();
        assert_eq!((picture.width, picture.height), (1, 2));
        assert_eq!(picture.bytes, [1, 1, 1, 2, 2, 2]);
        // The other way round: 8 turns left, so what was right comes to the top.
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        let mut left = exif.to_vec();
        left[18] = 8;
        encoder.set_exif_metadata(left).unwrap();
        encoder
            .write_image(&[1, 1, 1, 2, 2, 2], 2, 1, ExtendedColorType::Rgb8)
            .unwrap();
        assert_eq!(decoded(bytes).unwrap().bytes, [2, 2, 2, 1, 1, 1]);
    }

    #[test]
    fn broken_and_foreign_files_are_refused_with_a_reason() {
        assert_eq!(
            decoded(Vec::new()).map(drop),
            Err(DisplayError::UnknownFormat)
        );
        let mut png = encoded(&DynamicImage::new_rgb8(64, 64), ImageFormat::Png);
        png.truncate(60);
        let error = decoded(png).map(drop).unwrap_err();
        assert!(
            matches!(error, DisplayError::Decode { format: "PNG", .. }),
            "{error}"
        );
    }

    #[test]
    fn a_bomb_is_refused_before_its_memory_is_taken() {
        // One side too long: the decoder's own limit.
        let wide = encoded(&DynamicImage::new_rgb8(30_000, 1), ImageFormat::Png);
        assert!(decoded(wide).is_err());
        // A PNG says 6,000 x 3,000 pixels of 8 bytes in its header, and has one.
        let mut deep = encoded(&DynamicImage::new_rgba16(1, 1), ImageFormat::Png);
        deep[16..20].copy_from_slice(&6_000u32.to_be_bytes());
        deep[20..24].copy_from_slice(&3_000u32.to_be_bytes());
        let checksum = crc32(&deep[12..29]);
        deep[29..33].copy_from_slice(&checksum.to_be_bytes());
        let error = decoded(deep).map(drop).unwrap_err();
        assert!(
            matches!(
                error,
                DisplayError::TooLarge {
                    max_pixels: 16_777_216,
                    ..
                }
            ),
            "{error}"
        );
        // A BMP names its size in bytes 18 to 26.
        let mut bmp = encoded(&DynamicImage::new_rgb8(1, 1), ImageFormat::Bmp);
        bmp[18..22].copy_from_slice(&16_000u32.to_le_bytes());
        bmp[22..26].copy_from_slice(&16_000u32.to_le_bytes());
        let error = decoded(bmp).map(drop).unwrap_err();
        assert!(
            matches!(error, DisplayError::TooLarge { width: 16_000, .. }),
            "{error}"
        );
    }
}
