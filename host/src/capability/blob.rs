//! `blob`: bytes that stay with the host and are read by handle.
//! Invariant: a network worker never waits for the disk here; what is not in memory is read by a thread that may block.

use pixelboy_store::Blob;
use wasmtime::component::Resource;

use super::Guest;
use crate::plugin::contract::pixelboy::plugin::blob::{Host, HostData};

/// The resource behind `data`.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct Data(pub(crate) Blob);

/// The most bytes of one `read`.
const MAX_READ_BYTES: u32 = 1 << 20;

/// Up to this many that lie in memory are looked at where the guest runs: another thread would take as long to wake.
const AT_ONCE_BYTES: usize = 16 << 10;

impl Host for Guest {}

impl Guest {
    /// The bytes behind a handle.
    pub(crate) fn blob(&self, handle: &Resource<Data>) -> wasmtime::Result<Blob> {
        Ok(self.table.get(handle)?.0.clone())
    }
}

impl HostData for Guest {
    fn len(&mut self, this: Resource<Data>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.0.len())
    }

    async fn read(
        &mut self,
        this: Resource<Data>,
        offset: u64,
        len: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let blob = self.blob(&this)?;
        Ok(read(blob, offset, len.min(MAX_READ_BYTES))
            .await
            .map_err(|error| error.to_string()))
    }

    async fn sha256(&mut self, this: Resource<Data>) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let blob = self.blob(&this)?;
        if let Some(known) = blob.known_sha256() {
            return Ok(Ok(known.0.to_vec()));
        }
        let sha256 = match at_once(&blob) {
            Some(_) => blob.sha256(),
            None => blocking(move || blob.sha256()).await,
        };
        Ok(sha256
            .map(|sha| sha.0.to_vec())
            .map_err(|error| error.to_string()))
    }

    async fn is_text(&mut self, this: Resource<Data>) -> wasmtime::Result<Result<bool, String>> {
        let blob = self.blob(&this)?;
        if let Some(bytes) = at_once(&blob) {
            return Ok(Ok(std::str::from_utf8(bytes).is_ok()));
        }
        Ok(blocking(move || is_text(&blob))
            .await
            .map_err(|error| error.to_string()))
    }

    fn drop(&mut self, this: Resource<Data>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

/// All of a blob that needs no thread.
fn at_once(blob: &Blob) -> Option<&[u8]> {
    blob.in_memory()
        .filter(|bytes| bytes.len() <= AT_ONCE_BYTES)
}

/// Up to `len` bytes from `offset`; fewer only at the end.
pub(crate) async fn read(blob: Blob, offset: u64, len: u32) -> std::io::Result<Vec<u8>> {
    let left = blob.len().saturating_sub(offset);
    let mut bytes = vec![0; left.min(u64::from(len)) as usize];
    if let Some(filled) = blob.try_read_at_cached(offset, &mut bytes)?
        && filled == bytes.len()
    {
        return Ok(bytes);
    }
    blocking(move || {
        let filled = fill(&blob, offset, &mut bytes)?;
        bytes.truncate(filled);
        Ok(bytes)
    })
    .await
}

fn fill(blob: &Blob, offset: u64, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match blob.read_at(offset + filled as u64, rest)? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}

/// Whether all of it is UTF-8.
fn is_text(blob: &Blob) -> std::io::Result<bool> {
    let mut offset = 0;
    pixelboy_probe::is_text(|into| {
        let filled = fill(blob, offset, into)?;
        offset += filled as u64;
        Ok(filled)
    })
}

/// Runs what may wait for the disk on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)?
}
