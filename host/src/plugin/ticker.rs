//! Advances the epoch by which guests yield and are stopped.
//! Invariant: ticks only while a guest runs, and parks soon after the last one, so an idle host uses no CPU.
//! Not here: what a guest does with a tick (`instance`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// How often a running guest is interrupted to yield.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks without a guest before the thread parks; a park and its wake-up cost more than a few idle ticks.
const IDLE_TICKS: u32 = 10;

struct State {
    running: AtomicUsize,
    parked: AtomicBool,
}

/// The thread that ticks.
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

/// A guest is running for as long as this lives.
pub(crate) struct Running<'a>(&'a State);

impl Ticker {
    /// Starts the thread; it lives as long as the process.
    pub(crate) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let state = Arc::new(State {
            running: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let handle = thread::Builder::new()
            .name("epoch".into())
            .spawn(move || tick(&engine, &shared))?;
        Ok(Self {
            state,
            thread: handle.thread().clone(),
        })
    }

    /// To be called before a guest is entered.
    pub(crate) fn enter(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.parked.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.state)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(engine: &wasmtime::Engine, state: &State) {
    let mut idle = 0;
    loop {
        thread::sleep(TICK);
        if state.running.load(Ordering::SeqCst) > 0 {
            idle = 0;
            engine.increment_epoch();
            continue;
        }
        idle += 1;
        if idle < IDLE_TICKS {
            continue;
        }
        state.parked.store(true, Ordering::SeqCst);
        while state.running.load(Ordering::SeqCst) == 0 {
            thread::park();
        }
        state.parked.store(false, Ordering::SeqCst);
        idle = 0;
    }
}
