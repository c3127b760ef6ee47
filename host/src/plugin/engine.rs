//! The one wasmtime engine and its settings.
//! Invariant: the host and the compile child use the same settings, or cached code would not load.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::ticker::Ticker;

/// The engine with the thread that makes its guests yield.
pub(crate) struct Engine {
    pub(crate) wasmtime: wasmtime::Engine,
    pub(crate) ticker: Ticker,
}

impl Engine {
    /// The host's engine.
    pub(crate) fn start() -> wasmtime::Result<Self> {
        let wasmtime = bare()?;
        let ticker = Ticker::start(wasmtime.clone())?;
        Ok(Self { wasmtime, ticker })
    }
}

/// The engine alone, as the compile child needs it.
pub(crate) fn bare() -> wasmtime::Result<wasmtime::Engine> {
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true);
    config.epoch_interruption(true);
    wasmtime::Engine::new(&config)
}

/// Differs where code compiled by one engine must not be run by the other: version, settings, CPU.
pub(crate) fn fingerprint(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    wasmtime_version().hash(&mut hasher);
    hasher.finish()
}

fn wasmtime_version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), "+wasmtime-48")
}
