//! Writes frames into a pipe on a thread of its own, because a pipe that nobody reads blocks.
//! Invariant: at most one frame is being written and one waits; a newer one takes the waiting one's place.
//! The thread ends when the pipe breaks or after `finish`; nobody waits for it.

use std::io::{self, Write};
use std::process::ChildStdin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The writing end of a pipe.
pub(super) struct Feeder {
    desk: Arc<Desk>,
}

/// Whether everything offered went into the pipe.
pub(super) enum Taken {
    Yes,
    NotYet,
    /// The pipe is broken, and how.
    Never(String),
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Option<Vec<u8>>,
    writing: bool,
    finished: bool,
    broken: Option<String>,
}

impl Feeder {
    pub(super) fn start(pipe: ChildStdin) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let theirs = Arc::clone(&desk);
        thread::Builder::new()
            .name("display-pipe".into())
            .spawn(move || theirs.write_all_to(pipe))?;
        Ok(Self { desk })
    }

    /// Puts a packet in line, in place of one that was not begun.
    pub(super) fn offer(&self, packet: Vec<u8>) {
        self.desk.lock().waiting = Some(packet);
        self.desk.changed.notify_all();
    }

    /// Waits until the line is empty, for so long at most.
    pub(super) fn taken_within(&self, patience: Duration) -> Taken {
        let busy = |state: &mut State| {
            state.broken.is_none() && (state.writing || state.waiting.is_some())
        };
        let (state, _) = self
            .desk
            .changed
            .wait_timeout_while(self.desk.lock(), patience, busy)
            .unwrap_or_else(PoisonError::into_inner);
        match &state.broken {
            Some(error) => Taken::Never(error.clone()),
            None if state.writing || state.waiting.is_some() => Taken::NotYet,
            None => Taken::Yes,
        }
    }

    /// Ends the command's input after what is in line.
    pub(super) fn finish(&self) {
        self.desk.lock().finished = true;
        self.desk.changed.notify_all();
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut pipe: ChildStdin) {
        while let Some(packet) = self.next() {
            let written = pipe.write_all(&packet);
            let mut state = self.lock();
            state.writing = false;
            state.broken = written.err().map(|error| error.to_string());
            let broken = state.broken.is_some();
            drop(state);
            self.changed.notify_all();
            if broken {
                return;
            }
        }
    }

    fn next(&self) -> Option<Vec<u8>> {
        let idle = |state: &mut State| state.waiting.is_none() && !state.finished;
        let mut state = self
            .changed
            .wait_while(self.lock(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        let packet = state.waiting.take();
        state.writing = packet.is_some();
        packet
    }
}
