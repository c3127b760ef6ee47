//! A guest for the end-to-end tests: sets a timer and has no handler for it.

use std::time::Duration;

use pixelboy_plugin::prelude::*;
use pixelboy_plugin::timer;

/// Sets a timer and has no handler for it.
#[plugin]
impl Deaf {
    /// Sets a durable timer that fires at once.
    #[op]
    fn deaf() -> Result<()> {
        timer::set_durable("id", Duration::ZERO, "payload")
    }
}
