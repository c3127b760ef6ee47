//! What is shown and played, as the operations committed so far left it.
//! Invariant: changes when an operation commits, under one lock with its commit: so the last writer is the last to have
//! committed, and an operation sees what those before it asked for, without waiting for sound.
//! Not here: pixels and samples (`display`, `audio`), how it is kept over a restart (`keeper`).
//! What a device refuses, or the disk, is taken back; what was there before it still is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pixelboy_audio::Playing;
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

/// What the speaker does, whatever was asked for.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) volume: f64,
    pub(crate) playing: Option<Playing>,
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
    /// What the operations waited for that set the volume, and paused or resumed, last.
    volume_by: Position,
    held_by: Position,
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
            Effect::Stop { .. } => self.music = None,
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

    /// `after`: what the effect waits for.
    fn apply(&mut self, effect: &Effect, after: Position) {
        match effect {
            Effect::Scene { token, shown, .. } => self.shown.push(*token, shown.clone()),
            // One that goes on has its place already.
            Effect::Play { music, .. } if self.music.has(music.token) => {}
            Effect::Play { music, .. } => self.music.push(music.token, Some(music.clone())),
            // Also where one of them turns out not to begin, this was asked for after it.
            Effect::Pause => {
                self.held_by = after;
                self.music.each().for_each(|music| music.paused = true);
            }
            Effect::Resume { session, outlives } => {
                self.held_by = after;
                self.music
                    .each()
                    .for_each(|music| music.resume(*session, *outlives));
            }
            // What plays is known until it is silent.
            Effect::Stop { token } => self.music.push(*token, None),
            Effect::Volume(volume) => (self.volume, self.volume_by) = (*volume, after),
            Effect::Push { .. } | Effect::Call { .. } => {}
        }
    }

    /// The effect, which waited for `after`, does not happen. What a later one asked for stays.
    fn withdraw(&mut self, effect: &Effect, after: Position, heard: &Heard) {
        match effect {
            Effect::Scene { token, .. } => self.shown.remove(*token),
            Effect::Play { music, .. } => self.music.remove(music.token),
            Effect::Stop { token } => self.music.remove(*token),
            Effect::Pause if self.held_by == after => self.hold_as(heard, false),
            Effect::Resume { .. } if self.held_by == after => self.hold_as(heard, true),
            Effect::Volume(_) if self.volume_by == after => self.volume = heard.volume,
            Effect::Pause | Effect::Resume { .. } | Effect::Volume(_) => {}
            Effect::Push { .. } | Effect::Call { .. } => {}
        }
    }

    /// Music is paused where the speaker says so; what the speaker does not have is where `paused` says so.
    fn hold_as(&mut self, heard: &Heard, paused: bool) {
        for music in self.music.each() {
            let playing = heard.playing.as_ref();
            let playing = playing.filter(|playing| playing.token == music.token);
            music.paused = playing.map_or(paused, |playing| playing.paused);
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
        effects.iter().for_each(|effect| now.apply(effect, after));
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
                volume_by: Position::default(),
                held_by: Position::default(),
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

    /// The effects of an operation that waited for `after` do not happen. `settled`: how much of a position is there after
    /// all.
    pub(crate) fn withdraw(
        &self,
        effects: &[Effect],
        after: Position,
        heard: &Heard,
        settled: impl FnOnce(Position) -> Position,
    ) {
        self.change(|now| {
            now.position = settled(now.position);
            for effect in effects {
                now.withdraw(effect, after, heard);
            }
        });
    }

    /// It is silent now, as was asked for with this token.
    pub(crate) fn music_stopped(&self, token: u64) {
        self.change(|now| drop(now.music.begun(token)));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]

    use super::*;

    const SPEAKER: Heard = Heard {
        volume: 0.5,
        playing: None,
    };

    fn music(token: u64) -> Music {
        Music {
            path: "a.mp3".to_owned(),
            sha256: None,
            session: 0,
            outlives: true,
            paused: false,
            position: Duration::ZERO,
            token,
            waiting: None,
        }
    }

    /// One piece plays, as a durable operation left it.
    fn playing(token: u64) -> Device {
        let device = Device::new(0.5);
        let mut now = device.now();
        now.music.push(token, Some(music(token)));
        now.music.begun(token);
        now.position = Position(90);
        drop(now);
        device
    }

    fn commit(device: &Device, effect: Effect, at: u64) -> Vec<Effect> {
        let effects = vec![effect];
        device.committing().done(&effects, Position(at), |_| true);
        effects
    }

    #[test]
    fn a_stop_that_is_taken_back_leaves_what_plays() {
        let device = playing(1);
        let stop = commit(&device, Effect::Stop { token: 2 }, 95);
        assert!(device.state().music.is_none());
        device.withdraw(&stop, Position(95), &SPEAKER, |_| Position(90));
        assert_eq!(device.state().music.unwrap().token, 1);
        commit(&device, Effect::Stop { token: 3 }, 101);
        device.music_stopped(3);
        assert!(device.state().music.is_none() && !device.wants_music(1));
    }

    #[test]
    fn a_pause_that_is_taken_back_leaves_what_the_speaker_does() {
        let device = playing(1);
        let heard = Heard {
            volume: 0.5,
            playing: Some(Playing {
                label: String::new(),
                owner: 0,
                token: 1,
                position: Duration::ZERO,
                paused: false,
                duration: None,
            }),
        };
        let pause = commit(&device, Effect::Pause, 95);
        assert!(device.state().music.unwrap().paused);
        device.withdraw(&pause, Position(95), &heard, |_| Position(90));
        assert!(!device.state().music.unwrap().paused);
        // One that was asked for since then stays.
        let lost = commit(&device, Effect::Pause, 96);
        commit(&device, Effect::Pause, 101);
        device.withdraw(&lost, Position(96), &heard, |at| at);
        assert!(device.state().music.unwrap().paused);
    }

    #[test]
    fn what_is_taken_back_leaves_what_others_asked_for_since_then() {
        let device = playing(1);
        let lost = commit(&device, Effect::Volume(0.3), 95);
        commit(&device, Effect::Volume(0.7), 101);
        device.withdraw(&lost, Position(95), &SPEAKER, |at| at);
        let (state, position) = device.state_and_position();
        assert_eq!((state.volume, position), (0.7, Position(101)));
        let stop = commit(&device, Effect::Stop { token: 2 }, 102);
        device.withdraw(&stop, Position(102), &SPEAKER, |_| Position(90));
        let (state, position) = device.state_and_position();
        assert_eq!((state.volume, position), (0.7, Position(90)));
        let loud = commit(&device, Effect::Volume(1.0), 103);
        device.withdraw(&loud, Position(103), &SPEAKER, |_| Position(90));
        assert_eq!(device.state().volume, 0.5);
    }
}
