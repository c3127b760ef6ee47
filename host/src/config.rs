//! `config.toml` and the command line, checked once into what the stations take.
//! Invariant: unknown fields are refused; every field has a default and a doc.
//! Not here: acting on a change (`plugin::loader`).
//! A faulty file at start ends the host with a sentence; a faulty edit while it runs changes nothing.

mod args;
mod settings;

pub(crate) use args::{Args, Command, LogFormat, Verify};
pub(crate) use settings::{ConfigError, Limits, PluginSettings, Settings};
