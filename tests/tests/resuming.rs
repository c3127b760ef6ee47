//! Uploads that go on: over broken connections, crashes on both sides, and parts that somebody changed meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::{Daemon, Identity, PATIENCE, Setup, Wire, args, files, process};
use pixelboy_protocol::{Code, Frame, OpenState, Value};

fn text(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|n| b'a' + (n % 23) as u8 + u8::from(n % 1_009 == 0))
        .collect()
}

/// Sends the first bytes, and waits until the host says that so many are on disk.
#[track_caller]
fn send_durably(wire: &mut Wire, transfer: u64, bytes: &[u8], upto: u64) {
    let (length, digest) = (bytes.len() as u64, files::sha256(bytes));
    let (offset, limit) = wire.begin_upload(transfer, Some(length), Some(digest));
    wire.send_from(transfer, &bytes[..upto as usize], offset, limit, 10_000);
    wire.wait("Durable", |frame| match frame {
        Frame::Durable(durable) if durable.transfer == transfer && durable.offset == upto => {
            Some(())
        }
        _ => None,
    });
}

/// Goes on from wherever the host says; that offset.
#[track_caller]
fn complete(wire: &mut Wire, transfer: u64, bytes: &[u8]) -> u64 {
    let (length, digest) = (bytes.len() as u64, files::sha256(bytes));
    let (offset, limit) = wire.begin_upload(transfer, Some(length), Some(digest));
    wire.send_from(transfer, bytes, offset, limit, 65_536);
    assert_eq!(
        wire.finish(transfer, length, digest).unwrap().sha256,
        digest
    );
    offset
}

/// The one part that lies on the disk.
#[track_caller]
fn part(daemon: &Daemon) -> PathBuf {
    let parts: Vec<PathBuf> = std::fs::read_dir(daemon.path("data/staging"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts[0].clone()
}

/// Bytes that only the staging folder holds: a file that became one of the media may have its name there for a while.
fn staged_bytes(daemon: &Daemon) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(daemon.path("data/staging")).unwrap();
    let files = entries.filter_map(|entry| entry.unwrap().metadata().ok());
    files
        .filter(|file| file.nlink() == 1)
        .map(|file| file.len())
        .sum()
}

#[track_caller]
fn nothing_staged(daemon: &Daemon) {
    let begun = Instant::now();
    while staged_bytes(daemon) > 0 {
        assert!(begun.elapsed() < PATIENCE, "a part stays");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is on disk is proved, not believed: the part may have been changed, cut, or made longer while the host was away.
#[test]
fn a_part_that_was_changed_while_the_host_was_down_is_not_taken() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change, u64); 6] = [
        ("nothing", |_| (), 600_000),
        ("a byte at the beginning", |part| part[0] ^= 1, 0),
        ("a byte in the middle", |part| part[450_000] ^= 1, 300_000),
        ("the last byte", |part| part[599_999] ^= 1, 300_000),
        ("cut", |part| part.truncate(599_000), 300_000),
        ("made longer", |part| part.extend([b'x'; 5_000]), 600_000),
    ];
    let bytes = text(1_000_000);
    for (what, change, from) in changes {
        let mut daemon = Setup::new().start();
        let mut wire = daemon.client();
        let transfer = wire.next_transfer();
        let digest = files::sha256(&bytes);
        send_durably(&mut wire, transfer, &bytes, 300_000);
        wire.send_from(transfer, &bytes[..600_000], 300_000, 0, 10_000);
        wire.wait("Durable", |frame| match frame {
            Frame::Durable(durable) if durable.offset == 600_000 => Some(()),
            _ => None,
        });
        daemon.kill();
        let path = part(&daemon);
        let mut on_disk = std::fs::read(&path).unwrap();
        change(&mut on_disk);
        std::fs::write(&path, &on_disk).unwrap();
        daemon.boot();
        let mut wire = daemon.client_again(&wire.id);
        let offset = complete(&mut wire, transfer, &bytes);
        assert_eq!(offset, from, "{what}");
        let said = wire.call_one("ss", args!["text.txt", Value::Upload(transfer), "w"]);
        assert!(
            format!("{said:?}").contains(&hex(&digest)),
            "{what}: {said:?}"
        );
        assert!(daemon.on_disk("text.txt") == bytes, "{what}");
    }
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A finished upload that was changed in the folder is asked for again; a request that names it is refused.
#[test]
fn a_finished_upload_that_was_changed_while_the_host_was_down_is_not_taken() {
    let mut daemon = Setup::new().start();
    let bytes = text(200_000);
    let mut wire = daemon.client();
    let upload = wire.upload(&bytes);
    daemon.kill();
    let path = part(&daemon);
    let mut on_disk = std::fs::read(&path).unwrap();
    on_disk[100_000] ^= 1;
    std::fs::write(&path, &on_disk).unwrap();
    daemon.boot();
    let mut wire = daemon.client_again(&wire.id);
    let failure = wire.call_failing("ss", args!["text.txt", upload]);
    assert_eq!(failure.code, Code::UploadUnknown, "{failure}");
    assert_eq!(complete(&mut wire, 1, &bytes), 0);
    wire.call("ss", args!["text.txt", Value::Upload(1)]);
    assert!(daemon.on_disk("text.txt") == bytes);
}

/// The client died with the host: another run of it, under another number, goes on from what was durable.
#[test]
fn another_run_of_a_client_goes_on_with_the_same_file_after_both_crashed() {
    let mut daemon = Setup::new().start();
    let bytes = text(900_000);
    let mut wire = daemon.client();
    let first = wire.next_transfer();
    send_durably(&mut wire, first, &bytes, 400_000);
    let id = Identity {
        next_transfer: 50,
        ..wire.id.clone()
    };
    daemon.kill();
    drop(wire);
    daemon.boot();
    let mut wire = daemon.client_again(&id);
    let second = wire.next_transfer();
    assert_eq!(complete(&mut wire, second, &bytes), 400_000);
    // The number that began it has nothing any more.
    let failure = wire.call_failing("ss", args!["text.txt", Value::Upload(first)]);
    assert_eq!(failure.code, Code::UploadUnknown, "{failure}");
    wire.call("ss", args!["text.txt", Value::Upload(second)]);
    assert!(daemon.on_disk("text.txt") == bytes);
    // Other bytes of the same length are another file.
    let mut other = bytes.clone();
    other[5] ^= 1;
    let third = wire.next_transfer();
    assert_eq!(complete(&mut wire, third, &other), 0);
}

/// Between Finish and its answer, and between the answer and the request, anything may die.
#[test]
fn an_upload_whose_last_words_were_lost_is_complete_and_used_once() {
    let mut daemon = Setup::new().start();
    let bytes = text(300_000);
    let (length, digest) = (300_000, files::sha256(&bytes));
    let mut wire = daemon.client();
    let transfer = wire.next_transfer();
    let (_, limit) = wire.begin_upload(transfer, Some(length), Some(digest));
    wire.send_from(transfer, &bytes, 0, limit, 65_536);
    wire.send(pixelboy_protocol::Finish {
        transfer,
        length,
        sha256: digest,
    });
    // Read, and perhaps done.
    wire.send(pixelboy_protocol::Ping { token: 1 });
    wire.wait("Pong", |frame| {
        matches!(frame, Frame::Pong(_)).then_some(())
    });
    let mut wire = daemon.client_again(&wire.break_off());
    match wire
        .open_upload(transfer, Some(length), Some(digest))
        .unwrap()
        .state
    {
        OpenState::Complete => {}
        OpenState::At { offset, .. } => {
            assert_eq!(offset, length, "the part is as it was");
            wire.finish(transfer, length, digest).unwrap();
        }
        other => panic!("{other:?}"),
    }
    let request = wire.request("ss", args!["text.txt", Value::Upload(transfer)]);
    wire.send(request.clone());
    let id = wire.break_off();
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client_again(&id);
    let reply = wire.exchange(request.clone());
    assert!(
        matches!(reply.outcome, pixelboy_protocol::Outcome::Done(_)),
        "{reply:?}"
    );
    let opened = wire
        .open_upload(transfer, Some(length), Some(digest))
        .unwrap();
    assert_eq!(
        opened.state,
        OpenState::Consumed {
            number: request.number
        }
    );
    assert!(daemon.on_disk("text.txt") == bytes);
}

/// What is refused, aborted or used gives its space back at once, of the quota and of the disk.
#[test]
fn what_will_not_become_a_file_gives_its_space_back() {
    let daemon = Setup::new().store("media_quota_mib = 2").start();
    let mut wire = daemon.client();
    let bytes = text(1_500_000);
    let length = bytes.len() as u64;
    for round in 0..3 {
        // Wrong bytes.
        let transfer = wire.next_transfer();
        let (_, limit) = wire.begin_upload(transfer, Some(length), None);
        wire.send_from(transfer, &bytes, 0, limit, 65_536);
        let abort = wire.finish(transfer, length, [9; 32]).unwrap_err();
        assert_eq!(abort.code, Code::DigestMismatch, "round {round}: {abort:?}");
        nothing_staged(&daemon);
        // Aborted in the middle.
        let transfer = wire.next_transfer();
        let (_, limit) = wire.begin_upload(transfer, Some(length), None);
        wire.send_from(transfer, &bytes[..700_000], 0, limit, 65_536);
        // While it moves its space is taken, announced bytes too.
        let abort = wire
            .open_upload(900 + round, Some(600_000), None)
            .unwrap_err();
        assert_eq!(abort.code, Code::NoSpace, "round {round}: {abort:?}");
        wire.send(pixelboy_protocol::Abort::new(
            transfer,
            Code::Cancelled,
            "enough",
        ));
        nothing_staged(&daemon);
    }
    let upload = wire.upload(&bytes);
    wire.call("ss", args!["text.txt", upload, "w"]);
    assert!(daemon.on_disk("text.txt") == bytes);
    nothing_staged(&daemon);
}

#[test]
fn a_disk_that_must_stay_free_is_asked_before_the_first_byte() {
    let daemon = Setup::new().store("reserve_mib = 1000000000").start();
    let mut wire = daemon.client();
    for length in [Some(1), None] {
        let transfer = wire.next_transfer();
        let abort = wire.open_upload(transfer, length, None).unwrap_err();
        assert_eq!(abort.code, Code::NoSpace, "{abort:?}");
        assert!(abort.message.len() > 10, "{abort:?}");
    }
    assert_eq!(staged_bytes(&daemon), 0);
    let failure = wire.call_failing("ss", args!["text.txt", "x"]);
    assert_eq!(failure.code, Code::NoSpace, "{failure}");
}

/// Nobody comes back for them: unfinished ones, and finished ones that no request named.
#[test]
fn uploads_that_nobody_uses_expire_and_give_their_space_back() {
    const AGE: Duration = Duration::from_secs(8);
    let hours = AGE.as_secs_f64() / 3_600.0;
    let daemon = Setup::new()
        .store(&format!("upload_age_hours = {hours:.9}"))
        .store("media_quota_mib = 2")
        .start();
    let bytes = text(900_000);
    let mut wire = daemon.client();
    let half = wire.next_transfer();
    send_durably(&mut wire, half, &bytes, 500_000);
    let mut wire = daemon.client_again(&wire.break_off());
    let whole = wire.upload(&bytes[..600_000]);
    let abort = wire.open_upload(900, Some(1_200_000), None).unwrap_err();
    assert_eq!(abort.code, Code::NoSpace, "{abort:?}");
    let begun = Instant::now();
    while staged_bytes(&daemon) > 0 {
        assert!(begun.elapsed() < AGE + PATIENCE, "they stay");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begun.elapsed() > AGE / 2,
        "gone after {:?}",
        begun.elapsed()
    );
    let failure = wire.call_failing("ss", args!["text.txt", whole]);
    assert_eq!(failure.code, Code::UploadUnknown, "{failure}");
    assert_eq!(
        complete(&mut wire, half, &bytes),
        0,
        "the half one begins anew"
    );
    wire.call("ss", args!["text.txt", Value::Upload(half)]);
    assert!(daemon.on_disk("text.txt") == bytes);
}

/// Two send one name at the same time, in pieces that alternate: each is stored whole, the later one stays.
#[test]
fn two_clients_that_send_one_name_at_once_do_not_mix_their_bytes() {
    let daemon = Setup::new().start();
    let files: [Vec<u8>; 2] = [text(700_000), vec![b'z'; 700_000]];
    let mut wires = [daemon.client(), daemon.client()];
    let mut limits = [0; 2];
    for (n, wire) in wires.iter_mut().enumerate() {
        let digest = files::sha256(&files[n]);
        limits[n] = wire.begin_upload(1, Some(700_000), Some(digest)).1;
    }
    for at in (0..700_000).step_by(50_000) {
        for (n, wire) in wires.iter_mut().enumerate() {
            while limits[n] < at as u64 + 50_000 {
                limits[n] = wire.credit(1).unwrap();
            }
            wire.send_chunk(1, at as u64, &files[n][at..at + 50_000]);
        }
    }
    for (n, wire) in wires.iter_mut().enumerate() {
        wire.finish(1, 700_000, files::sha256(&files[n])).unwrap();
    }
    for (n, wire) in wires.iter_mut().enumerate() {
        wire.call("ss", args!["same.txt", Value::Upload(1), "w"]);
        assert!(daemon.on_disk("same.txt") == files[n], "client {n}");
    }
}

/// However many parts rest, and however long: the host's files are for those who are there.
#[test]
fn uploads_that_rest_hold_no_file_open() {
    let daemon = Setup::new().host("session_grace_s = 0.1").start();
    daemon.client().call("status", args![]);
    let before = process::open_files(daemon.pid());
    let bytes = text(100_000);
    let mut ids = Vec::new();
    for _ in 0..6 {
        let mut wire = daemon.client();
        for transfer in 1..=64 {
            let (_, limit) = wire.begin_upload(transfer, Some(100_000), None);
            wire.send_from(transfer, &bytes[..5_000], 0, limit, 5_000);
        }
        ids.push(wire.break_off());
    }
    let begun = Instant::now();
    while process::open_files(daemon.pid()) > before + 4 {
        assert!(
            begun.elapsed() < PATIENCE,
            "{before} files were open before, {} are now",
            process::open_files(daemon.pid())
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // They go on where they were.
    let mut wire = daemon.client_again(&ids[3]);
    for transfer in [1, 33, 64] {
        let (offset, limit) = wire.begin_upload(transfer, Some(100_000), None);
        assert_eq!(offset, 5_000);
        wire.send_from(transfer, &bytes, offset, limit, 65_536);
        let digest = files::sha256(&bytes);
        assert_eq!(
            wire.finish(transfer, 100_000, digest).unwrap().sha256,
            digest
        );
    }
}
