//! What was on stays on: keeps the device's state on disk and brings it back after a restart.
//! Invariant: written within a second of a change, at once with an operation that writes; the position in the music only
//! then, on pause, on stop and every 30 s. What can't be brought back now is not forgotten by that.
//! Not here: what the state is (`device`), what becomes of it on a panel or a speaker (`effect`).
//! A state that can't be read or whose file is gone: that part stays off, with a line in the log.

mod drawing;

use std::sync::Arc;
use std::time::Duration;

use pixelboy_audio::Audio;
use pixelboy_store::{Blob, CommitError, Entry, Position, StoreError, Transaction};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Services;
use super::device::{Music, Shown, State};
use super::effect::{Effect, Picture};
use super::store::path;

/// Changes within this time are written together.
const GATHER: Duration = Duration::from_millis(300);

/// The least time between two writes, so that a plugin that draws all the time does not wear the card out.
const REST: Duration = Duration::from_millis(850);

/// How often the position in playing music is written.
const POSITION_EVERY: Duration = Duration::from_secs(30);

/// The state's name in the store.
const KEY: &str = "state";

/// What is kept, besides the pixels of a drawing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    shown: Option<KeptScene>,
    music: Option<KeptMusic>,
    volume: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptScene {
    kind: String,
    path: Option<String>,
    fps: Option<f64>,
    loops: Option<u32>,
    owner: String,
    /// How many pieces of a drawing belong to it.
    pieces: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptMusic {
    path: String,
    /// Of the file that was played: in another one the position means nothing.
    sha256: Option<[u8; 32]>,
    paused: bool,
    position_ms: u64,
}

/// What the store has of the device's state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    kept: Option<Kept>,
    /// The scene whose drawing it has.
    drawing: Option<u64>,
    /// In how many pieces.
    pieces: u32,
}

impl Written {
    /// Of a store that may have anything, in up to so many pieces.
    pub(crate) fn unknown(pieces: u32) -> Self {
        Self {
            pieces,
            ..Self::default()
        }
    }

    pub(crate) fn pieces(&self) -> u32 {
        self.pieces
    }
}

impl Kept {
    fn of(state: &State, audio: &Audio) -> Self {
        let shown = state.shown.as_ref().map(|shown| KeptScene {
            kind: shown.kind.clone(),
            path: shown.path.clone(),
            fps: shown.fps,
            loops: shown.loops,
            owner: shown.owner.to_string(),
            pieces: shown.drawing.as_deref().map_or(0, drawing::pieces),
        });
        // Music of a session ends with it; only what outlives sessions comes back.
        let music = state.music.as_ref().filter(|music| music.outlives);
        let music = music.map(|music| KeptMusic {
            path: music.path.clone(),
            sha256: music.sha256.map(|sha| sha.0),
            paused: music.paused,
            position_ms: position(music, audio).as_millis() as u64,
        });
        Self {
            shown,
            music,
            volume: state.volume,
        }
    }

    /// Whether they differ in more than how far playing music has come.
    fn differs(&self, other: &Self) -> bool {
        let still = |kept: &Self| {
            let mut kept = kept.clone();
            if let Some(music) = kept.music.as_mut().filter(|music| !music.paused) {
                music.position_ms = 0;
            }
            kept
        };
        still(self) != still(other)
    }
}

/// Where music stands now.
pub(crate) fn position(music: &Music, audio: &Audio) -> Duration {
    let playing = audio.now().filter(|playing| playing.token == music.token);
    playing.map_or(music.position, |playing| playing.position)
}

/// Stages `state` where the store has another one; what the store has once that has committed.
pub(crate) fn stage(
    transaction: &mut Transaction,
    state: &State,
    audio: &Audio,
    before: &Written,
) -> Result<Written, StoreError> {
    let kept = Kept::of(state, audio);
    let mut written = Written {
        kept: before.kept.clone(),
        drawing: None,
        pieces: 0,
    };
    if let Some(shown) = &state.shown
        && let Some(drawing) = &shown.drawing
    {
        written.drawing = Some(shown.token);
        written.pieces = drawing::pieces(drawing);
        if before.drawing != written.drawing {
            drawing::stage(transaction, drawing)?;
        }
    }
    for piece in written.pieces..before.pieces {
        transaction.clear_state(&drawing::key(piece))?;
    }
    if before.kept.as_ref() != Some(&kept) {
        transaction.set_state(KEY, encoded(&kept))?;
        written.kept = Some(kept);
    }
    Ok(written)
}

fn encoded(kept: &Kept) -> Vec<u8> {
    // Plain data: it always encodes.
    postcard::to_allocvec(kept).unwrap_or_default()
}

/// Writes changes until the host ends.
pub(crate) async fn keep(services: Arc<Services>) {
    let mut next_write = Instant::now();
    let mut look_again = Instant::now() + POSITION_EVERY;
    let mut failed = false;
    loop {
        let changed = services.device.changed();
        if failed || plays(&services) {
            let _ = tokio::time::timeout_at(look_again, changed).await;
        } else {
            changed.await;
        }
        let position_counts = Instant::now() >= look_again;
        if !position_counts {
            let soonest = Instant::now() + GATHER;
            tokio::time::sleep_until(soonest.max(next_write)).await;
        }
        let written = write(&services, position_counts);
        failed = written.is_err();
        match written {
            Ok(None) if !position_counts => continue,
            Ok(None) => {}
            Ok(Some(position)) => {
                next_write = Instant::now() + REST;
                // Nobody else waits for it: without this it would be on disk a second later.
                if let Err(error) = services.store.wait(position).await {
                    tracing::warn!(%error, "what is shown and played could not be kept; it is tried again");
                    services.device.committing().forget_written();
                    failed = true;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "what is shown and played could not be kept; it is tried again");
            }
        }
        look_again = Instant::now() + POSITION_EVERY;
    }
}

/// Whether a position is to be kept up with.
fn plays(services: &Services) -> bool {
    let music = services.device.state().music;
    music.is_some_and(|music| music.outlives && !music.paused && music.waiting.is_none())
}

/// Writes the state a last time, when the host stops.
pub(crate) fn keep_last(services: &Services) {
    if let Err(error) = write(services, true) {
        tracing::warn!(%error, "what is shown and played could not be kept");
    }
}

/// Commits the state where it is another one than the store has; durable with the position given.
fn write(services: &Services, position_counts: bool) -> Result<Option<Position>, CommitError> {
    let mut device = services.device.committing();
    let state = device.state_after(&[]);
    let kept = Kept::of(&state, &services.audio);
    let before = device.written();
    let drawing = state.shown.as_ref().filter(|shown| shown.drawing.is_some());
    let same_drawing = drawing.map(|shown| shown.token) == before.drawing;
    let same = before
        .kept
        .as_ref()
        .is_some_and(|last| *last == kept || (!position_counts && !last.differs(&kept)));
    if same && same_drawing {
        return Ok(None);
    }
    let mut transaction = services.store.begin();
    let written = stage(&mut transaction, &state, &services.audio, before)?;
    let position = services.store.commit(transaction, None)?;
    device.note_written(written);
    Ok(Some(position))
}

/// What was on, as effects that bring it back; the device's state has it already.
pub(crate) fn restore(services: &Services) -> Vec<Effect> {
    let mut transaction = services.store.begin();
    let kept = match transaction.state(KEY) {
        Ok(Some(bytes)) => postcard::from_bytes::<Kept>(&bytes).ok(),
        Ok(None) => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "what was shown and played could not be read");
            return Vec::new();
        }
    };
    let Some(kept) = kept else {
        tracing::warn!(
            "what was shown and played is not readable; the device starts dark and silent"
        );
        return Vec::new();
    };
    let mut effects = vec![Effect::Volume(kept.volume)];
    let mut written = Written {
        kept: Some(kept.clone()),
        ..Written::default()
    };
    if let Some(shown) = &kept.shown {
        written.pieces = shown.pieces;
        if let Some((picture, shown)) = scene(services, &mut transaction, shown) {
            written.drawing = shown.drawing.as_ref().map(|_| shown.token);
            effects.push(Effect::Scene {
                token: shown.token,
                owner: shown.owner.clone(),
                picture,
                shown: Some(shown),
            });
        }
    }
    effects.extend(kept.music.and_then(|music| again(services, music)));
    let mut device = services.device.committing();
    device.done(&effects, Position::default(), |_| true);
    device.note_written(written);
    effects
}

fn scene(
    services: &Services,
    transaction: &mut Transaction,
    kept: &KeptScene,
) -> Option<(Picture, Shown)> {
    let mut shown = Shown {
        kind: kept.kind.clone(),
        path: kept.path.clone(),
        fps: kept.fps,
        loops: kept.loops,
        owner: kept.owner.as_str().into(),
        drawing: None,
        token: services.device.new_token(),
    };
    let Some(file) = &kept.path else {
        let drawing = Arc::new(drawing::read(transaction, kept.pieces)?);
        shown.drawing = Some(drawing.clone());
        return Some((Picture::Drawn(drawing), shown));
    };
    let (_, bytes) = open(services, file)?;
    let picture = match kept.kind.as_str() {
        "animation" => Picture::Moving {
            bytes,
            fps: kept.fps,
            loops: kept.loops,
        },
        _ => Picture::Still(bytes),
    };
    Some((picture, shown))
}

fn again(services: &Services, kept: KeptMusic) -> Option<Effect> {
    let (entry, bytes) = open(services, &kept.path)?;
    let position = match entry.sha256.map(|sha| sha.0) == kept.sha256 {
        true => Duration::from_millis(kept.position_ms),
        false => Duration::ZERO,
    };
    let music = Music {
        path: kept.path,
        sha256: entry.sha256,
        session: 0,
        outlives: true,
        paused: kept.paused,
        position,
        token: services.device.new_token(),
        waiting: None,
    };
    Some(Effect::Play {
        music,
        bytes,
        again: true,
    })
}

/// The music that waits for a speaker, to be tried once more.
pub(crate) fn try_again(services: &Services) -> Option<Effect> {
    let music = services.device.waiting_music()?;
    let Some((_, bytes)) = open(services, &music.path) else {
        services.device.music_ended(music.token);
        return None;
    };
    Some(Effect::Play {
        music,
        bytes,
        again: true,
    })
}

fn open(services: &Services, file: &str) -> Option<(Entry, Blob)> {
    let at = path(file).ok()?;
    match services.store.begin().open(&at) {
        Ok(Some(found)) => Some(found),
        Ok(None) => {
            tracing::info!(file, "what was shown or played is not stored any more");
            None
        }
        Err(error) => {
            tracing::warn!(file, %error, "a file that was shown or played can't be opened");
            None
        }
    }
}
