//! Reload: plugins and settings change under a running daemon, and no call notices but by its answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::daemon::put_whole;
use harness::{Daemon, PATIENCE, Setup, Wire, args, field, lab, text_field};
use pixelboy_protocol::{Code, Frame, Outcome, Value};

const LAB: &str = "[plugins.lab]\nfile = \"lab.wasm\"\nallow = [\"store\"]\n";

/// Waits until `version` answers as this variant does.
#[track_caller]
fn wait_for_version(wire: &mut Wire, letter: char) {
    let begun = Instant::now();
    loop {
        let reply = wire.call_reply("version", args![]);
        wire.confirmed = reply.number;
        match reply.outcome {
            Outcome::Done(values) if values == args![lab::answer(letter)] => return,
            now => assert!(
                begun.elapsed() < PATIENCE,
                "version {letter} did not come, there is still {now:?}"
            ),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The digest that the next `TableChanged` brings.
#[track_caller]
fn table_changed(wire: &mut Wire) -> [u8; 16] {
    wire.wait("TableChanged", |frame| match frame {
        Frame::TableChanged(changed) => Some(changed.digest),
        _ => None,
    })
}

fn has_op(wire: &mut Wire, op: &str) -> bool {
    wire.table().0.iter().any(|entry| entry.op == op)
}

#[test]
fn a_plugin_dropped_in_and_named_serves_without_a_restart() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let (pid, first) = (daemon.pid(), wire.welcome().table);
    // The file alone is not enabled; the log has the lines to paste.
    put_whole(&daemon.plugin("lab"), &lab::variant('A'));
    daemon.wait_for_log(&["plugin lab.wasm not enabled"]);
    let log = daemon.log();
    assert!(
        log.contains("\n[plugins.lab]\nfile = \"lab.wasm\"\nallow = []\n"),
        "no lines to paste: {log}"
    );
    assert_eq!(wire.call_failing("version", args![]).code, Code::UnknownOp);

    daemon.write_config(&format!("{}{LAB}", daemon.setup().config()));
    let digest = table_changed(&mut wire);
    assert_ne!(digest, first);
    let (table, now) = wire.table();
    assert_eq!(now, digest);
    let entry = table.iter().find(|entry| entry.op == "slow_note").unwrap();
    assert_eq!(entry.parameters(), "(path: text, text: data, rounds: int)");
    assert_eq!(entry.plugin, "lab");
    assert_eq!(
        wire.call_one("version", args![]),
        Value::from(lab::answer('A'))
    );
    wire.call("slow_note", args!["lab.txt", "it writes", 1]);
    assert_eq!(daemon.on_disk("lab.txt"), b"it writes");
    let status = wire.call_one("status", args![]);
    assert!(!text_field(field(field(&status, "plugins"), "lab"), "version").is_empty());

    // Gone from config.toml it is gone from the table; named again it is back.
    daemon.write_config(&daemon.setup().config());
    assert_eq!(
        table_changed(&mut wire),
        first,
        "the table is the first one again"
    );
    assert_eq!(wire.call_failing("version", args![]).code, Code::UnknownOp);
    daemon.write_config(&format!("{}{LAB}", daemon.setup().config()));
    assert_eq!(table_changed(&mut wire), digest);
    // So is a file that is deleted and comes back.
    fs::remove_file(daemon.plugin("lab")).unwrap();
    assert_eq!(table_changed(&mut wire), first);
    assert!(!has_op(&mut wire, "version"));
    put_whole(&daemon.plugin("lab"), &lab::variant('B'));
    assert_eq!(
        table_changed(&mut wire),
        digest,
        "the same opcodes, the same digest"
    );
    wait_for_version(&mut wire, 'B');
    assert_eq!(daemon.pid(), pid);
    assert!(
        fs::exists(format!("/proc/{pid}")).unwrap(),
        "it was never restarted"
    );
}

/// The promise of the product: twenty swaps under load, and no call fails or is answered by neither version.
#[test]
fn twenty_swaps_under_load_fail_no_call() {
    let daemon = Setup::new().lab().start();
    let (quit, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut wire = daemon.client();
                    let mut after_slow = 0;
                    while !quit.load(Ordering::Relaxed) {
                        let reply = wire.call_reply("version", args![]);
                        wire.confirmed = reply.number;
                        match reply.outcome {
                            Outcome::Done(values) => {
                                let text = values[0].as_text().unwrap();
                                assert!(text.starts_with("lab version "), "{text}");
                            }
                            Outcome::Failed(failure) => {
                                panic!("a call failed during a swap: {failure:?}")
                            }
                        }
                        after_slow += 1;
                        if after_slow % 50 == 0 {
                            // One that is in flight during a swap ends on the version it began with.
                            wire.call("slow_note", args!["lab.txt", "x", 2_000_000]);
                        }
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut wire = daemon.client();
        let mut slowest = Duration::ZERO;
        for swap in 0..20u8 {
            // Five files nobody has compiled before, then the same ones again.
            let letter = char::from(b'B' + swap % 5);
            put_whole(&daemon.plugin("lab"), &lab::variant(letter));
            let begun = Instant::now();
            wait_for_version(&mut wire, letter);
            slowest = slowest.max(begun.elapsed());
            assert!(
                callers.iter().all(|caller| !caller.is_finished()),
                "a caller gave up"
            );
        }
        quit.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
        println!(
            "20 swaps during {} calls; the slowest took {slowest:?}",
            calls.load(Ordering::Relaxed)
        );
    });
    assert!(calls.load(Ordering::Relaxed) > 100);
    daemon.assert_no_stack_trace();
}

#[test]
fn a_broken_file_leaves_the_old_version_serving_and_the_log_says_why() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let whole = lab::variant('A');
    let mut damaged = whole.clone();
    for byte in &mut damaged[whole.len() / 2..] {
        *byte ^= 0xA5;
    }
    let mut other_kind = b"\0asm\x0d\0\x01\0".to_vec();
    other_kind.extend([0; 100]);
    let cases: [(&str, &[u8], &[&str]); 6] = [
        ("text", b"this is no plugin", &["not WebAssembly"]),
        ("nothing", b"", &["not WebAssembly", "0 bytes"]),
        ("a truncated copy", &whole[..whole.len() / 3], &[]),
        ("damage", &damaged, &[]),
        ("an empty component", &other_kind, &[]),
        ("an empty module", b"\0asm\x01\0\0\0", &[]),
    ];
    for (at, (what, bytes, words)) in cases.into_iter().enumerate() {
        let from = daemon.log().len();
        put_whole(&daemon.plugin("lab"), bytes);
        let begun = Instant::now();
        let line = loop {
            let log = daemon.log();
            let refusal = log[from..]
                .lines()
                .find(|line| line.contains("lab") && line.contains("not taken in"));
            if let Some(line) = refusal {
                break line.to_owned();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: no word about it in the log"
            );
            wire.call("version", args![]);
            std::thread::sleep(Duration::from_millis(10));
        };
        println!("{what}: {line}");
        assert!(line.contains("serves on"), "{what}: {line}");
        for word in words {
            assert!(line.contains(word), "{what}: no {word:?} in {line}");
        }
        assert_eq!(
            wire.call_one("version", args![]),
            Value::from(lab::answer('A')),
            "{what}"
        );
        if at == 2 {
            // What follows a broken one is taken in; and the old one again.
            put_whole(&daemon.plugin("lab"), &lab::variant('B'));
            wait_for_version(&mut wire, 'B');
            put_whole(&daemon.plugin("lab"), &whole);
            wait_for_version(&mut wire, 'A');
        }
    }
    daemon.assert_no_stack_trace();
}

/// Copied slowly and in place, as `cp` over a network does it: the half that lies there is not taken for a plugin.
#[test]
fn a_file_that_is_copied_slowly_is_taken_when_it_is_whole() {
    use std::io::Write as _;
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let bytes = lab::variant('C');
    let mut file = fs::File::create(daemon.plugin("lab")).unwrap();
    for part in bytes.chunks(bytes.len() / 25) {
        file.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(40));
        let now = wire.call_one("version", args![]);
        assert!([lab::answer('A'), lab::answer('C')].contains(&now.as_text().unwrap().to_owned()));
    }
    drop(file);
    wait_for_version(&mut wire, 'C');
    let log = daemon.log();
    let early: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("not taken in"))
        .collect();
    assert!(early.is_empty(), "it looked at half a file: {early:?}");
}

#[test]
fn two_plugins_that_claim_one_opcode_are_both_named_and_the_first_serves_on() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let before = wire.table();
    put_whole(&daemon.plugin("twin"), &lab::variant('T'));
    let twin = "[plugins.twin]\nfile = \"twin.wasm\"\nallow = [\"store\"]\n";
    daemon.write_config(&format!("{}{twin}", daemon.setup().config()));
    let line = daemon.wait_for_log(&["twin", "not taken in"]);
    assert!(line.contains("lab"), "the other one is not named: {line}");
    let clashing = [
        "version",
        "spin",
        "slow_note",
        "refused_note",
        "crashed_note",
    ];
    assert!(
        clashing.iter().any(|op| line.contains(op)),
        "no opcode is named: {line}"
    );
    assert_eq!(
        wire.call_one("version", args![]),
        Value::from(lab::answer('A'))
    );
    assert_eq!(wire.table(), before);
    // When the first one goes, as a person would make it go, the second serves: nothing of its own has changed.
    let config = daemon.setup().config();
    let (others, _) = config.split_once("[plugins.lab]").unwrap();
    daemon.write_config(&format!("{others}{twin}"));
    wait_for_version_or_none(&mut wire, 'T');
}

/// As [`wait_for_version`], where there may be none for a moment.
#[track_caller]
fn wait_for_version_or_none(wire: &mut Wire, letter: char) {
    let begun = Instant::now();
    loop {
        let outcome = wire.call_reply("version", args![]).outcome;
        if outcome == Outcome::Done(args![lab::answer(letter)]) {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "version {letter} did not come, there is {outcome:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_not_granted_is_refused_with_the_line_to_add() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    put_whole(&daemon.plugin("lab"), &lab::variant('A'));
    let bare = "[plugins.lab]\nfile = \"lab.wasm\"\n";
    daemon.write_config(&format!("{}{bare}", daemon.setup().config()));
    daemon.wait_for_log(&["lab", "store", "not granted", "[plugins.lab]"]);
    daemon.wait_for_log(&["allow = ["]);
    assert!(
        daemon.log().contains("\nallow = [\"store\"]\n"),
        "no line to paste: {}",
        daemon.log()
    );
    assert_eq!(wire.call_failing("version", args![]).code, Code::UnknownOp);
    daemon.write_config(&format!("{}{LAB}", daemon.setup().config()));
    table_changed(&mut wire);
    wire.call("slow_note", args!["lab.txt", "granted", 1]);

    // A grant that is taken away from a plugin that serves: the one that serves goes on, and the log says so.
    let less = daemon
        .setup()
        .config()
        .replace("[\"store\", \"probe\"]", "[\"store\"]");
    assert_ne!(less, daemon.setup().config());
    daemon.write_config(&format!("{less}{LAB}"));
    daemon.wait_for_log(&["store-media", "probe", "not granted"]);
    daemon.wait_for_log(&["allow = [\"store\", \"probe\"]"]);
    wire.call("si", args![harness::media("logo.png"), "logo.png"]);
}

#[test]
fn an_edited_config_takes_effect_and_a_broken_one_changes_nothing() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let good = daemon.setup().config();
    for (broken, words) in [
        ("[plugins.lab\n", &["config.toml"][..]),
        (
            "[plugins.lab]\nfile = \"../lab.wasm\"\n",
            &["plugins folder"],
        ),
        (
            "[plugins.lab]\nfile = \"lab.wasm\"\nallow = [\"everything\"]\n",
            &["everything", "store"],
        ),
        ("[host]\nport = 1\n", &["port"]),
    ] {
        let from = daemon.log().len();
        daemon.write_config(broken);
        let begun = Instant::now();
        loop {
            let log = daemon.log();
            if words.iter().all(|word| log[from..].contains(word)) && log[from..].contains("WARN") {
                break;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{broken:?}: nothing in the log: {}",
                &log[from..]
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(
            wire.call_one("version", args![]),
            Value::from(lab::answer('A')),
            "{broken:?}"
        );
        wire.call("ls", args![]);
    }
    // Less time for the same plugin: a new limit counts from the next call on.
    let strict = good.replace("cpu_ms = 60000", "cpu_ms = 50");
    assert_ne!(strict, good);
    daemon.write_config(&strict);
    let begun = Instant::now();
    loop {
        match wire.call_reply("spin", args![1_000_000_000]).outcome {
            Outcome::Failed(failure) => {
                assert_eq!(failure.code, Code::PluginLimit, "{failure}");
                break;
            }
            Outcome::Done(_) => assert!(begun.elapsed() < PATIENCE, "the new limit does not count"),
        }
    }
    assert_eq!(
        wire.call_one("version", args![]),
        Value::from(lab::answer('A')),
        "it serves on"
    );
}

/// What was stored with one version is there for the next one, and a swap ends nobody's session.
#[test]
fn sessions_records_and_files_outlive_a_swap() {
    let daemon: Daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    wire.call("srto", args![77]);
    let request = wire.request("slow_note", args!["lab.txt", "A\n", 1]);
    wire.exchange(request.clone());
    put_whole(&daemon.plugin("lab"), &lab::variant('B'));
    wait_for_version(&mut wire, 'B');
    wire.call("slow_note", args!["lab.txt", "B\n", 1]);
    let status = wire.call_one("status", args![]);
    assert_eq!(field(&status, "receive_timeout_s"), &Value::Float(77.0));
    wire.confirmed = 0;
    let mut id = wire.break_off();
    id.lowest_unconfirmed = 1;
    let mut wire = daemon.client_again(&id);
    let again = wire.exchange(request);
    let confirmed = matches!(&again.outcome, Outcome::Failed(failure) if failure.code == Code::AlreadyConfirmed);
    assert!(again.recorded || confirmed, "{again:?}");
    assert_eq!(daemon.on_disk("lab.txt"), b"A\nB\n");
}

#[test]
fn a_restart_finds_the_plugins_as_they_were_and_compiles_nothing_again() {
    let mut daemon = Setup::new().lab().start();
    put_whole(&daemon.plugin("lab"), &lab::variant('B'));
    wait_for_version(&mut daemon.client(), 'B');
    daemon.kill();
    let begun = Instant::now();
    daemon.boot();
    println!(
        "a start with four compiled plugins took {:?}",
        begun.elapsed()
    );
    wait_for_version(&mut daemon.client(), 'B');
    // A damaged file of the cache costs time, no more.
    daemon.kill();
    let mut damaged = 0;
    for entry in fs::read_dir(daemon.path("data/cache")).unwrap().flatten() {
        if entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "cwasm")
        {
            let mut bytes = fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(entry.path(), bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged >= 4);
    daemon.boot();
    let mut wire = daemon.client();
    wait_for_version(&mut wire, 'B');
    wire.call("ss", args!["a.txt", "works"]);
}

/// A version that traps before it has committed anything goes back by itself.
#[test]
fn a_version_that_only_crashes_is_rolled_back() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    put_whole(&daemon.plugin("lab"), &lab::variant('X'));
    let (begun, mut crashes) = (Instant::now(), 0);
    loop {
        let reply = wire.call_reply("version", args![]);
        wire.confirmed = reply.number;
        match reply.outcome {
            Outcome::Failed(failure) => {
                assert_eq!(failure.code, Code::PluginCrashed, "{failure}");
                crashes += 1;
            }
            Outcome::Done(values) => {
                assert_eq!(values, args![lab::answer('A')]);
                if crashes > 0 {
                    break;
                }
            }
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{crashes} crashes, and it was not rolled back"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("rolled back after {crashes} crashes");
    daemon.wait_for_log(&["lab", "roll"]);
    wire.call("slow_note", args!["lab.txt", "works", 1]);
    // A better one is taken in.
    put_whole(&daemon.plugin("lab"), &lab::variant('B'));
    wait_for_version(&mut wire, 'B');
}
