//! Probes real media, malformed ones, large ones and noise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod good;
mod large;
mod limits;
mod malformed;
mod noise;
mod support;
