//! Where a plugin's operations run: one at a time, in the order they came.
//! Invariant: serial for the plugin's whole life, over all its versions, so that handlers need no locks.
//! Not here: what follows an operation (`dispatch`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::durations::Durations;
use super::instance::{Fault, Instance};
use super::version::Version;

/// A plugin by name; versions come and go on it.
pub(crate) struct Seat {
    pub(crate) name: Arc<str>,
    taken: tokio::sync::Mutex<Option<Sitting>>,
    waiting: AtomicUsize,
    calls: AtomicU64,
    failures: AtomicU64,
    durations: Durations,
    memory_bytes: AtomicU64,
}

/// What is known of a plugin's calls since the host started.
pub(crate) struct Counts {
    pub(crate) calls: u64,
    /// Those that trapped or ran out of time.
    pub(crate) failures: u64,
    /// How long half of them took, commit included, and 99 of 100; none before the first.
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    /// Of the guest as the last call left it; 0 where none is kept.
    pub(crate) memory_bytes: u64,
}

/// Too many wait already: so many.
#[derive(Debug, thiserror::Error)]
#[error("{0} operations of others wait for it already")]
pub(crate) struct QueueFull(usize);

/// Counts one who waits, for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The guest that served last, and of which version it is.
struct Sitting {
    serial: u64,
    instance: Instance,
}

/// The right to run one operation.
pub(crate) struct Turn<'a> {
    seat: &'a Seat,
    guard: tokio::sync::MutexGuard<'a, Option<Sitting>>,
    /// When its guest was first asked for.
    begun: Option<Instant>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun {
            self.seat.durations.note(begun.elapsed());
            let kept = self.guard.as_ref();
            let bytes = kept.map_or(0, |sitting| sitting.instance.memory_bytes());
            self.seat.memory_bytes.store(bytes, Ordering::Relaxed);
        }
    }
}

impl Seat {
    /// Nobody sits yet.
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            taken: tokio::sync::Mutex::new(None),
            waiting: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            durations: Durations::default(),
            memory_bytes: AtomicU64::new(0),
        }
    }

    /// Waits for all operations before this one, unless `most` wait already.
    pub(crate) async fn turn(&self, most: usize) -> Result<Turn<'_>, QueueFull> {
        // Fails too where somebody waits, so nobody is passed.
        let guard = match self.taken.try_lock() {
            Ok(guard) => guard,
            Err(_) => {
                let before = self.waiting.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&self.waiting);
                if before >= most {
                    return Err(QueueFull(before));
                }
                self.taken.lock().await
            }
        };
        Ok(Turn {
            seat: self,
            guard,
            begun: None,
        })
    }

    /// What is known of its calls.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            p50_us: self.durations.percentile_us(0.5),
            p99_us: self.durations.percentile_us(0.99),
            memory_bytes: self.memory_bytes.load(Ordering::Relaxed),
        }
    }

    /// The version is gone: its guest's memory need not stay.
    pub(crate) async fn retire(&self, serial: u64) {
        let mut guard = self.taken.lock().await;
        if guard
            .as_ref()
            .is_some_and(|sitting| sitting.serial == serial)
        {
            *guard = None;
            self.memory_bytes.store(0, Ordering::Relaxed);
        }
    }
}

impl Turn<'_> {
    /// A guest of this version; it is lost unless it is given back.
    pub(crate) async fn instance(&mut self, version: &Version) -> Result<Instance, Fault> {
        self.seat.calls.fetch_add(1, Ordering::Relaxed);
        self.begun.get_or_insert_with(Instant::now);
        match self.guard.take() {
            Some(sitting) if sitting.serial == version.serial => Ok(sitting.instance),
            // Rare, and large: kept out of the future of every call.
            _ => Box::pin(version.instance()).await,
        }
    }

    /// Keeps the guest for the next operation.
    pub(crate) fn give_back(&mut self, version: &Version, instance: Instance) {
        if instance.is_clean() {
            *self.guard = Some(Sitting {
                serial: version.serial,
                instance,
            });
        }
    }

    /// Counts an operation that the guest did not answer.
    pub(crate) fn failed(&self) {
        self.seat.failures.fetch_add(1, Ordering::Relaxed);
    }
}
