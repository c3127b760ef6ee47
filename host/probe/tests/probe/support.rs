//! What the tests share: the media of the repository, a source that counts, pages of Ogg.

use pixelboy_probe::{Budget, Media, Refusal, probe};
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const GOOD: [&str; 16] = [
    "logo.png",
    "sprite.png",
    "photo.jpg",
    "picture.bmp",
    "picture.webp",
    "animated.webp",
    "interlaced.gif",
    "party.gif",
    "disposal-none.gif",
    "disposal-background.gif",
    "disposal-previous.gif",
    "tone.mp3",
    "music.mp3",
    "tone.wav",
    "tone.flac",
    "tone.ogg",
];

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/media")
        .join(name)
}

pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(path("")).expect("the folder of media");
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Probes bytes in memory; also how many were read.
pub(crate) fn probe_bytes(bytes: Vec<u8>, budget: Budget) -> (Result<Media, Refusal>, u64) {
    let len = bytes.len() as u64;
    probe_counted(Cursor::new(bytes), len, budget)
}

pub(crate) fn probe_counted(
    source: impl Read + Seek + Send + 'static,
    len: u64,
    budget: Budget,
) -> (Result<Media, Refusal>, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let source = Counted {
        source,
        count: Arc::clone(&count),
    };
    let result = probe(source, len, budget);
    (result, count.load(Ordering::Relaxed))
}

struct Counted<S> {
    source: S,
    count: Arc<AtomicU64>,
}

impl<S: Read> Read for Counted<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl<S: Seek> Seek for Counted<S> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.source.seek(to)
    }
}

/// A page with one packet of fewer than 255 bytes.
pub(crate) fn ogg_page(
    flags: u8,
    position: u64,
    serial: u32,
    number: u32,
    packet: &[u8],
) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend_from_slice(&position.to_le_bytes());
    page.extend_from_slice(&serial.to_le_bytes());
    page.extend_from_slice(&number.to_le_bytes());
    page.extend_from_slice(&[0; 4]);
    page.extend_from_slice(&[1, u8::try_from(packet.len()).expect("a short packet")]);
    page.extend_from_slice(packet);
    sign(&mut page);
    page
}

/// Writes the checksum of a page, computed bit by bit.
pub(crate) fn sign(page: &mut [u8]) {
    page[22..26].fill(0);
    let mut crc = 0_u32;
    for byte in &*page {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 {
                crc << 1 ^ 0x04c1_1db7
            } else {
                crc << 1
            };
        }
    }
    page[22..26].copy_from_slice(&crc.to_le_bytes());
}

/// Makes the checksums of all pages right again, as far as pages can be found.
pub(crate) fn sign_pages(ogg: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = ogg
        .get(at..)
        .filter(|rest| rest.len() > 27 && rest.starts_with(b"OggS\0"))
    {
        let pieces = usize::from(header[26]);
        let body: usize = header[27..]
            .iter()
            .take(pieces)
            .map(|piece| usize::from(*piece))
            .sum();
        let end = at + 27 + pieces + body;
        if let Some(page) = ogg.get_mut(at..end) {
            sign(page);
        }
        at = end;
    }
}

/// Makes the checksums of all chunks of a PNG right again.
pub(crate) fn sign_chunks(png: &mut [u8]) {
    let mut at = 8;
    while let Some(header) = png.get(at..at + 8) {
        let len = u32::from_be_bytes(header[..4].try_into().expect("four bytes")) as usize;
        let end = at + 8 + len;
        let Some(body) = png.get(at + 4..end) else {
            return;
        };
        let mut crc = u32::MAX;
        for byte in body {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
            }
        }
        if let Some(place) = png.get_mut(end..end + 4) {
            place.copy_from_slice(&(!crc).to_be_bytes());
        }
        at = end + 4;
    }
}
