//! Cuts the power under the real daemon, or kills it, while clients store; a model judges what is there afterwards.
//!
//! Invariant of what is tested: everything acknowledged is there, byte for byte, as a plain file and through the wire;
//! everything else wholly or not at all; sent again under its number nothing happens twice; nothing was shown that the
//! record does not know.
//! Not here: the faulty disk (`faultfs`), the daemon's program and the wire (`harness`).
//! A finding ends a run with its seed and the command that runs it again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: whatever goes wrong here fails it"
)]

pub mod client;
pub mod device;
pub mod media;
pub mod model;
pub mod run;
pub mod state_file;
pub mod tally;

pub use run::{Ending, Plan, run};
pub use tally::Tally;
