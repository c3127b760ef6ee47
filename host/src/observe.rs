//! The log: lines on standard error, so that pictures on standard output stay whole.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Without `RUST_LOG`: what the decoders say of odd files is of no use to a person.
const QUIET: &str = "info,symphonia=error,symphonia_core=error,symphonia_bundle_mp3=error";

/// Starts logging; `RUST_LOG` chooses what (`info` without it).
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(QUIET));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => {
            log.with_target(false)
                .with_ansi(std::io::stderr().is_terminal())
                .compact()
                .init();
        }
    }
}
