//! Switches with which tests stop the world at a step of the disk, or take a guard out.

use std::cell::Cell;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// All off at first.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Steps until everything fails; 0: never.
    left: AtomicU64,
    stopped: AtomicBool,
    /// Only these steps fail, as often as they are asked for.
    failing: Mutex<Vec<(&'static str, io::ErrorKind)>>,
    free: Mutex<Option<u64>>,
}

thread_local! {
    /// Recovery on this thread leaves out the bytes that are only in the log.
    pub(crate) static SKIP_REDO: Cell<bool> = const { Cell::new(false) };
    /// A disk that is opened on this thread stops at this step; 0: never.
    pub(crate) static STOP_AT_OPEN: Cell<u64> = const { Cell::new(0) };
}

thread_local! {
    /// A disk that is opened on this thread fails at this step.
    pub(crate) static FAIL_AT_OPEN: Cell<Option<(&'static str, io::ErrorKind)>> = const { Cell::new(None) };
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            left: AtomicU64::new(STOP_AT_OPEN.get()),
            stopped: AtomicBool::new(false),
            failing: Mutex::new(FAIL_AT_OPEN.get().into_iter().collect()),
            free: Mutex::default(),
        }
    }
}

impl Faults {
    pub(crate) fn at(&self, step: &'static str) -> io::Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the world has stopped"));
        }
        let failing = self.failing.lock().unwrap();
        if let Some((_, kind)) = failing.iter().find(|(failing, _)| *failing == step) {
            return Err(io::Error::new(*kind, format!("made to fail: {step}")));
        }
        drop(failing);
        if self.left.load(Ordering::Relaxed) > 0 && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stopped.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the world stops"));
        }
        Ok(())
    }

    /// The `step`th step from now and all after it fail, as if the process was killed before it.
    pub(crate) fn stop_at(&self, step: u64) {
        self.left.store(step, Ordering::Relaxed);
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn fail(&self, step: Option<&'static str>) {
        *self.failing.lock().unwrap() = step
            .map(|step| (step, io::ErrorKind::Other))
            .into_iter()
            .collect();
    }

    /// As the system says it.
    pub(crate) fn fail_as(&self, step: &'static str, kind: io::ErrorKind) {
        *self.failing.lock().unwrap() = vec![(step, kind)];
    }

    /// Besides what fails already.
    pub(crate) fn fail_also(&self, step: &'static str) {
        let mut failing = self.failing.lock().unwrap();
        failing.push((step, io::ErrorKind::Other));
    }

    pub(crate) fn set_free_bytes(&self, free: Option<u64>) {
        *self.free.lock().unwrap() = free;
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        *self.free.lock().unwrap()
    }

    pub(crate) fn skips_redo(&self) -> bool {
        SKIP_REDO.get()
    }
}
