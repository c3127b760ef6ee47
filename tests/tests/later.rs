//! Answers that are put off: `later` and `complete`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::time::{Duration, Instant};

use harness::wire::Missing;
use harness::{PATIENCE, Setup, Wire, args};
use pixelboy_protocol::{Code, Frame, Outcome, Reply, Request, Value};

#[track_caller]
fn done(reply: &Reply) -> &[Value] {
    match &reply.outcome {
        Outcome::Done(values) => values,
        Outcome::Failed(failure) => panic!("{failure}"),
    }
}

#[track_caller]
fn code(reply: &Reply) -> Code {
    match &reply.outcome {
        Outcome::Failed(failure) => failure.code,
        Outcome::Done(values) => panic!("it succeeded: {values:?}"),
    }
}

#[track_caller]
fn assert_waits(wire: &mut Wire, number: u64) {
    let missing = wire.try_reply(number, Duration::from_millis(200));
    assert!(matches!(missing, Err(Missing::Late)), "{missing:?}");
}

/// By an operation that writes.
fn put_off(wire: &mut Wire, tag: &str, path: Option<&str>) -> Request {
    let path = path.map_or(Value::Null, Value::from);
    let request = wire.request("put_off", vec![tag.into(), path]);
    wire.send(request.clone());
    request
}

/// By one that does not: its number, and the tag by which it is answered.
fn put_off_unwritten(wire: &mut Wire) -> (u64, String) {
    let number = wire.ask("put_off_unwritten", args![]);
    let token = wire.wait("Push", |frame| match frame {
        Frame::Push(push) if push.op == "token" => Some(push.args.clone()),
        _ => None,
    });
    (number, token[0].as_text().unwrap().to_owned())
}

#[test]
fn an_answer_comes_when_it_is_given_and_holds_nothing_up_until_then() {
    let daemon = Setup::new().actor().start();
    let (mut wire, mut other) = (daemon.client(), daemon.client());
    let (read, token) = put_off_unwritten(&mut wire);
    let token = token.as_str();
    let write = put_off(&mut wire, "write", Some("a.txt")).number;
    // What comes after it is done and answered, and what it wrote is there.
    wire.call("ss", args!["b.txt", "y"]);
    assert_eq!(daemon.on_disk("a.txt"), b"x");
    assert_waits(&mut wire, read);

    // An operation that fails answers nobody.
    assert_eq!(
        other.call_failing("fulfil", args![token, 1, true]).code,
        Code::Failed
    );
    assert_waits(&mut wire, read);
    other.call("fulfil", args![token, 2, false]);
    let reply = wire.reply(read);
    assert_eq!(done(&reply), [Value::Int(2)]);
    assert_eq!(reply.stored, None);
    let again = other.call_failing("fulfil", args![token, 3, false]);
    assert_eq!(again.code, Code::NotFound);

    other.call("fulfil", args!["write", "done", false]);
    let reply = wire.reply(write);
    assert_eq!(done(&reply), [Value::from("done")]);
    assert!(reply.stored.is_some());

    let no = put_off(&mut wire, "no", None).number;
    wire.call("turn_down", args!["no"]);
    assert_eq!(code(&wire.reply(no)), Code::NotFound);
}

#[test]
fn a_large_answer_is_fetched_by_who_waited_for_it() {
    let daemon = Setup::new().actor().start();
    let (mut wire, mut other) = (daemon.client(), daemon.client());
    let large = vec![7; 300_000];
    let upload = other.upload(&large);
    other.call("keep", args!["large.bin", upload, "bytes"]);
    let (number, token) = put_off_unwritten(&mut wire);
    other.call("fulfil_with", args![token, "large.bin"]);
    let reply = wire.reply(number);
    let values = done(&reply).to_vec();
    assert_eq!(wire.bytes(&values[0]), large);
    // Where there is a record, the answer must fit it: that is known before anything happens.
    let number = put_off(&mut wire, "wrote", Some("a.txt")).number;
    wire.call("ss", args!["b.txt", "y"]);
    let failure = other.call_failing("fulfil_with", args!["wrote", "large.bin"]);
    assert_eq!(failure.code, Code::TooLarge, "{failure}");
    other.call("fulfil", args!["wrote", "short", false]);
    assert_eq!(done(&wire.reply(number)), [Value::from("short")]);
}

/// Another plugin changes the file that the answering operation changes: that one is run again, and answers then.
#[test]
fn an_answer_whose_operation_is_run_again_is_given_once() {
    let daemon = Setup::new().actor().start();
    let (mut wire, mut one, mut other) = (daemon.client(), daemon.client(), daemon.client());
    let number = put_off(&mut wire, "busy", Some("a.txt")).number;
    wire.call("ss", args!["b.txt", "y"]);
    let slow = one.ask(
        "slow_fulfil",
        args!["busy", "same.txt", "1", 100_000_000_i64],
    );
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(150) {
        other.call("ss", args!["same.txt", "2"]);
    }
    assert_eq!(done(&one.reply(slow)), []);
    assert_eq!(done(&wire.reply(number)), [Value::from("at last")]);
    let text = daemon.on_disk("same.txt");
    assert_eq!(text.iter().filter(|byte| **byte == b'1').count(), 1);
    assert_ne!(text[0], b'1', "it was not run again, so this shows nothing");
}

#[test]
fn a_client_that_was_away_gets_its_answer_when_it_asks_again() {
    let mut daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    let request = put_off(&mut wire, "away", Some("a.txt"));
    wire.call("ss", args!["b.txt", "y"]);
    let id = wire.break_off();
    daemon.client().call("fulfil", args!["away", "here", false]);
    let mut wire = daemon.client_again(&id);
    let reply = wire.exchange(request.clone());
    assert_eq!(done(&reply), [Value::from("here")]);
    let stored = reply.stored;
    assert!(reply.recorded && stored.is_some(), "{reply:?}");
    // Also after a crash: the answer is in the record, and nothing ran twice.
    let id = wire.break_off();
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&id);
    let reply = wire.exchange(request);
    assert_eq!(done(&reply), [Value::from("here")]);
    assert_eq!(reply.stored, stored);
    assert_eq!(daemon.on_disk("a.txt"), b"x");
}

#[test]
fn an_answer_that_a_restart_lost_is_interrupted_and_what_it_wrote_stays() {
    let mut daemon = Setup::new().actor().start();
    for way in ["a stop", "a crash"] {
        let mut wire = daemon.client();
        let request = put_off(&mut wire, "lost", Some("a.txt"));
        wire.call("ss", args!["b.txt", "y"]);
        let before = daemon.on_disk("a.txt");
        if way == "a stop" {
            let id = wire.id.clone();
            daemon.stop();
            assert_eq!(code(&wire.reply(request.number)), Code::Interrupted);
            wire.id = id;
        } else {
            daemon.kill();
        }
        let id = wire.break_off();
        daemon.boot();
        let mut wire = daemon.client_again(&id);
        let reply = wire.exchange(request);
        assert_eq!(code(&reply), Code::Interrupted, "after {way}");
        assert!(reply.stored.is_some());
        assert_eq!(daemon.on_disk("a.txt"), before, "after {way}");
        let late = wire.call_failing("fulfil", args!["lost", 1, false]);
        assert_eq!(late.code, Code::NotFound, "after {way}");
    }
}

#[test]
fn a_deadline_ends_the_wait() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    let mut request = wire.request("put_off", args!["late", Value::Null]);
    request.deadline_ms = Some(600);
    let begun = Instant::now();
    let reply = wire.exchange(request);
    assert_eq!(code(&reply), Code::Interrupted);
    let after = begun.elapsed();
    assert!(after >= Duration::from_millis(590), "{after:?}");
    assert!(after < PATIENCE / 2, "{after:?}");
    let late = wire.call_failing("fulfil", args!["late", 1, false]);
    assert_eq!(late.code, Code::NotFound);
}

#[test]
fn what_a_plugin_that_goes_put_off_is_interrupted() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    let number = put_off(&mut wire, "gone", None).number;
    wire.call("ss", args!["b.txt", "y"]);
    fs::remove_file(daemon.plugin("actor")).unwrap();
    assert_eq!(code(&wire.reply(number)), Code::Interrupted);
    daemon.assert_no_stack_trace();
}
