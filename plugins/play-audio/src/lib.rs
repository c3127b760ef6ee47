//! Plays stored sound on the device's speaker.
//! Invariant: only a stored file of kind audio is played; what is asked for in silence is refused, never ignored.

use pixelboy_plugin::audio::Playback;
use pixelboy_plugin::prelude::*;
use pixelboy_plugin::{audio, store};

/// Plays stored sound on the device's speaker.
#[plugin]
impl PlayAudio {
    /// Plays a stored file in place of what plays; answers when sound starts.
    ///
    /// Returns: {playing, duration_ms, thread}: the path, and the length where it is known.
    #[op]
    fn rm(
        /// The file, as it was stored by `sm`.
        path: String,
        /// Whether it goes on after the client has gone.
        #[default(false)]
        thread: bool,
    ) -> Result<Map> {
        let missing = || Failure::not_found(format!("there is no file {path:?}; store it first"));
        let file = store::find(&path)?.ok_or_else(missing)?;
        let kind = file.kind();
        let advice = match kind.as_str() {
            "image" => Some("is a picture; show it with ri"),
            "animation" => Some("is an animation; show it with rg"),
            "text" => Some("is text"),
            _ => None,
        };
        if let Some(advice) = advice {
            let refusal = format!("rm plays sound, {path:?} {advice}");
            return Err(Failure::unsupported_media(refusal).with("kind", kind));
        }
        audio::play(&path, thread)?;
        let duration_ms = file
            .property("duration_ms")
            .and_then(|text| text.parse::<i64>().ok());
        Ok(map! { playing: path, duration_ms, thread })
    }

    /// Pauses.
    ///
    /// Returns: {paused, position_ms, duration_ms}: the path, and where it stands.
    #[op]
    fn pm() -> Result<Map> {
        let reply = told("paused", &audio::playing()?);
        audio::pause()?;
        Ok(reply)
    }

    /// Goes on from where it was paused.
    ///
    /// Returns: {playing, position_ms, duration_ms, thread}: the path, and where it stands.
    #[op]
    fn um(
        /// Whether it goes on after the client has gone.
        #[default(false)]
        thread: bool,
    ) -> Result<Map> {
        let mut reply = told("playing", &audio::playing()?);
        reply.insert("thread", thread);
        audio::resume(thread)?;
        Ok(reply)
    }

    /// Stops; `um` doesn't bring it back.
    ///
    /// Returns: {stopped, position_ms, duration_ms}: the path, and where it stood.
    #[op]
    fn stop() -> Result<Map> {
        let reply = told("stopped", &audio::playing()?);
        audio::stop()?;
        Ok(reply)
    }

    /// Sets the volume of the device.
    ///
    /// Returns: {volume}.
    #[op]
    fn sv(
        /// From 0.0, silent, to 1.0, as loud as it gets.
        #[range(0.0..=1.0)]
        volume: f64,
    ) -> Result<Map> {
        audio::set_volume(volume)?;
        Ok(map! { volume })
    }
}

fn told(what: &str, now: &Playback) -> Map {
    let mut reply = Map::new();
    reply.insert(what, now.path());
    reply.insert("position_ms", now.position_ms());
    reply.insert("duration_ms", now.duration_ms());
    reply
}
