//! Pictures that are already in memory: a plugin's frames, or one still picture.

use std::time::Duration;

use super::{Reel, Still};
use crate::picture::Picture;
use crate::{DisplayError, limits};

/// Pictures in memory.
pub(crate) struct ListReel {
    pictures: Vec<(Picture, Duration)>,
    plays: Option<u32>,
    at: usize,
}

impl ListReel {
    /// One picture that stays.
    pub(crate) fn one(picture: Picture) -> Self {
        Self {
            pictures: vec![(picture, limits::MISTAKEN_HOLD)],
            plays: None,
            at: 0,
        }
    }

    /// RGBA frames of one size; `loops` 0 is for ever.
    pub(crate) fn frames(
        width: u32,
        height: u32,
        frames: Vec<(Vec<u8>, Duration)>,
        loops: u32,
    ) -> Result<Self, DisplayError> {
        let bytes = frames.iter().map(|(rgba, _)| rgba.len() as u64).sum();
        if bytes > limits::MAX_FRAMES_BYTES {
            return Err(DisplayError::TooManyFrames { bytes });
        }
        let pictures: Result<Vec<_>, _> = frames
            .into_iter()
            .map(|(rgba, hold)| {
                Ok((
                    Picture::from_rgba(width, height, rgba)?,
                    hold.max(limits::MIN_HOLD),
                ))
            })
            .collect();
        Ok(Self {
            pictures: pictures?,
            plays: (loops > 0).then_some(loops),
            at: 0,
        })
    }
}

impl Reel for ListReel {
    fn plays(&self) -> Option<u32> {
        self.plays
    }

    fn next(&mut self) -> Result<Option<Still<'_>>, DisplayError> {
        let still = self.pictures.get(self.at);
        self.at += 1;
        Ok(still.map(|(picture, hold)| Still {
            pixels: picture.pixels(),
            hold: *hold,
        }))
    }

    fn rewind(&mut self) -> Result<(), DisplayError> {
        self.at = 0;
        Ok(())
    }
}
