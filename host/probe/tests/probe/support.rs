//! What the tests share: the media of the repository, and a source that counts.

use pixelboy_probe::{Budget, Media, Refusal, probe};
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/media").join(name)
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
    let source = Counted { source, count: Arc::clone(&count) };
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
