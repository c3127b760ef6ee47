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
    check_size(width, height, limits::MAX_PICTURE_PIXELS)?;
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
