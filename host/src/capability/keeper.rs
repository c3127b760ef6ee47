//! What was on stays on: keeps the device's state on disk and brings it back after a restart.
//! Invariant: written within a second of a change; the position in the music only on pause, on stop and every 30 s.
//! A state that can't be read or whose file is gone: that part stays off, with a line in the log.

use std::sync::Arc;
use std::time::Duration;

use pixelboy_store::Position;
use serde::{Deserialize, Serialize};

use super::Services;
use super::device::{Music, Shown};
use super::effect::{self, Effect, Picture};
use super::store::path;

/// Changes within this time are written together.
const GATHER: Duration = Duration::from_millis(300);

/// How often the position in playing music is written.
const POSITION_EVERY: Duration = Duration::from_secs(30);

/// The name in the store.
const KEY: &str = "device";

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    shown: Option<Shown>,
    music: Option<KeptMusic>,
    volume: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptMusic {
    path: String,
    paused: bool,
    position_ms: u64,
}

/// Writes changes until the host ends.
pub(crate) async fn keep(services: Arc<Services>) {
    let mut last = None;
    loop {
        let playing = services
            .device
            .state()
            .music
            .is_some_and(|music| !music.paused);
        let changed = services.device.changed();
        if playing {
            let _ = tokio::time::timeout(POSITION_EVERY, changed).await;
        } else {
            changed.await;
        }
        tokio::time::sleep(GATHER).await;
        let now = now(&services);
        if last.as_ref() == Some(&now) {
            continue;
        }
        match write(&services, &now) {
            Ok(position) => {
                // Nobody else waits for it: without this it would be on disk a second later.
                if services.store.wait(position).await.is_ok() {
                    last = Some(now);
                }
            }
            Err(error) => tracing::warn!(%error, "what is shown and played could not be kept"),
        }
    }
}

/// Writes the state a last time, when the host stops.
pub(crate) fn keep_last(services: &Services) {
    if let Err(error) = write(services, &now(services)) {
        tracing::warn!(%error, "what is shown and played could not be kept");
    }
}

fn now(services: &Services) -> Kept {
    let state = services.device.state();
    // Music of a session ends with it; only what outlives sessions comes back.
    let music = state.music.filter(|music| music.outlives).map(|music| {
        let playing = services
            .audio
            .now()
            .filter(|playing| playing.token == music.token);
        KeptMusic {
            path: music.path,
            paused: music.paused,
            position_ms: playing.map_or(0, |playing| playing.position.as_millis() as u64),
        }
    });
    // Drawn pixels are the plugin's to draw again.
    let shown = state.shown.filter(|shown| shown.path.is_some());
    Kept {
        shown,
        music,
        volume: state.volume,
    }
}

/// Commits the state; durable with the position given.
fn write(services: &Services, kept: &Kept) -> Result<Position, String> {
    let bytes = postcard::to_allocvec(kept).map_err(|error| error.to_string())?;
    let mut transaction = services.store.begin();
    transaction
        .set_state(KEY, bytes)
        .map_err(|error| error.to_string())?;
    let position = services
        .store
        .commit(transaction, None)
        .map_err(|error| error.to_string())?;
    Ok(position)
}

/// Brings back what was on.
pub(crate) async fn restore(services: &Services) {
    let bytes = match services.store.begin().state(KEY) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "what was shown and played could not be read");
            return;
        }
    };
    let Ok(kept) = postcard::from_bytes::<Kept>(&bytes) else {
        tracing::warn!(
            "what was shown and played is not readable; the device starts dark and silent"
        );
        return;
    };
    let mut effects = vec![Effect::Volume(kept.volume)];
    if let Some(shown) = kept.shown
        && let Some(file) = &shown.path
        && let Some(bytes) = open(services, file)
    {
        let picture = match shown.kind.as_str() {
            "animation" => {
                let fps = shown.millifps.map(|millifps| millifps as f64 / 1000.0);
                Picture::Moving {
                    bytes,
                    fps,
                    loops: shown.loops,
                }
            }
            _ => Picture::Still(bytes),
        };
        effects.push(Effect::Scene {
            picture,
            shown: Some(shown),
        });
    }
    if let Some(music) = kept.music
        && let Some(bytes) = open(services, &music.path)
    {
        let token = services.device.new_token();
        let start_at = Duration::from_millis(music.position_ms);
        let again = Music {
            path: music.path,
            session: 0,
            outlives: true,
            paused: false,
            token,
        };
        effects.push(Effect::Play {
            music: again,
            bytes,
            start_at,
        });
        if music.paused {
            effects.push(Effect::Pause);
        }
    }
    services.device.commit(&effects, Position::default());
    for effect in effects {
        if let Err(failure) = effect::release(effect, services).await {
            tracing::warn!(why = %failure.message, "something that was on did not come back");
        }
    }
}

fn open(services: &Services, file: &str) -> Option<pixelboy_store::Blob> {
    let at = path(file).ok()?;
    match services.store.begin().open(&at) {
        Ok(Some((_, blob))) => Some(blob),
        Ok(None) => None,
        Err(error) => {
            tracing::warn!(file, %error, "a file that was shown or played can't be opened");
            None
        }
    }
}
