//! Nobody hears or sees of anything before it is on disk: with a disk whose syncs take seconds, or fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::sync::Syncs;
use harness::{Daemon, Setup, Wire, args, media, panel, process};
use pixelboy_protocol::{Cancel, Code, Failure, Frame, Goodbye, Outcome, Ping, Reply, Value};

/// How long a sync takes here.
const SYNC: Duration = Duration::from_millis(1_500);

/// Much less.
const SOON: Duration = Duration::from_millis(500);

fn slow(setup: Setup) -> Daemon {
    let daemon = setup.told_syncs().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "first\n"]);
    wire.send(Goodbye {});
    wire.closed_with(Code::Closed);
    daemon.syncs(Syncs::Slow(SYNC));
    daemon
}

#[track_caller]
fn done(reply: &Reply) -> &[Value] {
    match &reply.outcome {
        Outcome::Done(values) => values,
        Outcome::Failed(failure) => panic!("{failure:?}"),
    }
}

#[track_caller]
fn failed(reply: &Reply) -> &Failure {
    match &reply.outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Done(values) => panic!("succeeded: {values:?}"),
    }
}

/// Sends a request whose commit then waits for the disk.
#[track_caller]
fn begin(daemon: &Daemon, wire: &mut Wire, op: &str, args: Vec<Value>) -> u64 {
    let before = daemon.slow_syncs();
    let number = wire.ask(op, args);
    daemon.wait_for_slow_sync(before);
    number
}

#[track_caller]
fn read_so_far(wire: &mut Wire) {
    wire.send(Ping { token: 1 });
    wire.wait("Pong", |frame| {
        matches!(frame, Frame::Pong(_)).then_some(())
    });
}

/// The test's own disk: a sync takes as long as it should.
#[test]
fn a_write_is_answered_when_its_sync_is_over() {
    let daemon = slow(Setup::new());
    let mut wire = daemon.client();
    let begun = Instant::now();
    let number = wire.ask("ss", args!["log.txt", "slow\n"]);
    let early = wire.try_reply(number, SOON);
    assert!(early.is_err() || begun.elapsed() >= SYNC, "answered before");
    if early.is_ok() {
        return;
    }
    done(&wire.reply(number));
    assert!(begun.elapsed() >= SYNC, "{:?}", begun.elapsed());
    // What needs no disk does not wait for it.
    let mut other = daemon.client();
    let begun = Instant::now();
    let number = begin(&daemon, &mut wire, "ss", args!["log.txt", "slow\n"]);
    other.call("srto", args![5]);
    other.table();
    let took = begun.elapsed();
    done(&wire.reply(number));
    assert!(took < begun.elapsed(), "{took:?}");
    assert!(took < SYNC || begun.elapsed() > SYNC * 2, "{took:?}");
}

#[test]
fn operations_go_on_while_a_sync_is_under_way_and_see_what_waits_for_it() {
    let daemon = slow(Setup::new());
    let mut wire = daemon.client();
    let begun = Instant::now();
    let appends: Vec<u64> = (0..20)
        .map(|n| wire.ask("ss", args!["log.txt", format!("{n}\n")]))
        .collect();
    let seen = wire.ask("get", args!["log.txt"]);
    for number in appends {
        done(&wire.reply(number));
    }
    let reply = wire.reply(seen);
    let took = begun.elapsed();
    let expected: String = (0..20).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        done(&reply)[0],
        Value::Bytes(format!("first\n{expected}").into_bytes())
    );
    // One sync for the first, one or two for those that came meanwhile.
    assert!(took < SYNC * 5, "20 appends took {took:?}");
}

#[test]
fn a_reader_is_answered_when_what_it_saw_is_on_disk() {
    let daemon = slow(Setup::new());
    let mut writer = daemon.client();
    let mut reader = daemon.client();
    writer.call("ss", args!["going.txt", "x"]);
    let cases = [
        ("ss", args!["log.txt", "new\n"], "get", args!["log.txt"]),
        ("del", args!["going.txt"], "stat", args!["going.txt"]),
        ("ss", args!["coming.txt", "x"], "ls", args![]),
    ];
    for (write, with, read, of) in cases {
        let begun = Instant::now();
        let written = begin(&daemon, &mut writer, write, with);
        let asked = reader.ask(read, of);
        let early = reader.try_reply(asked, SOON);
        assert!(
            early.is_err() || begun.elapsed() >= SYNC,
            "told of what is not on disk: {early:?}"
        );
        let seen = early.unwrap_or_else(|_| reader.reply(asked));
        match read {
            "get" => assert_eq!(done(&seen)[0], Value::Bytes(b"first\nnew\n".to_vec())),
            "stat" => assert_eq!(failed(&seen).code, Code::NotFound, "a refusal waits too"),
            _ => assert!(format!("{seen:?}").contains("coming.txt"), "{seen:?}"),
        }
        done(&writer.reply(written));
    }
}

#[test]
fn a_picture_is_shown_when_it_and_all_that_was_seen_are_on_disk() {
    let daemon = slow(Setup::new().panel(16, 16));
    let mut wire = daemon.client();
    let mut other = daemon.client();
    let begun = Instant::now();
    let store = begin(
        &daemon,
        &mut wire,
        "si",
        args![media("logo.png"), "logo.png"],
    );
    let show = other.ask("ri", args!["logo.png"]);
    let before = panel::all(&daemon.panel()).len();
    let early = other.try_reply(show, SOON);
    let frames = panel::all(&daemon.panel()).len();
    // On a very busy machine the sync may be over by now.
    if begun.elapsed() < SYNC {
        assert!(early.is_err(), "said to be shown: {early:?}");
        assert_eq!(frames, before, "shown before it was stored");
    }
    done(&early.unwrap_or_else(|_| other.reply(show)));
    assert!(panel::all(&daemon.panel()).len() > before, "not shown");
    done(&wire.reply(store));
}

/// Their commit has begun: the real reply comes.
#[test]
fn what_waits_for_its_sync_can_neither_be_cancelled_nor_run_out_of_time() {
    let daemon = slow(Setup::new());
    let mut wire = daemon.client();
    let number = begin(&daemon, &mut wire, "ss", args!["log.txt", "cancelled\n"]);
    wire.send(Cancel { number });
    let reply = wire.reply(number);
    done(&reply);
    assert!(reply.stored.is_some());
    let mut timed = wire.request("ss", args!["log.txt", "timed\n"]);
    timed.deadline_ms = Some(700);
    let begun = Instant::now();
    let reply = wire.exchange(timed);
    done(&reply);
    assert!(begun.elapsed() >= SYNC, "{:?}", begun.elapsed());
    assert_eq!(daemon.on_disk("log.txt"), b"first\ncancelled\ntimed\n");
}

#[test]
fn goodbye_and_cc_wait_for_what_began_to_commit() {
    let mut daemon = slow(Setup::new());
    for last in ["goodbye\n", "cc\n"] {
        let mut wire = daemon.client();
        let begun = Instant::now();
        begin(&daemon, &mut wire, "ss", args!["log.txt", last]);
        if last == "cc\n" {
            wire.ask("cc", args![]);
        } else {
            wire.send(Goodbye {});
        }
        wire.closed_with(Code::Closed);
        assert!(begun.elapsed() >= SYNC, "it did not wait");
    }
    daemon.kill();
    daemon.syncs(Syncs::Usual);
    daemon.boot();
    assert_eq!(daemon.on_disk("log.txt"), b"first\ngoodbye\ncc\n");
}

/// Whatever the host had done of them when it died: committed and waiting for the disk, running, waiting for their turn.
#[test]
fn what_was_under_way_when_the_host_died_happens_once_when_it_is_sent_again() {
    let mut daemon = slow(Setup::new().lab());
    for round in 0..4 {
        daemon.syncs(Syncs::Slow(SYNC));
        let mut wire = daemon.client();
        let path = format!("log-{round}.txt");
        let requests = [
            wire.request("ss", args![path.as_str(), "committed\n"]),
            wire.request("ss", args![path.as_str(), "committed too\n"]),
            wire.request("slow_note", args![path.as_str(), "running\n", 200_000_000]),
            wire.request("ss", args![path.as_str(), "waiting\n"]),
        ];
        // In every round one less has been read.
        requests.iter().take(4 - round).for_each(|request| {
            wire.send(request.clone());
        });
        read_so_far(&mut wire);
        std::thread::sleep(Duration::from_millis(150));
        daemon.kill();
        daemon.syncs(Syncs::Usual);
        daemon.boot();
        let mut wire = daemon.client_again(&wire.id);
        for request in &requests {
            wire.send(request.clone());
        }
        for request in &requests {
            done(&wire.reply(request.number));
        }
        assert_eq!(
            String::from_utf8(daemon.on_disk(&path)).unwrap(),
            "committed\ncommitted too\nrunning\nwaiting\n",
            "round {round}"
        );
    }
}

#[test]
fn after_a_failed_sync_nothing_is_claimed_and_writes_wait_for_a_restart() {
    let mut daemon = slow(Setup::new().panel(16, 16));
    daemon.syncs(Syncs::Usual);
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    wire.confirm(1);
    let shown = panel::all(&daemon.panel()).len();
    daemon.syncs(Syncs::Fail);
    let requests = [
        wire.request("ss", args!["log.txt", "unknown\n"]),
        wire.request("si", args![media("logo.png"), "other.png"]),
        wire.request("ri", args!["other.png"]),
    ];
    requests
        .iter()
        .for_each(|request| wire.send(request.clone()));
    for request in &requests {
        let reply = wire.reply(request.number);
        let code = failed(&reply).code;
        // What had not begun when the disk failed is refused; what had may be there or not.
        let is_first = request.number == requests[0].number;
        assert!(
            code == Code::OutcomeUnknown
                || (!is_first && matches!(code, Code::ReadOnly | Code::NotFound)),
            "{reply:?}"
        );
        assert_eq!(reply.stored, None);
    }
    assert_eq!(
        panel::all(&daemon.panel()).len(),
        shown,
        "an effect was released"
    );
    // Reads go on, with what is durable; writes do not.
    let mut other = daemon.client();
    let got = other.call("get", args!["log.txt"]);
    assert_eq!(got[0], Value::Bytes(b"first\n".to_vec()));
    let refused = other.call_failing("ss", args!["log.txt", "refused\n"]);
    assert_eq!(refused.code, Code::ReadOnly, "{refused}");
    other.call("ri", args!["logo.png"]);
    let abort = other.open_upload(1, Some(10), None).unwrap_err();
    assert_eq!(abort.code, Code::ReadOnly, "{abort:?}");
    // Sent again too early it is as unknown as before: anything else would be final.
    let mut wire = daemon.client_again(&wire.break_off());
    let again = wire.exchange(requests[0].clone());
    assert_eq!(failed(&again).code, Code::OutcomeUnknown, "{again:?}");
    daemon.syncs(Syncs::Usual);
    let mut wire = daemon.client_again(&wire.break_off());
    let again = wire.exchange(requests[0].clone());
    assert_eq!(failed(&again).code, Code::OutcomeUnknown, "{again:?}");
    // A busy loop would show here.
    let before = process::cpu_time(daemon.pid());
    std::thread::sleep(Duration::from_secs(1));
    let used = process::cpu_time(daemon.pid()) - before;
    assert!(
        used < Duration::from_millis(100),
        "{used:?} in a second of nothing"
    );
    daemon.stop();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    done(&wire.exchange(requests[0].clone()));
    assert_eq!(daemon.on_disk("log.txt"), b"first\nunknown\n");
}

/// The host answered, and died; what it answered left no record. The client has the reply all the same, and may say so.
#[test]
fn what_was_answered_before_a_crash_can_be_confirmed_after_it() {
    let mut daemon = slow(Setup::new());
    let mut wire = daemon.client();
    let first = wire.request("ss", args!["log.txt", "once\n"]);
    let before = daemon.slow_syncs();
    wire.send(first.clone());
    daemon.wait_for_slow_sync(before);
    // It passes the one that waits for the disk.
    wire.call("srto", args![60]);
    daemon.kill();
    daemon.syncs(Syncs::Usual);
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    assert_eq!(wire.id.lowest_unconfirmed, 1);
    done(&wire.exchange(first));
    wire.confirm(2);
    wire.call("ss", args!["log.txt", "on\n"]);
    assert_eq!(daemon.on_disk("log.txt"), b"first\nonce\non\n");
    // Who has no past with this run of the host may not confirm what it never asked.
    let mut other = daemon.client();
    other.call("srto", args![60]);
    other.send(pixelboy_protocol::Confirm {
        through: 2,
        also: vec![],
    });
    other.closed_with(Code::BadNumber);
}
