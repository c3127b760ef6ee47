//! The composition root: puts the stations together, serves, and stops in order.
//! Invariant: clients can connect only when everything stored is recovered and every plugin was tried.
//! On SIGTERM or SIGINT: no new connections, what runs ends within 3.5 s, the rest is refused, the store closes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pixelboy_audio::{Audio, AudioEvent, AudioEvents, EndReason};
use pixelboy_display::{Display, DisplayEvent};
use pixelboy_protocol::{Failure, Value};
use pixelboy_store::{Position, Settings as StoreSettings, SqliteStore, Store};

use crate::capability::device::Device;
use crate::capability::effect::Station;
use crate::capability::errand::Errands;
use crate::capability::timer::armed::Timers;
use crate::capability::{Services, keeper};
use crate::config::{Args, Settings};
use crate::dispatch::board::{Board, Table};
use crate::dispatch::errands;
use crate::dispatch::lane::Lines;
use crate::dispatch::later::PutOff;
use crate::dispatch::registry::{Registry, Remembered};
use crate::dispatch::{Dispatch, SessionSettings};
use crate::net;
use crate::plugin::cache::Cache;
use crate::plugin::engine::Engine;
use crate::plugin::loader::Loader;
use crate::plugin::watch::Watch;

/// How long operations may run on after the signal; the rest of 5 s is for closing.
const STOP_LIMIT: Duration = Duration::from_millis(3500);

/// How long parts of uploads may take to come to rest.
const UPLOADS_LIMIT: Duration = Duration::from_millis(700);

/// How often music that waits for a speaker is tried again.
const SPEAKER_EVERY: Duration = Duration::from_secs(5);

/// The store's housekeeping follows what it is for within this time, and goes on no more often.
const TEND_EVERY: Duration = Duration::from_secs(1);

/// Anything that keeps the host from starting, as one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// config.toml or a flag.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The data folder.
    #[error(transparent)]
    Store(#[from] pixelboy_store::OpenError),
    /// The port.
    #[error(transparent)]
    Bind(#[from] net::BindError),
    /// The rest.
    #[error("failed to {0}: {1}")]
    Other(&'static str, String),
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |error| StartError::Other(what, format!("{error:#}"))
}

/// Runs until a signal.
pub(crate) fn run(args: &Args) -> Result<(), StartError> {
    let settings = args.settings()?;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("host")
        .build()
        .map_err(failed("start the runtime"))?;
    runtime.block_on(serve(args, settings))?;
    // Threads that still wait for a disk or a decoder do not hold the end up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(())
}

async fn serve(args: &Args, settings: Settings) -> Result<(), StartError> {
    let mut stop = signals().map_err(failed("listen for signals"))?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(store_settings(&settings))?);
    let (audio, audio_events) = Audio::start(
        settings
            .audio()
            .map_err(|error| StartError::Other("set the audio up", error))?,
    );
    let (errands, waiting_errands) = Errands::new();
    let put_off = Arc::new(PutOff::default());
    let services = Arc::new(Services {
        store: store.clone(),
        device: Device::new(f64::from(settings.audio.volume)),
        display: Display::start(&settings.display),
        audio,
        audience: crate::capability::client::Audience::default(),
        waits: put_off.clone(),
        timers: Timers::new(store.clone(), errands.clone()),
        errands,
    });
    let board = Board::new(Table::new([]).map_err(failed("make the opcode table"))?);
    let dispatch = Arc::new(Dispatch {
        services: services.clone(),
        board,
        put_off: put_off.clone(),
        right_of_way: tokio::sync::RwLock::default(),
        unserved: Arc::default(),
        settings: SessionSettings {
            receive_timeout: Duration::from_secs_f64(settings.host.receive_timeout_s),
            grace: Duration::from_secs_f64(settings.host.session_grace_s),
        },
        started: Instant::now(),
    });
    let engine = Arc::new(Engine::start().map_err(failed("start the plugin engine"))?);
    let cache = Cache::open(settings.host.data.join("cache"), &engine.wasmtime)
        .map_err(failed("open the cache of compiled plugins"))?;
    let lines = Lines::start(&services);
    let mut loader = Loader::new(
        engine,
        cache,
        services.clone(),
        lines.clone(),
        put_off,
        settings.host.plugins.clone(),
        dispatch.unserved.clone(),
    );
    let watch = Watch::start(&settings.host.plugins, &args.config);
    loader.refresh(&settings.plugins, &dispatch.board).await;

    let listener = net::bind(settings.host.listen).await?;
    let address = listener.address();
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "open to the network: anybody there can use this device, there is no pairing yet");
    }
    let registry = Arc::new(Registry::new(dispatch.clone(), remembered(&settings)));
    let uploads = net::UploadRoom::new();
    let door = net::Door {
        registry: registry.clone(),
        uploads: uploads.clone(),
    };
    restore(&services, &lines).await;
    services.timers.restore();
    let tasks = [
        tokio::spawn(listener.serve(door, settings.host.max_connections)),
        tokio::spawn(keeper::keep(services.clone())),
        tokio::spawn(hear(audio_events, services.clone())),
        tokio::spawn(watch_panel(services.display.events(), services.clone())),
        tokio::spawn(errands::serve(dispatch.clone(), waiting_errands)),
        tokio::spawn(find_speaker(services.clone(), lines)),
        tokio::spawn(tend(store.clone(), registry.clone())),
        tokio::spawn(reload(
            args.config.clone(),
            args.clone(),
            settings.clone(),
            watch,
            loader,
            dispatch.clone(),
        )),
    ];
    // Whoever started it may have closed standard output.
    let _ = writeln!(std::io::stdout(), "listening on {address}");
    if let Some(file) = &args.ready_file {
        write_ready(file, &format!("{address}\n")).map_err(failed("write the ready file"))?;
    }

    stop.recv().await;
    tracing::info!("stopping");
    let [accepting, ..] = &tasks;
    accepting.abort();
    registry.stop(STOP_LIMIT).await;
    for task in tasks {
        task.abort();
    }
    // The connections are closed: what moved is being synced, to go on after the next start.
    if tokio::time::timeout(UPLOADS_LIMIT, uploads.at_rest())
        .await
        .is_err()
    {
        tracing::warn!(
            "an upload was still being written when the host stopped; its last second is sent again"
        );
    }
    keeper::keep_last(&services);
    let closing = tokio::task::spawn_blocking(move || {
        services.audio.shutdown();
        services.display.shutdown();
        if let Err(error) = store.close() {
            tracing::error!(%error, "the store did not close cleanly; it recovers at the next start");
        }
    });
    let _ = closing.await;
    if let Some(file) = &args.ready_file {
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

/// Brings back what was on. The screen is waited for, sound may take longer.
async fn restore(services: &Services, lines: &Lines) {
    let was_on = keeper::restore(services);
    let (shown, heard): (Vec<_>, Vec<_>) = was_on
        .into_iter()
        .partition(|effect| effect.station() == Station::Screen);
    let told = |begun: Result<Result<(), Failure>, _>| {
        if let Ok(Err(failure)) = begun {
            tracing::warn!(why = %failure.message, "something that was on did not come back");
        }
    };
    let heard = lines.line_up(Position::default(), heard, None);
    tokio::spawn(async move { told(heard.await) });
    told(lines.line_up(Position::default(), shown, None).await);
}

/// Takes note of music that is over.
async fn hear(mut events: AudioEvents, services: Arc<Services>) {
    while let Some(event) = events.recv().await {
        match event {
            AudioEvent::Ended {
                token,
                position,
                why: EndReason::DeviceLost(why),
                ..
            } => services.device.music_waits(token, Some(position), &why),
            AudioEvent::Ended {
                token,
                position,
                why,
                label,
                ..
            } => {
                services.device.music_ended(token);
                let (why, message) = match why {
                    EndReason::Finished => ("finished", None),
                    EndReason::Stopped => ("stopped", None),
                    EndReason::Replaced => ("replaced", None),
                    EndReason::Failed(message) => ("failed", Some(message)),
                    _ => ("ended", None),
                };
                let details = [
                    ("path", label.into()),
                    ("why", why.into()),
                    ("position_ms", Value::Int(position.as_millis() as i64)),
                    ("message", message.map_or(Value::Null, Value::from)),
                ];
                services.errands.event(None, "playback-ended", details);
            }
            _ => {}
        }
    }
}

/// Tells plugins how the panel is.
async fn watch_panel(
    mut events: tokio::sync::broadcast::Receiver<DisplayEvent>,
    services: Arc<Services>,
) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match events.recv().await {
            Ok(DisplayEvent::PanelLost { reason }) => {
                let details = [("reason", reason.into())];
                services.errands.event(None, "display-lost", details);
            }
            Ok(DisplayEvent::PanelBack) => {
                let (width, height) = services.display.size();
                let details = [
                    ("width", Value::Int(width.into())),
                    ("height", Value::Int(height.into())),
                ];
                services.errands.event(None, "display-resized", details);
            }
            // Others are told by what they come from.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Tries music that waits for a speaker again, until there is one.
async fn find_speaker(services: Arc<Services>, lines: Lines) {
    loop {
        let wanted = services.device.speaker_wanted();
        if services.device.waiting_music().is_none() {
            wanted.await;
            continue;
        }
        let _ = tokio::time::timeout(SPEAKER_EVERY, wanted).await;
        if let Some(play) = keeper::try_again(&services) {
            let _ = lines.line_up(Position::default(), vec![play], None).await;
        }
    }
}

/// Every blob that a reply named, every upload and every connection is an open file: the usual 1,024 are soon used up.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(1 << 16);
    let wider = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    if limit.current.is_some_and(|now| now < most) && setrlimit(Resource::Nofile, wider).is_err() {
        tracing::debug!("the limit of open files stays as it is");
    }
}

/// Services for a plugin that is looked at and does nothing: an empty store in `data`, no panel and no speaker.
pub(crate) fn bare_services(data: &std::path::Path) -> Result<Arc<Services>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::open(StoreSettings::new(data)).map_err(|error| text(&error))?);
    let mut settings = Settings::default();
    settings.audio.backend = "null".to_owned();
    settings
        .display
        .set_backend("none")
        .map_err(|error| text(&error))?;
    let (audio, _) = Audio::start(settings.audio()?);
    let (errands, _) = Errands::new();
    Ok(Arc::new(Services {
        store: store.clone(),
        device: Device::new(1.0),
        display: Display::start(&settings.display),
        audio,
        audience: crate::capability::client::Audience::default(),
        waits: Arc::new(PutOff::default()),
        timers: Timers::new(store, errands.clone()),
        errands,
    }))
}

fn store_settings(settings: &Settings) -> StoreSettings {
    let store = &settings.store;
    StoreSettings {
        folder: settings.host.data.clone(),
        media_quota_bytes: (store.media_quota_mib > 0).then_some(store.media_quota_mib << 20),
        reserve_bytes: store.reserve_mib << 20,
        max_clients: store.max_clients,
        client_age: Duration::from_secs_f64(store.client_age_days * 86_400.0),
        upload_age: Duration::from_secs_f64(store.upload_age_hours * 3600.0),
        ..StoreSettings::new(&settings.host.data)
    }
}

fn remembered(settings: &Settings) -> Remembered {
    let store = store_settings(settings);
    Remembered {
        clients: store.max_clients,
        age: store.client_age,
    }
}

/// Lets the store do its housekeeping on a thread that may wait for the disk; sleeps while there is nothing to do.
async fn tend(store: Arc<dyn Store>, registry: Arc<Registry>) {
    let mut last = Instant::now();
    let mut trouble = String::new();
    loop {
        let uptime = last.elapsed();
        last = Instant::now();
        registry.tidy();
        let tending = store.clone();
        let tended = tokio::task::spawn_blocking(move || tending.tend(uptime)).await;
        let (rest, said) = match tended {
            Ok(Ok(rest)) => (rest, String::new()),
            Ok(Err(error)) => (TEND_EVERY, error.to_string()),
            Err(panic) => (TEND_EVERY, panic.to_string()),
        };
        // A disk that stays full is told once.
        if said != trouble && !said.is_empty() {
            tracing::warn!(
                error = said,
                "the store's housekeeping failed; it is tried again"
            );
        }
        trouble = said;
        let _ = tokio::time::timeout(rest.saturating_sub(TEND_EVERY), store.stirred()).await;
        tokio::time::sleep(TEND_EVERY).await;
    }
}

/// Takes changed plugins and settings in.
async fn reload(
    file: PathBuf,
    args: Args,
    mut now: Settings,
    watch: Watch,
    mut loader: Loader,
    dispatch: Arc<Dispatch>,
) {
    let trouble = loader.trouble();
    loop {
        tokio::select! {
            () = watch.changed() => {}
            // A change that was being waited out is looked for below all the same.
            () = trouble.notified() => loader.roll_back(&dispatch.board).await,
        }
        match args.settings() {
            Ok(new) => {
                let others = |settings: &Settings| Settings {
                    plugins: Default::default(),
                    ..settings.clone()
                };
                if others(&new) != others(&now) {
                    tracing::info!(file = %file.display(), "settings outside [plugins] take effect at the next start");
                }
                now = new;
                dispatch.unserved.settings(None);
            }
            Err(error) => {
                tracing::warn!(%error, "settings not taken in; those before serve on");
                dispatch.unserved.settings(Some(error.to_string()));
            }
        }
        loader.refresh(&now.plugins, &dispatch.board).await;
    }
}

/// SIGTERM and SIGINT, as one stream.
fn signals() -> std::io::Result<tokio::sync::mpsc::Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                let _ = sender.try_send(());
            }
        });
    }
    Ok(receiver)
}

/// Whole or not at all: who waits for the file reads a complete line.
fn write_ready(file: &Path, line: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, line)?;
    std::fs::rename(new, file)
}
