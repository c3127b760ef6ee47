//! Limits of plugins: one that crashes, floods the log or is wanted by too many hurts nobody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::{PATIENCE, Setup, args, lab};
use pixelboy_protocol::{Code, Outcome};

#[test]
fn a_plugin_that_crashes_again_and_again_rests_and_comes_back() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    wire.call("version", args![]);
    for _ in 0..5 {
        let failure = wire.call_failing("crashed_note", args!["a.txt", "x"]);
        assert_eq!(failure.code, Code::PluginCrashed, "{failure:?}");
    }
    let failure = wire.call_failing("version", args![]);
    assert_eq!(failure.code, Code::PluginUnavailable, "{failure:?}");
    assert!(
        failure
            .message
            .starts_with("the plugin lab crashed 5 times in a row and rests for "),
        "{failure:?}"
    );
    // Others are served.
    wire.call("ls", args![]);
    let begun = Instant::now();
    loop {
        let reply = wire.call_reply("version", args![]);
        wire.confirmed = reply.number;
        match reply.outcome {
            Outcome::Done(_) => break,
            now => assert!(begun.elapsed() < PATIENCE, "it rests on: {now:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // All is forgiven: four more are not in a row with the five before.
    for _ in 0..4 {
        wire.call_failing("crashed_note", args!["a.txt", "x"]);
    }
    wire.call("version", args![]);
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    wire.call("chatter", args![5000_i64]);
    std::thread::sleep(Duration::from_millis(200));
    wire.call("chatter", args![1_i64]);
    daemon.wait_for_log(&["it logs too much; lines were left out"]);
    let lines = daemon
        .log()
        .lines()
        .filter(|line| line.contains("plugin=\"lab\"") && line.contains(" line "))
        .count();
    assert!(
        (200..1000).contains(&lines),
        "{lines} of 5001 lines were written"
    );
}

#[test]
fn who_finds_the_queue_full_is_told_so_at_once() {
    let table = "allow = [\"store\"]\nlimits = { cpu_ms = 60000, wall_ms = 60000, queue = 1 }";
    let daemon = Setup::new().plugin("lab", &lab::built(), table).start();
    let mut first = daemon.client();
    let long = Duration::from_secs(3);
    let rounds = lab::rounds_for(&mut first, long);
    let mut second = daemon.client();
    let mut third = daemon.client();
    let busy = first.ask("spin", args![rounds]);
    let waiting = second.ask("spin", args![rounds]);
    // Both are taken in before the third asks; else one of them would be refused.
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    let failure = third.call_failing("version", args![]);
    assert_eq!(failure.code, Code::Busy, "{failure:?}");
    assert!(begun.elapsed() < long, "{:?}", begun.elapsed());
    for (wire, number) in [(&mut first, busy), (&mut second, waiting)] {
        assert!(matches!(wire.reply(number).outcome, Outcome::Done(_)));
    }
    third.call("version", args![]);
}
