//! `log`: a guest's lines in the host's log, under the plugin's name.
//! Invariant: lines and their number are bounded (`log/pace.rs`), control characters do not reach the terminal.

pub(crate) mod pace;

use std::time::Instant;

use super::Guest;
use crate::plugin::contract::pixelboy::plugin::log::{Host, Level};

/// The most characters of one line.
const MAX_LINE_CHARS: usize = 2000;

impl Host for Guest {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let plugin = &*self.identity.name;
        match self.identity.pace.line(Instant::now()) {
            None => return Ok(()),
            Some(0) => {}
            Some(lines) => {
                tracing::warn!(target: "plugin", plugin, lines, "it logs too much; lines were left out");
            }
        }
        let message: String = message
            .chars()
            .take(MAX_LINE_CHARS)
            .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
            .collect();
        match level {
            Level::Trace => tracing::trace!(target: "plugin", plugin, "{message}"),
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{message}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{message}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{message}"),
            Level::Error => tracing::error!(target: "plugin", plugin, "{message}"),
        }
        Ok(())
    }
}
