//! What an operation wants the world to see, staged until its commit is durable.
//! Invariant: released at most once, in commit order, after what it came from is on disk.
//! Not here: when (`dispatch::releases`).
//! A device that refuses: the reply says so; what was committed stays.

use std::time::Duration;

use pixelboy_audio::{AudioError, Play};
use pixelboy_display::{DisplayError, Scene, Source};
use pixelboy_protocol::{Code, Failure, Value};
use pixelboy_store::Blob;

use super::Services;
use super::device::{Music, Shown};

/// How long a device may take to begin; then the reply says that it did not.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// One staged effect.
pub(crate) enum Effect {
    /// Something for the panel; `shown` is what `status` calls it.
    Scene {
        picture: Picture,
        shown: Option<Shown>,
    },
    /// Music that replaces what plays.
    Play {
        music: Music,
        bytes: Blob,
        start_at: Duration,
    },
    Pause,
    /// From now on the music belongs to this session, or to none.
    Resume {
        session: u64,
        outlives: bool,
    },
    Stop,
    Volume(f64),
    Push {
        session: u64,
        op: String,
        args: Vec<Value>,
    },
}

/// What is to be shown.
pub(crate) enum Picture {
    Still(Blob),
    Moving {
        bytes: Blob,
        fps: Option<f64>,
        loops: Option<u32>,
    },
    Pixels {
        width: u32,
        height: u32,
        rgba: Vec<u8>,
    },
    Frames {
        width: u32,
        height: u32,
        frames: Vec<(Vec<u8>, Duration)>,
        loops: u32,
    },
    Clear,
}

impl Effect {
    /// Bytes held until the release.
    pub(crate) fn staged_bytes(&self) -> usize {
        match self {
            Self::Scene {
                picture: Picture::Pixels { rgba, .. },
                ..
            } => rgba.len(),
            Self::Scene {
                picture: Picture::Frames { frames, .. },
                ..
            } => frames
                .iter()
                .map(|(rgba, _)| rgba.len() + FRAME_BYTES)
                .sum(),
            Self::Push { op, args, .. } => op.len() + args.iter().map(value_bytes).sum::<usize>(),
            _ => 0,
        }
    }
}

/// What a frame costs besides its pixels.
const FRAME_BYTES: usize = 64;

/// About what a value takes in memory.
fn value_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.iter().map(value_bytes).sum(),
            Value::Map(items) => items
                .iter()
                .map(|(key, item)| key.len() + value_bytes(item))
                .sum(),
            _ => 0,
        }
}

/// Lets the effect happen, and waits until it has begun.
pub(crate) async fn release(effect: Effect, services: &Services) -> Result<(), Failure> {
    let begun = tokio::time::timeout(BEGIN_LIMIT, begin(effect, services)).await;
    begun.unwrap_or_else(|_| {
        Err(Failure::new(
            Code::NoDevice,
            format!(
                "the device did not begin within {} s; is it plugged in and working?",
                BEGIN_LIMIT.as_secs()
            ),
        ))
    })
}

async fn begin(effect: Effect, services: &Services) -> Result<(), Failure> {
    match effect {
        Effect::Scene { picture, shown } => {
            let label = shown.and_then(|shown| shown.path).unwrap_or_default();
            let answer = services.display.show(scene(picture), SCREEN_OWNER, &label);
            match answer.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(of_display(&error)),
                Err(_) => Err(of_display(&DisplayError::Stopped)),
            }
        }
        Effect::Play {
            music,
            bytes,
            start_at,
        } => {
            // Its session may have ended, or another piece been asked for, while it waited for the disk.
            if !services.device.is_current(music.token) {
                return Ok(());
            }
            let answer = services.audio.play(Play {
                byte_len: Some(bytes.len()),
                source: Box::new(bytes.reader()),
                label: music.path.clone(),
                start_at,
                owner: music.session,
                token: music.token,
            });
            let begun = match answer.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(of_audio(&error)),
                Err(_) => Err(of_audio(&AudioError::Closed)),
            };
            if begun.is_err() {
                services.device.music_did_not_begin(music.token);
            }
            begun
        }
        Effect::Pause => services
            .audio
            .pause()
            .map(drop)
            .map_err(|error| of_audio(&error)),
        Effect::Resume { .. } => services
            .audio
            .resume()
            .map(drop)
            .map_err(|error| of_audio(&error)),
        Effect::Stop => services
            .audio
            .stop()
            .map(drop)
            .map_err(|error| of_audio(&error)),
        Effect::Volume(volume) => services
            .audio
            .set_volume(volume as f32)
            .map_err(|error| of_audio(&error)),
        Effect::Push { session, op, args } => {
            services.audience.push(session, op, args);
            Ok(())
        }
    }
}

/// One owner for now: plugins share the screen, the last writer owns it.
const SCREEN_OWNER: u64 = 1;

fn scene(picture: Picture) -> Scene {
    match picture {
        Picture::Still(bytes) => Scene::Picture(source(bytes)),
        Picture::Moving { bytes, fps, loops } => Scene::Animation {
            source: source(bytes),
            fps,
            loops,
        },
        Picture::Pixels {
            width,
            height,
            rgba,
        } => Scene::Pixels {
            width,
            height,
            rgba,
        },
        Picture::Frames {
            width,
            height,
            frames,
            loops,
        } => Scene::Frames {
            width,
            height,
            frames,
            loops,
        },
        Picture::Clear => Scene::Clear,
    }
}

fn source(bytes: Blob) -> Source {
    Source::new(move || Ok(Box::new(bytes.reader())))
}

fn of_display(error: &DisplayError) -> Failure {
    let code = match error {
        DisplayError::Read(_) => Code::StorageFailed,
        DisplayError::UnknownFormat
        | DisplayError::Decode { .. }
        | DisplayError::DecoderGaveUp
        | DisplayError::Empty(_) => Code::UnsupportedMedia,
        DisplayError::TooLarge { .. } | DisplayError::TooManyFrames { .. } => Code::TooLarge,
        DisplayError::WrongLength { .. } | DisplayError::FrameRate { .. } => Code::BadArguments,
        DisplayError::Busy => Code::Busy,
        _ => Code::NoDevice,
    };
    Failure::new(code, format!("not shown: {error}"))
}

fn of_audio(error: &AudioError) -> Failure {
    let code = match error {
        AudioError::NothingPlaying => Code::NothingPlaying,
        AudioError::Unplayable(_) => Code::UnsupportedMedia,
        AudioError::VolumeOutOfRange(_) => Code::BadArguments,
        AudioError::Superseded | AudioError::Stopped => Code::BadState,
        _ => Code::NoDevice,
    };
    Failure::new(code, error.to_string())
}
