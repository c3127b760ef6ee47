//! Bytes held by the host: an upload, a stored file, a large argument, or what a writer wrote.
//! Invariant: passing one on costs nothing, however large it is; only what is read crosses into the plugin.

use std::fmt;

use crate::bindings::pixelboy::plugin::blob;
use crate::failure::FromHost as _;
use crate::{Failure, Result};

/// A piece that is quick to hand over and small to hold.
const PIECE_BYTES: u32 = 64 * 1024;

/// A handle to bytes that stay with the host.
#[derive(Debug)]
#[cfg_attr(not(target_family = "wasm"), derive(Clone, PartialEq))]
pub struct Data(blob::Data);

impl Data {
    /// In bytes.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `len` bytes (at most 1 MiB) from `offset`; fewer only at the end.
    pub fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>> {
        self.0.read(offset, len).or_failure()
    }

    /// All bytes, in pieces of 64 KiB.
    pub fn pieces(&self) -> impl Iterator<Item = Result<Vec<u8>>> {
        let mut offset = 0;
        let end = self.len();
        std::iter::from_fn(move || {
            if offset >= end {
                return None;
            }
            let piece = self.read(offset, PIECE_BYTES);
            match &piece {
                Ok(bytes) if !bytes.is_empty() => offset += bytes.len() as u64,
                _ => offset = end,
            }
            Some(piece)
        })
    }

    /// All bytes. For what is known to be small: the plugin's memory is limited.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut all = Vec::with_capacity(usize::try_from(self.len())?);
        for piece in self.pieces() {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    /// All of it as text. For what is known to be small.
    pub fn text(&self) -> Result<String> {
        Ok(String::from_utf8(self.bytes()?)?)
    }

    /// Whether all of it is UTF-8 text. The host looks, nothing crosses.
    pub fn is_text(&self) -> Result<bool> {
        self.0.is_text().or_failure()
    }

    /// The SHA-256 of all of it. The host knows it for uploads, and computes it otherwise.
    pub fn sha256(&self) -> Result<Digest> {
        let bytes = self.0.sha256().or_failure()?;
        let found = bytes.len();
        match bytes.try_into() {
            Ok(bytes) => Ok(Digest(bytes)),
            Err(_) => Err(Failure::failed(format!(
                "expected a digest of 32 bytes, got {found}"
            ))),
        }
    }

    pub(crate) fn from_handle(handle: blob::Data) -> Self {
        Self(handle)
    }

    pub(crate) fn into_handle(self) -> blob::Data {
        self.0
    }

    pub(crate) fn handle(&self) -> &blob::Data {
        &self.0
    }
}

/// For native tests; in WASM bytes become data by a [`Writer`](crate::store::Writer).
#[cfg(not(target_family = "wasm"))]
impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self(blob::Data(bytes.into()))
    }
}

/// A SHA-256. As a [`Value`](crate::Value) and in text it is 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // At once: formatting byte by byte takes a guest longer than the host takes for the digest.
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
        let digits: String = self
            .0
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect();
        f.write_str(&digits)
    }
}
