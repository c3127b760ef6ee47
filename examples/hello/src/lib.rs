//! A plugin in ten lines, to copy.

use pixelboy_plugin::prelude::*;

/// Greets people.
#[plugin]
impl Hello {
    /// Says hello.
    ///
    /// Returns: the greeting.
    #[op]
    fn hello(#[default("world")] name: String) -> Result<String> {
        Ok(format!("hello, {name}"))
    }

    /// Repeats a text.
    ///
    /// Returns: the text, so many times.
    #[op]
    fn repeat(text: String, #[range(1..=100)] times: u8) -> Result<String> {
        Ok(text.repeat(times.into()))
    }
}
