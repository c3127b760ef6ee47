//! Lines in the host's log, under the plugin's name. Needs no grant.

use crate::bindings::pixelboy::plugin::log::{Level, write};

/// What only matters when something is being hunted.
pub fn trace(message: &str) {
    write(Level::Trace, message);
}

/// What matters to the plugin's author.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// What matters to the device's owner.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something is not as it should be; the plugin goes on.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something failed.
pub fn error(message: &str) {
    write(Level::Error, message);
}
