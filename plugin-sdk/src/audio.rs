//! The speaker. Needs the grant `audio`. What is asked for here is heard when the operation has committed.

pub use crate::bindings::pixelboy::plugin::audio::Playback;

use crate::bindings::pixelboy::plugin::audio as host;
use crate::failure::FromHost as _;
use crate::{Failure, Result};

/// What plays or is paused; none in silence.
pub fn now() -> Option<Playback> {
    host::now()
}

/// What plays or is paused; `nothing-playing` in silence.
pub fn playing() -> Result<Playback> {
    now().ok_or_else(|| Failure::nothing_playing("nothing plays and nothing is paused"))
}

/// Plays a stored file in place of what plays. The reply goes out when sound starts.
///
/// With `outlive_session` it goes on after the client has gone.
pub fn play(path: &str, outlive_session: bool) -> Result<()> {
    host::play(path, outlive_session).or_failure()
}

/// Holds the sound where it is.
pub fn pause() -> Result<()> {
    host::pause().or_failure()
}

/// Goes on from where it was held.
pub fn resume(outlive_session: bool) -> Result<()> {
    host::resume(outlive_session).or_failure()
}

/// Ends the sound.
pub fn stop() -> Result<()> {
    host::stop().or_failure()
}

/// 0.0 to 1.0.
pub fn volume() -> f64 {
    host::volume()
}

/// 0.0 to 1.0.
pub fn set_volume(volume: f64) -> Result<()> {
    host::set_volume(volume).or_failure()
}
