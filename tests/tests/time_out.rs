//! The receive time-out: who is idle hears of it, who is not does not, and the connection stays.
//! Times are promised here, so times are waited for. Early is wrong by more than 20 ms, late by more than 400 ms: the
//! machine may be busy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::{Identity, Setup, Wire, args, field, lab};
use pixelboy_protocol::{Code, Frame, Goodbye, Kind, OpenDownload, Outcome, Ping, Value};

const PERIOD_S: f64 = 0.3;
const PERIOD: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_millis(400);

fn short() -> Setup {
    Setup::new().receive_timeout_s(PERIOD_S)
}

/// The next `TimeOut`: its idle time.
#[track_caller]
fn time_out(wire: &mut Wire) -> Duration {
    let idle_ms = wire.wait("TimeOut", |frame| match frame {
        Frame::TimeOut(time_out) => Some(time_out.idle_ms),
        _ => None,
    });
    Duration::from_millis(idle_ms)
}

/// Waits for a `TimeOut` that is due `after` from `begun`.
#[track_caller]
fn time_out_after(wire: &mut Wire, begun: Instant, after: Duration) {
    let idle = time_out(wire);
    let came = begun.elapsed();
    println!("due after {after:?}, came after {came:?}, says {idle:?}");
    assert!(
        came + Duration::from_millis(20) >= after,
        "after {came:?} instead of {after:?}"
    );
    assert!(came <= after + LATE, "after {came:?} instead of {after:?}");
    assert!(
        idle.abs_diff(after) <= LATE,
        "it says {idle:?} instead of {after:?}"
    );
}

/// The `TimeOut`s that come within a time.
fn time_outs_within(wire: &mut Wire, time: Duration) -> usize {
    let came = wire.listen(time);
    came.iter()
        .filter(|(kind, _)| *kind == Kind::TimeOut)
        .count()
}

/// Calls an opcode; when its reply came.
#[track_caller]
fn call_at(wire: &mut Wire, op: &str, args: Vec<Value>) -> Instant {
    wire.call(op, args);
    Instant::now()
}

#[test]
fn an_idle_session_is_told_after_each_period_and_stays_open() {
    let daemon = short().start();
    let mut wire = daemon.client();
    assert!(
        wire.welcome().limits.contains(&(10, 300)),
        "Welcome tells the period"
    );
    let begun = Instant::now();
    for period in 1..=4 {
        time_out_after(&mut wire, begun, PERIOD * period);
    }
    // A request is activity: the clock begins anew.
    let begun = call_at(&mut wire, "status", args![]);
    time_out_after(&mut wire, begun, PERIOD);
    time_out_after(&mut wire, begun, PERIOD * 2);
    wire.call("ss", args!["a.txt", "still here"]);
}

#[test]
fn without_a_setting_the_period_is_five_seconds() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    assert!(wire.welcome().limits.contains(&(10, 5_000)));
    let begun = Instant::now();
    time_out_after(&mut wire, begun, Duration::from_secs(5));
    time_out_after(&mut wire, begun, Duration::from_secs(10));
}

#[test]
fn a_ping_does_not_reset_the_clock() {
    let daemon = short().start();
    let mut wire = daemon.client();
    let begun = call_at(&mut wire, "status", args![]);
    for token in 0..5 {
        wire.send(Ping { token });
        let pong = wire.wait("Pong", |frame| match frame {
            Frame::Pong(pong) => Some(pong.token),
            _ => None,
        });
        assert_eq!(pong, token);
        std::thread::sleep(Duration::from_millis(50));
    }
    time_out_after(&mut wire, begun, PERIOD);
}

#[test]
fn no_time_out_comes_while_an_upload_moves() {
    let daemon = short().start();
    let mut wire = daemon.client();
    let transfer = wire.next_transfer();
    wire.begin_upload(transfer, None, None);
    let begun = Instant::now();
    let mut at = 0;
    while begun.elapsed() < PERIOD * 5 {
        wire.send_chunk(transfer, at, &[b'x'; 100]);
        at += 100;
        assert_eq!(
            time_outs_within(&mut wire, PERIOD / 4),
            0,
            "after {:?}",
            begun.elapsed()
        );
    }
    // Without a byte for one period it does not move any more.
    wire.send_chunk(transfer, at, &[b'x'; 100]);
    let begun = Instant::now();
    time_out_after(&mut wire, begun, PERIOD);
    let whole = vec![b'x'; at as usize + 100];
    wire.finish(transfer, at + 100, harness::files::sha256(&whole))
        .unwrap();
    wire.call("ss", args!["slow.txt", Value::Upload(transfer)]);
    assert!(daemon.on_disk("slow.txt") == whole);
}

#[test]
fn no_time_out_comes_while_a_download_moves() {
    let daemon = short().start();
    let mut wire = daemon.client();
    let upload = wire.upload(&vec![b'y'; 500_000]);
    wire.call("ss", args!["big.txt", upload]);
    let got = wire.call("get", args!["big.txt"]);
    let Value::Blob(blob) = got[0] else {
        panic!("{got:?}")
    };
    let transfer = wire.next_transfer();
    let mut limit = 10_000;
    wire.send(OpenDownload {
        transfer,
        blob: blob.id,
        offset: 0,
        limit,
    });
    wire.opened(transfer).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < PERIOD * 4 {
        limit += 10_000;
        wire.send(pixelboy_protocol::Credit { transfer, limit });
        assert_eq!(
            time_outs_within(&mut wire, PERIOD / 4),
            0,
            "after {:?}",
            begun.elapsed()
        );
    }
    let begun = Instant::now();
    time_out(&mut wire);
    assert!(begun.elapsed() > PERIOD / 3);
}

#[test]
fn no_time_out_comes_during_a_long_operation() {
    let daemon = short().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, PERIOD * 5);
    time_outs_within(&mut wire, Duration::from_millis(1));
    let begun = Instant::now();
    let number = wire.ask("spin", args![rounds]);
    // One that waits behind it counts as well.
    let behind = wire.ask("version", args![]);
    let mut came = Vec::new();
    while came.len() < 2 {
        came.push(wire.wait("Reply or TimeOut", |frame| match frame {
            Frame::Reply(reply) => Some(Ok(reply.number)),
            Frame::TimeOut(_) => Some(Err(begun.elapsed())),
            _ => None,
        }));
    }
    assert_eq!(came, [Ok(number), Ok(behind)]);
    let replied = Instant::now();
    println!("the operation took {:?}", begun.elapsed());
    assert!(begun.elapsed() > PERIOD * 2, "it was not long");
    time_out_after(&mut wire, replied, PERIOD);
}

#[test]
fn srto_sets_the_period_of_the_session() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    assert_eq!(wire.call_one("srto", args![0.2]), Value::Float(0.2));
    let begun = Instant::now();
    for period in 1..=3 {
        time_out_after(&mut wire, begun, Duration::from_millis(200) * period);
    }
    let begun = call_at(&mut wire, "srto", args![1]);
    time_out_after(&mut wire, begun, Duration::from_secs(1));
    // Another session has its own.
    let mut other = daemon.client();
    assert_eq!(time_outs_within(&mut other, Duration::from_millis(500)), 0);
    assert_eq!(
        field(&other.call_one("status", args![]), "receive_timeout_s"),
        &Value::Float(5.0)
    );
}

#[test]
fn sptt_silences_and_sptf_restores() {
    let daemon = short().start();
    let mut wire = daemon.client();
    wire.call("sptt", args![]);
    time_outs_within(&mut wire, Duration::from_millis(1));
    assert_eq!(time_outs_within(&mut wire, PERIOD * 4), 0);
    let begun = call_at(&mut wire, "sptf", args![]);
    time_out_after(&mut wire, begun, PERIOD);
    time_out_after(&mut wire, begun, PERIOD * 2);
}

#[test]
fn settings_belong_to_the_session_and_end_with_it() {
    let daemon = Setup::new().host("session_grace_s = 0.4").start();
    let mut wire = daemon.client();
    wire.call("srto", args![7]);
    wire.call("sptt", args![]);
    let settings = |wire: &mut Wire| {
        let status = wire.call_one("status", args![]);
        (
            field(&status, "receive_timeout_s").clone(),
            field(&status, "pass_time_out").clone(),
        )
    };
    let own = (Value::Float(7.0), Value::Bool(true));
    let fresh = (Value::Float(5.0), Value::Bool(false));

    let id = wire.break_off();
    let mut wire = daemon.client_again(&id);
    assert!(wire.welcome().resumed, "it came back within the grace");
    assert!(
        wire.welcome().limits.contains(&(10, 7_000)),
        "Welcome tells the session's own"
    );
    assert_eq!(settings(&mut wire), own);

    let id = wire.break_off();
    std::thread::sleep(Duration::from_millis(700));
    let mut wire = daemon.client_again(&id);
    assert!(!wire.welcome().resumed, "the grace was over");
    assert_eq!(settings(&mut wire), fresh);

    wire.call("srto", args![7]);
    wire.call("cc", args![]);
    wire.closed_with(Code::Closed);
    let mut wire = daemon.client_again(&wire.id);
    assert!(!wire.welcome().resumed, "cc ends the session at once");
    assert_eq!(settings(&mut wire), fresh);
}

#[test]
fn cc_answers_everything_before_it_and_reads_nothing_after_it() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, Duration::from_millis(300));
    let mut numbers: Vec<u64> = (0..20)
        .map(|n| wire.ask("ss", args!["log.txt", format!("{n}\n")]))
        .collect();
    numbers.push(wire.ask("slow_note", args!["slow.txt", "slow", rounds]));
    let cc = wire.ask("cc", args![]);
    let after = wire.request("ss", args!["log.txt", "after\n"]);
    wire.send(after.clone());
    for number in numbers {
        let outcome = wire.reply(number).outcome;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    assert_eq!(wire.reply(cc).outcome, Outcome::Done(vec![]));
    wire.closed_with(Code::Closed);
    assert!(
        wire.try_reply(after.number, Duration::ZERO).is_err(),
        "what follows cc is not answered"
    );
    let lines: String = (0..20).map(|n| format!("{n}\n")).collect();
    assert_eq!(String::from_utf8(daemon.on_disk("log.txt")).unwrap(), lines);
    assert_eq!(daemon.on_disk("slow.txt"), b"slow");
    assert_eq!(
        daemon.client().call("get", args!["log.txt"])[0],
        Value::Bytes(lines.into_bytes())
    );
    // It was never read, so it can be sent again, and happens then.
    let mut wire = daemon.client_again(&wire.id);
    let outcome = wire.exchange(after).outcome;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert!(daemon.on_disk("log.txt").ends_with(b"19\nafter\n"));
}

/// Answered from the record, `cc` closes nothing.
#[test]
fn cc_sent_again_is_answered_and_closes_nothing() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let cc = wire.request("cc", args![]);
    wire.exchange(cc.clone());
    wire.closed_with(Code::Closed);
    let mut wire = daemon.client_again(&wire.id);
    let reply = wire.exchange(cc);
    assert!(reply.recorded);
    wire.call("ss", args!["a.txt", "open"]);
}

#[test]
fn goodbye_ends_session_and_record_and_is_answered_with_closed() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    let first = wire.request("ss", args!["a.txt", "once"]);
    wire.exchange(first);
    wire.send(Goodbye {});
    wire.closed_with(Code::Closed);
    // What comes under this id now is a late copy of what it said: with a past or without, it is not let in.
    let copy = Identity {
        client: wire.id.client,
        ..Identity::new()
    };
    for id in [wire.id, copy.clone()] {
        let close = Wire::knock(daemon.address(), id).err();
        assert_eq!(close.map(|close| close.code), Some(Code::ClientForgotten));
    }
    assert_eq!(daemon.on_disk("a.txt"), b"once");
    // The record is dropped: after a restart nothing of the client is known.
    daemon.stop();
    daemon.boot();
    let wire = daemon.client_again(&copy);
    let welcome = wire.welcome();
    assert!(!welcome.resumed);
    assert_eq!((welcome.executed_through, welcome.received_through), (0, 0));
}

/// Fifteen seconds of silence: the host asks whether anybody is there, and keeps who answers.
#[test]
fn a_silent_client_is_asked_and_stays() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    wire.call("sptt", args![]);
    let begun = Instant::now();
    wire.listen(Duration::from_millis(14_500));
    assert_eq!(wire.pings, 0, "it was asked early");
    while wire.pings == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(17),
            "nobody asked after {:?}",
            begun.elapsed()
        );
        wire.listen(Duration::from_millis(50));
    }
    println!("asked after {:?}", begun.elapsed());
    wire.call("status", args![]);
}
