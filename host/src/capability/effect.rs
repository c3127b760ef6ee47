//! What an operation wants the world to see, staged until its commit is durable.
//! Invariant: released at most once, in commit order, after what it came from is on disk.
//! Not here: when (`dispatch::lane`).
//! A device that refuses: the reply says so; what was committed stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pixelboy_audio::{AudioError, Play, Playing};
use pixelboy_display::{DisplayError, Scene, Source};
use pixelboy_protocol::{Code, Failure, Push, Value};
use pixelboy_store::Blob;

use super::Services;
use super::client::ClientCall;
use super::device::{Drawing, Music, Shown};
use super::errand::{Errand, What};
use super::parcel::Parcel;

/// How long a device may take to begin; then the reply says that it did not.
const BEGIN_LIMIT: Duration = Duration::from_secs(5);

/// One staged effect.
pub(crate) enum Effect {
    /// Something for the panel; `shown` is what `status` calls it, none for darkness.
    Scene {
        token: u64,
        /// The plugin that asks.
        owner: Arc<str>,
        picture: Picture,
        shown: Option<Shown>,
    },
    /// Music that replaces what plays. `again`: it was on before, and waits where there is no speaker.
    Play {
        music: Music,
        bytes: Blob,
        again: bool,
    },
    Pause,
    /// From now on the music belongs to this session, or to none.
    Resume {
        session: u64,
        outlives: bool,
    },
    /// The token is of the silence.
    Stop {
        token: u64,
    },
    Volume(f64),
    Push {
        session: u64,
        parcel: Parcel,
    },
    /// The answer arrives as an errand of the plugin, within `timeout` from the release.
    Call {
        session: u64,
        plugin: Arc<str>,
        tag: String,
        parcel: Parcel,
        timeout: Duration,
    },
}

/// What an effect acts on; effects on one station happen in the order of their commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Station {
    Screen,
    Speaker,
    Clients,
}

/// What is to be shown.
pub(crate) enum Picture {
    Still(Blob),
    Moving {
        bytes: Blob,
        fps: Option<f64>,
        loops: Option<u32>,
    },
    Drawn(Arc<Drawing>),
    Clear,
}

impl Effect {
    /// What it acts on.
    pub(crate) fn station(&self) -> Station {
        match self {
            Self::Scene { .. } => Station::Screen,
            Self::Play { .. }
            | Self::Pause
            | Self::Resume { .. }
            | Self::Stop { .. }
            | Self::Volume(_) => Station::Speaker,
            Self::Push { .. } | Self::Call { .. } => Station::Clients,
        }
    }

    /// What takes long and must not hold up the effects of others; done before it is lined up.
    pub(crate) async fn make_ready(&self) {
        if let Self::Push { parcel, .. } | Self::Call { parcel, .. } = self {
            parcel.check().await;
        }
    }

    /// Bytes held until the release.
    pub(crate) fn staged_bytes(&self) -> usize {
        match self {
            Self::Scene {
                picture: Picture::Drawn(drawing),
                ..
            } => drawing
                .frames
                .iter()
                .map(|(rgba, _)| rgba.len() + FRAME_BYTES)
                .sum(),
            Self::Push { parcel, .. } | Self::Call { parcel, .. } => parcel.staged_bytes(),
            _ => 0,
        }
    }
}

/// What a frame costs besides its pixels.
const FRAME_BYTES: usize = 64;

/// Lets the effect happen, and waits until it has begun. What does not begin is taken back.
pub(crate) async fn release(effect: Effect, services: &Arc<Services>) -> Result<(), Failure> {
    match effect {
        Effect::Scene {
            token,
            owner,
            picture,
            shown,
        } => show(token, owner, scene(picture), shown, services).await,
        Effect::Play {
            music,
            bytes,
            again,
        } => play(music, bytes, again, services).await,
        Effect::Pause => held(services.audio.pause(), services),
        Effect::Resume { .. } => match services.audio.resume() {
            Err(AudioError::NothingPlaying) => resume_waiting(services),
            resumed => resumed.map(drop).map_err(|error| of_audio(&error)),
        },
        Effect::Stop { token } => {
            let stopped = services.audio.stop();
            services.device.music_stopped(token);
            match stopped {
                // It ended by itself meanwhile, or waited for a speaker.
                Err(AudioError::NothingPlaying) => Ok(()),
                stopped => stopped.map(drop).map_err(|error| of_audio(&error)),
            }
        }
        Effect::Volume(volume) => services
            .audio
            .set_volume(volume as f32)
            .map_err(|error| of_audio(&error)),
        Effect::Push { session, parcel } => {
            push(session, parcel, services).await;
            Ok(())
        }
        Effect::Call {
            session,
            plugin,
            tag,
            parcel,
            timeout,
        } => {
            if let Err(failure) = call(session, (&plugin, &tag), parcel, timeout, services).await {
                services.errands.send(Errand {
                    plugin: Some(plugin),
                    what: What::Answer {
                        tag,
                        outcome: Err(failure),
                    },
                });
            }
            Ok(())
        }
    }
}

/// Hands a push over; it is lost where the client is gone.
async fn push(session: u64, parcel: Parcel, services: &Services) {
    let Some(seat) = services.audience.seat(session) else {
        return tracing::debug!(session, "a push was lost: the session is over");
    };
    match parcel.unpack(|bytes| seat.name(bytes)).await {
        Ok((op, args)) => {
            if !seat.push(Push { op, args }) {
                tracing::debug!(session, "a push was lost: the client is not there");
            }
        }
        Err(error) => tracing::warn!(session, %error, "a push was lost: its bytes can't be read"),
    }
}

/// Hands a call over, whose answer comes by itself then.
async fn call(
    session: u64,
    (plugin, tag): (&Arc<str>, &str),
    parcel: Parcel,
    timeout: Duration,
    services: &Services,
) -> Result<(), Failure> {
    let until = Instant::now() + timeout;
    let seat = services.audience.seat(session).ok_or_else(|| {
        let why = "its session ended before it was called";
        Failure::new(Code::Interrupted, why)
    })?;
    let unpacked = parcel.unpack(|bytes| seat.name(bytes)).await;
    let (op, args) = unpacked.map_err(|error| {
        let why = format!("the bytes for the client can't be read: {error}");
        Failure::new(Code::StorageFailed, why)
    })?;
    seat.call(ClientCall {
        plugin: plugin.clone(),
        tag: tag.to_owned(),
        op,
        args,
        until,
    });
    Ok(())
}

async fn show(
    token: u64,
    owner: Arc<str>,
    scene: Scene,
    shown: Option<Shown>,
    services: &Arc<Services>,
) -> Result<(), Failure> {
    let label = shown.and_then(|shown| shown.path).unwrap_or_default();
    let answer = services.display.show(scene, SCREEN_OWNER, &label);
    let services = services.clone();
    // It goes on where nobody waits any more: the screen may have changed all the same.
    let begun = tokio::spawn(async move {
        let answer = answer.await.unwrap_or(Err(DisplayError::Stopped));
        match &answer {
            Ok(_) => {
                let loser = services.device.scene_began(token);
                if let Some(loser) = loser.filter(|loser| loser.owner != owner) {
                    let details = [
                        ("kind", loser.kind.into()),
                        ("path", loser.path.map_or(Value::Null, Value::from)),
                        ("to", Value::from(&*owner)),
                    ];
                    services
                        .errands
                        .event(Some(loser.owner), "screen-lost", details);
                }
            }
            Err(_) => services.device.scene_failed(token),
        }
        answer.map(drop).map_err(|error| of_display(&error))
    });
    in_time(begun).await
}

async fn play(
    music: Music,
    bytes: Blob,
    again: bool,
    services: &Arc<Services>,
) -> Result<(), Failure> {
    let token = music.token;
    // Its session may have ended, or it was stopped, while it waited for the disk.
    if !services.device.wants_music(token) {
        return Ok(());
    }
    let answer = services.audio.play(Play {
        byte_len: Some(bytes.len()),
        source: Box::new(bytes.reader()),
        label: music.path.clone(),
        start_at: music.position,
        paused: music.paused,
        owner: music.session,
        token,
    });
    if !services.device.wants_music(token) {
        // Since the look before; whoever ended it may not have seen it.
        services.audio.stop_play(token);
        return Ok(());
    }
    let begun = tokio::spawn({
        let services = services.clone();
        async move {
            let answer = answer.await.unwrap_or(Err(AudioError::Closed));
            match &answer {
                Ok(_) => services.device.music_began(token),
                // The host stops: it is on again after the next start.
                Err(AudioError::Closed) => {}
                Err(AudioError::NoDevice(why)) if again => {
                    services.device.music_waits(token, None, why);
                }
                Err(_) => services.device.music_ended(token),
            }
            answer.map(drop).map_err(|error| of_audio(&error))
        }
    });
    if again {
        // Nobody waits for it, and the way to where it stood may be long.
        return begun.await.unwrap_or_else(|_| Err(stopping()));
    }
    let begun = in_time(begun).await;
    if begun.is_err() {
        services.audio.stop_play(token);
    }
    begun
}

/// Music that waits for a speaker can be paused too.
fn held(paused: Result<Playing, AudioError>, services: &Services) -> Result<(), Failure> {
    match paused {
        Err(AudioError::NothingPlaying) if services.device.waiting_music().is_some() => Ok(()),
        paused => paused.map(drop).map_err(|error| of_audio(&error)),
    }
}

/// Music that waits for a speaker is tried again, and begins when there is one.
fn resume_waiting(services: &Services) -> Result<(), Failure> {
    let waiting = services.device.waiting_music().and_then(|it| it.waiting);
    let why = waiting.ok_or_else(|| of_audio(&AudioError::NothingPlaying))?;
    services.device.want_speaker();
    Err(Failure::new(
        Code::NoDevice,
        format!("there is no speaker for it yet, it begins when there is one: {why}"),
    ))
}

async fn in_time(begun: tokio::task::JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    match tokio::time::timeout(BEGIN_LIMIT, begun).await {
        Ok(begun) => begun.unwrap_or_else(|_| Err(stopping())),
        Err(_) => Err(Failure::new(
            Code::NoDevice,
            format!(
                "the device did not begin within {} s; is it plugged in and working?",
                BEGIN_LIMIT.as_secs()
            ),
        )),
    }
}

fn stopping() -> Failure {
    Failure::new(Code::ShuttingDown, "the host stops")
}

/// One owner: who lost the screen to whom is the device's to know.
const SCREEN_OWNER: u64 = 1;

fn scene(picture: Picture) -> Scene {
    match picture {
        Picture::Still(bytes) => Scene::Picture(source(bytes)),
        Picture::Moving { bytes, fps, loops } => Scene::Animation {
            source: source(bytes),
            fps,
            loops,
        },
        Picture::Drawn(drawing) => drawn(&drawing),
        Picture::Clear => Scene::Clear,
    }
}

fn drawn(drawing: &Drawing) -> Scene {
    let (width, height) = (drawing.width, drawing.height);
    match (drawing.loops, drawing.frames.as_slice()) {
        (None, [(rgba, _), ..]) => Scene::Pixels {
            width,
            height,
            rgba: rgba.clone(),
        },
        (loops, frames) => Scene::Frames {
            width,
            height,
            frames: frames.to_vec(),
            loops: loops.unwrap_or_default(),
        },
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
