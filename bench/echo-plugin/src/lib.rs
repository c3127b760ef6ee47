//! Answers what it is asked: what a call costs without any work in it.

use pixelboy_plugin::prelude::*;

/// Answers what it is asked.
#[plugin]
impl Echo {
    /// Sends bytes back.
    ///
    /// Returns: the same bytes.
    #[op]
    fn echo(
        /// Any bytes.
        payload: Vec<u8>,
    ) -> Result<Vec<u8>> {
        Ok(payload)
    }
}
