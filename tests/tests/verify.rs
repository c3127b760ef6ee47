//! Faults of the stored bytes, with the real daemon: what changed by itself or by hand is told and not served, what is
//! intact is, and `pixelboyd verify` finds it, takes it in or moves it aside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use harness::{Daemon, Setup, args, daemon, media, wav};
use pixelboy_protocol::Code;

/// Runs `pixelboyd verify` on the daemon's folder: its exit code, and what it wrote.
fn verify(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let output = daemon::command()
        .arg("verify")
        .arg("--data")
        .arg(daemon.path("data"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().unwrap(), text)
}

#[track_caller]
fn says((code, text): (i32, String), expected: i32, words: &[&str]) {
    assert_eq!(code, expected, "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// Changes bytes in place, as a hand or a disk does.
fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn a_file_changed_by_hand_is_told_and_not_served_and_taken_in_on_request() {
    let mut daemon = Setup::new().panel(16, 16).start();
    let mut wire = daemon.client();
    let large = wav::tone(3.0, 44_100, 440.0);
    wire.call("ss", args!["notes.txt", "milk\nbread\n"]);
    wire.call("si", args![media("logo.png"), "logo.png"]);
    let upload = wire.upload(&large);
    wire.call("sm", args![0, upload, "large.wav"]);
    says(verify(&daemon, &[]), 3, &["in use"]);

    // The same length, while it runs: small, shown, and larger than what a reply holds.
    overwrite(&daemon.stored("notes.txt"), 0, b"M");
    overwrite(&daemon.stored("logo.png"), 300, b"?");
    overwrite(&daemon.stored("large.wav"), 200_000, b"?");
    for (op, arguments) in [
        ("get", args!["notes.txt"]),
        ("get", args!["large.wav"]),
        ("ri", args!["logo.png"]),
        ("rm", args!["large.wav", true]),
    ] {
        let failure = wire.call_failing(op, arguments);
        assert_eq!(failure.code, Code::StorageFailed, "{op}: {failure:?}");
        assert!(failure.message.contains("changed by hand"), "{failure:?}");
    }
    daemon.wait_for_log(&["not what was stored", "pixelboyd verify"]);

    // And while it does not run.
    daemon.stop();
    fs::write(daemon.stored("notes.txt"), "my own text").unwrap();
    fs::copy(harness_media("sprite.png"), daemon.stored("mine.png")).unwrap();
    let found = [
        "changed    media/logo.png",
        "changed    media/large.wav",
        "changed    media/notes.txt",
        "strange    media/mine.png",
    ];
    says(verify(&daemon, &[]), 1, &found);
    let (code, json) = verify(&daemon, &["--json"]);
    assert_eq!(code, 1);
    assert!(
        json.contains("\"sound\":false") && json.contains("\"path\":\"notes.txt\""),
        "{json}"
    );
    says(
        verify(&daemon, &["--adopt", "notes.txt", "--adopt", "mine.png"]),
        1,
        &[
            "adopted    media/notes.txt: text",
            "adopted    media/mine.png: image",
        ],
    );
    says(
        verify(&daemon, &["--repair"]),
        1,
        &["logo.png is moved", "nothing was changed"],
    );
    assert!(daemon.stored("logo.png").exists());
    says(verify(&daemon, &["--repair", "--yes"]), 0, &["repaired"]);
    says(verify(&daemon, &[]), 0, &["all is as it was stored"]);
    assert_eq!(
        fs::metadata(daemon.path("data/aside/1/media/large.wav"))
            .unwrap()
            .len(),
        large.len() as u64
    );

    daemon.boot();
    let mut wire = daemon.client();
    let got = wire.call("get", args!["notes.txt"]);
    assert_eq!(wire.bytes(&got[0]), b"my own text");
    wire.call("ri", args!["mine.png"]);
    assert_eq!(
        wire.call_failing("get", args!["logo.png"]).code,
        Code::NotFound
    );
    daemon.assert_no_stack_trace();
}

fn harness_media(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("media")
        .join(name)
}

#[test]
fn a_damaged_record_is_served_as_far_as_it_is_intact_and_repaired_on_request() {
    let mut daemon = Setup::new().start();
    let mut wire = daemon.client();
    for number in 0..40 {
        wire.call(
            "ss",
            args![format!("{number}.txt"), format!("text {number}")],
        );
    }
    wire.call("si", args![media("logo.png"), "logo.png"]);
    drop(wire);
    daemon.stop();
    says(verify(&daemon, &[]), 0, &["41 files"]);

    // A byte of a row, and of what an older page may still hold: SQLite itself finds nothing wrong with it.
    let record = daemon.path("data/record.sqlite");
    let bytes = fs::read(&record).unwrap();
    let rows = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"17.txt"));
    for row in rows {
        overwrite(&record, row as u64, b"X");
    }
    let damaged = fs::read(&record).unwrap();

    daemon.boot();
    daemon.wait_for_log(&["the record is damaged", "pixelboyd verify"]);
    let mut wire = daemon.client();
    let got = wire.call("get", args!["16.txt"]);
    assert_eq!(wire.bytes(&got[0]), b"text 16");
    let got = wire.call("get", args!["logo.png"]);
    assert_eq!(wire.bytes(&got[0]), media("logo.png"));
    assert_eq!(
        wire.call_failing("get", args!["17.txt"]).code,
        Code::NotFound
    );
    let refused = wire.call_failing("ss", args!["new.txt", "x"]);
    assert_eq!(refused.code, Code::ReadOnly, "{refused:?}");
    drop(wire);
    daemon.stop();
    assert!(damaged == fs::read(&record).unwrap(), "it is left as it is");

    says(
        verify(&daemon, &[]),
        1,
        &["damaged    record.sqlite", "strange    media/17.txt"],
    );
    says(
        verify(&daemon, &["--repair", "--yes", "--adopt", "17.txt"]),
        0,
        &[
            "outcome unknown",
            "repaired",
            "adopted    media/17.txt: text",
        ],
    );
    assert!(damaged == fs::read(daemon.path("data/aside/1/record.sqlite")).unwrap());
    daemon.boot();
    let mut wire = daemon.client();
    for number in [16, 17, 39] {
        let got = wire.call("get", args![format!("{number}.txt")]);
        assert_eq!(wire.bytes(&got[0]), format!("text {number}").as_bytes());
    }
    wire.call("ss", args!["new.txt", "x"]);
    drop(wire);
    daemon.stop();
    says(verify(&daemon, &[]), 0, &["all is as it was stored"]);
    daemon.assert_no_stack_trace();
}

#[test]
fn what_verify_cannot_look_at_or_take_in_is_said_in_a_sentence() {
    let mut daemon = Setup::new().start();
    daemon.stop();
    fs::write(daemon.stored("torn.png"), &media("logo.png")[..500]).unwrap();
    fs::write(daemon.stored("noise"), [0xff, 0xfe, 0, 1]).unwrap();
    for name in ["torn.png", "noise"] {
        says(verify(&daemon, &["--adopt", name]), 1, &["is not adopted"]);
    }
    says(
        verify(&daemon, &["--adopt", "nothing.txt"]),
        3,
        &["no file there"],
    );
    says(verify(&daemon, &["--yes"]), 2, &["--repair"]);
    let empty = tempfile::tempdir().unwrap();
    let at = empty.path().to_str().unwrap();
    says(verify(&daemon, &["--data", at]), 2, &["--data"]);
    let output = daemon::command()
        .args(["verify", "--data", at])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("find a data folder at"), "{said}");
    assert_eq!(
        fs::read_dir(empty.path()).unwrap().count(),
        0,
        "nothing was made"
    );
}
