//! What is this file? The host decodes it, within limits of bytes, memory and time. Needs the grant `probe`.

pub use crate::bindings::pixelboy::plugin::probe::Media;

use crate::bindings::pixelboy::plugin::probe as host;
use crate::failure::FromHost as _;
use crate::{Data, Result};

/// Looks at bytes; `unsupported-media` with the decoder's reason where they are not media or are broken.
pub fn probe(bytes: &Data) -> Result<Media> {
    host::probe(bytes.handle()).or_failure()
}
