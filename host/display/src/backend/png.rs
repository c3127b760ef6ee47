//! Captures every frame as a PNG file, to look at without a panel.
//! `FOLDER[,scale=N][,keep=N]`: `last.png` is always the newest frame; `frame-000001.png` and on are
//! the last N (1,000) of them, counted on after a restart. A panel pixel becomes N x N (8) pixels.
//! Invariant: a file is whole or absent (written beside, then renamed). Nothing is synced.
//! A full disk or a missing folder is reported; the next frame tries again.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{Backend, Delivery, Panel, Step};
use crate::frame::Frame;

const DEFAULT_SCALE: u32 = 8;
const DEFAULT_KEEP: usize = 1_000;
/// Largest side of a captured file, in pixels.
const MAX_CAPTURE_SIDE: u32 = 8_192;

pub(super) const BACKEND: Backend = Backend {
    name: "png",
    help: "png:FOLDER[,scale=N][,keep=N]: writes each frame to FOLDER as last.png and as one of the \
           last N (1000) frame-NNNNNN.png, each pixel enlarged N (8) times",
    check: |options| Options::parse(options).map(drop),
    open: |options| Ok(Box::new(PngCapture::open(Options::parse(options)?)?)),
};

#[derive(Debug, PartialEq, Eq)]
struct Options {
    folder: PathBuf,
    scale: u32,
    keep: usize,
}

impl Options {
    /// Options stand at the end, so that a folder's name may contain commas.
    fn parse(text: &str) -> Result<Self, String> {
        let mut folder = text;
        let (mut scale, mut keep) = (DEFAULT_SCALE, DEFAULT_KEEP);
        while let Some((rest, option)) = folder.rsplit_once(',') {
            if let Some(number) = option.strip_prefix("scale=") {
                scale = number
                    .parse()
                    .ok()
                    .filter(|scale| (1..=64).contains(scale))
                    .ok_or(format!("scale must be 1 to 64, got {number:?}"))?;
            } else if let Some(number) = option.strip_prefix("keep=") {
                keep = number
                    .parse()
                    .ok()
                    .filter(|keep| *keep <= 1_000_000)
                    .ok_or(format!("keep must be 0 to 1000000, got {number:?}"))?;
            } else {
                break;
            }
            folder = rest;
        }
        if folder.is_empty() {
            return Err("needs a folder, for instance png:captures".into());
        }
        Ok(Self {
            folder: folder.into(),
            scale,
            keep,
        })
    }
}

struct PngCapture {
    options: Options,
    /// Numbers of the files that exist, oldest first.
    kept: VecDeque<u64>,
    last_number: u64,
}

impl PngCapture {
    fn open(options: Options) -> Result<Self, String> {
        let failed = |error| format!("folder {}: {error}", options.folder.display());
        fs::create_dir_all(&options.folder).map_err(failed)?;
        let mut kept = Vec::new();
        for entry in fs::read_dir(&options.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            kept.extend(name.to_str().and_then(frame_number));
        }
        kept.sort_unstable();
        let last_number = kept.last().copied().unwrap_or(0);
        Ok(Self {
            options,
            kept: kept.into(),
            last_number,
        })
    }

    fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let png = encode(frame, self.options.scale)?;
        if self.options.keep > 0 {
            let number = self.last_number + 1;
            replace(&self.path(number), &png)?;
            self.last_number = number;
            self.kept.push_back(number);
            while self.kept.len() > self.options.keep {
                if let Some(oldest) = self.kept.pop_front() {
                    // Somebody may have removed it already.
                    let _ = fs::remove_file(self.path(oldest));
                }
            }
        }
        replace(&self.options.folder.join("last.png"), &png)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.options.folder.join(format!("frame-{number:06}.png"))
    }
}

impl Panel for PngCapture {
    fn present(&mut self, frame: &Frame, _step: Step, _now: Instant) -> Delivery {
        match self.write(frame) {
            Ok(()) => Delivery::Done,
            Err(error) => Delivery::Waiting(format!(
                "the picture could not be written to {}: {error}",
                self.options.folder.display()
            )),
        }
    }
}

fn frame_number(name: &str) -> Option<u64> {
    name.strip_prefix("frame-")?
        .strip_suffix(".png")?
        .parse()
        .ok()
}

fn encode(frame: &Frame, scale: u32) -> io::Result<Vec<u8>> {
    let largest = frame.width().max(frame.height()).max(1);
    let scale = scale.min(MAX_CAPTURE_SIDE / largest).max(1);
    let mut pixels = Vec::with_capacity(frame.rgb().len() * (scale * scale) as usize);
    for row in frame.rows() {
        let wide: Vec<u8> = row
            .chunks_exact(3)
            .flat_map(|pixel| pixel.repeat(scale as usize))
            .collect();
        for _ in 0..scale {
            pixels.extend_from_slice(&wide);
        }
    }
    let mut png = Vec::new();
    let (width, height) = (frame.width() * scale, frame.height() * scale);
    PngEncoder::new(&mut png)
        .write_image(&pixels, width, height, ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    Ok(png)
}

/// The old file or the new one, never half of one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("png.part");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, path)
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

    fn capture(options: &str) -> PngCapture {
        PngCapture::open(Options::parse(options).unwrap()).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn options_follow_the_folder() {
        let plain = Options::parse("shots/").unwrap();
        assert_eq!(
            plain,
            Options {
                folder: "shots/".into(),
                scale: 8,
                keep: 1_000
            }
        );
        let full = Options::parse("a,b,keep=3,scale=1").unwrap();
        assert_eq!(
            full,
            Options {
                folder: "a,b".into(),
                scale: 1,
                keep: 3
            }
        );
        for wrong in ["", ",scale=2", "x,scale=0", "x,scale=65", "x,keep=-1"] {
            assert!(Options::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_capture_decodes_to_the_frame_with_every_pixel_enlarged() {
        let folder = tempfile::tempdir().unwrap();
        let mut panel = capture(&format!("{},scale=3", folder.path().display()));
        let frame = Frame::new(2, 2, vec![255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7]).unwrap();
        assert_eq!(
            panel.present(&frame, Step::First, Instant::now()),
            Delivery::Done
        );
        for name in ["last.png", "frame-000001.png"] {
            let image = image::open(folder.path().join(name)).unwrap().into_rgb8();
            assert_eq!(image.dimensions(), (6, 6));
            for (x, y, pixel) in image.enumerate_pixels() {
                let at = ((y / 3) * 2 + x / 3) as usize * 3;
                assert_eq!(pixel.0, frame.rgb()[at..at + 3], "{x},{y}");
            }
        }
        assert_eq!(names(folder.path()), ["frame-000001.png", "last.png"]);
    }

    #[test]
    fn only_the_newest_are_kept_and_numbers_go_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("{},keep=2", folder.path().display());
        let mut panel = capture(&options);
        for shade in 0..3 {
            panel.present(&Frame::filled(1, 1, [shade; 3]), Step::Next, Instant::now());
        }
        assert_eq!(
            names(folder.path()),
            ["frame-000002.png", "frame-000003.png", "last.png"]
        );
        let mut panel = capture(&options);
        panel.present(&Frame::filled(1, 1, [77; 3]), Step::First, Instant::now());
        assert_eq!(
            names(folder.path()),
            ["frame-000003.png", "frame-000004.png", "last.png"]
        );
        let last = image::open(folder.path().join("last.png"))
            .unwrap()
            .into_rgb8();
        assert_eq!(last.get_pixel(0, 0).0, [77; 3]);
    }

    #[test]
    fn a_missing_folder_is_reported_and_the_next_frame_tries_again() {
        let folder = tempfile::tempdir().unwrap();
        let shots = folder.path().join("shots");
        let mut panel = capture(&shots.display().to_string());
        fs::remove_dir_all(&shots).unwrap();
        let frame = Frame::filled(1, 1, [1; 3]);
        let delivery = panel.present(&frame, Step::First, Instant::now());
        assert!(matches!(delivery, Delivery::Waiting(reason) if reason.contains("shots")));
        fs::create_dir(&shots).unwrap();
        assert_eq!(
            panel.present(&frame, Step::Next, Instant::now()),
            Delivery::Done
        );
        assert_eq!(names(&shots), ["frame-000001.png", "last.png"]);
    }
}
