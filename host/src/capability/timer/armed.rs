//! The timers that are set, and their firing.
//! Invariant: changes with the commit that sets or cancels one, in the plugin's own turn: so what fires late, after it was
//! set anew or cancelled, is known to be stale. None fires before the commit that set it is durable; where one is taken
//! back, the plugin's timers are again as the store has them.
//! Not here: the operation that a firing is (`dispatch::errands`).
//! A handler that fails: tried again after 1, 10 and 60 s, and every 60 s where that is not its own fault (a full disk,
//! a plugin that rests). A durable timer whose plugin is away waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pixelboy_store::{NotDurable, Position, Store};
use tokio::task::AbortHandle;

use super::{Change, Kept, PREFIX, Setting, key, unix_ms};
use crate::capability::errand::{Errand, Errands, What};

/// When a handler that failed is tried again.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), LAST_PAUSE];

/// And then, where it did not trap.
const LAST_PAUSE: Duration = Duration::from_secs(60);

/// When one fires at the earliest whose firing was taken back.
const AFTER_RETREAT: Duration = Duration::from_secs(1);

/// Names that are read from the store at a time.
const PAGE: usize = 256;

/// All timers, of all plugins.
pub(crate) struct Timers {
    store: Arc<dyn Store>,
    errands: Errands,
    armed: Mutex<HashMap<(Arc<str>, String), Armed>>,
    serials: AtomicU64,
}

struct Armed {
    /// Which setting of it this is.
    serial: u64,
    payload: Arc<[u8]>,
    durable: bool,
    /// The commit that set it, with all that it saw.
    after: Position,
    /// How often its handler trapped.
    trapped: usize,
    /// How often it could not run, or its commit was not taken.
    hindered: usize,
    /// Waits for its time; none for one whose plugin is away.
    waits: Option<AbortHandle>,
}

impl Armed {
    /// How long to wait after a firing that failed; none where it is to be given up.
    fn pause(&mut self, trapped: bool) -> Option<Duration> {
        let count = match trapped {
            true => &mut self.trapped,
            false => &mut self.hindered,
        };
        let pause = AGAIN_AFTER.get(*count).copied();
        *count += 1;
        pause.or((!trapped).then_some(LAST_PAUSE))
    }
}

/// A timer that fires.
#[derive(Clone, Debug)]
pub(crate) struct Firing {
    pub(crate) id: String,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) durable: bool,
    serial: u64,
}

impl Timers {
    /// None are set.
    pub(crate) fn new(store: Arc<dyn Store>, errands: Errands) -> Self {
        Self {
            store,
            errands,
            armed: Mutex::default(),
            serials: AtomicU64::new(1),
        }
    }

    fn armed(&self) -> std::sync::MutexGuard<'_, HashMap<(Arc<str>, String), Armed>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many a plugin has set.
    pub(crate) fn count(&self, plugin: &str) -> usize {
        let armed = self.armed();
        armed.keys().filter(|(owner, _)| **owner == *plugin).count()
    }

    /// Whether it is set.
    pub(crate) fn has(&self, plugin: &Arc<str>, id: &str) -> bool {
        self.armed().contains_key(&(plugin.clone(), id.to_owned()))
    }

    /// An operation of the plugin has committed; what fires of this waits until `after` is durable.
    pub(crate) fn apply(&self, plugin: &Arc<str>, changes: Vec<Change>, after: Position) {
        if changes.is_empty() {
            return;
        }
        self.reload_if_taken_back(plugin, after);
        for Change { id, set } in changes {
            let name = (plugin.clone(), id);
            match set {
                Some(setting) => self.arm(name, setting, after),
                None => self.disarm(&name),
            }
        }
    }

    /// The plugin is told to look at the store again where the commit at `after` does not come on disk. After a failed sync
    /// a restart does that.
    fn reload_if_taken_back(&self, plugin: &Arc<str>, after: Position) {
        if self.store.is_durable(after) {
            return;
        }
        let wait = self.store.wait(after);
        let (errands, plugin) = (self.errands.clone(), plugin.clone());
        tokio::spawn(async move {
            if let Err(NotDurable::TakenBack(_)) = wait.await {
                let (plugin, what) = (Some(plugin), What::Timers);
                errands.send(Errand { plugin, what });
            }
        });
    }

    fn disarm(&self, name: &(Arc<str>, String)) {
        if let Some(waits) = self.armed().remove(name).and_then(|old| old.waits) {
            waits.abort();
        }
    }

    fn arm(&self, name: (Arc<str>, String), setting: Setting, after: Position) {
        self.disarm(&name);
        let mut timer = Armed {
            serial: self.serials.fetch_add(1, Ordering::Relaxed),
            payload: setting.payload.into(),
            durable: setting.durable,
            after,
            trapped: 0,
            hindered: 0,
            waits: None,
        };
        timer.waits = Some(self.fire_after(&name, &timer, setting.after, after));
        self.armed().insert(name, timer);
    }

    /// Starts the wait.
    fn fire_after(
        &self,
        (plugin, id): &(Arc<str>, String),
        timer: &Armed,
        time: Duration,
        after: Position,
    ) -> AbortHandle {
        let errand = Errand {
            plugin: Some(plugin.clone()),
            what: What::Timer(Firing {
                id: id.clone(),
                payload: timer.payload.clone(),
                durable: timer.durable,
                serial: timer.serial,
            }),
        };
        let (store, errands) = (self.store.clone(), self.errands.clone());
        let wait = tokio::spawn(async move {
            tokio::time::sleep(time).await;
            // After a failed sync, or where its commit was taken back, nothing that came of it happens.
            if store.is_durable(after) || store.wait(after).await.is_ok() {
                errands.send(errand);
            }
        });
        wait.abort_handle()
    }

    /// Whether the firing is of the timer as it is set now. Asked in the plugin's turn.
    pub(crate) fn is_due(&self, plugin: &Arc<str>, firing: &Firing) -> bool {
        let armed = self.armed();
        let now = armed.get(&(plugin.clone(), firing.id.clone()));
        now.is_some_and(|now| now.serial == firing.serial)
    }

    /// The firing is done when `after` is durable, unless its handler set the timer anew.
    pub(crate) fn done(&self, plugin: &Arc<str>, firing: &Firing, after: Position) {
        if firing.durable {
            self.reload_if_taken_back(plugin, after);
        }
        if self.is_due(plugin, firing) {
            self.disarm(&(plugin.clone(), firing.id.clone()));
        }
    }

    /// The plugin is away: a durable timer waits for it.
    pub(crate) fn park(&self, plugin: &Arc<str>, firing: &Firing) {
        if !firing.durable {
            return self.done(plugin, firing, Position::default());
        }
        let mut armed = self.armed();
        if let Some(timer) = armed.get_mut(&(plugin.clone(), firing.id.clone()))
            && timer.serial == firing.serial
        {
            timer.waits = None;
        }
    }

    /// The firing failed: it is tried again, but only some times where its handler `trapped`. A durable one is then kept
    /// for another version, or another start.
    pub(crate) fn again(&self, plugin: &Arc<str>, firing: &Firing, trapped: bool) {
        let name = (plugin.clone(), firing.id.clone());
        let mut armed = self.armed();
        let Some(timer) = armed.get_mut(&name) else {
            return;
        };
        if timer.serial != firing.serial {
            return;
        }
        match timer.pause(trapped) {
            Some(time) => {
                let waits = self.fire_after(&name, timer, time, Position::default());
                timer.waits = Some(waits);
            }
            None => {
                let (plugin, id) = (&**plugin, &*firing.id);
                tracing::warn!(plugin, id, "a timer's handler kept failing; it is given up");
                drop(armed);
                self.park(&name.0, firing);
            }
        }
    }

    /// A version of the plugin serves: what waited for one fires.
    pub(crate) fn wake(&self, plugin: &str) {
        let mut armed = self.armed();
        let parked = armed
            .iter_mut()
            .filter(|((owner, _), timer)| **owner == *plugin && timer.waits.is_none());
        for (name, timer) in parked {
            timer.trapped = 0;
            timer.hindered = 0;
            timer.waits = Some(self.fire_after(name, timer, Duration::ZERO, Position::default()));
        }
    }

    /// The plugin is gone; what is not durable goes with it.
    pub(crate) fn forget(&self, plugin: &str) {
        let mut armed = self.armed();
        let gone = armed.extract_if(|(owner, _), timer| **owner == *plugin && !timer.durable);
        for (_, timer) in gone {
            if let Some(waits) = timer.waits {
                waits.abort();
            }
        }
    }

    /// Sets what the store has, when the host starts.
    pub(crate) fn restore(&self) {
        for (name, setting) in self.stored(PREFIX) {
            self.arm(name, setting, Position::default());
        }
    }

    /// Sets what the store has of a plugin, and forgets what was set by a commit that was taken back. In the plugin's turn.
    pub(crate) fn reload(&self, plugin: &Arc<str>) {
        let stored = self.stored(&key(plugin, ""));
        let never_was = |(owner, _): &(Arc<str>, String), timer: &Armed| {
            *owner == *plugin
                && (timer.durable || self.store.if_not_taken_back(timer.after) != timer.after)
        };
        let gone: Vec<_> = {
            let mut armed = self.armed();
            armed
                .extract_if(|name, timer| never_was(name, timer))
                .collect()
        };
        let mut after = HashMap::new();
        for (name, timer) in gone {
            if let Some(waits) = timer.waits {
                waits.abort();
            }
            after.insert(name, self.store.if_not_taken_back(timer.after));
        }
        for (name, mut setting) in stored {
            // One that was set since then may not be durable yet.
            let after = after.get(&name).copied().unwrap_or_default();
            // The disk may still be full.
            setting.after = setting.after.max(AFTER_RETREAT);
            self.arm(name, setting, after);
        }
    }

    /// The durable timers whose names in the store begin so.
    fn stored(&self, prefix: &str) -> Vec<((Arc<str>, String), Setting)> {
        let mut transaction = self.store.begin();
        let mut stored = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let names = match transaction.state_keys(prefix, last.as_deref(), PAGE) {
                Ok(names) => names,
                Err(error) => {
                    tracing::warn!(%error, "the timers that were set could not be read");
                    return stored;
                }
            };
            let Some(newest) = names.last() else {
                return stored;
            };
            last = Some(newest.clone());
            for name in &names {
                let bytes = transaction.state(name);
                let kept = bytes.ok().flatten();
                let kept = kept.and_then(|bytes| postcard::from_bytes::<Kept>(&bytes).ok());
                let Some(kept) = kept else {
                    tracing::warn!(timer = name, "a timer that was set could not be read");
                    continue;
                };
                if let Some((plugin, id)) = name.strip_prefix(PREFIX).and_then(split) {
                    let setting = Setting {
                        after: left(&kept, unix_ms()),
                        payload: kept.payload,
                        durable: true,
                    };
                    stored.push(((plugin.into(), id.to_owned()), setting));
                }
            }
        }
    }
}

/// A plugin's name has no slash; an id may.
fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once('/')
}

/// What is left of its time at `now_ms`. Where the clock was set back, or was wrong: all of it at most.
fn left(kept: &Kept, now_ms: u64) -> Duration {
    let gone_ms = now_ms.saturating_sub(kept.set_at_ms);
    Duration::from_millis(kept.after_ms.saturating_sub(gone_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed() -> Armed {
        Armed {
            serial: 1,
            payload: Arc::new([]),
            durable: true,
            after: Position::default(),
            trapped: 0,
            hindered: 0,
            waits: None,
        }
    }

    #[test]
    fn only_traps_make_a_timer_be_given_up() {
        let mut timer = armed();
        for _ in 0..1_000 {
            assert!(
                timer.pause(false).is_some(),
                "the disk may be full for long"
            );
        }
        assert_eq!(timer.pause(false), Some(LAST_PAUSE));
        let traps: Vec<_> = (0..4).map(|_| timer.pause(true)).collect();
        let [first, second, third] = AGAIN_AFTER.map(Some);
        assert_eq!(traps, [first, second, third, None]);
    }

    #[test]
    fn what_is_left_is_never_more_than_was_asked_for_whatever_the_clock_says() {
        let kept = Kept {
            set_at_ms: 1_000_000,
            after_ms: 5_000,
            payload: Vec::new(),
        };
        let left_at = |now_ms| left(&kept, now_ms).as_millis();
        assert_eq!(left_at(1_001_000), 4_000);
        assert_eq!(left_at(1_005_000), 0);
        assert_eq!(left_at(9_000_000), 0, "it fires late rather than never");
        assert_eq!(left_at(0), 5_000, "a device without a clock at its start");
    }
}
