//! Durability: what was acknowledged survives, what was not is nowhere to be seen, and nothing is there twice.
//! Kills are real (SIGKILL, SIGTERM); what a power cut does to unsynced bytes is tested in `crash`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{
    Daemon, Identity, PATIENCE, Setup, Wire, args, files, lab, media, sha256_hex, snapshot,
    text_field, wav,
};
use pixelboy_protocol::{Code, OpenState, Outcome, Request, Value};

#[track_caller]
fn assert_whole(daemon: &Daemon, wire: &mut Wire, path: &str, bytes: &[u8]) {
    assert!(
        daemon.on_disk(path) == bytes,
        "{path}: other bytes on the disk"
    );
    let got = wire.call("get", args![path]);
    assert_eq!(text_field(&got[1], "sha256"), sha256_hex(bytes), "{path}");
    assert!(
        wire.bytes(&got[0]) == bytes,
        "{path}: `get` gives other bytes"
    );
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9_right_behind_the_reply() {
    let mut daemon = Setup::new().start();
    let large = wav::tone(3.0, 44_100, 440.0);
    let mut text = String::new();
    for round in 0..6 {
        // Each round ends with another operation, whose reply is the last thing before the kill.
        let mut wire = daemon.client();
        match round {
            0 | 5 => {
                text.push_str("a line\n");
                wire.call("ss", args!["notes.txt", "a line\n"]);
            }
            1 => {
                wire.call("si", args![media("logo.png"), "pictures/logo.png"]);
            }
            2 => {
                let upload = wire.upload(&large);
                wire.call("sm", args![0, upload, "large.wav"]);
            }
            3 => {
                // A name that is taken is replaced whole.
                wire.call("si", args![media("sprite.png"), "pictures/logo.png"]);
            }
            _ => {
                wire.call("ss", args!["gone.txt", "x"]);
                wire.call("del", args!["gone.txt"]);
            }
        }
        daemon.kill();
        daemon.boot();
        let mut wire = daemon.client();
        assert_whole(&daemon, &mut wire, "notes.txt", text.as_bytes());
        match round {
            1 | 2 => assert_whole(&daemon, &mut wire, "pictures/logo.png", &media("logo.png")),
            3.. => assert_whole(
                &daemon,
                &mut wire,
                "pictures/logo.png",
                &media("sprite.png"),
            ),
            _ => {}
        }
        if round >= 2 {
            assert_whole(&daemon, &mut wire, "large.wav", &large);
        }
        if round >= 4 {
            assert_eq!(
                wire.call_failing("stat", args!["gone.txt"]).code,
                Code::NotFound
            );
            assert!(!daemon.stored("gone.txt").exists());
        }
    }
    let log = daemon.log();
    let worse = log.lines().find(|line| line.contains("ERROR"));
    assert_eq!(worse, None, "a kill is nothing to complain about");
}

/// The bytes of an upload that the host has surely taken: it gave credit for what follows them.
#[track_caller]
fn take_credit(wire: &mut Wire, transfer: u64, sent: u64, mut limit: u64) -> u64 {
    while limit < sent + (128 << 10) {
        limit = wire.credit(transfer).unwrap();
    }
    limit - (256 << 10)
}

#[test]
fn half_an_upload_shows_nowhere_and_goes_on_from_its_offset_after_a_stop() {
    let mut daemon = Setup::new().start();
    let bytes = wav::tone(40.0, 44_100, 440.0);
    let (length, digest) = (bytes.len() as u64, files::sha256(&bytes));
    let mut wire = daemon.client();
    wire.call("ss", args!["notes.txt", "x"]);
    let media_before = snapshot(&daemon.path("data/media"));
    let transfer = wire.next_transfer();
    let (_, limit) = wire.begin_upload(transfer, Some(length), Some(digest));
    let sent = 2 << 20;
    wire.send_from(transfer, &bytes[..sent], 0, limit, 65_536);
    let taken = take_credit(&mut wire, transfer, sent as u64, limit);
    daemon.stop();
    daemon.boot();

    let mut wire = daemon.client_again(&wire.id);
    let listed = wire.call_one("ls", args![]);
    assert_eq!(listed.as_list().unwrap().len(), 1, "{listed:?}");
    assert!(
        snapshot(&daemon.path("data/media")) == media_before,
        "half an upload lies in the media folder"
    );
    // What rests on the disk is unfinished, not unknown, also before it is opened again.
    let early = wire.call_failing("sm", args![0, Value::Upload(transfer), "half.wav"]);
    assert_eq!(early.code, Code::UploadNotReady, "{early}");

    let (offset, limit) = wire.begin_upload(transfer, Some(length), Some(digest));
    println!("{sent} bytes were sent, {taken} surely taken; it goes on from {offset}");
    assert!(
        (taken..=sent as u64).contains(&offset),
        "{taken} bytes were taken, it goes on from {offset}"
    );
    wire.send_from(transfer, &bytes, offset, limit, 65_536);
    wire.finish(transfer, length, digest).unwrap();
    wire.call("sm", args![0, Value::Upload(transfer), "whole.wav"]);
    assert_whole(&daemon, &mut wire, "whole.wav", &bytes);
}

/// A crash costs an upload seconds of its way, not all of it.
#[test]
fn half_an_upload_shows_nowhere_and_goes_on_from_what_was_durable_after_kill_9() {
    let mut daemon = Setup::new().start();
    let bytes: Vec<u8> = (0..12u32 << 20).map(|n| b'a' + (n % 23) as u8).collect();
    let (length, digest) = (bytes.len() as u64, files::sha256(&bytes));
    let mut wire = daemon.client();
    let transfer = wire.next_transfer();
    let (_, limit) = wire.begin_upload(transfer, Some(length), Some(digest));
    // Three MiB a second.
    let read = |at: u64, into: &mut [u8]| {
        into.copy_from_slice(&bytes[at as usize..at as usize + into.len()]);
    };
    let begun = Instant::now();
    let sent = 9 << 20;
    let pace = |_: &mut Wire, at: u64| {
        let due = Duration::from_secs_f64(at as f64 / f64::from(3 << 20));
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    };
    wire.stream(transfer, 0..sent, limit, 65_536, read, pace)
        .unwrap();
    let mut durable = 0;
    while let Ok(offset) = wire.try_wait(Duration::from_millis(1), |frame| match frame {
        pixelboy_protocol::Frame::Durable(durable) => Some(durable.offset),
        _ => None,
    }) {
        durable = offset;
    }
    daemon.kill();
    daemon.boot();
    assert!(snapshot(&daemon.path("data/media")).is_empty());
    let mut wire = daemon.client_again(&wire.id);
    assert_eq!(wire.call_one("ls", args![]), Value::List(vec![]));
    let (offset, limit) = wire.begin_upload(transfer, Some(length), Some(digest));
    println!("{sent} bytes were sent, {durable} told to be durable; it goes on from {offset}");
    assert!((durable..=sent).contains(&offset));
    assert!(offset > 0, "after 3 s and 9 MiB it begins anew");
    wire.send_from(transfer, &bytes, offset, limit, 65_536);
    wire.finish(transfer, length, digest).unwrap();
    wire.call("ss", args!["whole.txt", Value::Upload(transfer), "w"]);
    assert_whole(&daemon, &mut wire, "whole.txt", &bytes);
}

#[test]
fn a_finished_upload_is_still_there_after_kill_9_and_can_be_used_once() {
    let mut daemon = Setup::new().start();
    let bytes = wav::tone(3.0, 44_100, 440.0);
    let mut wire = daemon.client();
    let upload = wire.upload(&bytes);
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    let Value::Upload(transfer) = upload else {
        unreachable!()
    };
    let opened = wire
        .open_upload(
            transfer,
            Some(bytes.len() as u64),
            Some(files::sha256(&bytes)),
        )
        .unwrap();
    assert_eq!(opened.state, OpenState::Complete);
    let request = wire.request("sm", args![0, upload.clone(), "tone.wav"]);
    assert!(matches!(
        wire.exchange(request.clone()).outcome,
        Outcome::Done(_)
    ));
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    let opened = wire
        .open_upload(
            transfer,
            Some(bytes.len() as u64),
            Some(files::sha256(&bytes)),
        )
        .unwrap();
    assert_eq!(
        opened.state,
        OpenState::Consumed {
            number: request.number
        }
    );
    assert!(wire.exchange(request).recorded);
    assert_eq!(
        wire.call_failing("sm", args![0, upload, "again.wav"]).code,
        Code::UploadConsumed
    );
    assert_whole(&daemon, &mut wire, "tone.wav", &bytes);
}

#[test]
fn sigterm_stops_within_five_seconds_whatever_is_under_way() {
    let mut daemon = Setup::new().lab().start();
    let mut calm = daemon.client();
    let mut busy = daemon.client();
    let mut sender = daemon.client();
    let rounds = lab::rounds_for(&mut busy, Duration::from_secs(30));
    let slow = busy.request("slow_note", args!["slow.txt", "slow\n", rounds]);
    let behind = busy.request("ss", args!["notes.txt", "behind\n"]);
    busy.send(slow.clone());
    busy.send(behind.clone());
    let transfer = sender.next_transfer();
    sender.begin_upload(transfer, Some(10 << 20), None);
    sender.send_chunk(transfer, 0, &[b'x'; 65_536]);
    calm.call("ss", args!["notes.txt", "acknowledged\n"]);

    let (took, status) = daemon.stop();
    println!("it stopped after {took:?} with {status}");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    assert!(status.success(), "{status}");
    assert!(
        !daemon.path("ready").exists(),
        "the ready file is still there"
    );
    assert_eq!(calm.closed().code, Code::ShuttingDown);
    daemon.assert_no_stack_trace();

    daemon.boot();
    let mut wire = daemon.client_again(&busy.id);
    assert_eq!(daemon.on_disk("notes.txt"), b"acknowledged\n");
    assert!(
        !daemon.stored("slow.txt").exists(),
        "an operation that did not end left something"
    );
    // Both can be sent again and happen once, unless they were refused for good.
    for request in [
        Request {
            args: args!["slow.txt", "slow\n", 1],
            number: 90,
            ..slow
        },
        Request {
            number: 91,
            ..behind
        },
    ] {
        assert!(matches!(wire.exchange(request).outcome, Outcome::Done(_)));
    }
    assert_eq!(daemon.on_disk("notes.txt"), b"acknowledged\nbehind\n");
}

#[test]
fn sigterm_lets_a_short_operation_end_and_answers_it() {
    let mut daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let rounds = lab::rounds_for(&mut wire, Duration::from_millis(400));
    let number = wire.ask("slow_note", args!["slow.txt", "slow\n", rounds]);
    std::thread::sleep(Duration::from_millis(100));
    let (took, status) = daemon.stop();
    assert!(status.success());
    println!("it stopped after {took:?}");
    let outcome = wire.reply(number).outcome;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(wire.closed().code, Code::ShuttingDown);
    daemon.boot();
    assert_eq!(daemon.on_disk("slow.txt"), b"slow\n");
}

/// A client that adds numbered lines to a file of its own, many at a time, and sends again what was not answered.
struct Appender {
    id: Identity,
    path: String,
    next_line: u64,
    /// Sent, not answered: with their lines.
    open: VecDeque<(Request, u64)>,
    /// All lines below were acknowledged.
    acknowledged: u64,
}

impl Appender {
    fn new(name: usize) -> Self {
        Self {
            id: Identity::new(),
            path: format!("lines-{name}.txt"),
            next_line: 0,
            open: VecDeque::new(),
            acknowledged: 0,
        }
    }

    /// Works until the connection ends.
    fn work(&mut self, daemon_address: std::net::SocketAddr, quit: &AtomicBool) {
        let Ok(mut wire) = Wire::knock(daemon_address, self.id.clone()) else {
            panic!("not let in");
        };
        for (request, _) in &self.open {
            let mut bytes = Vec::new();
            request.encode(&mut bytes).unwrap();
            let _ = wire.try_send_raw(&bytes);
        }
        while !quit.load(Ordering::Relaxed) || !self.open.is_empty() {
            while self.open.len() < 16 && !quit.load(Ordering::Relaxed) {
                let line = format!("{}\n", self.next_line);
                let request = wire.request("ss", args![self.path.as_str(), line]);
                let mut bytes = Vec::new();
                request.encode(&mut bytes).unwrap();
                self.open.push_back((request, self.next_line));
                self.next_line += 1;
                if wire.try_send_raw(&bytes).is_err() {
                    break;
                }
            }
            let Some((request, line)) = self.open.front() else {
                continue;
            };
            match wire.try_reply(request.number, PATIENCE) {
                Ok(reply) => {
                    assert!(
                        matches!(reply.outcome, Outcome::Done(_)),
                        "{:?}",
                        reply.outcome
                    );
                    assert!(reply.stored.is_some());
                    self.acknowledged = line + 1;
                    wire.confirmed = request.number;
                    self.open.pop_front();
                }
                Err(harness::wire::Missing::Ended(_)) => break,
                Err(late) => panic!("no reply: {late:?}"),
            }
        }
        self.id = Identity {
            lowest_unconfirmed: wire.confirmed + 1,
            ..wire.id.clone()
        };
    }

    /// What must be in the file now: every acknowledged line and a few of those sent, in order, each once.
    fn check(&self, daemon: &Daemon) -> u64 {
        let bytes = std::fs::read(daemon.stored(&self.path)).unwrap_or_default();
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().count() as u64;
        let expected: String = (0..lines).map(|line| format!("{line}\n")).collect();
        assert!(
            text == expected,
            "{}: not one line after the other: {text:?}",
            self.path
        );
        assert!(
            lines >= self.acknowledged,
            "{} acknowledged, {lines} there",
            self.acknowledged
        );
        assert!(
            lines <= self.next_line,
            "{} sent, {lines} there",
            self.next_line
        );
        lines
    }
}

#[test]
fn twenty_times_kill_9_under_load_lose_and_double_no_line() {
    let mut daemon = Setup::new().start();
    let mut appenders: Vec<Appender> = (0..3).map(Appender::new).collect();
    let (mut unacknowledged, mut startup) = (0, Duration::ZERO);
    for round in 0..21 {
        let last = round == 20;
        let quit = AtomicBool::new(false);
        let address = daemon.address();
        std::thread::scope(|scope| {
            for appender in &mut appenders {
                let quit = &quit;
                scope.spawn(move || appender.work(address, quit));
            }
            // Now right after the start, now in full run.
            std::thread::sleep(Duration::from_millis(20 + (round * 37) % 120));
            if last {
                quit.store(true, Ordering::Relaxed);
            } else {
                daemon.kill();
            }
        });
        if !last {
            let begun = Instant::now();
            daemon.boot();
            startup += begun.elapsed();
        }
        for appender in &appenders {
            unacknowledged += appender.check(&daemon) - appender.acknowledged;
        }
    }
    let mut wire = daemon.client();
    for appender in &appenders {
        assert!(appender.open.is_empty());
        assert_eq!(appender.check(&daemon), appender.next_line);
        assert_eq!(appender.acknowledged, appender.next_line);
        let whole = daemon.on_disk(&appender.path);
        assert_whole(&daemon, &mut wire, &appender.path, &whole);
    }
    let lines: u64 = appenders.iter().map(|appender| appender.next_line).sum();
    println!(
        "{lines} lines, each once; {unacknowledged} were on disk before their replies arrived; {:?} a start",
        startup / 20
    );
    assert!(lines > 200, "that was no load");
}

/// Between an upload that is complete and its file that is there lie many steps; a kill at any of them costs nothing.
#[test]
fn a_kill_while_an_upload_becomes_a_file_costs_nothing() {
    let mut daemon = Setup::new().start();
    let bytes = wav::tone(15.0, 44_100, 440.0);
    let mut id = Identity::new();
    for round in 0..12u64 {
        let path = format!("tone-{round}.wav");
        let mut wire = daemon.client_again(&id);
        let upload = wire.upload(&bytes);
        let request = wire.request("sm", args![0, upload, path.as_str()]);
        wire.send(request.clone());
        std::thread::sleep(Duration::from_millis(round * 4));
        daemon.kill();
        daemon.boot();
        let there = daemon.stored(&path).exists();
        let told = daemon
            .client()
            .call_reply("stat", args![path.as_str()])
            .outcome;
        assert_eq!(
            there,
            matches!(told, Outcome::Done(_)),
            "round {round}: the disk and the record differ"
        );
        let mut wire = daemon.client_again(&wire.id);
        let reply = wire.exchange(request);
        assert!(
            matches!(reply.outcome, Outcome::Done(_)),
            "round {round}: {reply:?}"
        );
        assert_eq!(reply.recorded, there, "round {round}");
        assert_whole(&daemon, &mut wire, &path, &bytes);
        id = Identity {
            lowest_unconfirmed: wire.id.next_number,
            ..wire.id.clone()
        };
    }
    let left: Vec<_> = snapshot(&daemon.path("data/staging")).into_keys().collect();
    assert!(left.is_empty(), "left in staging: {left:?}");
}

/// Whenever the very first start is cut off, the next one makes the best of what it left.
#[test]
fn a_first_start_that_is_killed_leaves_nothing_that_a_second_one_refuses() {
    let mut daemon = Setup::bare().start();
    daemon.stop();
    for after_us in (0..40_000).step_by(2_500) {
        std::fs::remove_dir_all(daemon.path("data")).unwrap();
        daemon.boot_and_kill_after(Duration::from_micros(after_us));
        std::fs::create_dir_all(daemon.path("data")).unwrap();
        daemon.boot();
        daemon.client().call("status", args![]);
        daemon.kill();
    }
}

/// Pictures under kill -9: the old one or the new one, never half of one, and never one without its record.
#[test]
fn a_replaced_picture_is_the_old_or_the_new_one_after_kill_9() {
    let mut daemon = Setup::new().start();
    let pictures = [media("photo.jpg"), wide_picture()];
    let mut id = daemon.client().id;
    for round in 0..8u64 {
        let mut wire = daemon.client_again(&id);
        for n in 0..10 {
            let picture = pictures[n % 2].clone();
            wire.ask("si", args![picture, "picture"]);
        }
        std::thread::sleep(Duration::from_millis(5 + round * 7));
        daemon.kill();
        daemon.boot();
        id = Identity {
            lowest_unconfirmed: wire.id.next_number,
            ..wire.id.clone()
        };
        let mut wire = daemon.client_again(&id);
        match wire.call_reply("stat", args!["picture"]).outcome {
            Outcome::Done(told) => {
                let bytes = daemon.on_disk("picture");
                assert!(pictures.contains(&bytes), "neither the one nor the other");
                assert_eq!(text_field(&told[0], "sha256"), sha256_hex(&bytes));
                assert_whole(&daemon, &mut wire, "picture", &bytes);
            }
            Outcome::Failed(failure) => assert_eq!(failure.code, Code::NotFound),
        }
        let names: Vec<_> = snapshot(&daemon.path("data/media")).into_keys().collect();
        assert!(names.len() <= 1, "left behind: {names:?}");
        id = wire.id.clone();
    }
}

fn wide_picture() -> Vec<u8> {
    let picture = harness::panel::plain(200, 100, [1, 2, 3]);
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Bmp)
        .unwrap();
    let bytes = bytes.into_inner();
    assert!(bytes.len() < 65_536);
    bytes
}
