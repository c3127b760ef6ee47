//! What the host remembers of its clients: for how long, of how many, and what it says when it no longer does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::{PATIENCE, Setup, Wire, args, lab, process};
use pixelboy_protocol::{Cancel, Code, Failure, Frame, Outcome, Ping, Reply, Request};

/// Some seconds, in days.
const AGE: Duration = Duration::from_secs(6);

fn ageing() -> Setup {
    let days = AGE.as_secs_f64() / 86_400.0;
    Setup::new()
        .store(&format!("client_age_days = {days:.9}"))
        .host("session_grace_s = 0.1")
}

#[track_caller]
fn done(reply: &Reply) {
    assert!(matches!(reply.outcome, Outcome::Done(_)), "{reply:?}");
}

#[track_caller]
fn failed(reply: &Reply) -> &Failure {
    match &reply.outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Done(values) => panic!("succeeded: {values:?}"),
    }
}

#[track_caller]
fn read_so_far(wire: &mut Wire) {
    wire.send(Ping { token: 1 });
    wire.wait("Pong", |frame| {
        matches!(frame, Frame::Pong(_)).then_some(())
    });
}

/// Whatever it failed of, a number without a record must not run behind a durable one of its client.
#[test]
fn what_failed_never_runs_behind_a_durable_operation_that_followed_it() {
    let mut daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "first\n"]);
    let rounds = lab::rounds_for(&mut wire, Duration::from_secs(20));
    let fits_later = args!["late.txt"];
    let long = wire.request("slow_note", args!["log.txt", "cancelled\n", rounds]);
    let mut late = wire.request("ss", args!["log.txt", "late\n"]);
    late.deadline_ms = Some(0);
    let failing = vec![
        (
            wire.request("refused_note", args!["log.txt", "refused\n"]),
            Code::Failed,
        ),
        (
            wire.request("crashed_note", args!["log.txt", "crashed\n"]),
            Code::PluginCrashed,
        ),
        (wire.request("get", fits_later.clone()), Code::NotFound),
        (
            wire.request("version", args!["too much"]),
            Code::BadArguments,
        ),
        (wire.request("nobody", args![]), Code::UnknownOp),
    ];
    wire.send(long.clone());
    read_so_far(&mut wire);
    std::thread::sleep(Duration::from_millis(50));
    wire.send(Cancel {
        number: long.number,
    });
    assert_eq!(failed(&wire.reply(long.number)).code, Code::Cancelled);
    assert_eq!(failed(&wire.exchange(late.clone())).code, Code::Deadline);
    for (request, code) in &failing {
        assert_eq!(failed(&wire.exchange(request.clone())).code, *code);
    }
    let mut all = vec![long, late];
    all.extend(failing.into_iter().map(|(request, _)| request));
    wire.call("ss", args!["log.txt", "durable\n"]);
    daemon.client().call("ss", args!["late.txt", "here"]);
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    for mut request in all {
        request.deadline_ms = None;
        let again = wire.exchange(request.clone());
        assert_eq!(
            failed(&again).code,
            Code::RanReplyLost,
            "{request:?}: {again:?}"
        );
    }
    assert_eq!(daemon.on_disk("log.txt"), b"first\ndurable\n");
}

#[test]
fn a_client_that_is_away_is_forgotten_by_the_host_s_running_time_and_one_that_is_there_is_not() {
    let mut daemon = ageing().start();
    let mut here = daemon.client();
    let mut away = daemon.client();
    let kept = here.request("ss", args!["log.txt", "here\n"]);
    let lost = away.request("ss", args!["log.txt", "away\n"]);
    done(&here.exchange(kept.clone()));
    done(&away.exchange(lost));
    let away = away.break_off();
    // Time does not pass while the host is not there.
    daemon.stop();
    std::thread::sleep(AGE + Duration::from_secs(1));
    daemon.boot();
    let mut here = daemon.client_again(&here.id);
    let wire = daemon.client_again(&away);
    assert_eq!(wire.welcome().executed_through, 1);
    let away = wire.break_off();
    // While it runs it does.
    std::thread::sleep(AGE + Duration::from_secs(3));
    let close = Wire::knock(daemon.address(), away)
        .err()
        .map(|close| close.code);
    assert_eq!(close, Some(Code::ClientForgotten));
    assert!(here.exchange(kept.clone()).recorded);
    let mut here = daemon.client_again(&here.break_off());
    assert!(here.exchange(kept).recorded);
    // From now on an unknown client may be one of those that were dropped, also one that never wrote.
    let mut reader = daemon.client();
    reader.call("ls", args![]);
    let reader = reader.break_off();
    daemon.stop();
    daemon.boot();
    let close = Wire::knock(daemon.address(), reader)
        .err()
        .map(|close| close.code);
    assert_eq!(close, Some(Code::ClientForgotten));
    daemon.client().call("ss", args!["log.txt", "new\n"]);
    assert_eq!(daemon.on_disk("log.txt"), b"here\naway\nnew\n");
}

/// First those go that lose nothing by it.
#[test]
fn over_the_cap_clients_with_everything_confirmed_are_forgotten_first() {
    let daemon = Setup::new()
        .store("max_clients = 2")
        .host("session_grace_s = 0.0")
        .start();
    let gone = |confirms: bool| {
        let mut wire = daemon.client();
        let request = wire.request("ss", args!["log.txt", "x"]);
        done(&wire.exchange(request.clone()));
        if confirms {
            wire.confirm(1);
            read_so_far(&mut wire);
        }
        (wire.break_off(), request)
    };
    // The one that did not confirm is away for the longest.
    let unconfirmed = gone(false);
    let confirmed = gone(true);
    let begun = Instant::now();
    while daemon.log().matches("session ended").count() < 2 {
        assert!(begun.elapsed() < PATIENCE, "they stay");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut third = daemon.client();
    third.call("ss", args!["log.txt", "x"]);
    drop(third.break_off());
    let close = Wire::knock(daemon.address(), confirmed.0)
        .err()
        .map(|close| close.code);
    assert_eq!(close, Some(Code::ClientForgotten));
    let mut wire = daemon.client_again(&unconfirmed.0);
    assert!(wire.exchange(unconfirmed.1).recorded);
    assert_eq!(daemon.on_disk("log.txt"), b"xxx");
}

/// A state file that was copied: whatever the two send under one number, one of them is told, and neither gets the other's
/// reply.
#[test]
fn two_programs_with_one_identity_are_told_apart_while_an_operation_runs_and_after() {
    let mut daemon = Setup::new().lab().start();
    let mut one = daemon.client();
    let rounds = lab::rounds_for(&mut one, Duration::from_millis(800));
    let copied = one.id.clone();
    let mine = one.request("slow_note", args!["log.txt", "mine\n", rounds]);
    one.send(mine.clone());
    read_so_far(&mut one);
    let mut two = daemon.client_again(&copied);
    assert!(
        two.welcome().received_through >= mine.number,
        "its next number is used already, which tells it"
    );
    one.closed_with(Code::Fenced);
    let other = Request {
        op: "ss".to_owned(),
        args: args!["log.txt", "other\n"],
        ..mine.clone()
    };
    let reply = two.exchange(other.clone());
    assert_eq!(
        failed(&reply).code,
        Code::NumberReused,
        "while it runs: {reply:?}"
    );
    assert!(
        two.try_reply(mine.number, Duration::from_secs(2)).is_err(),
        "it got the other's reply"
    );
    // The plain file follows what is on disk.
    let begun = Instant::now();
    while !daemon.stored("log.txt").exists() {
        assert!(begun.elapsed() < PATIENCE, "it never ends");
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..2 {
        let mut again = daemon.client_again(&two.id);
        let reply = again.exchange(other.clone());
        assert_eq!(
            failed(&reply).code,
            Code::NumberReused,
            "afterwards: {reply:?}"
        );
        two = again;
        daemon.kill();
        daemon.boot();
    }
    let mut one = daemon.client_again(&two.id);
    let reply = one.exchange(mine);
    done(&reply);
    assert!(reply.recorded);
    assert_eq!(daemon.on_disk("log.txt"), b"mine\n");
}

/// What a client has not confirmed is kept, however much it is, up to the window; what it confirms makes room.
#[test]
fn a_full_window_of_replies_is_answered_from_the_record_after_a_kill() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    let requests: Vec<Request> = (0..1_024)
        .map(|n| wire.request("ss", args!["log.txt", format!("{n}\n")]))
        .collect();
    requests
        .iter()
        .for_each(|request| wire.send(request.clone()));
    for request in &requests {
        done(&wire.reply(request.number));
    }
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    assert_eq!(wire.welcome().executed_through, 1_024);
    requests
        .iter()
        .for_each(|request| wire.send(request.clone()));
    for request in &requests {
        let reply = wire.reply(request.number);
        done(&reply);
        assert!(reply.recorded && reply.stored.is_some());
    }
    wire.ask("ss", args!["log.txt", "one too many"]);
    wire.closed_with(Code::LimitExceeded);
    let mut wire = daemon.client_again(&wire.id);
    wire.confirm(1_024);
    wire.id.next_number = 1_025;
    wire.call("ss", args!["log.txt", "and on\n"]);
    let lines: String = (0..1_024).map(|n| format!("{n}\n")).collect();
    assert_eq!(
        String::from_utf8(daemon.on_disk("log.txt")).unwrap(),
        lines + "and on\n"
    );
}

/// Clients that go away with thousands of replies unconfirmed do not fill the memory: what they keep has a bound together, and
/// those longest away go first. What they ran is not run again all the same.
#[test]
fn what_is_kept_for_clients_who_are_away_has_a_bound() {
    let daemon = Setup::new().host("session_grace_s = 0.1").start();
    let mut wire = daemon.client();
    wire.call("ss", args!["big.txt", "x".repeat(64_000)]);
    let before = process::memory(daemon.pid());
    let mut away = Vec::new();
    for wave in 1..=4 {
        for _ in 0..40 {
            let mut wire = daemon.client();
            let first = wire.request("get", args!["big.txt"]);
            wire.send(first.clone());
            let others: Vec<u64> = (1..60).map(|_| wire.ask("get", args!["big.txt"])).collect();
            for number in [first.number].into_iter().chain(others) {
                done(&wire.reply(number));
            }
            away.push((wire.break_off(), first));
        }
        // Of 3.8 MB for each, 17 fit.
        let begun = Instant::now();
        while daemon.log().matches("who is away were dropped").count() < wave * 40 - 20 {
            assert!(begun.elapsed() < PATIENCE, "all is kept");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let now = process::memory(daemon.pid());
    let grown_kib = now.own_kib.saturating_sub(before.own_kib);
    println!("of 600 MB of replies {grown_kib} KiB are kept");
    // What was freed may stay with the process, to be used again.
    assert!(grown_kib < 320 << 10, "{grown_kib} KiB");
    let (id, request) = away.remove(0);
    let mut oldest = daemon.client_again(&id);
    let again = oldest.exchange(request);
    assert_eq!(failed(&again).code, Code::RanReplyLost);
    let (id, request) = away.pop().unwrap();
    let mut newest = daemon.client_again(&id);
    assert!(newest.exchange(request).recorded);
}
