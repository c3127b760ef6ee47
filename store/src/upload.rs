//! Bytes that a client sends before a request names them.

use crate::{Sha256, UploadError};

/// What a client tells of an upload when it opens it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// In bytes.
    pub length: Option<u64>,
    /// Of all bytes.
    pub sha256: Option<Sha256>,
}

/// How an upload stands when it is opened.
#[derive(Debug)]
pub enum UploadState {
    /// To be sent from its offset on.
    Open(Upload),
    /// All of it is on disk; a request may name it.
    Complete {
        /// In bytes.
        length: u64,
        /// Of all bytes.
        sha256: Sha256,
    },
    /// An operation used it.
    Consumed {
        /// The operation's number.
        number: u64,
    },
}

/// An upload under way. All calls but `offset` are *blocking*. Dropped, it can be resumed.
#[derive(Debug)]
pub struct Upload {}

impl Upload {
    /// Bytes that are there.
    pub fn offset(&self) -> u64 {
        0
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`UploadError::LengthMismatch`] for more than announced; [`UploadError::NoSpace`]; the store's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let _ = bytes;
        todo!()
    }

    /// Makes what has come durable, to be resumed from there after a crash. The offset on disk.
    ///
    /// # Errors
    /// The store's.
    pub fn sync(&mut self) -> Result<u64, UploadError> {
        todo!()
    }

    /// Ends the data: compares length and SHA-256, with what was announced and with what the sender says now, and makes
    /// the bytes durable; a request may name the upload then.
    ///
    /// # Errors
    /// [`UploadError::DigestMismatch`], and the part is dropped; [`UploadError::LengthMismatch`]; the store's.
    pub fn finish(self, length: u64, sha256: Option<Sha256>) -> Result<Sha256, UploadError> {
        let _ = (length, sha256);
        todo!()
    }

    /// Lets go of it, to be resumed later; the same as dropping it.
    pub fn suspend(self) {}
}
