//! Exactly once: whatever is sent again, over whatever connection, to whichever run of the host, happens once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Daemon, Identity, Setup, Wire, args, lab, media};
use pixelboy_protocol::{
    Cancel, Code, Confirm, Failure, Frame, Goodbye, Outcome, Reply, Request, Value, limits,
};

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

/// A request to add a line to `log.txt`, not sent yet.
fn append(wire: &mut Wire, line: &str) -> Request {
    wire.request("ss", args!["log.txt", line])
}

/// What is in `log.txt`, as the host tells it and as it lies on the disk.
#[track_caller]
fn log(daemon: &Daemon) -> String {
    let mut wire = daemon.client();
    let got = wire.call("get", args!["log.txt"]);
    let told = wire.bytes(&got[0]);
    assert_eq!(told, daemon.on_disk("log.txt"), "`get` and the disk differ");
    wire.send(Goodbye {});
    String::from_utf8(told).unwrap()
}

#[test]
fn sent_again_on_a_new_connection_it_is_answered_from_the_record() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let request = append(&mut wire, "once\n");
    let first = wire.exchange(request.clone());
    assert!(!first.recorded && first.stored.is_some());
    let mut wire = daemon.client_again(&wire.break_off());
    assert!(wire.welcome().executed_through >= 1 && wire.welcome().received_through >= 1);
    let again = wire.exchange(request);
    assert!(again.recorded);
    assert_eq!(
        (again.stored, &again.outcome),
        (first.stored, &first.outcome)
    );
    assert_eq!(log(&daemon), "once\n");
}

#[test]
fn sent_again_after_kill_9_it_is_answered_from_the_record() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    let requests: Vec<Request> = (0..5)
        .map(|n| append(&mut wire, &format!("{n}\n")))
        .collect();
    let first: Vec<Reply> = requests
        .iter()
        .map(|request| wire.exchange(request.clone()))
        .collect();
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    assert!(!wire.welcome().resumed, "sessions end with the host");
    assert_eq!(wire.welcome().executed_through, 5);
    for (request, first) in requests.into_iter().zip(first) {
        let again = wire.exchange(request);
        assert!(again.recorded, "{again:?}");
        assert_eq!(
            (again.stored, &again.outcome),
            (first.stored, &first.outcome)
        );
    }
    assert_eq!(log(&daemon), "0\n1\n2\n3\n4\n");
}

/// Numbers must rise on one connection; the breach closes it and nothing runs.
#[test]
fn the_same_number_twice_on_one_connection_closes_it() {
    let daemon = Setup::new().start();
    for repeat in [0, 1] {
        let mut wire = daemon.client();
        let mut request = append(&mut wire, "line\n");
        request.number += 1;
        wire.exchange(request.clone());
        request.number -= repeat;
        wire.send(request);
        wire.closed_with(Code::BadNumber);
    }
    assert_eq!(log(&daemon), "line\nline\n");
}

#[test]
fn a_reply_that_never_arrived_is_fetched_by_sending_again() {
    let daemon = Setup::new().start();
    let mut id = Identity::new();
    for round in 0..20 {
        let mut wire = daemon.client_again(&id);
        let request = append(&mut wire, &format!("{round}\n"));
        wire.send(request.clone());
        // The connection breaks before the reply, now earlier, now later.
        std::thread::sleep(Duration::from_micros(200 * round));
        id = wire.break_off();
        let mut wire = daemon.client_again(&id);
        done(&wire.exchange(request));
        id = wire.break_off();
    }
    let lines: String = (0..20).map(|round| format!("{round}\n")).collect();
    assert_eq!(log(&daemon), lines);
}

#[test]
fn a_failure_is_final_for_its_number_while_the_host_lives() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let request = wire.request("stat", args!["late.txt"]);
    assert_eq!(failed(&wire.exchange(request.clone())).code, Code::NotFound);
    // By now it would succeed.
    daemon.client().call("ss", args!["late.txt", "here"]);
    let mut wire = daemon.client_again(&wire.break_off());
    let again = wire.exchange(request);
    assert!(again.recorded);
    assert_eq!(failed(&again).code, Code::NotFound);
}

#[test]
fn another_request_under_the_same_number_is_refused() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    let request = append(&mut wire, "mine\n");
    wire.exchange(request.clone());
    let other = Request {
        args: args!["log.txt", "other\n"],
        ..request.clone()
    };
    let mut wire = daemon.client_again(&wire.break_off());
    assert_eq!(
        failed(&wire.exchange(other.clone())).code,
        Code::NumberReused
    );
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    assert_eq!(failed(&wire.exchange(other)).code, Code::NumberReused);
    let mut wire = daemon.client_again(&wire.break_off());
    let again = wire.exchange(request);
    assert!(again.recorded, "the record is as it was: {again:?}");
    assert_eq!(log(&daemon), "mine\n");
}

#[test]
fn what_was_confirmed_is_answered_so_and_never_runs() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    let request = append(&mut wire, "once\n");
    wire.exchange(request.clone());
    wire.confirm(1);
    wire.call("ss", args!["log.txt", "twice\n"]);
    let id = Identity {
        lowest_unconfirmed: 1,
        ..wire.break_off()
    };
    let mut wire = daemon.client_again(&id);
    assert_eq!(
        failed(&wire.exchange(Request {
            confirmed: 0,
            ..request.clone()
        }))
        .code,
        Code::AlreadyConfirmed
    );
    // Hello confirms as well.
    let id = Identity {
        lowest_unconfirmed: 3,
        ..wire.break_off()
    };
    let mut wire = daemon.client_again(&id);
    let second = Request {
        number: 2,
        confirmed: 2,
        args: args!["log.txt", "twice\n"],
        ..request.clone()
    };
    assert_eq!(
        failed(&wire.exchange(second.clone())).code,
        Code::AlreadyConfirmed
    );
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&id);
    let after = wire.exchange(second);
    assert_eq!(
        failed(&after).code,
        Code::AlreadyConfirmed,
        "Hello said so again"
    );
    assert_eq!(log(&daemon), "once\ntwice\n");
}

#[test]
fn confirm_takes_single_numbers_beyond_a_gap() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let requests: Vec<Request> = (0..4)
        .map(|n| append(&mut wire, &format!("{n}\n")))
        .collect();
    for request in &requests {
        wire.exchange(request.clone());
    }
    wire.send(Confirm {
        through: 1,
        also: vec![3, 900],
    });
    wire.call("status", args![]);
    let id = Identity {
        lowest_unconfirmed: 2,
        ..wire.break_off()
    };
    let mut wire = daemon.client_again(&id);
    let again: Vec<Reply> = requests
        .into_iter()
        .map(|request| wire.exchange(request))
        .collect();
    assert_eq!(failed(&again[0]).code, Code::AlreadyConfirmed);
    assert!(again[1].recorded && again[3].recorded);
    done(&again[1]);
    done(&again[3]);
    // Given up by the client, so its reply may be gone; but never is it run.
    if let Outcome::Failed(failure) = &again[2].outcome {
        assert!(
            matches!(failure.code, Code::AlreadyConfirmed | Code::RanReplyLost),
            "{failure}"
        );
    } else {
        assert!(again[2].recorded);
    }
    assert_eq!(log(&daemon), "0\n1\n2\n3\n");
}

#[test]
fn what_was_never_asked_for_can_not_be_confirmed() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "x"]);
    wire.send(Confirm {
        through: 2,
        also: vec![],
    });
    wire.closed_with(Code::BadNumber);
}

#[test]
fn an_operation_without_writes_never_runs_after_a_durable_one_that_followed_it() {
    let mut daemon = Setup::new().panel(16, 16).start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    let show = wire.request("ri", args!["logo.png"]);
    wire.exchange(show.clone());
    wire.call("clear", args![]);
    wire.call("ss", args!["log.txt", "durable\n"]);
    // In the same run of the host it is answered from memory.
    let mut wire = daemon.client_again(&wire.break_off());
    assert!(wire.exchange(show.clone()).recorded);
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    assert_eq!(failed(&wire.exchange(show)).code, Code::RanReplyLost);
    let status = wire.call_one("status", args![]);
    assert_eq!(
        harness::field(&status, "shown"),
        &Value::Null,
        "it was not shown again"
    );
}

#[test]
fn numbers_may_be_skipped_for_good() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    for number in [5, 6, 1_000, 1_000_000_007] {
        wire.id.next_number = number;
        wire.call("ss", args!["log.txt", "x"]);
    }
    assert_eq!(log(&daemon), "xxxx");
    let mut wire = daemon.client_again(&wire.break_off());
    let mut skipped = append(&mut wire, "late");
    skipped.number = 7;
    // Received through is beyond it, and it was never received: it must not run after a higher one.
    failed(&wire.exchange(skipped));
    assert_eq!(log(&daemon), "xxxx");
}

#[test]
fn operations_take_effect_in_the_order_of_their_numbers() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    // Of two plugins, so that the host could run them beside each other.
    let rounds = lab::rounds_for(&mut wire, Duration::from_millis(5));
    let numbers: Vec<u64> = (0..100)
        .map(|n| match n % 3 {
            0 => wire.ask("slow_note", args!["log.txt", format!("{n}\n"), rounds]),
            _ => wire.ask("ss", args!["log.txt", format!("{n}\n")]),
        })
        .collect();
    let mut positions = Vec::new();
    for number in numbers {
        let reply = wire.reply(number);
        done(&reply);
        positions.push(reply.stored.unwrap());
    }
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    assert_eq!(log(&daemon), lines);
}

#[test]
fn a_client_that_a_wiped_store_does_not_know_is_told_so() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "old\n"]);
    let store = wire.welcome().store;
    daemon.stop();
    std::fs::remove_dir_all(daemon.path("data")).unwrap();
    daemon.boot();
    let knock = |id: Identity| {
        Wire::knock(daemon.address(), id)
            .err()
            .map(|close| close.code)
    };
    let known = wire.id.clone();
    assert_eq!(known.last_store, Some(store));
    assert_eq!(knock(known.clone()), Some(Code::ClientForgotten));
    let with_numbers = Identity {
        last_store: None,
        lowest_unconfirmed: 2,
        ..known.clone()
    };
    assert_eq!(knock(with_numbers), Some(Code::ClientForgotten));
    let mut fresh = daemon.client();
    assert_ne!(
        fresh.welcome().store,
        store,
        "another data folder has another id"
    );
    fresh.call("ss", args!["log.txt", "new\n"]);
    assert_eq!(log(&daemon), "new\n");
}

#[test]
fn a_client_that_never_wrote_is_let_in_again_after_a_restart() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    wire.call("ls", args![]);
    wire.call("status", args![]);
    wire.confirm(2);
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    assert_eq!(
        wire.welcome().received_through,
        2,
        "Hello counts what it confirms as received"
    );
    wire.call("ss", args!["log.txt", "first\n"]);
    assert_eq!(log(&daemon), "first\n");
}

#[test]
fn goodbye_drops_the_record_and_ends_what_runs() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, Duration::from_secs(10));
    wire.call("ss", args!["log.txt", "before\n"]);
    wire.ask("slow_note", args!["log.txt", "never\n", rounds]);
    wire.ask("ss", args!["log.txt", "behind\n"]);
    let begun = Instant::now();
    wire.send(Goodbye {});
    wire.closed_with(Code::Closed);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "it waited for an operation that did not commit"
    );
    assert_eq!(log(&daemon), "before\n");
}

#[test]
fn a_newer_hello_fences_the_older_connection() {
    let daemon = Setup::new().lab().start();
    let mut old = daemon.client();
    let rounds = lab::rounds_for(&mut old, Duration::from_millis(600));
    let running = old.request("slow_note", args!["log.txt", "running\n", rounds]);
    let waiting = old.request("ss", args!["log.txt", "waiting\n"]);
    old.send(running.clone());
    old.send(waiting.clone());
    // Both are read before the other connection comes.
    old.send(pixelboy_protocol::Ping { token: 1 });
    old.wait("Pong", |frame| {
        matches!(frame, Frame::Pong(_)).then_some(())
    });
    let mut new = daemon.client_again(&old.id);
    assert!(new.welcome().resumed);
    assert_eq!(new.welcome().received_through, waiting.number);
    old.closed_with(Code::Fenced);
    assert!(
        new.try_reply(running.number, Duration::from_millis(900))
            .is_err(),
        "it was not requested here"
    );
    let first = new.exchange(running);
    assert_eq!(done(&first), args![0]);
    done(&new.exchange(waiting));
    assert_eq!(log(&daemon), "running\nwaiting\n");
    // What the old one says now is not heard.
    let late = append(&mut old, "late\n");
    let mut bytes = Vec::new();
    late.encode(&mut bytes).unwrap();
    let _ = old.try_send_raw(&bytes);
    new.call("status", args![]);
    assert_eq!(log(&daemon), "running\nwaiting\n");
}

#[test]
fn an_operation_runs_to_its_end_without_its_connection() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, Duration::from_millis(400));
    let request = wire.request("slow_note", args!["log.txt", "done\n", rounds]);
    wire.send(request.clone());
    std::thread::sleep(Duration::from_millis(50));
    let mut wire = daemon.client_again(&wire.break_off());
    assert!(wire.welcome().resumed);
    // While it runs nothing is answered; then one reply comes.
    done(&wire.exchange(request));
    assert_eq!(log(&daemon), "done\n");
}

#[test]
fn beyond_the_grace_a_session_is_another_one_and_the_record_is_still_there() {
    let daemon = Setup::new().host("session_grace_s = 0.2").start();
    let mut wire = daemon.client();
    let request = append(&mut wire, "once\n");
    wire.exchange(request.clone());
    let id = wire.break_off();
    std::thread::sleep(Duration::from_millis(500));
    let mut wire = daemon.client_again(&id);
    assert!(!wire.welcome().resumed);
    assert!(wire.exchange(request).recorded);
    assert_eq!(log(&daemon), "once\n");
}

#[test]
fn more_unconfirmed_requests_than_the_window_holds_close_the_connection() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let mut last = 0;
    for _ in 0..limits::WINDOW_OPERATIONS {
        last = wire.ask("srto", args![100]);
    }
    done(&wire.reply(last));
    wire.ask("srto", args![100]);
    wire.closed_with(Code::LimitExceeded);
    // Confirmed, there is room again, as often as one likes.
    let mut wire = daemon.client();
    for _ in 0..3 {
        for _ in 0..limits::WINDOW_OPERATIONS / 2 {
            last = wire.ask("srto", args![100]);
        }
        done(&wire.reply(last));
        wire.confirm(last);
    }
}

#[test]
fn more_bytes_of_requests_than_the_window_holds_close_the_connection() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, Duration::from_secs(5));
    wire.ask("spin", args![rounds]);
    // 63 of these are below 4 MiB, 65 are above.
    let text = "x".repeat(limits::INLINE_BYTES);
    for _ in 0..63 {
        wire.ask("ss", args!["big.txt", text.as_str(), "w"]);
    }
    wire.send(pixelboy_protocol::Ping { token: 1 });
    wire.wait("Pong", |frame| {
        matches!(frame, Frame::Pong(_)).then_some(())
    });
    for _ in 0..2 {
        let request = wire.request("ss", args!["big.txt", text.as_str(), "w"]);
        let mut bytes = Vec::new();
        request.encode(&mut bytes).unwrap();
        let _ = wire.try_send_raw(&bytes);
    }
    wire.closed_with(Code::LimitExceeded);
}

/// 80 replies of 60 KiB are more than the 4 MiB that may be unconfirmed.
#[test]
fn unconfirmed_replies_hold_later_operations_back_until_they_are_confirmed() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["big.txt", "x".repeat(60 << 10)]);
    let numbers: Vec<u64> = (0..80).map(|_| wire.ask("get", args!["big.txt"])).collect();
    let mut answered = 0;
    let mut at = 0;
    while at < numbers.len() {
        match wire.try_reply(numbers[at], Duration::from_millis(500)) {
            Ok(reply) => {
                done(&reply);
                at += 1;
            }
            Err(_) => {
                assert!(
                    answered < at,
                    "it is held back though everything is confirmed"
                );
                assert!(at >= 60, "only {at} replies came");
                answered = at;
                wire.confirm(numbers[at - 1]);
            }
        }
    }
    assert!(
        answered > 0,
        "nothing was held back: {} MiB of replies were kept",
        80 * 60 / 1024
    );
}

#[test]
fn a_cancelled_operation_leaves_nothing() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "before\n"]);
    let rounds = lab::rounds_for(&mut wire, Duration::from_secs(10));
    let running = wire.request("slow_note", args!["log.txt", "running\n", rounds]);
    wire.send(running.clone());
    let waiting = wire.ask("ss", args!["log.txt", "waiting\n"]);
    let kept = wire.ask("ss", args!["log.txt", "kept\n"]);
    std::thread::sleep(Duration::from_millis(50));
    for number in [waiting, running.number, 900] {
        wire.send(Cancel { number });
    }
    assert_eq!(failed(&wire.reply(waiting)).code, Code::Cancelled);
    assert_eq!(failed(&wire.reply(running.number)).code, Code::Cancelled);
    done(&wire.reply(kept));
    // Cancelled when it is done: its real reply came, and no other follows.
    wire.send(Cancel { number: kept });
    wire.call("status", args![]);
    assert!(wire.try_reply(kept, Duration::from_millis(100)).is_err());
    assert_eq!(log(&daemon), "before\nkept\n");
    let mut wire = daemon.client_again(&wire.break_off());
    let again = wire.exchange(running);
    assert_eq!(
        failed(&again).code,
        Code::Cancelled,
        "it stays cancelled: {again:?}"
    );
}

#[test]
fn past_its_deadline_an_operation_leaves_nothing() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "before\n"]);
    let rounds = lab::rounds_for(&mut wire, Duration::from_secs(10));
    let mut slow = wire.request("slow_note", args!["log.txt", "slow\n", rounds]);
    slow.deadline_ms = Some(200);
    let mut behind = append(&mut wire, "behind\n");
    behind.deadline_ms = Some(100);
    let begun = Instant::now();
    wire.send(slow.clone());
    wire.send(behind.clone());
    assert_eq!(failed(&wire.reply(slow.number)).code, Code::Deadline);
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(190)..Duration::from_millis(900)).contains(&took),
        "after {took:?}"
    );
    assert_eq!(failed(&wire.reply(behind.number)).code, Code::Deadline);
    let mut none = append(&mut wire, "none\n");
    none.deadline_ms = Some(0);
    assert_eq!(failed(&wire.exchange(none)).code, Code::Deadline);
    let mut enough = append(&mut wire, "enough\n");
    enough.deadline_ms = Some(20_000);
    done(&wire.exchange(enough.clone()));
    // 0 means: from the record, or not at all.
    let mut wire = daemon.client_again(&wire.break_off());
    enough.deadline_ms = Some(0);
    assert!(wire.exchange(enough).recorded);
    assert_eq!(log(&daemon), "before\nenough\n");
}

#[test]
fn an_operation_that_refuses_or_crashes_leaves_nothing() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "before\n"]);
    let failure = wire.call_failing("refused_note", args!["log.txt", "refused\n"]);
    assert_eq!(failure, Failure::new(Code::Failed, "refused as asked"));
    let crash = wire.request("crashed_note", args!["log.txt", "crashed\n"]);
    let reply = wire.exchange(crash.clone());
    assert_eq!(failed(&reply).code, Code::PluginCrashed);
    assert!(failed(&reply).message.contains("lab"), "{reply:?}");
    assert_eq!(
        wire.call_one("version", args![]),
        Value::from(lab::VERSION),
        "the plugin serves on"
    );
    let mut wire = daemon.client_again(&wire.break_off());
    let again = wire.exchange(crash);
    assert!(again.recorded);
    assert_eq!(failed(&again).code, Code::PluginCrashed);
    assert_eq!(log(&daemon), "before\n");
}

/// One that takes long for a file which others change all the time gets its turn too.
#[test]
fn a_slow_plugin_is_not_kept_out_by_quick_ones() {
    let daemon = Setup::new().lab().start();
    let mut slow = daemon.client();
    let rounds = lab::rounds_for(&mut slow, Duration::from_millis(30));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut wire = daemon.client();
                while !done.load(Ordering::Relaxed) {
                    wire.call("ss", args!["log.txt", "quick\n"]);
                }
            });
        }
        let outcomes: Vec<_> = (0..4)
            .map(|_| {
                let reply = slow.call_reply("slow_note", args!["log.txt", "slow\n", rounds]);
                slow.confirmed = reply.number;
                reply.outcome
            })
            .collect();
        done.store(true, Ordering::Relaxed);
        for outcome in outcomes {
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        }
    });
    assert_eq!(log(&daemon).matches("slow\n").count(), 4);
}

/// Two plugins write to one file at once: each line is there once, whole.
#[test]
fn two_plugins_and_four_clients_share_a_file() {
    let daemon = Setup::new().lab().start();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut wire = daemon.client();
                for n in 0..30 {
                    let line = format!("{client}:{n}\n");
                    match client % 2 {
                        0 => wire.call("ss", args!["log.txt", line]),
                        _ => wire.call("slow_note", args!["log.txt", line, 1_000]),
                    };
                }
            });
        }
    });
    let text = log(&daemon);
    for client in 0..4 {
        let own: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with(&format!("{client}:")))
            .map(str::to_owned)
            .collect();
        let expected: Vec<String> = (0..30).map(|n| format!("{client}:{n}")).collect();
        assert_eq!(own, expected);
    }
    assert_eq!(text.lines().count(), 120);
}

/// A reply is sent when it is due, whatever waits behind it.
#[test]
fn a_reply_does_not_wait_for_the_operations_behind_it() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, Duration::from_secs(2));
    let begun = Instant::now();
    let fast = wire.ask("ss", args!["log.txt", "fast\n"]);
    let slow = wire.ask("spin", args![rounds]);
    let behind = wire.ask("ss", args!["log.txt", "behind\n"]);
    done(&wire.reply(fast));
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(1),
        "the first reply came after {took:?}"
    );
    done(&wire.reply(slow));
    done(&wire.reply(behind));
    // How long the slow one takes depends on what else the machine does; the first must not have waited for it.
    assert!(
        took < begun.elapsed() / 2,
        "the first reply came after {took:?}, the last one after {:?}",
        begun.elapsed()
    );
}

/// The first line of a file is the hardest: each of the two finds that there is no file yet.
#[test]
fn two_plugins_that_make_one_file_at_once_lose_nothing() {
    let daemon = Setup::new().lab().start();
    let mut clients = [daemon.client(), daemon.client()];
    let ready = std::sync::Barrier::new(2);
    for round in 0..60 {
        let path = format!("new-{round}.txt");
        std::thread::scope(|scope| {
            for (wire, op) in clients.iter_mut().zip(["ss", "slow_note"]) {
                let (path, ready) = (&path, &ready);
                scope.spawn(move || {
                    let mut args = args![path.as_str(), format!("{op}\n")];
                    if op == "slow_note" {
                        args.push(Value::Int(1_000 * round % 7));
                    }
                    ready.wait();
                    wire.call(op, args);
                });
            }
        });
        let text = String::from_utf8(daemon.on_disk(&path)).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["slow_note", "ss"],
            "round {round}: both were acknowledged"
        );
    }
}

/// Numbers that were never used mean nothing in `also`, then and later.
#[test]
fn a_number_confirmed_before_it_was_used_is_kept_all_the_same() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    wire.call("ss", args!["log.txt", "1\n"]);
    wire.send(Confirm {
        through: 0,
        also: vec![2, 3, 900],
    });
    let second = append(&mut wire, "2\n");
    done(&wire.exchange(second.clone()));
    let mut wire = daemon.client_again(&wire.break_off());
    assert!(wire.exchange(second.clone()).recorded);
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    let again = wire.exchange(second);
    assert!(again.recorded, "{again:?}");
    done(&again);
    assert_eq!(log(&daemon), "1\n2\n");
}

/// A deadline is kept while something else runs.
#[test]
fn a_waiting_operation_is_answered_at_its_deadline() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, Duration::from_secs(4));
    let slow = wire.ask("spin", args![rounds]);
    let mut behind = append(&mut wire, "behind\n");
    behind.deadline_ms = Some(300);
    let begun = Instant::now();
    assert_eq!(failed(&wire.exchange(behind)).code, Code::Deadline);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(290), "after {took:?}");
    assert!(
        took < Duration::from_secs(2),
        "after {took:?}: it waited for the one before it"
    );
    wire.send(Cancel { number: slow });
    assert_eq!(failed(&wire.reply(slow)).code, Code::Cancelled);
}
