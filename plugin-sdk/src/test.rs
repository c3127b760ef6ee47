//! A device in memory, to test a plugin on the author's own machine: `cargo test`, without a host and without WASM.
//!
//! ```
//! # use pixelboy_plugin::prelude::*;
//! # #[plugin]
//! # impl Hello {
//! #     /// Says hello.
//! #     #[op]
//! #     fn hello(#[default("world")] name: String) -> Result<String> { Ok(format!("hello, {name}")) }
//! # }
//! use pixelboy_plugin::test::Device;
//!
//! let mut device = Device::of::<Hello>();
//! assert_eq!(device.call("hello", values![]), Ok("hello, world".into()));
//! ```
//!
//! Arguments are checked against the plugin's table, an operation that fails leaves nothing behind, time passes when the
//! test says so ([`Device::pass`]). What a plugin did lies open: [`Device::files`], [`Device::screen`], [`Device::pushed`].
//! Everything is granted. Deliberately absent: limits, crashes, media that are really decoded; those are the host's.
#![expect(clippy::panic, reason = "a test that can't go on says so and ends")]

mod device;
mod golden;
mod matching;
mod world;

pub use device::Device;
pub use golden::assert_golden;
pub(crate) use world::world;
pub use world::{Asked, Probed, Pushed, Screen, Sound, Stored, Timer};

pub use crate::bindings::pixelboy::plugin::log::Level;
