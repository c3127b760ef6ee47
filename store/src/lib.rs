//! The durable store: media as plain files, key-value data, device state and the record of operations.
//! Invariant: what a [`Receipt`] names is on disk, and survives a crash or a power cut whole.
//! Not here: opcodes, plugins, the network; this crate knows no other crate of ours.
//! A failed sync: whoever waits gets [`OutcomeUnknown`], and writes are refused until the store is opened anew.

mod id;
mod store;

pub use id::{ClientId, KvNamespace, OperationId, Position, Receipt, RequestDigest, Sha256, StoreId};
pub use store::Store;
