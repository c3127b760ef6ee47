//! Hostile plugins: whatever a guest does, its call ends, its neighbour is served, and the host stays small.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::daemon::put_whole;
use harness::process::memory;
use harness::{Daemon, PATIENCE, Setup, Wire, args, field, lab, text_field};
use pixelboy_protocol::{Code, Outcome, Value};

/// What the plugin may use; small, so that the tests are quick.
const TABLE: &str = "allow = [\"store\", \"kv\", \"client\", \"timer\"]
limits = { cpu_ms = 500, wall_ms = 3000, memory_mib = 32 }";

/// By how much the host may grow while a guest does its worst: its memory of 32 MiB, what it may stage (16 MiB) and
/// reply (once as the guest's values, once as the host's), and the allocator's slack.
const MOST_GROWTH_KIB: u64 = 160 << 10;

/// A neighbour's call that takes longer means that it was held up by more than a busy machine.
const NEIGHBOUR_P99: Duration = Duration::from_millis(1500);

/// The plugin beside the hostile one, called all the time, and the host's memory, looked at all the time.
#[derive(Default)]
struct Watched {
    quit: AtomicBool,
    calls: Mutex<Vec<Duration>>,
    peak_kib: Mutex<u64>,
}

impl Watched {
    fn call_neighbour(&self, daemon: &Daemon) {
        let mut wire = daemon.client();
        while !self.quit.load(Ordering::Relaxed) {
            let begun = Instant::now();
            done(&mut wire, "version");
            self.calls.lock().unwrap().push(begun.elapsed());
        }
    }

    fn look_at_memory(&self, pid: u32) {
        while !self.quit.load(Ordering::Relaxed) {
            let now = memory(pid).resident_kib;
            let mut peak = self.peak_kib.lock().unwrap();
            *peak = (*peak).max(now);
            drop(peak);
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Calls and their p99 since the last time, and the memory's peak.
    fn take(&self) -> (usize, Duration, u64) {
        let mut calls = std::mem::take(&mut *self.calls.lock().unwrap());
        calls.sort();
        let p99 = calls.get(calls.len() * 99 / 100).copied();
        let peak = std::mem::take(&mut *self.peak_kib.lock().unwrap());
        (calls.len(), p99.unwrap_or_default(), peak)
    }
}

/// Ends the watching also where a test fails.
struct Quit<'a>(&'a AtomicBool);

impl Drop for Quit<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How a deed must end.
enum Ends {
    /// Refused with this code, and a message that has these words.
    With(Code, &'static str),
    /// Whichever limit it meets first: what it may stage, or its time.
    AtALimit,
    /// It may be done: nothing is wrong with it.
    Done,
}

#[test]
fn whatever_a_plugin_does_ends_and_hurts_nobody_else() {
    use Ends::{AtALimit, Done, With};
    let deeds = [
        ("endless", 0, With(Code::PluginLimit, "CPU time")),
        ("bomb", 0, With(Code::PluginCrashed, "its limit is 32 MiB")),
        ("recurse", 0, With(Code::PluginCrashed, "")),
        ("trap", 0, With(Code::PluginCrashed, "")),
        ("huge_reply", 12 << 20, Done),
        ("many_values", 400_000, With(Code::PluginCrashed, "values")),
        ("cycle", 0, With(Code::PluginCrashed, "")),
        ("own_child", 0, With(Code::PluginCrashed, "used twice")),
        ("two_parents", 0, With(Code::PluginCrashed, "used twice")),
        (
            "out_of_range",
            0,
            With(Code::PluginCrashed, "node 4000000000"),
        ),
        ("deep", 100, With(Code::PluginCrashed, "nested deeper")),
        ("deep", 200_000, With(Code::PluginCrashed, "nested deeper")),
        ("flood_files", 0, AtALimit),
        ("flood_bytes", i64::MAX, With(Code::PluginLimit, "")),
        ("flood_kv", 0, AtALimit),
        ("flood_deletes", 0, AtALimit),
        ("flood_timers", 0, With(Code::TooLarge, "256 timers")),
        ("one_timer", 0, AtALimit),
        ("flood_cancels", 0, AtALimit),
        ("flood_pushes", 0, With(Code::TooLarge, "64 effects")),
        ("handles", 0, With(Code::PluginCrashed, "")),
        ("outside", 0, Done),
        ("slow_host", 0, With(Code::PluginLimit, "")),
        ("slow_store", 0, With(Code::PluginLimit, "")),
        // The last one: it hides what others log.
        ("flood_log", 0, With(Code::PluginLimit, "")),
    ];
    let daemon = Setup::new()
        .lab()
        .plugin("hostile", &lab::hostile(), TABLE)
        .start();
    let mut wire = daemon.client();
    // What every plugin's first call takes is no growth.
    wire.call("fine", args![]);
    wire.call("version", args![]);
    wire.call("ls", args![]);
    let watched = Watched::default();
    let before_kib = memory(daemon.pid()).resident_kib;
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let _quit = Quit(&watched.quit);
        scope.spawn(|| watched.call_neighbour(&daemon));
        scope.spawn(|| watched.look_at_memory(daemon.pid()));
        for (op, n, ends) in deeds {
            watched.take();
            let began = Instant::now();
            let reply = wire.call_reply(op, args![n]);
            wire.confirmed = reply.number;
            let took = began.elapsed();
            // A neighbour that was held up answers now.
            let more = Instant::now();
            while watched.calls.lock().unwrap().len() < 100 && more.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
            }
            let (calls, p99, peak_kib) = watched.take();
            let growth_kib = peak_kib.saturating_sub(before_kib);
            let told = match &reply.outcome {
                Outcome::Done(_) => "done".to_owned(),
                Outcome::Failed(failure) => failure.to_string(),
            };
            println!(
                "{op} {n}: {told}\n    after {took:?}; the neighbour answered {calls} calls, p99 {p99:?}; the host grew by {} MiB",
                growth_kib >> 10
            );
            let as_expected = match (&reply.outcome, ends) {
                (Outcome::Done(values), Done) => op != "outside" || *values == args![true],
                (Outcome::Failed(failure), With(code, words)) => {
                    failure.code == code && failure.message.contains(words)
                }
                (Outcome::Failed(failure), AtALimit) => {
                    [Code::TooLarge, Code::PluginLimit].contains(&failure.code)
                }
                _ => false,
            };
            let begun = format!("begun {op}");
            let ran = daemon.log().lines().any(|line| line.contains(&begun));
            if !(as_expected && ran) || p99 > NEIGHBOUR_P99 || growth_kib > MOST_GROWTH_KIB {
                wrong.push((op, told, ran, p99, growth_kib));
            }
            // The plugin itself serves on, and is forgiven.
            done(&mut wire, "fine");
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Nothing of all that was stored.
    assert!(!daemon.stored("flood").exists() && !daemon.stored("flood.bin").exists());
    daemon.assert_no_stack_trace();
}

/// An opcode without arguments, its reply confirmed.
#[track_caller]
fn done(wire: &mut Wire, op: &str) -> Vec<Value> {
    let reply = wire.call_reply(op, args![]);
    wire.confirmed = reply.number;
    match reply.outcome {
        Outcome::Done(values) => values,
        Outcome::Failed(failure) => panic!("{op}: {failure}"),
    }
}

/// Why the host does not take the file of these bytes.
#[track_caller]
fn wait_for_reason(wire: &mut Wire, sha256: &str) -> String {
    let begun = Instant::now();
    loop {
        let status = done(wire, "status").remove(0);
        let newer = field(field(field(&status, "plugins"), "hostile"), "newer");
        if newer != &Value::Null && newer.get("sha256") == Some(&sha256.into()) {
            return text_field(newer, "reason").to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "it is not refused: {status:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The built file with all places of one text changed.
fn patched(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(lab::hostile()).unwrap();
    let mut places = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            places += 1;
        }
    }
    assert!(places > 0, "{from:?} is not in the file");
    bytes
}

#[test]
fn a_hostile_file_is_refused_with_its_reason_while_the_one_before_serves() {
    let mut garbage = b"\0asm\x0d\0\x01\0".to_vec();
    garbage.extend((0..60u64 << 20).map(|n| (n.wrapping_mul(n) >> 7) as u8));
    let files = [
        (garbage, ""),
        (
            patched("mood: calm", "mood: spin"),
            "`describe` failed: it ran longer",
        ),
        (patched("mood: calm", "mood: trap"), "`describe` failed"),
        (patched("mood: calm", "mood: bomb"), "its limit is 32 MiB"),
        (
            patched("mood: calm", "mood: host"),
            "not to be called in `describe`",
        ),
        (patched("mood: calm", "mood: many"), "opcodes"),
        (patched("out_of_range", "OUT OF RANGE"), "OUT OF RANGE"),
        (patched("two_parents", "own_child\0\0"), "own_child"),
        (patched("plugin/timer@", "plugin/laser@"), "laser"),
    ];
    let daemon = Setup::new()
        .lab()
        .plugin("hostile", &lab::hostile(), TABLE)
        .start();
    let mut wire = daemon.client();
    wire.call("fine", args![]);
    let watched = Watched::default();
    let before_kib = memory(daemon.pid()).resident_kib;
    std::thread::scope(|scope| {
        let _quit = Quit(&watched.quit);
        scope.spawn(|| watched.call_neighbour(&daemon));
        scope.spawn(|| watched.look_at_memory(daemon.pid()));
        // One that is too large is not even read, so that it has no digest.
        let large = daemon.plugin("hostile").with_extension("large");
        fs::File::create(&large)
            .unwrap()
            .set_len(100 << 20)
            .unwrap();
        fs::rename(&large, daemon.plugin("hostile")).unwrap();
        daemon.wait_for_log(&["hostile", "the file has 100 MiB, at most 64 MiB"]);
        done(&mut wire, "fine");
        for (bytes, words) in files {
            watched.take();
            put_whole(&daemon.plugin("hostile"), &bytes);
            let reason = wait_for_reason(&mut wire, &harness::sha256_hex(&bytes));
            assert!(reason.contains(words), "no {words:?} in {reason:?}");
            let (calls, p99, peak_kib) = watched.take();
            let growth_kib = peak_kib.saturating_sub(before_kib);
            println!(
                "{}\n    the neighbour answered {calls} calls, p99 {p99:?}; the host grew by {} MiB",
                reason.lines().next().unwrap_or_default(),
                growth_kib >> 10
            );
            assert!(p99 < NEIGHBOUR_P99, "{p99:?}");
            assert!(growth_kib < MOST_GROWTH_KIB, "{growth_kib} KiB");
            done(&mut wire, "fine");
        }
    });
    daemon.assert_no_stack_trace();
}
