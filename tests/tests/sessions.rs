//! Who is let in, who is turned away with which word, and what a session is named.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::sync::Syncs;
use harness::{Daemon, Identity, PATIENCE, Setup, Wire, args, process};
use pixelboy_protocol::{
    ClientId, Close, Code, Frame, Goodbye, Hello, OpenUpload, PREAMBLE, Ping, Request, Value,
};

/// Everything that a client says first, and what is behind it in the same bytes.
fn hello_and(id: &Identity, more: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = PREAMBLE.to_vec();
    Frame::from(id.hello()).encode(&mut bytes).unwrap();
    for frame in more {
        frame.encode(&mut bytes).unwrap();
    }
    bytes
}

#[track_caller]
fn turned_away(daemon: &Daemon, id: &Identity) -> Close {
    match Wire::knock(daemon.address(), id.clone()) {
        Err(close) => close,
        Ok(_) => panic!("let in"),
    }
}

/// Comes in as soon as there is room.
#[track_caller]
fn admitted(daemon: &Daemon, id: &Identity) -> Wire {
    let begun = Instant::now();
    loop {
        match Wire::knock(daemon.address(), id.clone()) {
            Ok(wire) => return wire,
            Err(close) => assert_eq!(close.code, Code::TooManyClients, "{close:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "there was never room");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_follows_hello_before_welcome_is_refused_and_does_not_run() {
    let daemon = Setup::new().start();
    let request = Request {
        number: 1,
        confirmed: 0,
        deadline_ms: None,
        op: "ss".to_owned(),
        args: args!["early.txt", "x"],
        kwargs: vec![],
    };
    let early: [Frame<'_>; 4] = [
        request.into(),
        Ping { token: 1 }.into(),
        Goodbye {}.into(),
        OpenUpload {
            transfer: 1,
            length: None,
            sha256: None,
            mode: OpenUpload::STORED,
        }
        .into(),
    ];
    for frame in early {
        let mut wire = Wire::silent(daemon.address(), Identity::new());
        let bytes = hello_and(&wire.id, std::slice::from_ref(&frame));
        wire.send_raw(&bytes);
        wire.closed_with(Code::HelloExpected);
    }
    // Half a frame is one too many.
    let mut wire = Wire::silent(daemon.address(), Identity::new());
    let mut bytes = hello_and(&wire.id, &[]);
    bytes.extend([9, 0, 0, 0, 0x07]);
    wire.send_raw(&bytes);
    wire.closed_with(Code::HelloExpected);
    assert!(!daemon.stored("early.txt").exists());
    // Optional kinds are skipped here too.
    let mut wire = Wire::silent(daemon.address(), Identity::new());
    let mut bytes = hello_and(&wire.id, &[]);
    bytes.extend([3, 0, 0, 0, 0x90, 1, 2, 3]);
    wire.send_raw(&bytes);
    wire.wait("Welcome", |frame| {
        matches!(frame, Frame::Welcome(_)).then_some(())
    });
}

#[test]
fn with_all_connections_taken_the_next_client_is_told_so_and_strangers_get_their_sentence() {
    use std::io::{Read as _, Write as _};
    let daemon = Setup::bare().host("max_connections = 4").start();
    let mut inside: Vec<Wire> = (0..4).map(|_| daemon.client()).collect();
    let late = Identity::new();
    // More than are turned away at a time, one after the other.
    for _ in 0..40 {
        let close = turned_away(&daemon, &late);
        assert_eq!(close.code, Code::TooManyClients, "{close:?}");
        assert!(close.message.contains('4'), "{close:?}");
    }
    let mut browser = std::net::TcpStream::connect(daemon.address()).unwrap();
    browser.set_read_timeout(Some(PATIENCE)).unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    browser.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    // Those inside notice nothing, and one that goes makes room.
    inside[2].call("cc", args![]);
    inside[2].closed_with(Code::Closed);
    inside.remove(2);
    admitted(&daemon, &late).call("status", args![]);
    for wire in &mut inside {
        wire.call("status", args![]);
    }
}

#[test]
fn with_as_many_clients_present_as_are_remembered_another_one_comes_later() {
    let daemon = Setup::new()
        .store("max_clients = 3")
        .host("session_grace_s = 0.3")
        .start();
    let mut present: Vec<Wire> = (0..3).map(|_| daemon.client()).collect();
    for (n, wire) in present.iter_mut().enumerate() {
        wire.call("ss", args!["log.txt", format!("{n}\n")]);
    }
    let late = Identity::new();
    assert_eq!(turned_away(&daemon, &late).code, Code::TooManyClients);
    let gone = present.remove(1).break_off();
    // In its grace it is present.
    assert_eq!(turned_away(&daemon, &late).code, Code::TooManyClients);
    let mut wire = admitted(&daemon, &late);
    wire.call("ss", args!["log.txt", "late\n"]);
    assert_eq!(daemon.on_disk("log.txt"), b"0\n1\n2\nlate\n");
    // What was known of it made room, and it is told so when there is room again.
    drop(present.remove(0).break_off());
    let begun = Instant::now();
    loop {
        let close = turned_away(&daemon, &gone);
        if close.code == Code::ClientForgotten {
            break;
        }
        assert_eq!(close.code, Code::TooManyClients, "{close:?}");
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whoever is known well enough to come back must find itself, however many others push in meanwhile.
#[test]
fn a_client_that_comes_back_while_others_take_its_room_is_never_there_twice() {
    let daemon = Setup::new()
        .store("max_clients = 3")
        .host("session_grace_s = 0.0")
        .start();
    std::thread::scope(|scope| {
        for client in 0..6 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut id = Identity::new();
                let mut line = 0;
                let begun = Instant::now();
                // The number under which a line was sent that is not answered, and how often.
                let mut pending: Option<(Request, u32)> = None;
                while line < 25 {
                    assert!(begun.elapsed() < 2 * PATIENCE, "client {client} starves");
                    let mut wire = match Wire::knock(daemon.address(), id.clone()) {
                        Ok(wire) => wire,
                        Err(close) if close.code == Code::TooManyClients => {
                            std::thread::sleep(Duration::from_millis(3));
                            continue;
                        }
                        Err(close) => {
                            assert_eq!(close.code, Code::ClientForgotten, "{close:?}");
                            // Outcome unknown for what was pending: a line of its own tells the two apart.
                            id = Identity::new();
                            line += u32::from(pending.take().is_some());
                            continue;
                        }
                    };
                    let (request, sent) = pending.take().unwrap_or_else(|| {
                        let text = format!("{client}:{line}\n");
                        (wire.request("ss", args!["log.txt", text]), 0)
                    });
                    wire.send(request.clone());
                    if sent < 2 && (line + sent) % 3 != 0 {
                        pending = Some((request, sent + 1));
                    } else {
                        let reply = wire.reply(request.number);
                        assert!(
                            matches!(reply.outcome, pixelboy_protocol::Outcome::Done(_)),
                            "{reply:?}"
                        );
                        line += 1;
                    }
                    id = wire.break_off();
                }
            });
        }
    });
    let text = String::from_utf8(daemon.on_disk("log.txt")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all, "a line is there twice:\n{text}");
    assert!(all >= 50, "only {all} lines:\n{text}");
}

#[test]
fn a_client_that_says_hello_while_the_host_stops_is_told_so() {
    let mut daemon = Setup::new().told_syncs().start();
    let mut busy = daemon.client();
    // A disk that is known to be slow holds no network worker up.
    daemon.syncs(Syncs::Slow(Duration::from_millis(50)));
    for _ in 0..4 {
        busy.call("ss", args!["log.txt", "ran\n", "w"]);
    }
    // A commit that waits for the disk keeps the host for a while.
    daemon.syncs(Syncs::Slow(Duration::from_secs(3)));
    let before = daemon.slow_syncs();
    let running = busy.ask("ss", args!["log.txt", "ran\n"]);
    daemon.wait_for_slow_sync(before);
    daemon.syncs(Syncs::Usual);
    let mut late = Wire::silent(daemon.address(), Identity::new());
    late.send_raw(&PREAMBLE);
    // Who comes behind it is in, so it is accepted.
    let _behind = daemon.client();
    let log = daemon.path("log");
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| daemon.stop());
        let begun = Instant::now();
        while !std::fs::read_to_string(&log).unwrap().contains("stopping") {
            assert!(begun.elapsed() < PATIENCE, "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        let hello = late.id.hello();
        late.send(hello);
        let close = late.closed_with(Code::ShuttingDown);
        assert!(close.message.contains("later"), "{close:?}");
        stopping.join().unwrap();
    });
    // What ran when the signal came was let end.
    busy.reply(running);
    assert_eq!(daemon.on_disk("log.txt"), b"ran\nran\n");
}

/// A device may have no clock, or one that begins anew with each start: numbers must not come from it.
#[test]
fn a_session_s_number_is_never_used_again() {
    let mut daemon = Setup::new().lab().start();
    let number = |wire: &mut Wire| match wire.call_one("session", args![]) {
        Value::Text(text) => text.parse::<u64>().unwrap(),
        other => panic!("{other:?}"),
    };
    let mut numbers = Vec::new();
    for _ in 0..2 {
        for _ in 0..3 {
            let mut wire = daemon.client();
            let own = number(&mut wire);
            assert_eq!(number(&mut wire), own, "one session has one number");
            numbers.push(own);
            let mut wire = daemon.client_again(&wire.break_off());
            assert_eq!(
                number(&mut wire),
                own,
                "it went on over a broken connection"
            );
        }
        daemon.kill();
        daemon.boot();
    }
    numbers.sort_unstable();
    // Counters and clocks make neighbours.
    let near = numbers.windows(2).any(|pair| pair[1] - pair[0] < 1 << 32);
    assert!(!near, "{numbers:?}");
}

/// What waits in the window costs about its bytes, also where a byte is a whole value.
#[test]
fn arguments_that_unpack_to_forty_times_their_bytes_wait_as_they_came() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = harness::lab::rounds_for(&mut wire, Duration::from_secs(20));
    let nulls = || vec![Value::List(vec![Value::Null; 4_000])];
    assert_eq!(
        wire.call_one("count", nulls()),
        Value::from(4_000),
        "they are given to the plugin whole"
    );
    let before = process::memory(daemon.pid());
    let running = wire.ask("spin", args![rounds]);
    let first = wire.id.next_number;
    for _ in 0..1_000 {
        wire.ask("count", nulls());
    }
    wire.send(Ping { token: 1 });
    wire.wait("Pong", |frame| {
        matches!(frame, Frame::Pong(_)).then_some(())
    });
    let after = process::memory(daemon.pid());
    let grown_kib = after.own_kib.saturating_sub(before.own_kib);
    println!("4 MB of requests cost {grown_kib} KiB while they wait");
    assert!(grown_kib < 32 << 10, "{grown_kib} KiB");
    wire.send(pixelboy_protocol::Cancel { number: running });
    for number in first..first + 10 {
        let reply = wire.reply(number);
        assert_eq!(
            reply.outcome,
            pixelboy_protocol::Outcome::Done(vec![Value::from(4_000)])
        );
    }
}

/// Names are given once: this Hello is complete, and nothing else is needed to be let in.
#[test]
fn a_name_of_sixty_four_bytes_is_taken_and_a_longer_one_is_not() {
    let daemon = Setup::bare().start();
    for (bytes, taken) in [(0, true), (64, true), (65, false)] {
        let mut wire = Wire::silent(daemon.address(), Identity::new());
        let hello = Hello::new(ClientId(wire.id.client), &"n".repeat(bytes.min(64)));
        let mut frame = Vec::new();
        Frame::from(hello).encode(&mut frame).unwrap();
        if bytes > 64 {
            // One byte more, behind the back of our own encoder.
            let at = 5 + 2 + 16;
            assert_eq!(frame[at], 64);
            frame[at] = 65;
            frame.insert(at + 1, b'n');
            frame[0] += 1;
        }
        wire.send_raw(&PREAMBLE);
        wire.send_raw(&frame);
        if taken {
            wire.wait("Welcome", |frame| {
                matches!(frame, Frame::Welcome(_)).then_some(())
            });
        } else {
            let close = wire.closed();
            assert!(
                matches!(close.code, Code::BadFrame | Code::LimitExceeded),
                "{close:?}"
            );
        }
    }
}

/// Only who is let in takes a session over.
#[test]
fn a_hello_that_is_refused_fences_nobody() {
    let daemon = Setup::new().host("max_connections = 2").start();
    let mut inside = daemon.client();
    inside.call("ss", args!["log.txt", "one\n"]);
    let id = inside.id.clone();
    let knock = |hello: Hello, behind: &[u8], code: Code| {
        let mut other = Wire::silent(daemon.address(), id.clone());
        let mut bytes = PREAMBLE.to_vec();
        Frame::from(hello).encode(&mut bytes).unwrap();
        bytes.extend(behind);
        other.send_raw(&bytes);
        other.closed_with(code);
    };
    let future = Hello {
        min_version: 2,
        max_version: 9,
        ..id.hello()
    };
    knock(future, &[], Code::Version);
    inside.call("status", args![]);
    // The connection that was refused may have its place for a moment still.
    let mut filler = admitted(&daemon, &Identity::new());
    knock(id.hello(), &[], Code::TooManyClients);
    inside.call("status", args![]);
    filler.call("cc", args![]);
    drop(filler);
    let free = admitted(&daemon, &Identity::new());
    drop(free.break_off());
    let begun = Instant::now();
    loop {
        let mut other = Wire::silent(daemon.address(), id.clone());
        other.send_raw(&hello_and(&id, &[Ping { token: 1 }.into()]));
        let close = other.closed();
        if close.code == Code::HelloExpected {
            break;
        }
        assert_eq!(close.code, Code::TooManyClients, "{close:?}");
        assert!(begun.elapsed() < PATIENCE);
    }
    inside.call("status", args![]);
    assert_eq!(daemon.on_disk("log.txt"), b"one\n");
}

/// Whoever takes nothing and closes nothing is let go all the same, with all that waits for it.
#[test]
fn connections_of_clients_who_never_read_and_never_close_are_let_go() {
    let daemon = Setup::new().host("session_grace_s = 0.1").start();
    let mut wire = daemon.client();
    let upload = wire.upload(&vec![b'x'; 32 << 20]);
    wire.call("ss", args!["huge.txt", upload]);
    wire.send(Goodbye {});
    wire.closed_with(Code::Closed);
    let before = process::open_files(daemon.pid());
    let mut deaf: Vec<Wire> = (0..8).map(|_| daemon.client()).collect();
    for wire in &mut deaf {
        let got = wire.call("get", args!["huge.txt"]);
        let Value::Blob(blob) = got[0] else {
            panic!("{got:?}")
        };
        let transfer = wire.next_transfer();
        wire.send(pixelboy_protocol::OpenDownload {
            transfer,
            blob: blob.id,
            offset: 0,
            limit: 32 << 20,
        });
    }
    // Until what is between the two is full: then the host has nothing to do.
    let begun = Instant::now();
    loop {
        let used = process::cpu_time(daemon.pid());
        std::thread::sleep(Duration::from_millis(300));
        if process::cpu_time(daemon.pid()) == used {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is never full");
    }
    // Half of them are fenced, half break the protocol.
    for (n, wire) in deaf.iter_mut().enumerate() {
        if n % 2 == 0 {
            let mut newer = daemon.client_again(&wire.id);
            newer.send(Goodbye {});
            newer.closed_with(Code::Closed);
        } else {
            wire.send_raw(&[0, 0, 0, 0, 0x3F]);
        }
    }
    let begun = Instant::now();
    // Those who broke the protocol are known with one reply, whose bytes are held open.
    while process::open_files(daemon.pid()) > before + 4 {
        assert!(
            begun.elapsed() < PATIENCE,
            "{before} files were open before, {} are now",
            process::open_files(daemon.pid())
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(deaf);
}
