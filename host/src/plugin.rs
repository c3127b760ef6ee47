//! Loads plugins, runs their guests and swaps them while the host runs.
//! Invariant: a call runs on the version that was current when it started; a failed load leaves the last good one serving.
//! Not here: what a guest may ask of the host (`capability`), which operation runs when (`dispatch`).
//! A trap ends its own call: the instance is thrown away, the next call gets a fresh one.

pub(crate) mod cache;
pub(crate) mod compile;
pub(crate) mod contract;
pub(crate) mod durations;
pub(crate) mod engine;
pub(crate) mod grants;
pub(crate) mod health;
pub(crate) mod instance;
pub(crate) mod link;
pub(crate) mod loader;
pub(crate) mod manifest;
pub(crate) mod room;
pub(crate) mod seat;
pub(crate) mod ticker;
pub(crate) mod unserved;
pub(crate) mod values;
pub(crate) mod version;
pub(crate) mod watch;
