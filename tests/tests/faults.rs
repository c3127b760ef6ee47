//! Writes, syncs and renames that fail under the real daemon, one kind after the other: each has its error, nothing is
//! stored by halves, reading goes on. After a failed sync nobody can tell, and a restart does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::time::{Duration, Instant};

use faultfs::{Call, Disk, Errno, FaultFs, Rule};
use harness::files::sha256;
use harness::{Daemon, Identity, PATIENCE, Setup, Wire, args, daemon, media, wav};
use pixelboy_protocol::{Code, Outcome, Reply};

/// A daemon whose data lie on a disk that fails by rule.
fn on_faulty_disk() -> (FaultFs, Daemon) {
    let fs = FaultFs::mount(Disk::new(), 1).unwrap();
    let mut daemon = Setup::new().actor().store("reserve_mib = 0").start();
    daemon.stop();
    fs::remove_dir_all(daemon.path("data")).unwrap();
    std::os::unix::fs::symlink(fs.path(), daemon.path("data")).unwrap();
    daemon.boot();
    (fs, daemon)
}

fn code(reply: &Reply) -> Option<Code> {
    match &reply.outcome {
        Outcome::Failed(failure) => Some(failure.code),
        _ => None,
    }
}

#[track_caller]
fn text(wire: &mut Wire, path: &str) -> String {
    let got = wire.call("get", args![path]);
    String::from_utf8(wire.bytes(&got[0])).unwrap()
}

fn verified(daemon: &Daemon) {
    let output = daemon::command()
        .args(["verify", "--data"])
        .arg(daemon.path("data"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
}

/// Asks until it is not refused any more: what could not be written is tried again within a second or two.
#[track_caller]
fn soon(wire: &mut Wire, path: &str, line: &str) {
    let begun = Instant::now();
    loop {
        let reply = wire.call_reply("ss", args![path, line]);
        match code(&reply) {
            None => return,
            Some(code) => assert!(begun.elapsed() < PATIENCE, "still {code:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_write_to_the_record_that_fails_is_refused_with_its_reason_and_the_next_is_taken() {
    let (fs, mut daemon) = on_faulty_disk();
    let mut wire = daemon.client();
    wire.call("ss", args!["notes.txt", "one\n"]);
    wire.call("si", args![media("logo.png"), "logo.png"]);
    let mut expected = "one\n".to_owned();
    for (error, is) in [
        (Errno::NOSPC, Code::NoSpace),
        (Errno::IO, Code::StorageFailed),
        (Errno::ROFS, Code::StorageFailed),
    ] {
        fs.fail(Rule::new(Call::Write, "record.sqlite-wal", error));
        for _ in 0..3 {
            let reply = wire.call_reply("ss", args!["notes.txt", "lost\n"]);
            assert_eq!(code(&reply), Some(is), "{error:?}: {reply:?}");
            assert_eq!(code(&wire.call_reply("del", args!["logo.png"])), Some(is));
            assert_eq!(text(&mut wire, "notes.txt"), expected, "{error:?}");
        }
        let got = wire.call("get", args!["logo.png"]);
        assert_eq!(wire.bytes(&got[0]), media("logo.png"));
        fs.mend();
        let line = format!("{error:?}\n");
        wire.call("ss", args!["notes.txt", line.clone()]);
        expected += &line;
        assert_eq!(text(&mut wire, "notes.txt"), expected);
    }
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client();
    assert_eq!(text(&mut wire, "notes.txt"), expected);
    assert_eq!(daemon.on_disk("notes.txt"), expected.as_bytes());
    daemon.stop();
    verified(&daemon);
    daemon.assert_no_stack_trace();
}

/// What fired so far.
fn fired(wire: &mut Wire) -> String {
    let reply = wire.call_reply("get", args!["happened.txt"]);
    wire.confirmed = reply.number;
    match reply.outcome {
        Outcome::Done(values) => String::from_utf8(wire.bytes(&values[0])).unwrap(),
        _ => String::new(),
    }
}

#[test]
fn a_durable_timer_outlives_what_a_full_disk_takes_back() {
    let (fs, daemon) = on_faulty_disk();
    let mut wire = daemon.client();
    let full = || {
        fs.fail(Rule::new(Call::Write, "record.sqlite-wal", Errno::NOSPC));
    };
    // Cancelled, and set anew, by operations that never were.
    wire.call("set_timer", args!["one", 3_000, "kept", true]);
    wire.call("set_timer", args!["two", 3_000, "kept", true]);
    full();
    let reply = wire.call_reply("cancel_timer", args!["one"]);
    assert_eq!(code(&reply), Some(Code::NoSpace));
    let reply = wire.call_reply("set_timer", args!["two", 0, "lost", true]);
    assert_eq!(code(&reply), Some(Code::NoSpace));
    fs.mend();
    // Its time comes while the disk is full.
    wire.call("set_timer", args!["three", 300, "kept", true]);
    full();
    std::thread::sleep(Duration::from_millis(800));
    fs.mend();
    let begun = Instant::now();
    let expected = ["one", "two", "three"].map(|id| format!("fired {id} kept\n"));
    while !expected.iter().all(|line| fired(&mut wire).contains(line)) {
        let so_far = fired(&mut wire);
        assert!(begun.elapsed() < PATIENCE, "only {so_far:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let all = fired(&mut wire);
    assert_eq!(all.matches("fired").count(), 3, "{all:?}");
}

#[test]
fn after_a_failed_sync_of_the_record_the_outcome_is_unknown_until_a_restart_tells() {
    let (fs, mut daemon) = on_faulty_disk();
    let mut wire = daemon.client();
    wire.call("ss", args!["notes.txt", "one\n"]);
    fs.fail(Rule::new(Call::Sync, "record.sqlite-wal", Errno::IO).once());
    let request = wire.request("ss", args!["notes.txt", "two\n"]);
    let unknown = wire.exchange(request.clone());
    assert_eq!(code(&unknown), Some(Code::OutcomeUnknown), "{unknown:?}");
    // The disk would take them again; nobody knows what it has.
    for _ in 0..3 {
        let refused = wire.call_failing("ss", args!["notes.txt", "three\n"]);
        assert_eq!(refused.code, Code::ReadOnly, "{refused:?}");
        assert_eq!(text(&mut wire, "notes.txt"), "one\n");
    }
    let id = wire.break_off();
    daemon.stop();
    daemon.boot();
    // Sent again under its number it is run once, or answered: never both.
    let mut wire = daemon.client_again(&id);
    let again = wire.exchange(request);
    assert_eq!(code(&again), None, "{again:?}");
    assert_eq!(text(&mut wire, "notes.txt"), "one\ntwo\n");
    // What is answered now is on the disk, though the system may take what a sync failed on for written.
    fs.cut();
    daemon.kill();
    let (disk, _) = fs.unmount().after_cut(7);
    let fs = FaultFs::mount(disk, 2).unwrap();
    fs::remove_file(daemon.path("data")).unwrap();
    std::os::unix::fs::symlink(fs.path(), daemon.path("data")).unwrap();
    daemon.boot();
    let mut wire = daemon.client();
    assert_eq!(text(&mut wire, "notes.txt"), "one\ntwo\n");
    wire.call("ss", args!["notes.txt", "three\n"]);
    assert_eq!(daemon.on_disk("notes.txt"), b"one\ntwo\nthree\n");
    daemon.stop();
    verified(&daemon);
    daemon.assert_no_stack_trace();
}

#[test]
fn a_failed_sync_of_a_stored_file_is_no_success() {
    let (fs, mut daemon) = on_faulty_disk();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "pic.png"]);
    // A picture that is made larger than what travels in the record goes through the staging folder.
    let sound = wav::tone(1.0, 44_100, 440.0);
    fs.fail(Rule::new(Call::Sync, "staging", Errno::IO).once());
    let transfer = wire.next_transfer();
    let (from, limit) = wire.begin_upload(transfer, Some(sound.len() as u64), None);
    wire.send_from(transfer, &sound, from, limit, 60_000);
    let abort = wire
        .finish(transfer, sound.len() as u64, sha256(&sound))
        .unwrap_err();
    assert_eq!(abort.code, Code::StorageFailed, "{abort:?}");
    // Its bytes may be gone, so they are asked for again; everything else goes on.
    let (from, limit) = wire.begin_upload(transfer, Some(sound.len() as u64), None);
    assert_eq!(from, 0);
    wire.send_from(transfer, &sound, from, limit, 60_000);
    wire.finish(transfer, sound.len() as u64, sha256(&sound))
        .unwrap();
    let upload = pixelboy_protocol::Value::Upload(transfer);
    wire.call("sm", args![0, upload, "sound.wav"]);
    daemon.kill();
    daemon.boot();
    let mut wire = daemon.client();
    let got = wire.call("get", args!["sound.wav"]);
    assert!(wire.bytes(&got[0]) == sound);
    daemon.stop();
    verified(&daemon);
}

#[test]
fn plain_files_that_cannot_follow_the_record_do_so_when_the_disk_lets_them() {
    let (fs, mut daemon) = on_faulty_disk();
    let mut wire = daemon.client();
    wire.call("ss", args!["notes.txt", "one\n"]);
    let mut expected = "one\n".to_owned();
    for (call, path, error, is) in [
        (
            Call::Write,
            "media/notes.txt",
            Errno::IO,
            Code::StorageFailed,
        ),
        (Call::Write, "media/notes.txt", Errno::NOSPC, Code::NoSpace),
        (Call::Write, "media/notes.txt", Errno::ROFS, Code::ReadOnly),
        (Call::Rename, "media/other", Errno::IO, Code::StorageFailed),
        (Call::Create, "staging", Errno::ROFS, Code::ReadOnly),
    ] {
        fs.fail(Rule::new(call, path, error));
        // It is in the record, and so it is stored.
        if call == Call::Write {
            let line = format!("{call:?} {error:?}\n");
            wire.call("ss", args!["notes.txt", line.clone()]);
            expected += &line;
        } else {
            wire.call("ss", args!["other", "x", "w"]);
            assert_eq!(text(&mut wire, "other"), "x");
        }
        assert_eq!(text(&mut wire, "notes.txt"), expected);
        let refused = wire.call_failing("ss", args!["notes.txt", "refused\n"]);
        assert_eq!(refused.code, is, "{call:?} {error:?}: {refused:?}");
        assert_eq!(text(&mut wire, "notes.txt"), expected);
        fs.mend();
        soon(&mut wire, "notes.txt", "on\n");
        expected += "on\n";
        assert_eq!(daemon.on_disk("notes.txt"), expected.as_bytes());
        if call != Call::Write {
            assert_eq!(daemon.on_disk("other"), b"x");
            wire.call("del", args!["other"]);
        }
    }
    daemon.kill();
    daemon.boot();
    let mut wire: Wire = Wire::join(daemon.address(), Identity::new());
    assert_eq!(text(&mut wire, "notes.txt"), expected);
    daemon.stop();
    verified(&daemon);
    daemon.assert_no_stack_trace();
}

#[test]
fn an_upload_whose_bytes_cannot_be_written_is_told_why_and_goes_on_later() {
    let (fs, mut daemon) = on_faulty_disk();
    let mut wire = daemon.client();
    let sound = wav::tone(3.0, 44_100, 440.0);
    for (error, is) in [
        (Errno::NOSPC, Code::NoSpace),
        (Errno::IO, Code::StorageFailed),
        (Errno::ROFS, Code::ReadOnly),
    ] {
        fs.fail(Rule::new(Call::Write, "staging", error).from(3));
        let transfer = wire.next_transfer();
        let (from, limit) = wire.begin_upload(transfer, Some(sound.len() as u64), None);
        let read = |at: u64, into: &mut [u8]| {
            into.copy_from_slice(&sound[at as usize..at as usize + into.len()]);
        };
        let length = sound.len() as u64;
        let sent = wire.stream(transfer, from..length, limit, 30_000, read, |_, _| {});
        let abort = match sent {
            Err(abort) => abort,
            Ok(()) => wire.finish(transfer, length, sha256(&sound)).unwrap_err(),
        };
        assert_eq!(abort.code, is, "{error:?}: {abort:?}");
        fs.mend();
        let (from, limit) = wire.begin_upload(transfer, Some(length), None);
        wire.send_from(transfer, &sound, from, limit, 30_000);
        wire.finish(transfer, length, sha256(&sound)).unwrap();
        let upload = pixelboy_protocol::Value::Upload(transfer);
        wire.call("sm", args![0, upload, "sound.wav"]);
        let got = wire.call("get", args!["sound.wav"]);
        assert!(wire.bytes(&got[0]) == sound, "{error:?}");
    }
    daemon.stop();
    verified(&daemon);
    daemon.assert_no_stack_trace();
}
