//! Write a plugin for pixelboy: one `impl` block, one attribute per opcode.
//!
//! ```
//! use pixelboy_plugin::prelude::*;
//!
//! /// Greets people.
//! #[plugin]
//! impl Hello {
//!     /// Says hello.
//!     ///
//!     /// Returns: the greeting.
//!     #[op]
//!     fn hello(
//!         /// Whom to greet.
//!         #[default("world")]
//!         name: String,
//!     ) -> Result<String> {
//!         Ok(format!("hello, {name}"))
//!     }
//! }
//! ```
//!
//! That is the whole plugin: the opcode table that clients see (names, types, defaults, choices, ranges, docs) comes
//! from the signatures. See [`plugin`] for all that can be written there.
//!
//! A handler runs in a transaction: what it writes, shows or plays is *staged*, becomes real when it returns `Ok`, and is
//! dropped when it returns an error, panics or runs out of time. One call at a time runs in a plugin, so there is
//! nothing to lock; what must outlive a call belongs in [`kv`] or [`store`], since statics may be lost between any two
//! calls. A handle such as [`Data`] is good during the call it was got in.
//!
//! A plugin can act by itself too: when a timer fires, when a client answers that it called, when it is told of an event.
//! Those handlers run in a transaction like any other.
//!
//! ```standalone_crate
//! use std::time::Duration;
//!
//! use pixelboy_plugin::prelude::*;
//! use pixelboy_plugin::{client, display, log, timer};
//!
//! /// Reminds everybody.
//! #[plugin]
//! impl Reminder {
//!     /// Sets the reminder; it outlives a restart.
//!     #[op]
//!     fn remind(after_s: u32, text: String) -> Result<()> {
//!         timer::set_durable("reminder", Duration::from_secs(after_s.into()), text)
//!     }
//!
//!     #[timer]
//!     fn due(_id: String, text: Vec<u8>) -> Result<()> {
//!         let text = String::from_utf8(text)?;
//!         for session in client::sessions() {
//!             client::push(session, "reminder", vec![text.as_str().into()])?;
//!         }
//!         display::draw(1, 1, &[255, 0, 0, 255])
//!     }
//!
//!     #[event("screen-lost")]
//!     fn covered(details: Map) -> Result<()> {
//!         log::info(&format!("covered by {:?}", details.get("to")));
//!         Ok(())
//!     }
//! }
//! ```
//!
//! A plugin can use only what `config.toml` grants it (`allow = ["store", "display"]`); [`log`](mod@log) needs no grant.
//! Natively, handlers run in tests against a device in memory, see `test`.
//!
//! There is no WASI here: no clock but [`Call::now_ms`], no files but [`store`], no threads.

// What a handler works with.
mod argument;
mod canvas;
mod data;
mod failure;
mod reply;
mod value;

// What the host offers, one module for each interface of the contract.
pub mod audio;
pub mod client;
pub mod display;
pub mod kv;
pub mod log;
pub mod probe;
pub mod settings;
pub mod store;
pub mod timer;

// How a plugin meets the host.
#[doc(hidden)]
#[cfg_attr(not(target_family = "wasm"), path = "native.rs")]
pub mod bindings;
#[doc(hidden)]
pub mod guest;
mod nodes;
mod pages;
#[doc(hidden)]
pub mod table;

// How a plugin is tested without a host.
#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use argument::{Argument, NoLiteral, Number};
pub use bindings::pixelboy::plugin::calls::Call;
pub use client::Answer;
pub use data::{Data, Digest};
pub use failure::{Failure, Result};
pub use pixelboy_plugin_macros::plugin;
pub use reply::{IntoReply, Reply, complete, later};
pub use value::{Map, Value};

/// What a plugin's first line brings in.
pub mod prelude {
    pub use crate::{
        Answer, Call, Data, Digest, Failure, IntoReply as _, Map, Reply, Result, Value, complete,
        later, map, plugin, values,
    };
}
