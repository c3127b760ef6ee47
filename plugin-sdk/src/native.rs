//! The host's side of the contract where a plugin is compiled for the author's own machine: the functions of
//! `wit/plugin.wit`, in memory, on the [`World`](crate::test::World) of the device under test.
//! Invariant: the same names and types as `bindings`, as far as this crate uses them; the compiler sees to that.
//! Called outside of a test's [`Device`](crate::test::Device) they panic.
#![allow(
    clippy::len_without_is_empty,
    reason = "the functions of wit/plugin.wit, no more"
)]

/// There is nothing to export natively.
#[doc(hidden)]
#[macro_export]
macro_rules! __no_exports {
    ($($anything:tt)*) => {};
}
#[doc(hidden)]
pub use __no_exports as export;

pub mod pixelboy {
    pub mod plugin {
        pub mod types {
            use super::blob::Data;

            #[derive(Debug)]
            pub enum Node {
                Null,
                Boolean(bool),
                Int(i64),
                Float(f64),
                Text(String),
                Bytes(Vec<u8>),
                Data(Data),
                List(Vec<u32>),
                Map(Vec<(String, u32)>),
            }

            #[derive(Debug)]
            pub struct Values {
                pub nodes: Vec<Node>,
                pub roots: Vec<u32>,
            }

            #[derive(Debug)]
            pub struct Failure {
                pub code: String,
                pub message: String,
                pub details: Vec<(String, String)>,
            }

            pub(super) fn no(code: &str, message: impl Into<String>) -> Failure {
                Failure {
                    code: code.to_owned(),
                    message: message.into(),
                    details: Vec::new(),
                }
            }
        }

        pub mod blob {
            use std::rc::Rc;

            use sha2::{Digest as _, Sha256};

            #[derive(Debug, Clone, PartialEq)]
            pub struct Data(pub(crate) Rc<[u8]>);

            impl Data {
                pub fn len(&self) -> u64 {
                    self.0.len() as u64
                }

                pub fn read(&self, offset: u64, len: u32) -> Result<Vec<u8>, String> {
                    let start = self
                        .0
                        .len()
                        .min(usize::try_from(offset).unwrap_or(usize::MAX));
                    let rest = self.0.get(start..).unwrap_or_default();
                    let end = rest.len().min(len as usize).min(1 << 20);
                    Ok(rest.get(..end).unwrap_or_default().to_vec())
                }

                pub fn sha256(&self) -> Result<Vec<u8>, String> {
                    Ok(Sha256::digest(&self.0).to_vec())
                }

                pub fn is_text(&self) -> Result<bool, String> {
                    Ok(std::str::from_utf8(&self.0).is_ok())
                }
            }
        }

        pub mod calls {
            use super::types::{Failure, Values, no};
            use crate::test::world;

            #[derive(Debug, Clone)]
            pub struct Call {
                pub(crate) client_name: String,
                pub(crate) session: u64,
                pub(crate) now_ms: u64,
                pub(crate) seed: u64,
                pub(crate) token: u64,
            }

            impl Call {
                /// The name that the client gave itself; empty for none.
                pub fn client_name(&self) -> String {
                    self.client_name.clone()
                }

                /// The session the operation came from; 0 for none.
                pub fn session(&self) -> u64 {
                    self.session
                }

                /// Milliseconds since 1970-01-01 UTC.
                pub fn now_ms(&self) -> u64 {
                    self.now_ms
                }

                /// A random number, the same for the whole operation.
                pub fn seed(&self) -> u64 {
                    self.seed
                }

                /// For an answer that is put off.
                pub fn token(&self) -> u64 {
                    self.token
                }

                /// None: nobody is in a hurry here.
                pub fn deadline_ms(&self) -> Option<u64> {
                    None
                }
            }

            pub fn complete(token: u64, reply: Result<Values, Failure>) -> Result<(), Failure> {
                world(|world| match world.put_off.get_mut(&token) {
                    Some(answer @ None) => {
                        *answer = Some(
                            reply
                                .map(crate::nodes::decode)
                                .map_err(crate::Failure::from_host),
                        );
                        Ok(())
                    }
                    _ => Err(no("not-found", "nobody waits for this answer")),
                })
            }
        }

        pub mod store {
            use std::rc::Rc;

            use super::blob::Data;
            use super::types::{Failure, no};
            use crate::test::{Stored, world};

            #[derive(Debug)]
            pub struct File(Stored);

            impl File {
                pub fn size(&self) -> u64 {
                    self.0.bytes.len() as u64
                }

                pub fn kind(&self) -> String {
                    self.0.kind.clone()
                }

                pub fn property(&self, name: &str) -> Option<String> {
                    self.0.properties.get(name).cloned()
                }

                pub fn modified_ms(&self) -> u64 {
                    self.0.modified_ms
                }

                pub fn data(&self) -> Data {
                    Data(self.0.bytes.as_slice().into())
                }
            }

            fn check(path: &str) -> Result<(), Failure> {
                let fits = |part: &str| !part.is_empty() && part != "." && part != "..";
                match path.split('/').count() <= 8 && path.split('/').all(fits) {
                    true => Ok(()),
                    false => Err(no("bad-path", format!("{path:?} is no path for a file"))),
                }
            }

            fn missing(path: &str) -> Failure {
                no("not-found", format!("there is no file {path:?}"))
            }

            pub fn open(path: &str) -> Result<Option<File>, Failure> {
                check(path)?;
                Ok(world(|world| world.files.get(path).cloned().map(File)))
            }

            pub fn names(
                folder: &str,
                after: Option<&str>,
                limit: u32,
            ) -> Result<Vec<String>, Failure> {
                let prefix = match folder {
                    "" => String::new(),
                    folder => format!("{folder}/"),
                };
                let names: std::collections::BTreeSet<String> = world(|world| {
                    let below = world
                        .files
                        .keys()
                        .filter_map(|path| path.strip_prefix(&prefix));
                    let first = |rest: &str| match rest.split_once('/') {
                        Some((folder, _)) => format!("{folder}/"),
                        None => rest.to_owned(),
                    };
                    below.map(first).collect()
                });
                if names.is_empty() && !folder.is_empty() {
                    return Err(no("not-found", format!("there is no folder {folder:?}")));
                }
                let names = names
                    .into_iter()
                    .filter(|name| after.is_none_or(|after| &**name > after));
                Ok(names.take(limit as usize).collect())
            }

            pub fn put(
                path: &str,
                bytes: &Data,
                kind: &str,
                properties: &[(String, String)],
            ) -> Result<(), Failure> {
                check(path)?;
                world(|world| {
                    let file = Stored {
                        bytes: bytes.0.to_vec(),
                        kind: kind.to_owned(),
                        properties: properties.iter().cloned().collect(),
                        modified_ms: world.now_ms,
                    };
                    world.files.insert(path.to_owned(), file);
                });
                Ok(())
            }

            pub fn append(path: &str, bytes: &Data) -> Result<u64, Failure> {
                check(path)?;
                Ok(world(|world| {
                    let new = || Stored {
                        kind: "text".to_owned(),
                        ..Stored::default()
                    };
                    let now_ms = world.now_ms;
                    let file = world.files.entry(path.to_owned()).or_insert_with(new);
                    let offset = file.bytes.len() as u64;
                    file.bytes.extend_from_slice(&bytes.0);
                    file.modified_ms = now_ms;
                    offset
                }))
            }

            pub fn overwrite(path: &str, bytes: &Data) -> Result<(), Failure> {
                check(path)?;
                world(|world| {
                    let now_ms = world.now_ms;
                    let file = world.files.get_mut(path).ok_or_else(|| missing(path))?;
                    let kept = file.bytes.split_off(file.bytes.len().min(bytes.0.len()));
                    file.bytes = [&*bytes.0, &kept].concat();
                    file.modified_ms = now_ms;
                    Ok(())
                })
            }

            pub fn remove(path: &str) -> Result<(), Failure> {
                check(path)?;
                world(|world| world.files.remove(path))
                    .map(drop)
                    .ok_or_else(|| missing(path))
            }

            pub fn rename(from: &str, to: &str) -> Result<(), Failure> {
                check(to)?;
                world(|world| {
                    let file = world.files.remove(from).ok_or_else(|| missing(from))?;
                    world.files.insert(to.to_owned(), file);
                    Ok(())
                })
            }

            #[derive(Debug, Default)]
            pub struct Writer(std::cell::RefCell<Vec<u8>>);

            impl Writer {
                pub fn new() -> Self {
                    Self::default()
                }

                pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
                    self.0.borrow_mut().extend_from_slice(bytes);
                    Ok(())
                }

                pub fn finish(&self) -> Result<Data, Failure> {
                    Ok(Data(Rc::from(self.0.take())))
                }
            }
        }

        pub mod kv {
            use super::types::{Failure, no};
            use crate::test::world;

            fn check(key: &str) -> Result<(), Failure> {
                match (1..=512).contains(&key.len()) {
                    true => Ok(()),
                    false => Err(no("bad-arguments", "a key has 1 to 512 bytes")),
                }
            }

            pub fn get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
                check(key)?;
                Ok(world(|world| world.kv.get(key).cloned()))
            }

            pub fn set(key: &str, value: &[u8]) -> Result<(), Failure> {
                check(key)?;
                if value.len() > 64 << 10 {
                    return Err(no("too-large", "a value has at most 64 KiB"));
                }
                world(|world| world.kv.insert(key.to_owned(), value.to_vec()));
                Ok(())
            }

            pub fn delete(key: &str) -> Result<(), Failure> {
                check(key)?;
                world(|world| world.kv.remove(key));
                Ok(())
            }

            pub fn keys(
                prefix: &str,
                after: Option<&str>,
                limit: u32,
            ) -> Result<Vec<String>, Failure> {
                Ok(world(|world| {
                    let keys = world.kv.keys().filter(|key| key.starts_with(prefix));
                    let keys = keys.filter(|key| after.is_none_or(|after| &***key > after));
                    keys.take(limit as usize).cloned().collect()
                }))
            }
        }

        pub mod probe {
            use super::blob::Data;
            use super::types::{Failure, no};
            use crate::test::{Probed, world};

            #[derive(Debug)]
            pub struct Media(Probed);

            impl Media {
                pub fn kind(&self) -> String {
                    self.0.kind.to_owned()
                }

                pub fn format(&self) -> String {
                    self.0.format.to_owned()
                }

                pub fn size(&self) -> (u32, u32) {
                    self.0.size
                }

                pub fn frames(&self) -> u32 {
                    self.0.frames
                }

                pub fn duration_ms(&self) -> Option<u64> {
                    self.0.duration_ms
                }

                pub fn sample_rate(&self) -> Option<u32> {
                    self.0.sample_rate
                }

                pub fn channels(&self) -> Option<u32> {
                    self.0.channels
                }

                pub fn suits_name(&self, name: &str) -> bool {
                    name.ends_with(&format!(".{}", self.0.format))
                }
            }

            pub fn probe(bytes: &Data) -> Result<Media, Failure> {
                let known =
                    world(|world| world.media.iter().find(|(of, _)| *of == *bytes.0).cloned());
                known.map(|(_, media)| Media(media)).ok_or_else(|| {
                    no(
                        "unsupported-media",
                        "no media that this test knows, see Device::knows",
                    )
                })
            }
        }

        pub mod display {
            use std::cell::RefCell;
            use std::time::Duration;

            use super::types::{Failure, no};
            use crate::canvas::Canvas;
            use crate::test::{Screen, world};

            pub fn size() -> (u32, u32) {
                world(|world| world.panel)
            }

            fn stored(path: &str) -> Result<(), Failure> {
                match world(|world| world.files.contains_key(path)) {
                    true => Ok(()),
                    false => Err(no("not-found", format!("there is no file {path:?}"))),
                }
            }

            fn set(screen: Screen) {
                world(|world| world.screen = screen);
            }

            pub fn show(path: &str) -> Result<(), Failure> {
                stored(path)?;
                set(Screen::Picture(path.to_owned()));
                Ok(())
            }

            pub fn play(path: &str, fps: Option<f64>, loops: Option<u32>) -> Result<(), Failure> {
                stored(path)?;
                let path = path.to_owned();
                set(Screen::Animation { path, fps, loops });
                Ok(())
            }

            fn picture(width: u32, height: u32, rgba: &[u8]) -> Result<Canvas, Failure> {
                Canvas::of_rgba(width, height, rgba).ok_or_else(|| {
                    let got = rgba.len();
                    no(
                        "bad-arguments",
                        format!("{width} x {height} pixels of RGBA, got {got} bytes"),
                    )
                })
            }

            pub fn draw(width: u32, height: u32, rgba: &[u8]) -> Result<(), Failure> {
                set(Screen::Pixels(picture(width, height, rgba)?));
                Ok(())
            }

            #[derive(Debug)]
            pub struct Animation {
                size: (u32, u32),
                loops: u32,
                frames: RefCell<Vec<(Canvas, Duration)>>,
            }

            impl Animation {
                pub fn new(width: u32, height: u32, loops: u32) -> Self {
                    Self {
                        size: (width, height),
                        loops,
                        frames: RefCell::default(),
                    }
                }

                pub fn frame(&self, rgba: &[u8], duration_ms: u32) -> Result<(), Failure> {
                    let (width, height) = self.size;
                    let frame = picture(width, height, rgba)?;
                    let hold = Duration::from_millis(duration_ms.into());
                    self.frames.borrow_mut().push((frame, hold));
                    Ok(())
                }
            }

            pub fn animate(animation: Animation) -> Result<(), Failure> {
                let frames = animation.frames.into_inner();
                if frames.is_empty() {
                    return Err(no("bad-arguments", "an animation needs at least one frame"));
                }
                let loops = animation.loops;
                set(Screen::Frames { frames, loops });
                Ok(())
            }

            pub fn clear() -> Result<(), Failure> {
                set(Screen::Dark);
                Ok(())
            }

            pub fn shown() -> Option<(String, Option<String>)> {
                world(|world| match &world.screen {
                    Screen::Dark => None,
                    Screen::Picture(path) => Some(("picture".to_owned(), Some(path.clone()))),
                    Screen::Animation { path, .. } => {
                        Some(("animation".to_owned(), Some(path.clone())))
                    }
                    Screen::Pixels(_) => Some(("pixels".to_owned(), None)),
                    Screen::Frames { .. } => Some(("animation".to_owned(), None)),
                })
            }
        }

        pub mod audio {
            use super::types::{Failure, no};
            use crate::test::{Sound, world};

            #[derive(Debug)]
            pub struct Playback(Sound);

            impl Playback {
                pub fn path(&self) -> String {
                    self.0.path.clone()
                }

                pub fn position_ms(&self) -> u64 {
                    0
                }

                pub fn duration_ms(&self) -> Option<u64> {
                    None
                }

                pub fn paused(&self) -> bool {
                    self.0.paused
                }

                pub fn outlives_session(&self) -> bool {
                    self.0.outlives_session
                }
            }

            fn change(change: impl FnOnce(&mut Sound)) -> Result<(), Failure> {
                world(|world| match &mut world.sound {
                    Some(sound) => {
                        change(sound);
                        Ok(())
                    }
                    None => Err(no("nothing-playing", "nothing plays and nothing is paused")),
                })
            }

            pub fn now() -> Option<Playback> {
                world(|world| world.sound.clone().map(Playback))
            }

            pub fn play(path: &str, outlives_session: bool) -> Result<(), Failure> {
                world(|world| {
                    if !world.files.contains_key(path) {
                        return Err(no("not-found", format!("there is no file {path:?}")));
                    }
                    world.sound = Some(Sound {
                        path: path.to_owned(),
                        paused: false,
                        outlives_session,
                    });
                    Ok(())
                })
            }

            pub fn pause() -> Result<(), Failure> {
                change(|sound| sound.paused = true)
            }

            pub fn resume(outlives_session: bool) -> Result<(), Failure> {
                change(|sound| {
                    sound.paused = false;
                    sound.outlives_session = outlives_session;
                })
            }

            pub fn stop() -> Result<(), Failure> {
                change(|_| {})?;
                world(|world| world.sound = None);
                Ok(())
            }

            pub fn volume() -> f64 {
                world(|world| world.volume)
            }

            pub fn set_volume(volume: f64) -> Result<(), Failure> {
                if !(0.0..=1.0).contains(&volume) {
                    return Err(no("bad-arguments", "a volume is 0.0 to 1.0"));
                }
                world(|world| world.volume = volume);
                Ok(())
            }
        }

        pub mod client {
            use std::time::Duration;

            use super::types::{Failure, Values, no};
            use crate::test::{Asked, Pushed, world};

            fn present(session: u64) -> Result<(), Failure> {
                match world(|world| world.sessions.contains_key(&session)) {
                    true => Ok(()),
                    false => Err(no("not-found", format!("no session {session} is present"))),
                }
            }

            pub fn sessions() -> Vec<u64> {
                world(|world| world.sessions.keys().copied().collect())
            }

            pub fn push(session: u64, op: &str, args: Values) -> Result<(), Failure> {
                present(session)?;
                let pushed = Pushed {
                    session,
                    op: op.to_owned(),
                    args: crate::nodes::decode(args),
                };
                world(|world| world.pushed.push(pushed));
                Ok(())
            }

            pub fn call(
                session: u64,
                op: &str,
                args: Values,
                timeout_ms: u64,
                tag: &str,
            ) -> Result<(), Failure> {
                present(session)?;
                let asked = Asked {
                    session,
                    op: op.to_owned(),
                    args: crate::nodes::decode(args),
                    timeout: Duration::from_millis(timeout_ms),
                    tag: tag.to_owned(),
                };
                world(|world| world.asked.push(asked));
                Ok(())
            }
        }

        pub mod timer {
            use super::types::{Failure, no};
            use crate::test::{Timer, world};

            pub fn set(
                id: &str,
                after_ms: u64,
                payload: &[u8],
                durable: bool,
            ) -> Result<(), Failure> {
                if !(1..=128).contains(&id.len()) {
                    return Err(no("bad-arguments", "a timer's id has 1 to 128 bytes"));
                }
                world(|world| {
                    let timer = Timer {
                        at_ms: world.now_ms.saturating_add(after_ms),
                        payload: payload.to_vec(),
                        durable,
                    };
                    world.timers.insert(id.to_owned(), timer);
                });
                Ok(())
            }

            pub fn cancel(id: &str) -> Result<(), Failure> {
                world(|world| world.timers.remove(id));
                Ok(())
            }
        }

        pub mod settings {
            use super::types::Values;
            use crate::test::world;

            pub fn get(key: &str) -> Option<Values> {
                let value = world(|world| world.settings.get(key).cloned())?;
                Some(crate::nodes::encode([value]))
            }
        }

        pub mod log {
            use crate::test::world;

            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Level {
                Trace,
                Debug,
                Info,
                Warn,
                Error,
            }

            pub fn write(level: Level, message: &str) {
                world(|world| world.log.push((level, message.to_owned())));
            }
        }
    }
}
