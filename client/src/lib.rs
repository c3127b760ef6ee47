//! The Rust client of a pixelboy device: calls of opcodes, uploads, downloads, and what the device sends by itself.
//! Invariant: a call runs at most once however often the connection breaks, and every wait has a deadline.
//! Deliberately absent: opcodes as methods, but for those that every device has (`ops`); the device's table names the rest.
//! An error says what is known: nothing happened, it happened, or the outcome is unknown and how to ask again.
//!
//! ```no_run
//! # async fn example() -> Result<(), pixelboy_client::Error> {
//! use pixelboy_client::{Client, Options};
//! let device = Client::connect("pixel.local", Options::default()).await?;
//! let reply = device.call("ss", ["notes.txt".into(), "hello".into()], [], None).await?;
//! println!("on disk at position {:?}", reply.stored);
//! device.close().await;
//! # Ok(())
//! # }
//! ```
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

// What a user holds.
mod address;
mod client;
mod download;
mod error;
mod event;
mod ops;
mod options;
mod pending;
mod reply;
mod source;
mod table;
mod upload;

// What works behind it: one task that owns the session and its connection.
mod backoff;
mod command;
mod dial;
mod driver;
mod identity;
mod link;
mod session;
mod state;
mod transfer;

pub use address::{Address, DEFAULT_PORT, NoAddress};
pub use client::Client;
pub use client::Progress;
pub use download::Download;
pub use error::{Error, Ticket};
pub use event::Event;
pub use options::Options;
pub use pending::Pending;
pub use pixelboy_protocol as protocol;
pub use pixelboy_protocol::{Blob, Code, Failure, Value};
pub use reply::Reply;
pub use source::Source;
pub use table::OpTable;
pub use upload::Upload;
