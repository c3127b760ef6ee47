//! What is shown and played, as the operations committed so far left it.
//! Invariant: changes when an operation commits, under one lock with its commit: so the last writer is the last to have
//! committed, and an operation sees what those before it asked for, without waiting for sound.
//! Not here: pixels and samples (`display`, `audio`), how it is kept over a restart (`keeper`).
//! What a device refuses is taken back; what was there before it still is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pixelboy_store::{Position, Sha256};

use super::effect::Effect;
use super::keeper::Written;
use super::succession::Succession;

/// What is on the screen.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// `picture`, `animation` or `pixels`.
    pub(crate) kind: String,
    /// Where it came from a file.
    pub(crate) path: Option<String>,
    /// Frames per second, where they are not the file's own.
    pub(crate) fps: Option<f64>,
    /// How often, where it is not the file's own number; 0 for ever.
    pub(crate) loops: Option<u32>,
    /// The plugin that asked for it.
    pub(crate) owner: Arc<str>,
    /// What a plugin drew.
    pub(crate) drawing: Option<Arc<Drawing>>,
    /// Which scene it is.
    pub(crate) token: u64,
}

/// Pixels from a plugin.
#[derive(Debug)]
pub(crate) struct Drawing {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// RGBA, and how long it is held; that counts only where there are several.
    pub(crate) frames: Vec<(Vec<u8>, Duration)>,
    /// How often they are played, 0 for ever; none for one that stands still.
    pub(crate) loops: Option<u32>,
}

/// What plays or is paused.
#[derive(Clone, Debug)]
pub(crate) struct Music {
    pub(crate) path: String,
    /// Of its file, where it is known.
    pub(crate) sha256: Option<Sha256>,
    /// Who it belongs to.
    pub(crate) session: u64,
    /// Whether it goes on after that session.
    pub(crate) outlives: bool,
    pub(crate) paused: bool,
    /// Where it stands as long as the speaker does not say.
    pub(crate) position: Duration,
    /// Which play it is.
    pub(crate) token: u64,
    /// Why there is no sound of it, where it waits for a speaker.
    pub(crate) waiting: Option<String>,
}

/// The device at one moment.
#[derive(Clone, Debug)]
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
    speaker_wanted: tokio::sync::Notify,
}

struct Now {
    shown: Succession<Shown>,
    music: Succession<Music>,
    volume: f64,
    /// The newest commit that it comes from.
    position: Position,
    /// What the store has of it.
    written: Written,
}

/// The device while an operation commits: nobody else's effects come between.
pub(crate) struct Committing<'a> {
    device: &'a Device,
    now: MutexGuard<'a, Now>,
}

impl State {
    /// As it will be after `effect`.
    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Scene { shown, .. } => self.shown = shown.clone(),
            Effect::Play { music, .. } => self.music = Some(music.clone()),
            Effect::Pause => self.each_music(|music| music.paused = true),
            Effect::Resume { session, outlives } => {
                self.each_music(|music| music.resume(*session, *outlives));
            }
            Effect::Stop => self.music = None,
            Effect::Volume(volume) => self.volume = *volume,
            Effect::Push { .. } | Effect::Call { .. } => {}
        }
    }

    fn each_music(&mut self, change: impl FnOnce(&mut Music)) {
        if let Some(music) = &mut self.music {
            change(music);
        }
    }
}

impl Music {
    fn resume(&mut self, session: u64, outlives: bool) {
        self.paused = false;
        self.session = session;
        self.outlives = outlives;
    }
}

impl Now {
    fn state(&self) -> State {
        State {
            shown: self.shown.now().cloned(),
            music: self.music.now().cloned(),
            volume: self.volume,
        }
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Scene { token, shown, .. } => self.shown.push(*token, shown.clone()),
            // One that goes on has its place already.
            Effect::Play { music, .. } if self.music.has(music.token) => {}
            Effect::Play { music, .. } => self.music.push(music.token, Some(music.clone())),
            // Also where one of them turns out not to begin, this was asked for after it.
            Effect::Pause => self.music.each().for_each(|music| music.paused = true),
            Effect::Resume { session, outlives } => {
                self.music
                    .each()
                    .for_each(|music| music.resume(*session, *outlives));
            }
            Effect::Stop => self.music.end(),
            Effect::Volume(volume) => self.volume = *volume,
            Effect::Push { .. } | Effect::Call { .. } => {}
        }
    }

    /// Their tokens.
    fn end_music(&mut self, is_over: impl Fn(&Music) -> bool) -> Vec<u64> {
        let over = self.music.each().filter(|music| is_over(music));
        let tokens = over.map(|music| music.token).collect();
        self.music.retain(|music| !is_over(music));
        tokens
    }
}

impl Committing<'_> {
    /// The device as it will be after these effects too.
    pub(crate) fn state_after(&self, effects: &[Effect]) -> State {
        let mut state = self.now.state();
        effects.iter().for_each(|effect| state.apply(effect));
        state
    }

    /// The newest commit that it comes from.
    pub(crate) fn position(&self) -> Position {
        self.now.position
    }

    /// What the store has of it.
    pub(crate) fn written(&self) -> &Written {
        &self.now.written
    }

    /// What the store has is not known any more: all of it is written next time.
    pub(crate) fn forget_written(&mut self) {
        let pieces = self.written().pieces();
        self.note_written(Written::unknown(pieces));
    }

    /// The store has this now.
    pub(crate) fn note_written(&mut self, written: Written) {
        self.now.written = written;
    }

    /// The operation has committed, and saw everything up to `after`. Music of sessions that are not `present` ends here:
    /// the plays that are to be stopped.
    pub(crate) fn done(
        &mut self,
        effects: &[Effect],
        after: Position,
        present: impl Fn(u64) -> bool,
    ) -> Vec<u64> {
        let now = &mut *self.now;
        now.position = now.position.max(after);
        effects.iter().for_each(|effect| now.apply(effect));
        let ended = now.end_music(|music| !music.outlives && !present(music.session));
        self.device.changed.notify_one();
        ended
    }
}

impl Device {
    /// In silence, dark.
    pub(crate) fn new(volume: f64) -> Self {
        Self {
            now: Mutex::new(Now {
                shown: Succession::new(),
                music: Succession::new(),
                volume,
                position: Position::default(),
                written: Written::default(),
            }),
            tokens: AtomicU64::new(1),
            changed: tokio::sync::Notify::new(),
            speaker_wanted: tokio::sync::Notify::new(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Now) -> T) -> T {
        let result = change(&mut self.now());
        self.changed.notify_one();
        result
    }

    /// Holds the place of an operation that commits now; its effects are to be lined up before it is let go.
    pub(crate) fn committing(&self) -> Committing<'_> {
        Committing {
            device: self,
            now: self.now(),
        }
    }

    /// As the operations committed so far left it.
    pub(crate) fn state(&self) -> State {
        self.now().state()
    }

    /// As it will be after these effects too.
    pub(crate) fn state_after(&self, staged: &[Effect]) -> State {
        let mut state = self.state();
        staged.iter().for_each(|effect| state.apply(effect));
        state
    }

    /// What must be durable before anybody is told of the state.
    pub(crate) fn position(&self) -> Position {
        self.now().position
    }

    /// The state, and what must be durable before anybody is told of it: nobody's commit comes between.
    pub(crate) fn state_and_position(&self) -> (State, Position) {
        let now = self.now();
        (now.state(), now.position)
    }

    /// A sync failed: what is known comes from no commit beyond `durable`, and the volume is as it is.
    pub(crate) fn fall_back(&self, durable: Position, volume: f64) {
        self.change(|now| {
            now.position = now.position.min(durable);
            now.volume = volume;
        });
    }

    /// A name for a new scene or play.
    pub(crate) fn new_token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    /// The scene is on the screen. What it took the place of.
    pub(crate) fn scene_began(&self, token: u64) -> Option<Shown> {
        self.change(|now| now.shown.begun(token))
    }

    /// The scene was refused; what was shown before still is.
    pub(crate) fn scene_failed(&self, token: u64) {
        self.change(|now| now.shown.remove(token));
    }

    /// Whether the piece is to be heard, now or next.
    pub(crate) fn wants_music(&self, token: u64) -> bool {
        self.now().music.has(token)
    }

    /// The piece is loaded, and heard unless it is paused.
    pub(crate) fn music_began(&self, token: u64) {
        self.change(|now| {
            now.music.begun(token);
            now.music
                .each()
                .filter(|music| music.token == token)
                .for_each(|music| music.waiting = None);
        });
    }

    /// The piece could not be played, so what played before goes on; or it is over.
    pub(crate) fn music_ended(&self, token: u64) {
        self.change(|now| now.music.remove(token));
    }

    /// There is no speaker for the piece: it waits for one, standing at `position` if that is given.
    pub(crate) fn music_waits(&self, token: u64, position: Option<Duration>, why: &str) {
        self.change(|now| {
            let mut each = now.music.each();
            if let Some(music) = each.find(|music| music.token == token) {
                if music.waiting.replace(why.to_owned()).is_none() {
                    self.speaker_wanted.notify_one();
                }
                music.position = position.unwrap_or(music.position);
            }
        });
    }

    /// The music that waits for a speaker.
    pub(crate) fn waiting_music(&self) -> Option<Music> {
        let now = self.now();
        now.music
            .now()
            .filter(|music| music.waiting.is_some())
            .cloned()
    }

    /// Somebody asks for the music that waits.
    pub(crate) fn want_speaker(&self) {
        self.speaker_wanted.notify_one();
    }

    /// Waits until somebody does, or it begins to wait.
    pub(crate) async fn speaker_wanted(&self) {
        self.speaker_wanted.notified().await;
    }

    /// Takes the music of a session that ended: the plays that are to be stopped.
    pub(crate) fn end_session(&self, session: u64) -> Vec<u64> {
        self.change(|now| now.end_music(|music| !music.outlives && music.session == session))
    }

    /// Waits for the next change.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
