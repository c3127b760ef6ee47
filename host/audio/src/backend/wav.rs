//! `wav:FILE`: a capture of what a speaker would have played, from start to shutdown, silence included, volume applied.
//! Invariant: the file is a valid WAV (16 bit, stereo, 44,100 Hz) at any time; its header is rewritten about every
//! second of sound, after the sound itself.
//! An existing file is replaced. At 4 GiB (6.7 hours) the format is full: one warning, and nothing more is written.
//! A write error ends the output like a lost device.

use super::paced::{Paced, Writer};
use super::{Output, Wiring};
use crate::convert::Format;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

const FORMAT: Format = Format {
    channels: 2,
    rate: 44_100,
};
const BYTES_PER_SAMPLE: u32 = 2;
const HEADER_BYTES: u32 = 44;
/// The sizes in the header are 32 bits and count what follows them; whole frames only.
const MAX_DATA_BYTES: u32 = (u32::MAX - HEADER_BYTES) / 4 * 4;

struct Wav {
    _paced: Paced,
}

impl Output for Wav {
    fn format(&self) -> Format {
        FORMAT
    }
}

struct Capture {
    name: String,
    file: BufWriter<File>,
    data_bytes: u32,
    header_after_bytes: u32,
    full: bool,
}

pub(super) fn open(options: &str, wiring: Wiring) -> Result<Box<dyn Output>, String> {
    let failed =
        |error: io::Error| format!("the capture file {options} cannot be written: {error}");
    let file = File::create(options).map_err(failed)?;
    let mut capture = Capture {
        name: options.to_owned(),
        file: BufWriter::new(file),
        data_bytes: 0,
        header_after_bytes: 0,
        full: false,
    };
    capture.write_header().map_err(failed)?;
    Ok(Box::new(Wav {
        _paced: Paced::start(FORMAT, &wiring, capture)?,
    }))
}

impl Capture {
    /// Makes the file valid as it is: first the sound, then the header that speaks of it.
    fn write_header(&mut self) -> io::Result<()> {
        let channels = FORMAT.channels as u32;
        let frame_bytes = channels * BYTES_PER_SAMPLE;
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.extend(b"RIFF");
        header.extend((self.data_bytes + HEADER_BYTES - 8).to_le_bytes());
        header.extend(b"WAVEfmt ");
        header.extend(16_u32.to_le_bytes());
        header.extend(1_u16.to_le_bytes());
        header.extend((channels as u16).to_le_bytes());
        header.extend(FORMAT.rate.to_le_bytes());
        header.extend((FORMAT.rate * frame_bytes).to_le_bytes());
        header.extend((frame_bytes as u16).to_le_bytes());
        header.extend((BYTES_PER_SAMPLE as u16 * 8).to_le_bytes());
        header.extend(b"data");
        header.extend(self.data_bytes.to_le_bytes());
        self.file.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.seek(SeekFrom::End(0))?;
        self.header_after_bytes = self.data_bytes.saturating_add(FORMAT.rate * frame_bytes);
        Ok(())
    }

    fn write_samples(&mut self, samples: &[f32]) -> io::Result<()> {
        let bytes = u32::try_from(samples.len())
            .unwrap_or(u32::MAX)
            .saturating_mul(BYTES_PER_SAMPLE);
        if self.full || bytes > MAX_DATA_BYTES - self.data_bytes {
            if !self.full {
                self.full = true;
                tracing::warn!("the capture {} is full at 4 GiB and ends here", self.name);
                return self.write_header();
            }
            return Ok(());
        }
        for sample in samples {
            let level = (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16;
            self.file.write_all(&level.to_le_bytes())?;
        }
        self.data_bytes += bytes;
        if self.data_bytes >= self.header_after_bytes {
            self.write_header()?;
        }
        Ok(())
    }

    fn named(&self, result: io::Result<()>) -> io::Result<()> {
        result.map_err(|error| {
            let text = format!("the capture file {} cannot be written: {error}", self.name);
            io::Error::new(error.kind(), text)
        })
    }
}

impl Writer for Capture {
    fn write(&mut self, samples: &[f32]) -> io::Result<()> {
        let result = self.write_samples(samples);
        self.named(result)
    }

    fn finish(&mut self) -> io::Result<()> {
        let result = self.write_header().and_then(|()| self.file.flush());
        self.named(result)
    }
}
