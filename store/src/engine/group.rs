//! Group commit: one sync for all who wait.
//! Invariant: a commit is durable when its log entry's sync has returned; only here are [`Receipt`]s made. Whoever gives
//! the writer back passes the turn on while commits wait, so that nobody waits for ever.
//! Who leads: the first to poll, on its own thread, where syncs are quick; otherwise a committer thread.
//! A failed sync ends it: everybody who waits learns that the outcome is unknown.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Engine;
use crate::memory::Waiting;
use crate::plain;
use crate::sqlite::{Tables, fault};
use crate::staging::StagedFile;
use crate::{NotDurable, OutcomeUnknown, Position, Receipt, StoreError, Unwritten, log};

/// Above this, a thread that has other things to do does not lead.
const QUICK_SYNC: Duration = Duration::from_millis(2);

/// Encoded bytes of one group, about.
const GROUP_BYTES: usize = 4 << 20;

/// Log entries and bytes above which the committer folds without being told.
const FOLD_COMMITS: u64 = 8_000;
const FOLD_BYTES: u64 = 8 << 20;

/// Who waits, and who syncs.
pub(super) struct Group {
    durable: AtomicU64,
    waiters: Mutex<Waiters>,
    /// How long syncs take: a moving average in nanoseconds; 0: none was made yet.
    sync_ns: AtomicU64,
    /// Staged files that the next groups are to sync.
    staged: AtomicU64,
    /// Commits and bytes in the log.
    unfolded: AtomicU64,
    unfolded_bytes: AtomicU64,
    /// Log entries written: a group each.
    groups: AtomicU64,
    committer: Mutex<Asked>,
    bell: Condvar,
}

#[derive(Default)]
struct Waiters {
    /// By position, then by a number of their own.
    all: BTreeMap<(Position, u64), Waker>,
    next: u64,
    failed: bool,
    /// Commits that were taken back, oldest first: from after the first position through the second, and why.
    taken_back: Vec<(Position, Position, Unwritten)>,
}

impl Waiters {
    fn taken_back(&self, position: Position) -> Option<&Unwritten> {
        let found = self
            .taken_back
            .iter()
            .rev()
            .find(|(after, through, _)| *after < position && position <= *through);
        found.map(|(.., why)| why)
    }
}

/// Why an entry is not on disk.
enum LogError {
    /// It is not, for sure: the write failed, before any sync.
    Unwritten(StoreError),
    /// Nobody can tell.
    Unknown(String),
}

/// What the committer thread is to do.
#[derive(Default)]
struct Asked {
    commit: bool,
    fold: bool,
    stop: bool,
}

impl Group {
    pub(super) fn new(durable: Position) -> Self {
        Self {
            durable: AtomicU64::new(durable.0),
            waiters: Mutex::default(),
            sync_ns: AtomicU64::new(0),
            staged: AtomicU64::new(0),
            unfolded: AtomicU64::new(0),
            unfolded_bytes: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            committer: Mutex::default(),
            bell: Condvar::new(),
        }
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// A commit has staged files to be synced first.
    pub(super) fn add_staged(&self, count: usize) {
        self.staged.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The line was emptied. Called with the memory locked, as `add_staged` is.
    pub(super) fn no_staged(&self) {
        self.staged.store(0, Ordering::Relaxed);
    }

    /// Commits in the log, and their bytes.
    pub(super) fn unfolded(&self) -> (u64, u64) {
        (
            self.unfolded.load(Ordering::Relaxed),
            self.unfolded_bytes.load(Ordering::Relaxed),
        )
    }

    pub(super) fn set_unfolded(&self, commits: u64, bytes: u64) {
        self.unfolded.store(commits, Ordering::Relaxed);
        self.unfolded_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Log entries written since the store was opened.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> u64 {
        self.groups.load(Ordering::Relaxed)
    }

    /// Whether a thread with other things to do may lead.
    fn is_quick(&self) -> bool {
        let sync_ns = self.sync_ns.load(Ordering::Relaxed);
        // Where the opening could not sync, nobody knows yet.
        (1..=QUICK_SYNC.as_nanos() as u64).contains(&sync_ns)
            && self.staged.load(Ordering::Relaxed) == 0
    }

    /// A sync took so long.
    pub(super) fn took(&self, sync: Duration) {
        let now = u64::try_from(sync.as_nanos()).unwrap_or(u64::MAX);
        let before = self.sync_ns.load(Ordering::Relaxed);
        let average = if before == 0 {
            now
        } else {
            before - before / 8 + now / 8
        };
        self.sync_ns.store(average, Ordering::Relaxed);
    }

    fn ask(&self, what: impl FnOnce(&mut Asked)) {
        what(
            &mut self
                .committer
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.bell.notify_one();
    }

    /// Everything up to here is durable.
    fn publish(&self, durable: Position) {
        let ready = {
            let mut waiters = self.waiters();
            self.durable.store(durable.0, Ordering::Release);
            let later = waiters.all.split_off(&(Position(durable.0 + 1), 0));
            std::mem::replace(&mut waiters.all, later)
        };
        ready.into_values().for_each(Waker::wake);
    }

    /// The commits from after `durable` through `head` never were.
    pub(super) fn take_back(&self, durable: Position, head: Position, why: Unwritten) {
        let all = {
            let mut waiters = self.waiters();
            // While the disk stays full, each time goes on from the one before.
            match waiters.taken_back.last_mut() {
                Some((after, through, _)) if *after == durable => *through = head,
                _ => waiters.taken_back.push((durable, head, why)),
            }
            std::mem::take(&mut waiters.all)
        };
        all.into_values().for_each(Waker::wake);
    }

    /// Whether a sync has failed: nothing is known of what is on disk, until the store is opened anew.
    pub(super) fn has_failed(&self) -> bool {
        self.waiters().failed
    }

    /// Nobody can tell any more.
    pub(super) fn fail(&self, durable: Position) {
        let all = {
            let mut waiters = self.waiters();
            waiters.failed = true;
            self.durable.store(durable.0, Ordering::Release);
            std::mem::take(&mut waiters.all)
        };
        all.into_values().for_each(Waker::wake);
    }
}

impl Engine {
    /// The newest durable position.
    pub(crate) fn durable(&self) -> Receipt {
        Receipt::after_sync(self.group.durable())
    }

    /// See [`crate::Store::is_durable`].
    pub(crate) fn is_durable(&self, position: Position) -> bool {
        self.group.durable() >= position && !self.was_taken_back(position)
    }

    /// Whether the commit at this position never was.
    pub(crate) fn was_taken_back(&self, position: Position) -> bool {
        // Mostly nothing ever was.
        if self.retreats.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.group.waiters().taken_back(position).is_some()
    }

    /// Log entries written since the store was opened.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> u64 {
        self.group.groups()
    }

    /// As if a long sync or a fold was under way.
    #[cfg(test)]
    pub(crate) fn hold_writer(&self) -> MutexGuard<'_, Connection> {
        self.tables.writer()
    }

    /// As if syncs took this long.
    #[cfg(test)]
    pub(crate) fn pretend_sync(&self, nanos: u64) {
        self.group.sync_ns.store(nanos, Ordering::Relaxed);
    }

    /// One step of waiting. `slot`: the waiter's own number once it is registered.
    fn poll_wait(
        &self,
        position: Position,
        slot: &mut Option<u64>,
        context: &Context<'_>,
    ) -> Poll<Result<Receipt, NotDurable>> {
        loop {
            {
                let mut waiters = self.group.waiters();
                if let Some(why) = waiters.taken_back(position) {
                    slot.take();
                    return Poll::Ready(Err(NotDurable::TakenBack(why.clone())));
                }
                if self.group.durable() >= position {
                    slot.take();
                    return Poll::Ready(Ok(self.durable()));
                }
                if waiters.failed {
                    slot.take();
                    return Poll::Ready(Err(OutcomeUnknown.into()));
                }
                let own = *slot.get_or_insert_with(|| {
                    waiters.next += 1;
                    waiters.next
                });
                waiters.all.insert((position, own), context.waker().clone());
            }
            if !self.group.is_quick() {
                self.group.ask(|asked| asked.commit = true);
                return Poll::Pending;
            }
            // Whoever has the writer passes the turn on when it gives it back, and this waiter is registered by now.
            let Some(writer) = self.tables.try_writer() else {
                return Poll::Pending;
            };
            if let Some(own) = slot {
                self.group.waiters().all.remove(&(position, *own));
            }
            let went_on = self.commit_group(&writer);
            drop(writer);
            self.pass_on();
            if !went_on {
                // Nothing was waiting in line, so that this position was made durable, or failed, meanwhile.
                let waiters = self.group.waiters();
                let is_settled = waiters.failed || waiters.taken_back(position).is_some();
                if self.group.durable() < position && !is_settled {
                    // A position that was never given out; nothing will come of it.
                    return Poll::Ready(Err(OutcomeUnknown.into()));
                }
            }
        }
    }

    /// A waiter is gone before it was ready.
    fn leave(&self, position: Position, slot: u64) {
        let registered = self.group.waiters().all.remove(&(position, slot)).is_some();
        if !registered {
            // It was woken: perhaps to lead. Then another has to.
            self.pass_on();
        }
    }

    /// After the writer was given back: somebody else leads if commits wait for a sync.
    pub(crate) fn pass_on(&self) {
        if self.memory().line.is_empty() {
            return;
        }
        let next = {
            let mut waiters = self.group.waiters();
            if waiters.all.is_empty() {
                return;
            }
            if self.group.is_quick() {
                waiters.all.pop_first()
            } else {
                None
            }
        };
        match next {
            Some((_, waker)) => waker.wake(),
            None => self.group.ask(|asked| asked.commit = true),
        }
    }

    /// Makes the commits in line durable, as one log entry. Whether there were any. *Blocking*.
    pub(super) fn commit_group(&self, writer: &Connection) -> bool {
        let group = self.next_group();
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return false;
        };
        let (first, last) = (first.position, last.position);
        let after = self.group.durable();
        let commits = group.iter().map(|commit| &commit.encoded[..]);
        let body = log::body(first, after, commits);
        let started = Instant::now();
        if let Err(error) = self.sync_staged(&group) {
            self.fail("sync a staged file", &error);
            return true;
        }
        match self.write_log(writer, first, &body) {
            Ok(()) => {}
            Err(LogError::Unwritten(why)) => {
                let staged = group.iter().flat_map(|commit| &commit.staged);
                staged.for_each(|file| file.release());
                // What it staged is gone before anybody hears of it.
                drop(group);
                self.take_back(why);
                return true;
            }
            Err(LogError::Unknown(reason)) => {
                self.fail("write the record", &reason);
                return true;
            }
        }
        self.group.took(started.elapsed());
        self.group.groups.fetch_add(1, Ordering::Relaxed);
        self.memory().durable = last;
        self.disk.note_durable(last);
        self.follow(group);
        let commits = self
            .group
            .unfolded
            .fetch_add(last.0 - first.0 + 1, Ordering::Relaxed);
        let bytes = self
            .group
            .unfolded_bytes
            .fetch_add(body.len() as u64, Ordering::Relaxed);
        let most = crate::guard::fold_after().unwrap_or(FOLD_COMMITS);
        if commits > most || bytes > FOLD_BYTES {
            self.group.ask(|asked| asked.fold = true);
        }
        self.group.publish(last);
        if self.disk.missing_ballast() > 0 {
            self.disk.lay_ballast(self.settings.reserve_bytes);
        }
        true
    }

    /// Takes commits out of the line.
    fn next_group(&self) -> Vec<Waiting> {
        let mut memory = self.memory();
        let mut bytes = 0;
        let count = memory
            .line
            .iter()
            .take_while(|commit| {
                let fits = bytes == 0 || bytes + commit.encoded.len() <= GROUP_BYTES;
                bytes += commit.encoded.len().max(1);
                fits
            })
            .count();
        memory.line.drain(..count).collect()
    }

    fn sync_staged(&self, group: &[Waiting]) -> std::io::Result<()> {
        let files: Vec<_> = group.iter().flat_map(|commit| &commit.staged).collect();
        StagedFile::sync_all(&self.disk, &files)?;
        self.group
            .staged
            .fetch_sub(files.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Writes an entry and syncs it. On a full disk once more, with the room that is kept for that.
    fn write_log(&self, writer: &Connection, first: Position, body: &[u8]) -> Result<(), LogError> {
        let mut written = self.sync_log(writer, first, body);
        if matches!(written, Err(LogError::Unwritten(StoreError::NoSpace(_)))) {
            self.disk.drop_ballast();
            // What is in the database already need not stay in the write-ahead log, which then begins anew.
            self.rescue()?;
            written = self.sync_log(writer, first, body);
        }
        written
    }

    /// A checkpoint that fails frees nothing; one whose sync failed may have lost what was acknowledged.
    fn rescue(&self) -> Result<(), LogError> {
        let unknown = |error: &dyn std::fmt::Display| LogError::Unknown(error.to_string());
        self.disk.at("rescue").map_err(|error| unknown(&error))?;
        match self.tables.checkpoint() {
            Err(error) if fault::is_failed_sync(&error) => Err(unknown(&error)),
            _ => Ok(()),
        }
    }

    fn sync_log(&self, writer: &Connection, first: Position, body: &[u8]) -> Result<(), LogError> {
        let unknown = |error: std::io::Error| LogError::Unknown(error.to_string());
        self.disk
            .at("write log")
            .map_err(|error| LogError::Unwritten(StoreError::of_io("write the record", error)))?;
        self.disk.at("log").map_err(unknown)?;
        Tables::add_to_log(writer, first, body).map_err(|error| {
            if fault::is_before_sync(&error) {
                LogError::Unwritten(fault::store_error("write", &error))
            } else {
                LogError::Unknown(error.to_string())
            }
        })?;
        self.disk.at("logged").map_err(unknown)
    }

    /// Plain files follow the commits of a group.
    fn follow(&self, mut group: Vec<Waiting>) {
        plain::gather_writes(group.iter_mut().map(|commit| &mut commit.steps));
        let mut plain = self.plain();
        for commit in group {
            plain.follow(&self.disk, commit.position, commit.steps);
        }
        self.note_stuck(&plain);
    }

    /// Makes everything that was committed durable. *Blocking*.
    pub(super) fn flush(&self) {
        let writer = self.tables.writer();
        while self.commit_group(&writer) {}
        drop(writer);
        self.pass_on();
    }
}

/// Waits for one position.
pub(crate) struct WaitFuture {
    engine: Arc<Engine>,
    position: Position,
    slot: Option<u64>,
}

impl WaitFuture {
    pub(crate) fn new(engine: Arc<Engine>, position: Position) -> Self {
        Self {
            engine,
            position,
            slot: None,
        }
    }
}

impl Future for WaitFuture {
    type Output = Result<Receipt, NotDurable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            engine,
            position,
            slot,
        } = &mut *self;
        engine.poll_wait(*position, slot, context)
    }
}

impl Drop for WaitFuture {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.engine.leave(self.position, slot);
        }
    }
}

/// The thread that commits where syncs are slow, and folds when the log grows long.
pub(crate) struct Committer {
    engine: Arc<Engine>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Committer {
    /// Starts it.
    pub(crate) fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let works = engine.clone();
        let thread = std::thread::Builder::new()
            .name("store-commit".into())
            .spawn(move || run(&works))?;
        Ok(Self {
            engine,
            thread: Some(thread),
        })
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.engine.group.ask(|asked| asked.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(engine: &Engine) {
    loop {
        let asked = {
            let asked = engine
                .group
                .committer
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let idle = |asked: &mut Asked| !(asked.commit || asked.fold || asked.stop);
            let mut asked = engine
                .group
                .bell
                .wait_while(asked, idle)
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *asked)
        };
        if asked.stop {
            return;
        }
        if asked.commit {
            engine.flush();
        }
        if asked.fold
            && let Err(error) = engine.fold()
        {
            tracing::error!(%error, "failed to fold the record; trying again later");
        }
    }
}
