//! A sequence of composed pictures, decoded one at a time.
//! Invariant: `next` gives whole pictures of one size; only one of them is in memory.
//! Not here: scaling (`canvas`), when a picture is due (`player`).
//! A file that breaks off in the middle gives an error there; what came before is good.

pub(crate) mod gif;
pub(crate) mod list;
pub(crate) mod packed;

use std::time::Duration;

use image::ImageFormat;

use crate::canvas::Pixels;
use crate::{DisplayError, Source, limits, picture};

/// One picture of a sequence.
pub(crate) struct Still<'a> {
    pub(crate) pixels: Pixels<'a>,
    /// How long it is held.
    pub(crate) hold: Duration,
}

/// A sequence of pictures.
pub(crate) trait Reel {
    /// How often it wants to be played; `None` is for ever.
    fn plays(&self) -> Option<u32>;
    /// The next picture, `None` after the last.
    fn next(&mut self) -> Result<Option<Still<'_>>, DisplayError>;
    /// Goes back to before the first picture.
    fn rewind(&mut self) -> Result<(), DisplayError>;
}

/// The reel of a file, moving or not.
pub(crate) fn open(mut source: Source) -> Result<Box<dyn Reel>, DisplayError> {
    match picture::format(&mut source)? {
        ImageFormat::Gif => Ok(Box::new(gif::GifReel::open(source)?)),
        format => match packed::PackedReel::open(source, format)? {
            packed::Opened::Moving(reel) => Ok(Box::new(reel)),
            packed::Opened::Still(mut source) => {
                let picture = picture::decode(&mut source, format)?;
                Ok(Box::new(list::ListReel::one(picture)))
            }
        },
    }
}

/// A file's own frame time, as browsers read it.
fn file_hold(written: Duration) -> Duration {
    if written <= limits::MISTAKEN_HOLD_AT_MOST {
        limits::MISTAKEN_HOLD
    } else {
        written
    }
}
