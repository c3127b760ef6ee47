//! What the end-to-end tests share: a real daemon in a folder of its own, and a plain client that hides nothing.
//! Invariant: no test uses the code under test to judge it, but for the codec of `pixelboy-protocol`, which has
//! vectors of its own. Not here: what is promised; that is in `tests/`, a file for each subject.
//! What is missing on the machine fails a test with the command that brings it; a failed test prints its daemon's log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test aid: whatever goes wrong here fails the test"
)]

pub mod daemon;
pub mod files;
pub mod lab;
pub mod panel;
pub mod process;
pub mod proxy;
pub mod sync;
pub mod values;
pub mod wav;
pub mod wire;

pub use daemon::{Daemon, Setup};
pub use files::{media, sha256_hex, snapshot};
pub use values::{field, text_field};
pub use wire::{Identity, Missing, PATIENCE, Wire};
