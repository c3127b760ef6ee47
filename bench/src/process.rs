//! What the kernel counts of another process.

use std::fs;
use std::path::PathBuf;

use crate::Fault;

/// A process by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

/// Its memory, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// All that is resident.
    pub(crate) all: u64,
    /// Of its own: heap, stacks.
    pub(crate) anonymous: u64,
    /// Mapped files: the program, libraries, compiled plugins. The kernel may drop these.
    pub(crate) file: u64,
}

/// What it has done since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// utime + stime, in clock ticks of 10 ms.
    pub(crate) ticks: u64,
    /// On a CPU, by the scheduler's own clock.
    pub(crate) cpu_ns: u64,
    /// How often its threads gave the CPU up to wait, so how often they woke.
    pub(crate) voluntary_switches: u64,
}

impl Work {
    /// From `before` to this.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            ticks: self.ticks.saturating_sub(before.ticks),
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            voluntary_switches: self
                .voluntary_switches
                .saturating_sub(before.voluntary_switches),
        }
    }
}

impl Process {
    fn folder(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0))
    }

    /// Its memory now.
    pub(crate) fn memory(self) -> Result<Memory, Fault> {
        let status = fs::read_to_string(self.folder().join("status"))?;
        Ok(Memory {
            all: number(&status, "VmRSS")?,
            anonymous: number(&status, "RssAnon")?,
            file: number(&status, "RssFile")?,
        })
    }

    /// Bytes that it gave the system to write to disks, in whole pages, each time that it made a page dirty.
    pub(crate) fn written_bytes(self) -> Result<u64, Fault> {
        number(
            &fs::read_to_string(self.folder().join("io"))?,
            "write_bytes",
        )
    }

    /// Its work until now; threads that ended meanwhile count in `ticks` only.
    pub(crate) fn work(self) -> Result<Work, Fault> {
        let stat = fs::read_to_string(self.folder().join("stat"))?;
        // The name in parentheses may hold spaces; utime and stime are fields 14 and 15.
        let after_name = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest)
            .unwrap_or_default();
        let times = after_name.split_whitespace().skip(11).take(2);
        let mut work = Work {
            ticks: times
                .map(|ticks| ticks.parse::<u64>().unwrap_or_default())
                .sum(),
            ..Work::default()
        };
        for thread in fs::read_dir(self.folder().join("task"))? {
            let thread = thread?.path();
            let Ok(status) = fs::read_to_string(thread.join("status")) else {
                continue;
            };
            work.voluntary_switches += number(&status, "voluntary_ctxt_switches")?;
            let scheduled = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
            let on_cpu = scheduled.split_whitespace().next();
            work.cpu_ns += on_cpu
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or_default();
        }
        Ok(work)
    }
}

fn number(status: &str, name: &str) -> Result<u64, Fault> {
    let value = status.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        value.split_whitespace().next()?.parse().ok()
    });
    value.ok_or_else(|| format!("expected {name} in what /proc tells, found none").into())
}
