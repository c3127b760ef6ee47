//! Operations of a plugin's own at a later time: `@timer`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::time::{Duration, Instant};

use harness::{Daemon, PATIENCE, Setup, args, field, lab};
use pixelboy_protocol::{Code, Value};

/// What fired so far, oldest first.
fn fired(daemon: &Daemon) -> Vec<String> {
    let notes = fs::read_to_string(daemon.stored("happened.txt")).unwrap_or_default();
    let lines = notes.lines().filter_map(|line| line.strip_prefix("fired "));
    lines.map(str::to_owned).collect()
}

#[track_caller]
fn until_fired(daemon: &Daemon, what: &str) {
    let begun = Instant::now();
    while !fired(daemon).iter().any(|line| line == what) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what:?} did not fire, but {:?}",
            fired(daemon)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// For things that must not happen a time has to pass.
fn pass(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn a_timer_fires_once_when_its_time_has_come() {
    let mut daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    for durable in [false, true] {
        let id = format!("t{durable}");
        let begun = Instant::now();
        wire.call("set_timer", args![&*id, 400, "note", durable]);
        let what = format!("{id} note");
        until_fired(&daemon, &what);
        let after = begun.elapsed();
        assert!(after >= Duration::from_millis(395), "{after:?}");
        println!("400 ms took {after:?}");

        // Set anew it fires as it was set last; cancelled and refused ones do not.
        wire.call("set_timer", args![&*id, 100, "old", durable]);
        wire.call("set_timer", args![&*id, 300, "new", durable]);
        wire.call("set_timer", args!["cancelled", 200, "no", durable]);
        wire.call("cancel_timer", args!["cancelled"]);
        wire.call_failing("set_timer", args!["refused", 50, "no", durable, true]);
        until_fired(&daemon, &format!("{id} new"));
        pass(400);
    }
    wire.call("cancel_timer", args!["never set"]);
    // A durable one becomes one that is not.
    wire.call("set_timer", args!["both", 60_000, "durable", true]);
    wire.call("set_timer", args!["both", 60_000, "not", false]);
    wire.call("set_timer", args!["short-lived", 800, "no", false]);
    daemon.stop();
    daemon.boot();
    pass(1_000);
    assert_eq!(
        fired(&daemon),
        ["tfalse note", "tfalse new", "ttrue note", "ttrue new"]
    );
}

#[test]
fn a_durable_timer_fires_late_rather_than_never_and_once() {
    let mut daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    wire.call("set_timer", args!["soon", 700, "while it was off", true]);
    wire.call("set_timer", args!["later", 3_000, "after it", true]);
    let set = Instant::now();
    daemon.kill();
    pass(1_000);
    daemon.boot();
    until_fired(&daemon, "soon while it was off");
    until_fired(&daemon, "later after it");
    let after = set.elapsed();
    assert!(after >= Duration::from_millis(2_950), "{after:?}");
    daemon.stop();
    daemon.boot();
    pass(300);
    assert_eq!(fired(&daemon).len(), 2, "{:?}", fired(&daemon));
}

/// Firing, what the handler writes, and setting it again are one step: however often it is killed, no tick is lost or doubled.
#[test]
fn a_timer_that_sets_itself_ticks_on_through_crashes() {
    let mut daemon = Setup::new().actor().start();
    let ticks = 60;
    let payload = format!("down {ticks}");
    daemon
        .client()
        .call("set_timer", args!["clock", 0, payload, true]);
    let mut kills = 0;
    while fired(&daemon).len() <= ticks {
        let seen = fired(&daemon).len();
        let begun = Instant::now();
        // Killed in the midst of things, after some progress.
        while fired(&daemon).len() <= ticks && fired(&daemon).len() < seen + 7 {
            assert!(begun.elapsed() < PATIENCE, "it stands still at {seen}");
            pass(kills % 5);
        }
        daemon.kill();
        kills += 1;
        daemon.boot();
    }
    // The last one is done too.
    daemon.stop();
    daemon.boot();
    pass(300);
    let expected: Vec<String> = (0..=ticks)
        .rev()
        .map(|left| format!("clock down {left}"))
        .collect();
    assert_eq!(fired(&daemon), expected);
    println!("{kills} kills");
    assert!(kills > 3);
}

#[test]
fn a_handler_that_refuses_is_done_and_one_that_traps_is_tried_again() {
    let mut daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    wire.call("set_timer", args!["no", 0, "refuse", true]);
    wire.call("set_timer", args!["bad", 0, "trap", true]);
    daemon.wait_for_log(&["crashed as asked"]);
    wire.call("ss", args!["fixed.txt", "x"]);
    // A second later.
    until_fired(&daemon, "bad trap");
    pass(1_500);
    assert_eq!(fired(&daemon), ["bad trap"]);
    daemon.stop();
    daemon.boot();
    pass(500);
    assert_eq!(fired(&daemon), ["bad trap"], "both are done");
    // What is written by one that refuses is dropped; the log tells how often it was asked.
    assert_eq!(daemon.log().matches("refused as asked").count(), 1);
}

#[test]
fn a_durable_timer_waits_for_a_plugin_that_is_away() {
    let mut daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    wire.call("set_timer", args!["kept", 500, "here", true]);
    wire.call("set_timer", args!["lost", 500, "gone", false]);
    fs::remove_file(daemon.plugin("actor")).unwrap();
    daemon.wait_for_log(&["plugin removed"]);
    pass(800);
    let back = |daemon: &Daemon| {
        let bytes = fs::read(lab::actor()).unwrap();
        harness::daemon::put_whole(&daemon.plugin("actor"), &bytes);
    };
    back(&daemon);
    until_fired(&daemon, "kept here");
    // Also over a restart at which it is not there.
    wire.call("set_timer", args!["again", 300, "here", true]);
    daemon.stop();
    fs::remove_file(daemon.plugin("actor")).unwrap();
    daemon.boot();
    pass(600);
    back(&daemon);
    until_fired(&daemon, "again here");
    assert_eq!(fired(&daemon), ["kept here", "again here"]);
}

/// Its time comes while the plugin is busy, and what cancels it was asked for before.
#[test]
fn a_timer_that_was_cancelled_or_set_anew_before_its_turn_does_not_fire() {
    let daemon = Setup::new().actor().start();
    let (mut busy, mut wire) = (daemon.client(), daemon.client());
    // One client's operations would wait for each other, and line up behind the firing.
    let mut other = daemon.client();
    for durable in [false, true] {
        for id in ["cancelled", "anew"] {
            wire.call("set_timer", args![id, 700, "no", durable]);
        }
        let slow = busy.ask("slow", args![1_200_000_000_i64]);
        // Read, and so under way.
        pass(50);
        let cancel = wire.ask("cancel_timer", args!["cancelled"]);
        let anew = other.ask("set_timer", args!["anew", 600, "yes", durable]);
        let begun = Instant::now();
        busy.reply(slow);
        wire.reply(cancel);
        other.reply(anew);
        println!("busy for {:?}", begun.elapsed());
        until_fired(&daemon, "anew yes");
        pass(300);
        assert!(
            fired(&daemon).iter().all(|line| line == "anew yes"),
            "{:?}",
            fired(&daemon)
        );
    }
}

/// A guest that does not know an operation of its own is left alone: once, and nobody is troubled with it.
#[test]
fn a_firing_that_a_plugin_does_not_know_is_done() {
    let mut daemon = Setup::new()
        .plugin("deaf", &lab::deaf(), "allow = [\"timer\"]")
        .start();
    let calls = |daemon: &Daemon| {
        let status = daemon.client().call_one("status", args![]);
        let deaf = field(field(&status, "plugins"), "deaf").clone();
        (
            field(&deaf, "calls").clone(),
            field(&deaf, "failures").clone(),
        )
    };
    daemon.client().call("deaf", args![]);
    let begun = Instant::now();
    while calls(&daemon) != (Value::Int(2), Value::Int(0)) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", calls(&daemon));
        pass(10);
    }
    pass(1_500);
    assert_eq!(calls(&daemon), (Value::Int(2), Value::Int(0)));
    let loud = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let log = daemon.log();
    let told: Vec<&str> = log
        .lines()
        .filter(loud)
        .filter(|line| line.contains("deaf"))
        .collect();
    assert!(told.is_empty(), "{told:?}");
    daemon.stop();
    daemon.boot();
    pass(500);
    assert_eq!(calls(&daemon), (Value::Int(0), Value::Int(0)));
}

#[test]
fn a_plugin_may_set_so_many_timers_of_such_a_size() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    for n in 0..256 {
        wire.call("set_timer", args![format!("t{n}"), 600_000, "", false]);
        wire.confirm(wire.id.next_number - 1);
    }
    let failure = wire.call_failing("set_timer", args!["more", 1, "", false]);
    assert_eq!(failure.code, Code::TooLarge, "{failure}");
    wire.call("set_timer", args!["t0", 600_000, "again", false]);
    wire.call("cancel_timer", args!["t1"]);
    wire.call("set_timer", args!["more", 600_000, "", false]);
    for (id, payload, code) in [
        (String::new(), String::new(), Code::BadArguments),
        ("x".repeat(129), String::new(), Code::BadArguments),
        ("t0".to_owned(), "x".repeat(40_000), Code::TooLarge),
    ] {
        let failure = wire.call_failing("set_timer", args![id, 1, payload, true]);
        assert_eq!(failure.code, code, "{failure}");
    }
}
