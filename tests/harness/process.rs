//! What the kernel tells about a process.

use std::fs;
use std::time::Duration;

/// Memory of a process, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// `VmRSS`: all that is resident, mapped files too.
    pub resident_kib: u64,
    /// `RssAnon`: its own, without mapped files.
    pub own_kib: u64,
}

/// The memory of process `pid` now.
#[must_use]
pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {status}"))
    };
    Memory {
        resident_kib: kib("VmRSS:"),
        own_kib: kib("RssAnon:"),
    }
}

/// Processor time that process `pid` has used so far, in user and kernel mode.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in brackets may hold anything.
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // USER_HZ is 100 on every architecture of Linux that matters here.
    Duration::from_millis(ticks * 10)
}

/// Files, sockets and pipes that process `pid` has open.
#[must_use]
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Threads of process `pid`.
#[must_use]
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}
