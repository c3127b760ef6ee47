//! When the power goes, and which calls fail or are slow.
//! Invariant: after the power went every call fails with EIO, for good.
//! Not here: what is lost (`disk`).

use std::time::Duration;

use rustix::io::Errno;

use crate::random::Random;

/// A moment at which the power goes. Counts are of all files and folders, from when it was set, the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// When the sync of this number is asked for: nothing of it is done, or as much as a seed says.
    BeforeSync(u64),
    /// The sync of this number is done, but whoever waits for it gets an error.
    DuringSync(u64),
    /// The sync of this number is done and answered.
    AfterSync(u64),
    /// In the middle of the write of this number.
    InWrite(u64),
    /// After the change of a name of this number (create, rename, link, removal).
    AfterName(u64),
}

/// Calls of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// Of bytes to a file.
    Write,
    /// The change of a file's length.
    SetLen,
    /// Of a file.
    Sync,
    /// Of a folder.
    SyncFolder,
    /// Of a file or folder.
    Create,
    /// Matches by the old name and by the new one.
    Rename,
    /// A second name for a file.
    Link,
    /// Of a file or folder.
    Unlink,
}

/// Calls that fail.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which.
    pub call: Call,
    /// Part of the path below the root; empty for all.
    pub path: String,
    /// The first matching call that fails, from 1.
    pub from: u64,
    /// How many fail; none: all that follow.
    pub times: Option<u64>,
    /// With what: `NOSPC`, `ROFS`, `IO`, …
    pub error: Errno,
}

impl Rule {
    /// All calls of a kind on paths with this part.
    #[must_use]
    pub fn new(call: Call, path: &str, error: Errno) -> Self {
        Self {
            call,
            path: path.to_owned(),
            from: 1,
            times: None,
            error,
        }
    }

    /// The first one only.
    #[must_use]
    pub fn once(self) -> Self {
        Self {
            times: Some(1),
            ..self
        }
    }

    /// From this one on, counted from 1.
    #[must_use]
    pub fn from(self, from: u64) -> Self {
        Self { from, ..self }
    }
}

/// What was asked of the disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of files.
    pub syncs: u64,
    /// Of folders.
    pub folder_syncs: u64,
    /// Of bytes.
    pub writes: u64,
    /// Creates, renames, links, removals.
    pub names: u64,
    /// Calls that failed by a rule.
    pub failed: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) random: Random,
    pub(crate) counts: Counts,
    pub(crate) slow_syncs: Duration,
    cut: Option<(Cut, Counts)>,
    off: bool,
    rules: Vec<(Rule, u64)>,
}

/// What is to become of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Do,
    Fail(Errno),
    /// Do it (a write: in part), then the power is off, and the call fails.
    Last,
    /// Do it, answer, then the power is off.
    LastAnswered,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            counts: Counts::default(),
            slow_syncs: Duration::ZERO,
            cut: None,
            off: false,
            rules: Vec::new(),
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    pub(crate) fn cut_now(&mut self) {
        self.off = true;
    }

    pub(crate) fn cut_at(&mut self, cut: Option<Cut>) {
        self.cut = cut.map(|cut| (cut, self.counts));
    }

    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push((rule, 0));
    }

    pub(crate) fn clear_rules(&mut self) {
        self.rules.clear();
    }

    /// Decides about a call that changes or syncs something, and counts it.
    pub(crate) fn judge(&mut self, call: Call, paths: &[&str]) -> Verdict {
        if self.off {
            return Verdict::Fail(Errno::IO);
        }
        for (rule, seen) in &mut self.rules {
            if rule.call == call && paths.iter().any(|path| path.contains(&rule.path)) {
                *seen += 1;
                let end = rule
                    .times
                    .map_or(u64::MAX, |times| rule.from.saturating_add(times));
                if (rule.from..end).contains(seen) {
                    self.counts.failed += 1;
                    return Verdict::Fail(rule.error);
                }
            }
        }
        match call {
            Call::Write => self.counts.writes += 1,
            Call::Sync => self.counts.syncs += 1,
            Call::SyncFolder => self.counts.folder_syncs += 1,
            Call::Create | Call::Rename | Call::Link | Call::Unlink => self.counts.names += 1,
            Call::SetLen => {}
        }
        let verdict = self.power(call);
        if verdict != Verdict::Do {
            self.off = true;
        }
        verdict
    }

    fn power(&self, call: Call) -> Verdict {
        let Some((cut, since)) = self.cut else {
            return Verdict::Do;
        };
        let syncs = |counts: &Counts| counts.syncs + counts.folder_syncs;
        let sync = syncs(&self.counts) - syncs(&since);
        let is_sync = matches!(call, Call::Sync | Call::SyncFolder);
        let is_name = matches!(
            call,
            Call::Create | Call::Rename | Call::Link | Call::Unlink
        );
        match cut {
            Cut::BeforeSync(number) if is_sync && sync == number => Verdict::Fail(Errno::IO),
            Cut::DuringSync(number) if is_sync && sync == number => Verdict::Last,
            Cut::AfterSync(number) if is_sync && sync == number => Verdict::LastAnswered,
            Cut::InWrite(number)
                if call == Call::Write && self.counts.writes - since.writes == number =>
            {
                Verdict::Last
            }
            Cut::AfterName(number) if is_name && self.counts.names - since.names == number => {
                Verdict::Last
            }
            _ => Verdict::Do,
        }
    }
}
