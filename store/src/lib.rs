//! The durable store: media as plain files, key-value data, device state and the record of operations.
//! Invariant: what a [`Receipt`] names is on disk, and survives a crash or a power cut whole.
//! Not here: opcodes, plugins, the network; this crate knows no other crate of ours.
//! A failed sync: whoever waits gets [`OutcomeUnknown`], and writes are refused until the store is opened anew. A write that
//! failed before any sync (a full disk): what waits is taken back as if it had never been, and the store goes on.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )
)]

// The contract.
mod entry;
mod error;
mod guard;
mod id;
mod path;
mod settings;
mod store;
mod transaction;
mod verify;
mod wait;

// Bytes and where they are.
mod blob;
mod body;
mod disk;
mod staging;

// What is committed.
mod change;
mod log;
mod memory;
mod view;

// Bytes that are on their way in.
mod upload;

// The works.
mod engine;
mod plain;
mod sqlite;

#[cfg(test)]
mod tests;

pub use blob::{Blob, BlobReader};
pub use engine::Inspection;
pub use entry::{Entry, MAX_KIND_BYTES, MAX_PROPERTIES_BYTES};
pub use error::{
    CommitError, NoSpace, NotDurable, OpenError, OutcomeUnknown, SpaceLimit, StoreError, Unwritten,
    UploadError,
};
pub use guard::Guard;
pub use id::{
    ClientId, KvNamespace, OperationId, Position, Receipt, RequestDigest, Sha256, StoreId,
};
pub use path::{MAX_PART_BYTES, MAX_PATH_BYTES, MAX_PATH_PARTS, MediaPath, PathError};
pub use settings::Settings;
pub use sqlite::SqliteStore;
pub use staging::StagedWriter;
pub use store::{Admission, ClientRecord, OperationRecord, Store};
pub use transaction::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Transaction};
pub use upload::{Announced, Upload, UploadState};
pub use verify::{Fault, Problem, Progress, Repaired, Report};
pub use wait::{Stirred, Wait};
