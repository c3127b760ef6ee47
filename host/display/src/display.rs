//! The handle that the rest of the host holds, and the thread behind it.
//! Invariant: only that thread touches the panel; calls here put a scene in line and return at once.
//! Blocking work (decoding, writing to the panel) is on that thread, never on an async worker.
//! On failure: `start` always gives a handle; without a panel it shows into nothing and says so.

use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::{broadcast, oneshot};

use crate::stage::{Current, Stage};
use crate::{DisplayError, DisplayEvent, DisplaySettings, Scene, Showing, Shown, backend, limits};

/// Events that a slow listener may miss before it is told that it missed some.
const EVENT_BACKLOG: usize = 64;

/// A handle to the display. Clones share it; when the last is dropped, the display ends by itself.
#[derive(Clone, Debug)]
pub struct Display {
    orders: SyncSender<Order>,
    events: broadcast::Sender<DisplayEvent>,
    current: Current,
    size: (u32, u32),
    backend: &'static str,
    thread: Arc<Mutex<Option<Running>>>,
}

#[derive(Debug)]
struct Running {
    handle: thread::JoinHandle<()>,
    /// Disconnected when the thread is done.
    done: Receiver<()>,
}

enum Order {
    Show {
        scene: Box<Scene>,
        owner: u64,
        label: String,
        answer: oneshot::Sender<Result<Shown, DisplayError>>,
    },
    Stop,
}

impl Display {
    /// Opens the panel and starts the display's thread. Never fails: settings that make no sense, and a
    /// panel that is not there, are warnings, and pictures go to `none`.
    #[must_use]
    pub fn start(settings: &DisplaySettings) -> Self {
        let (look, choice) = settings.resolve().unwrap_or_else(|error| {
            tracing::warn!(%error, "display settings are refused: pictures are not shown");
            DisplaySettings::nowhere()
        });
        let size = look.logical_size();
        let (backend, panel) = backend::open(&choice);
        let (orders, incoming) = sync_channel(limits::MAX_WAITING_SCENES);
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let current = Current::default();
        let (done_when_dropped, done) = channel();
        let stage_current = Arc::clone(&current);
        let stage_events = events.clone();
        let thread = thread::Builder::new()
            .name("display".into())
            .spawn(move || {
                let _done = done_when_dropped;
                run(
                    Stage::new(look, panel, stage_current, stage_events),
                    &incoming,
                );
            });
        let running = match thread {
            Ok(handle) => Some(Running { handle, done }),
            Err(error) => {
                tracing::warn!(%error, "no thread for the display: pictures are refused");
                None
            }
        };
        let thread = Arc::new(Mutex::new(running));
        tracing::info!(backend, width = size.0, height = size.1, "display started");
        Self {
            orders,
            events,
            current,
            size,
            backend,
            thread,
        }
    }

    /// Puts a scene in line. The answer comes when its first frame went to the panel, or says why it did
    /// not; what was shown before then stays. A receiver without an answer means a display that stopped. `label` is what `current` calls it. Never blocks.
    pub fn show(
        &self,
        scene: Scene,
        owner: u64,
        label: impl Into<String>,
    ) -> oneshot::Receiver<Result<Shown, DisplayError>> {
        let (answer, receiver) = oneshot::channel();
        let order = Order::Show {
            scene: Box::new(scene),
            owner,
            label: label.into(),
            answer,
        };
        if let Err(refused) = self.orders.try_send(order) {
            let (order, error) = match refused {
                TrySendError::Full(order) => (order, DisplayError::Busy),
                TrySendError::Disconnected(order) => (order, DisplayError::Stopped),
            };
            if let Order::Show { answer, .. } = order {
                let _ = answer.send(Err(error));
            }
        }
        receiver
    }

    /// What happens from now on. A listener that falls 64 events behind is told that it lost some.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<DisplayEvent> {
        self.events.subscribe()
    }

    /// Width and height in pixels as a person sees the panel: after rotation.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The backend in use; `none` when there is no panel.
    #[must_use]
    pub fn backend_name(&self) -> &'static str {
        self.backend
    }

    /// What is shown now; `None` when the panel is clear.
    #[must_use]
    pub fn current(&self) -> Option<Showing> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the display after the scenes in line, and waits for it for at most a second. Blocks: call it
    /// outside async code, or with `spawn_blocking`. Scenes after it are refused as stopped.
    pub fn shutdown(&self) {
        let running = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Running { handle, done }) = running else {
            return;
        };
        let deadline = Instant::now() + limits::SHUTDOWN_PATIENCE;
        let mut order = Order::Stop;
        while let Err(TrySendError::Full(full)) = self.orders.try_send(order) {
            if Instant::now() >= deadline {
                break;
            }
            order = full;
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match done.recv_timeout(left) {
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("the display did not end within a second and is left behind");
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                // It is done, so this does not wait. A panic was printed when it happened.
                let _ = handle.join();
            }
        }
    }
}

/// The display's thread.
fn run(mut stage: Stage, orders: &Receiver<Order>) {
    loop {
        let order = match stage.wake_at() {
            Some(at) => orders.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => orders.recv().map_err(RecvTimeoutError::from),
        };
        match order {
            Ok(Order::Show {
                scene,
                owner,
                label,
                answer,
            }) => {
                let shown = stage.show(*scene, owner, label, Instant::now());
                // Whoever asked may have gone.
                let _ = answer.send(shown);
            }
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        stage.wake(Instant::now());
    }
    stage.close();
}
