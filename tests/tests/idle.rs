//! A device on which nothing happens uses no power: no thread of the daemon wakes up to see whether there is something.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use harness::{Setup, args};

/// How often each thread went to sleep so far.
fn sleeps(pid: u32) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread = thread.unwrap().path();
        let read = |name: &str| fs::read_to_string(thread.join(name)).unwrap_or_default();
        let status = read("status");
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        if let Some(count) = count {
            let name = format!("{} {}", read("comm").trim(), thread.display());
            found.insert(name, count.trim().parse().unwrap());
        }
    }
    found
}

#[test]
fn an_idle_daemon_sleeps() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["notes.txt", "milk\n"]);
    drop(wire);
    let begun = Instant::now();
    loop {
        let before = sleeps(daemon.pid());
        std::thread::sleep(Duration::from_secs(5));
        let woken: Vec<(String, u64)> = sleeps(daemon.pid())
            .into_iter()
            .filter_map(|(name, after)| {
                let more = after - before.get(&name).copied().unwrap_or(0);
                (more > 0).then_some((name, more))
            })
            .collect();
        if woken.iter().map(|(_, more)| more).sum::<u64>() <= 3 {
            return;
        }
        // The session ends, the record is folded, the speaker closes; then there is nothing more.
        assert!(begun.elapsed() < Duration::from_secs(90), "{woken:?}");
    }
}
