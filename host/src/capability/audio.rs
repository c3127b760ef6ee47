//! `audio`: what is to be heard, staged.

use std::time::Duration;

use wasmtime::component::Resource;

use super::device::Music;
use super::effect::Effect;
use super::{Guest, failure};
use crate::plugin::contract::pixelboy::plugin::audio::{Host, HostPlayback};
use crate::plugin::contract::pixelboy::plugin::types::Failure;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// The resource behind `playback`: the music when it was asked for.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct Playback {
    music: Music,
    position: Duration,
    duration: Option<Duration>,
}

impl Guest {
    fn music(&self) -> Option<Music> {
        self.services.device.state_after(&self.work.effects).music
    }

    fn stage_for_music(&mut self, effect: Effect) -> Answer<()> {
        Ok(match self.music() {
            Some(_) => self.work.stage(effect),
            None => Err(failure::nothing_playing()),
        })
    }
}

impl Host for Guest {
    fn now(&mut self) -> wasmtime::Result<Option<Resource<Playback>>> {
        let Some(music) = self.music() else {
            return Ok(None);
        };
        let playing = self
            .services
            .audio
            .now()
            .filter(|playing| playing.token == music.token);
        let (position, duration) = playing.map_or((music.position, None), |playing| {
            (playing.position, playing.duration)
        });
        Ok(Some(self.table.push(Playback {
            music,
            position,
            duration,
        })?))
    }

    fn play(&mut self, path: String, outlive_session: bool) -> Answer<()> {
        let (entry, bytes) = match self.media(&path)? {
            Ok(found) => found,
            Err(failure) => return Ok(Err(failure)),
        };
        let session = self.work.caller.session;
        let music = Music {
            path,
            sha256: entry.sha256,
            session,
            outlives: outlive_session || self.work.caller.own,
            paused: false,
            position: Duration::ZERO,
            token: self.services.device.new_token(),
            waiting: None,
        };
        Ok(self.work.stage(Effect::Play {
            music,
            bytes,
            again: false,
        }))
    }

    fn pause(&mut self) -> Answer<()> {
        self.stage_for_music(Effect::Pause)
    }

    fn resume(&mut self, outlive_session: bool) -> Answer<()> {
        let session = self.work.caller.session;
        self.stage_for_music(Effect::Resume {
            session,
            // Of an operation of the plugin's own it belongs to no session, so to no session's end either.
            outlives: outlive_session || self.work.caller.own,
        })
    }

    fn stop(&mut self) -> Answer<()> {
        let token = self.services.device.new_token();
        self.stage_for_music(Effect::Stop { token })
    }

    fn volume(&mut self) -> wasmtime::Result<f64> {
        Ok(self.services.device.state_after(&self.work.effects).volume)
    }

    fn set_volume(&mut self, volume: f64) -> Answer<()> {
        if !(0.0..=1.0).contains(&volume) {
            return Ok(Err(failure::bad_arguments(format!(
                "volume must be 0.0 to 1.0, got {volume}"
            ))));
        }
        Ok(self.work.stage(Effect::Volume(volume)))
    }
}

impl HostPlayback for Guest {
    fn path(&mut self, this: Resource<Playback>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.music.path.clone())
    }

    fn position_ms(&mut self, this: Resource<Playback>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.position.as_millis() as u64)
    }

    fn duration_ms(&mut self, this: Resource<Playback>) -> wasmtime::Result<Option<u64>> {
        Ok(self
            .table
            .get(&this)?
            .duration
            .map(|duration| duration.as_millis() as u64))
    }

    fn paused(&mut self, this: Resource<Playback>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&this)?.music.paused)
    }

    fn outlives_session(&mut self, this: Resource<Playback>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&this)?.music.outlives)
    }

    fn drop(&mut self, this: Resource<Playback>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
