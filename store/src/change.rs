//! What a commit changes, as it stands in the record: the log's vocabulary.
//! Invariant: a change holds what *is* afterwards, so that redoing it any number of times gives the same.
//! These types are a contract from the first version on: they are encoded in postcard, so variants and fields are only
//! ever added under a new version byte of the log's body (`log`).

use serde::{Deserialize, Serialize};

use crate::{ClientId, MediaPath, RequestDigest, Sha256};

/// A file's row in the index, without its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRow {
    pub(crate) size: u64,
    pub(crate) kind: String,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) modified_ms: u64,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) crc32c: u32,
}

/// How the plain file's bytes are had again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Redo {
    /// All of it lies in `staging/` under this name until it is renamed.
    Staged(String),
    /// All of it.
    Whole(#[serde(with = "serde_bytes")] Vec<u8>),
    /// What was added at the end.
    Tail(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A staged file, longer by what was not yet written to it.
    StagedThenTail(String, #[serde(with = "serde_bytes")] Vec<u8>),
}

/// How far an upload is on disk, as far as it can be proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRow {
    /// The name in `staging/`.
    pub(crate) part: String,
    /// As announced.
    pub(crate) length: Option<u64>,
    /// As announced; of a complete one, of its bytes.
    pub(crate) sha256: Option<Sha256>,
    /// Bytes that are synced.
    pub(crate) durable: u64,
    /// The synced bytes in runs: where each ends, and its CRC-32C.
    pub(crate) runs: Vec<(u64, u32)>,
    /// CRC-32C of all of it, once it is complete.
    pub(crate) complete: Option<u32>,
    /// The store's uptime in milliseconds when it was last moved.
    pub(crate) moved_ms: u64,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    File {
        path: String,
        row: FileRow,
        redo: Redo,
    },
    NoFile {
        path: String,
    },
    Kv {
        namespace: String,
        key: String,
        value: Option<serde_bytes::ByteBuf>,
    },
    /// An operation ran; executed-through of its client is its number.
    Ran {
        client: ClientId,
        number: u64,
        digest: RequestDigest,
        #[serde(with = "serde_bytes")]
        reply: Vec<u8>,
    },
    /// The reply of an operation that ran earlier is another now.
    Answer {
        client: ClientId,
        number: u64,
        #[serde(with = "serde_bytes")]
        reply: Vec<u8>,
    },
    Upload {
        client: ClientId,
        number: u64,
        row: UploadRow,
    },
    UploadConsumed {
        client: ClientId,
        number: u64,
        by: u64,
    },
    NoUpload {
        client: ClientId,
        number: u64,
    },
    /// Record and uploads of a client go; `dropped`: not by its own wish.
    Forget {
        client: ClientId,
        dropped: bool,
    },
}

impl Change {
    /// A path as text that a record of ours holds is one.
    pub(crate) fn path(text: &str) -> Option<MediaPath> {
        text.parse().ok()
    }
}
