//! From the host to a client: pushes, and calls of opcodes that the client bound.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::wire::Missing;
use harness::{Daemon, PATIENCE, Setup, Wire, args, field, text_field};
use pixelboy_protocol::{Bind, Call, CallCredit, CallReply, Code, Failure, Frame, Outcome, Value};

fn bind(wire: &mut Wire, op: &str, bound: bool) {
    let op = op.to_owned();
    wire.send(Bind { op, bound });
}

fn try_call(wire: &mut Wire, within: Duration) -> Result<Call, Missing> {
    wire.try_wait(within, |frame| match frame {
        Frame::Call(call) => Some(call.clone()),
        _ => None,
    })
}

#[track_caller]
fn next_call(wire: &mut Wire) -> Call {
    try_call(wire, PATIENCE).unwrap_or_else(|missing| panic!("no call: {missing:?}"))
}

fn answer(wire: &mut Wire, number: u64, values: Vec<Value>) {
    let outcome = Outcome::Done(values);
    wire.send(CallReply { number, outcome });
}

/// Waits until the plugin has noted a line with all of `words`.
#[track_caller]
fn noted(daemon: &Daemon, words: &[&str]) {
    let begun = Instant::now();
    loop {
        let notes = std::fs::read_to_string(daemon.stored("happened.txt")).unwrap_or_default();
        let fits = |line: &str| words.iter().all(|word| line.contains(word));
        if notes.lines().any(fits) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no {words:?} in:\n{notes}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ask(wire: &mut Wire, op: &str, timeout_ms: i64, tag: &str) -> Outcome {
    wire.call_reply("ask", args![op, 7, timeout_ms, tag])
        .outcome
}

#[test]
fn pushes_come_in_the_order_in_which_they_were_asked_for() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    wire.call("push_twice", args!["news", "first"]);
    for expected in ["first", "again"] {
        let push = wire.wait("Push", |frame| match frame {
            Frame::Push(push) => Some(push.clone()),
            _ => None,
        });
        assert_eq!(push.op, "news");
        assert_eq!(push.args, [Value::from(expected)]);
    }
    // A frame could not take it: nobody is sent half of it.
    wire.call("push_large", args![65_536]);
    let failure = wire.call_failing("push_large", args![65_537]);
    assert_eq!(failure.code, Code::TooLarge, "{failure}");
}

#[test]
fn stored_bytes_come_with_a_push_or_a_call_or_are_fetched() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    bind(&mut wire, "take", true);
    for (name, length) in [("small.bin", 1_000), ("large.bin", 300_000)] {
        let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let upload = wire.upload(&bytes);
        wire.call("keep", args![name, upload, "bytes"]);
        wire.call("hand_over", args!["take", name]);
        let pushed = wire.wait("Push", |frame| match frame {
            Frame::Push(push) => Some(push.args.clone()),
            _ => None,
        });
        let called = next_call(&mut wire).args;
        for args in [pushed, called] {
            assert_eq!(text_field(&args[0], "path"), name);
            let data = field(&args[0], "data");
            assert_eq!(matches!(data, Value::Blob(_)), length > 65_536, "{name}");
            assert_eq!(wire.bytes(data), bytes, "{name}");
        }
    }
}

#[test]
fn a_plugin_calls_what_a_client_offers_and_gets_its_answer() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    // Nobody offers it yet.
    let failure = wire.call_failing("ask", args!["measure", 7, 1_000, "a"]);
    assert_eq!(failure.code, Code::UnknownOp, "{failure}");
    bind(&mut wire, "measure", true);
    assert_eq!(
        ask(&mut wire, "measure", 60_000, "a"),
        Outcome::Done(vec![])
    );
    let call = next_call(&mut wire);
    assert_eq!((call.number, &*call.op), (1, "measure"));
    assert_eq!(call.args, [Value::Int(7)]);
    assert!((1..=60_000).contains(&call.deadline_ms.unwrap()));
    answer(&mut wire, call.number, args!["warm", 21]);
    noted(&daemon, &["tag=a", "warm", "21"]);
    // An answer that nobody waits for is ignored.
    answer(&mut wire, call.number, args!["again"]);
    answer(&mut wire, 99, args!["never asked"]);

    ask(&mut wire, "measure", 60_000, "b");
    let call = next_call(&mut wire);
    assert_eq!(call.number, 2);
    let failure = Failure::new(Code::NotFound, "no thermometer");
    wire.send(CallReply {
        number: call.number,
        outcome: Outcome::Failed(failure),
    });
    noted(&daemon, &["tag=b", "code=not-found"]);

    bind(&mut wire, "measure", false);
    let failure = wire.call_failing("ask", args!["measure", 7, 1_000, "c"]);
    assert_eq!(failure.code, Code::UnknownOp, "{failure}");
    daemon.assert_no_stack_trace();
}

#[test]
fn one_client_can_answer_what_another_one_asked() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    bind(&mut wire, "double", true);
    let number = wire.ask("relay", args!["double", 21]);
    let call = next_call(&mut wire);
    // It holds nothing up.
    wire.call("ss", args!["a.txt", "x"]);
    answer(&mut wire, call.number, args![42]);
    let expected = Value::List(args![42]);
    assert_eq!(wire.reply(number).outcome, Outcome::Done(vec![expected]));
}

#[test]
fn a_client_that_does_not_answer_in_time_is_told_that_nobody_waits() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    bind(&mut wire, "measure", true);
    ask(&mut wire, "measure", 300, "late");
    let call = next_call(&mut wire);
    let cancelled = wire.wait("CallCancel", |frame| match frame {
        Frame::CallCancel(cancel) => Some(cancel.number),
        _ => None,
    });
    assert_eq!(cancelled, call.number);
    noted(&daemon, &["tag=late", "code=deadline"]);
    answer(&mut wire, call.number, args!["too late"]);
    wire.call("ss", args!["a.txt", "x"]);
    let notes = std::fs::read_to_string(daemon.stored("happened.txt")).unwrap();
    assert!(!notes.contains("too late"), "{notes}");
}

#[test]
fn a_call_is_lost_with_its_connection_and_one_not_sent_waits_for_the_next() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    bind(&mut wire, "measure", true);
    ask(&mut wire, "measure", 60_000, "sent");
    assert_eq!(next_call(&mut wire).number, 1);
    // One at a time: the next one is not sent.
    wire.send(CallCredit { through: 1 });
    ask(&mut wire, "measure", 60_000, "kept");
    let none = try_call(&mut wire, Duration::from_millis(200));
    assert!(matches!(none, Err(Missing::Late)), "{none:?}");
    let mut wire = daemon.client_again(&wire.break_off());
    assert!(wire.welcome().resumed);
    noted(&daemon, &["tag=sent", "code=interrupted"]);
    // What was bound is of the session.
    let call = next_call(&mut wire);
    assert_eq!(call.number, 2, "no call is sent twice");
    answer(&mut wire, call.number, args!["here"]);
    noted(&daemon, &["tag=kept", "here"]);
    // With the session all is lost.
    ask(&mut wire, "measure", 60_000, "over");
    next_call(&mut wire);
    wire.call("cc", args![]);
    noted(&daemon, &["tag=over", "code=interrupted"]);
}

#[test]
fn sixteen_calls_may_be_unanswered_unless_the_client_takes_more() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    bind(&mut wire, "measure", true);
    for n in 0..20 {
        ask(&mut wire, "measure", 60_000, &format!("n{n}"));
    }
    for number in 1..=16 {
        assert_eq!(next_call(&mut wire).number, number);
    }
    let none = try_call(&mut wire, Duration::from_millis(200));
    assert!(matches!(none, Err(Missing::Late)), "{none:?}");
    // An answer makes room for one, credit for as many as it says.
    answer(&mut wire, 3, args![3]);
    assert_eq!(next_call(&mut wire).number, 17);
    wire.send(CallCredit { through: 19 });
    assert_eq!(next_call(&mut wire).number, 18);
    assert_eq!(next_call(&mut wire).number, 19);
    let none = try_call(&mut wire, Duration::from_millis(200));
    assert!(matches!(none, Err(Missing::Late)), "{none:?}");
    for number in (1..=19).filter(|number| *number != 3) {
        answer(&mut wire, number, args![number as i64]);
    }
    wire.send(CallCredit { through: 100 });
    assert_eq!(next_call(&mut wire).number, 20);
    noted(&daemon, &["tag=n18"]);
}

#[test]
fn who_binds_without_end_is_sent_away() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for n in 0..300 {
        let op = format!("op{n}");
        let mut bytes = Vec::new();
        Bind { op, bound: true }.encode(&mut bytes).unwrap();
        // It may have closed already.
        let _ = wire.try_send_raw(&bytes);
    }
    wire.closed_with(Code::LimitExceeded);
}
