//! What is shown and played, as the operations committed so far left it.
//! Invariant: changes when an operation commits, not when a lamp lights up: so an operation sees what those before it
//! asked for, without waiting for sound.
//! Not here: pixels and samples (`display`, `audio`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use pixelboy_store::Position;

use super::effect::Effect;

/// What is on the screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// `picture`, `animation` or `pixels`.
    pub(crate) kind: String,
    /// Where it came from a file.
    pub(crate) path: Option<String>,
    /// Frames per second in thousandths, where they are not the file's own.
    pub(crate) millifps: Option<u64>,
    /// How often, where it is not the file's own number; 0 for ever.
    pub(crate) loops: Option<u32>,
}

/// What plays or is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Music {
    pub(crate) path: String,
    /// Who it belongs to.
    pub(crate) session: u64,
    /// Whether it goes on after that session.
    pub(crate) outlives: bool,
    pub(crate) paused: bool,
    /// Which play it is.
    pub(crate) token: u64,
}

/// The device at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) shown: Option<Shown>,
    pub(crate) music: Option<Music>,
    /// 0.0 to 1.0.
    pub(crate) volume: f64,
}

/// The device's state, shared by all plugins.
pub(crate) struct Device {
    now: Mutex<Now>,
    tokens: AtomicU64,
    changed: tokio::sync::Notify,
}

struct Now {
    state: State,
    /// The newest commit that it comes from.
    position: Position,
    /// What played before a piece that may still turn out not to play.
    before: Option<Music>,
}

impl State {
    /// As it is after `effect`. The music that it replaced, if any.
    pub(crate) fn apply(&mut self, effect: &Effect) -> Option<Music> {
        match effect {
            Effect::Scene { shown, .. } => self.shown = shown.clone(),
            Effect::Play { music, .. } => return self.music.replace(music.clone()),
            Effect::Pause => self.each_music(|music| music.paused = true),
            Effect::Resume { session, outlives } => self.each_music(|music| {
                music.paused = false;
                music.session = *session;
                music.outlives = *outlives;
            }),
            Effect::Stop => self.music = None,
            Effect::Volume(volume) => self.volume = *volume,
            Effect::Push { .. } => {}
        }
        None
    }

    fn each_music(&mut self, change: impl FnOnce(&mut Music)) {
        if let Some(music) = &mut self.music {
            change(music);
        }
    }
}

impl Device {
    /// In silence, dark.
    pub(crate) fn new(volume: f64) -> Self {
        let state = State {
            shown: None,
            music: None,
            volume,
        };
        Self {
            now: Mutex::new(Now {
                state,
                position: Position::default(),
                before: None,
            }),
            tokens: AtomicU64::new(1),
            changed: tokio::sync::Notify::new(),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Now) -> T) -> T {
        let result = change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
        result
    }

    /// As the operations committed so far left it.
    pub(crate) fn state(&self) -> State {
        self.now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .state
            .clone()
    }

    /// As it will be after these effects too.
    pub(crate) fn state_after(&self, staged: &[Effect]) -> State {
        let mut state = self.state();
        for effect in staged {
            state.apply(effect);
        }
        state
    }

    /// What must be durable before anybody is told of the state.
    pub(crate) fn position(&self) -> Position {
        self.now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .position
    }

    /// An operation with these effects has committed, and saw everything up to `after`.
    pub(crate) fn commit(&self, effects: &[Effect], after: Position) {
        if effects.is_empty() {
            return;
        }
        self.change(|now| {
            now.position = now.position.max(after);
            for effect in effects {
                let before = now.state.apply(effect);
                if matches!(effect, Effect::Play { .. } | Effect::Stop) {
                    now.before = before;
                }
            }
        });
    }

    /// A name for a new play.
    pub(crate) fn new_token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether this is the piece that is to be heard.
    pub(crate) fn is_current(&self, token: u64) -> bool {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let music = now.state.music.as_ref();
        music.is_some_and(|music| music.token == token)
    }

    /// The piece could not be played; what played before goes on.
    pub(crate) fn music_did_not_begin(&self, token: u64) {
        self.change(|now| {
            if now
                .state
                .music
                .as_ref()
                .is_some_and(|music| music.token == token)
            {
                now.state.music = now.before.take();
            }
        });
    }

    /// The piece is over.
    pub(crate) fn music_ended(&self, token: u64) {
        self.change(|now| {
            if now
                .state
                .music
                .as_ref()
                .is_some_and(|music| music.token == token)
            {
                now.state.music = None;
            }
            if now
                .before
                .as_ref()
                .is_some_and(|music| music.token == token)
            {
                now.before = None;
            }
        });
    }

    /// Takes the music of a session that ended. True: it is to be stopped.
    pub(crate) fn end_session(&self, session: u64) -> bool {
        let owned = |music: &Music| music.session == session && !music.outlives;
        self.change(|now| {
            let ends = now.state.music.as_ref().is_some_and(owned);
            if ends {
                now.state.music = None;
            }
            ends
        })
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
