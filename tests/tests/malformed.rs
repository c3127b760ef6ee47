//! Malformed media and forbidden paths: a clear error, nothing stored, and the host goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use harness::{Daemon, Setup, Wire, args, media, process, sha256_hex, snapshot, text_field, wav};
use pixelboy_protocol::{Code, Failure, Value};

/// A device on which every name that the tests send to is taken already.
fn device() -> (Daemon, Wire) {
    let daemon = Setup::new().panel(64, 64).start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "taken.png"]);
    wire.call("sg", args![0, media("party.gif"), "taken.gif"]);
    wire.call("sm", args![0, media("tone.mp3"), "taken.mp3"]);
    wire.call("ss", args!["taken", "text"]);
    (daemon, wire)
}

/// Calls an opcode that must be refused, and checks that nothing came of it.
#[track_caller]
fn refused(daemon: &Daemon, wire: &mut Wire, op: &str, args: Vec<Value>) -> Failure {
    let folder = daemon.path("data/media");
    let (before, listed) = (snapshot(&folder), wire.call("ls", args![]));
    let failure = wire.call_failing(op, args);
    assert!(
        snapshot(&folder) == before,
        "{op}: the media folder changed, though it said {failure}"
    );
    assert_eq!(
        wire.call("ls", args![]),
        listed,
        "{op}: `ls` changed, though it said {failure}"
    );
    assert!(
        failure.message.len() > 20 && !failure.message.contains("panick"),
        "no sentence to act on: {failure}"
    );
    failure
}

/// Sends the bytes inside the request where they fit, and as an upload; both must be refused alike.
#[track_caller]
fn refused_media(daemon: &Daemon, wire: &mut Wire, op: &str, bytes: &[u8], name: &str) -> Failure {
    let arguments = |data: Value| match op {
        "si" => args![data, name],
        _ => args![0, data, name],
    };
    let upload = wire.upload(bytes);
    let by_upload = refused(daemon, wire, op, arguments(upload));
    if bytes.len() <= pixelboy_protocol::limits::INLINE_BYTES {
        let inline = refused(daemon, wire, op, arguments(bytes.into()));
        assert_eq!(inline, by_upload);
    }
    by_upload
}

#[test]
fn damaged_files_are_refused_with_the_reason_and_change_nothing() {
    let (daemon, mut wire) = device();
    let noise: Vec<u8> = (0..5_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let begins_as = |magic: &[u8]| [magic, noise.as_slice()].concat();
    let mut cut_wav = wav::tone(1.0, 8_000, 440.0);
    cut_wav.truncate(3_000);
    let cases: Vec<(&str, Vec<u8>, &str, &[&str])> = vec![
        (
            "sg",
            media("truncated.gif"),
            "taken.gif",
            &["gif", "cut off"],
        ),
        (
            "si",
            media("truncated.gif"),
            "taken.gif",
            &["gif", "cut off"],
        ),
        (
            "si",
            media("truncated.png"),
            "taken.png",
            &["png", "cut off"],
        ),
        (
            "sm",
            media("truncated.mp3"),
            "taken.mp3",
            &["mp3", "cut off"],
        ),
        ("sm", cut_wav, "new.wav", &["wav", "cut off"]),
        ("si", media("empty.png"), "taken.png", &["empty", "0 bytes"]),
        ("sg", vec![], "taken.gif", &["empty"]),
        ("sm", vec![], "taken.mp3", &["empty"]),
        (
            "si",
            media("wrong-name.png"),
            "taken.png",
            &["expected a picture", "png, jpeg"],
        ),
        ("sm", media("wrong-name.png"), "taken.mp3", &["mp3, wav"]),
        ("sg", media("wrong-name.png"), "taken.gif", &["gif"]),
        ("si", noise.clone(), "new.png", &["expected"]),
        ("si", begins_as(b"\x89PNG\r\n\x1a\n"), "new.png", &["png"]),
        ("si", begins_as(b"\xFF\xD8\xFF\xE0"), "new.jpg", &["jpeg"]),
        (
            "sg",
            begins_as(b"GIF89a\x10\0\x10\0\0\0\0"),
            "new.gif",
            &["gif"],
        ),
        (
            "sm",
            begins_as(b"RIFF\x10\x10\x00\x00WAVEfmt "),
            "new.wav",
            &["wav"],
        ),
        ("sm", begins_as(b"fLaC"), "new.flac", &["flac"]),
        ("sm", begins_as(b"OggS"), "new.ogg", &["ogg"]),
        (
            "sm",
            begins_as(b"ID3\x03\x00\x00\x00\x00\x00\x00"),
            "new.mp3",
            &["mp3"],
        ),
        // What is whole, but not what the opcode takes.
        (
            "si",
            media("tone.mp3"),
            "new.png",
            &["si takes a picture", "use sm"],
        ),
        (
            "sm",
            media("logo.png"),
            "new.mp3",
            &["sm takes sound", "use si"],
        ),
        (
            "sg",
            media("logo.png"),
            "new.gif",
            &["sg takes a GIF", "use si"],
        ),
    ];
    for (op, bytes, name, words) in cases {
        let failure = refused_media(&daemon, &mut wire, op, &bytes, name);
        assert_eq!(
            failure.code,
            Code::UnsupportedMedia,
            "{op} {name}: {failure}"
        );
        for word in words {
            assert!(
                failure.message.contains(word),
                "{op} {name}: no {word:?} in: {failure}"
            );
        }
    }
    daemon.assert_no_stack_trace();
    let told = wire.call_one("stat", args!["taken.png"]);
    assert_eq!(text_field(&told, "sha256"), sha256_hex(&media("logo.png")));
}

#[test]
fn a_file_whose_name_says_otherwise_is_refused() {
    let (daemon, mut wire) = device();
    for (op, file, name) in [
        ("si", "logo.png", "logo.jpg"),
        ("si", "photo.jpg", "taken.png"),
        ("si", "party.gif", "party.webp"),
        ("sg", "party.gif", "party.png"),
        ("sm", "tone.flac", "taken.mp3"),
        ("sm", "tone.ogg", "tone.WAV"),
    ] {
        let failure = refused_media(&daemon, &mut wire, op, &media(file), name);
        assert_eq!(failure.code, Code::BadArguments, "{failure}");
        assert!(failure.message.contains(name), "{failure}");
    }
    // An ending that promises nothing is as good as any.
    wire.call("si", args![media("logo.png"), "logo"]);
    wire.call("si", args![media("logo.png"), "logo.old"]);
}

#[test]
fn a_picture_that_unpacks_to_gigabytes_costs_neither_memory_nor_time() {
    let (daemon, mut wire) = device();
    let before = process::memory(daemon.pid());
    let begun = std::time::Instant::now();
    let failure = refused_media(&daemon, &mut wire, "si", &media("bomb.png"), "bomb.png");
    assert_eq!(failure.code, Code::TooLarge, "{failure}");
    assert!(failure.message.contains("60000 x 60000"), "{failure}");
    assert!(begun.elapsed().as_secs() < 5);
    let after = process::memory(daemon.pid());
    let more_kib = after.own_kib.saturating_sub(before.own_kib);
    assert!(more_kib < 32 << 10, "it took {more_kib} KiB");
}

/// Texts that are no path of a file in the media folder.
fn forbidden() -> Vec<String> {
    let mut paths: Vec<String> = [
        "",
        "/",
        "/etc/passwd",
        "//etc/passwd",
        "..",
        ".",
        "../out.txt",
        "a/../../out.txt",
        "a/..",
        "a/../b",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "\0",
        "a/b\0",
        "1/2/3/4/5/6/7/8/9",
        "a\nb",
        "..\\out.txt",
        "a\\b",
    ]
    .map(str::to_owned)
    .to_vec();
    paths.push("x".repeat(256));
    paths.push(format!("{}/{}", "y".repeat(200), "z".repeat(300)));
    paths.push(vec!["w".repeat(250); 5].join("/"));
    paths
}

#[test]
fn no_path_leads_out_of_the_media_folder() {
    let (daemon, mut wire) = device();
    let outside = || {
        let mut all = snapshot(&daemon.path(""));
        all.retain(|path, _| !path.starts_with("data") && !path.starts_with("log"));
        all
    };
    let before = outside();
    for path in forbidden() {
        let path = path.as_str();
        let calls = [
            ("ss", args![path, "x", "w"]),
            ("ss", args![path, "x", "a"]),
            ("ss", args![path, "x", "r+"]),
            ("si", args![media("logo.png"), path]),
            ("sm", args![0, media("tone.mp3"), path]),
            ("sg", args![0, media("party.gif"), path]),
            ("get", args![path]),
            ("stat", args![path]),
            ("del", args![path]),
            ("ri", args![path]),
            ("rg", args![path]),
            ("rm", args![path]),
        ];
        for (op, args) in calls {
            let failure = refused(&daemon, &mut wire, op, args);
            assert_eq!(failure.code, Code::BadPath, "{op} {path:?}: {failure}");
        }
    }
    for folder in ["/etc", "/etc/", "..", "a/../..", "a//b", "a\0b", "."] {
        let failure = wire.call_failing("ls", args![folder]);
        assert_eq!(failure.code, Code::BadPath, "ls {folder:?}: {failure}");
    }
    assert!(
        outside() == before,
        "something outside the data folder changed"
    );
    daemon.assert_no_stack_trace();
}

#[test]
fn paths_within_the_rules_are_taken() {
    let (daemon, mut wire) = device();
    let widest = "ä".repeat(127);
    for path in [
        "1/2/3/4/5/6/7/8",
        "...",
        "..a",
        "a b",
        "Ünï/cödé.txt",
        "-",
        "~",
        "con",
        widest.as_str(),
    ] {
        wire.call("ss", args![path, path]);
        assert_eq!(daemon.on_disk(path), path.as_bytes());
        let got = wire.call("get", args![path]);
        assert_eq!(wire.bytes(&got[0]), path.as_bytes());
    }
}

#[test]
fn a_file_is_no_folder_and_a_folder_no_file() {
    let (daemon, mut wire) = device();
    wire.call("ss", args!["folder/file.txt", "x"]);
    for (op, args) in [
        ("ss", args!["folder/file.txt/below", "x"]),
        ("ss", args!["folder", "x", "w"]),
        ("si", args![media("logo.png"), "folder"]),
        ("ri", args!["folder"]),
        ("get", args!["folder"]),
        ("del", args!["folder"]),
    ] {
        let failure = refused(&daemon, &mut wire, op, args);
        assert!(
            matches!(failure.code, Code::Exists | Code::NotFound | Code::BadPath),
            "{op}: {failure}"
        );
    }
}

/// Somebody with access to the folder put a link there; nothing is written or read through it.
#[test]
fn a_link_out_of_the_media_folder_is_not_followed() {
    let (daemon, mut wire) = device();
    let outside = daemon.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret.txt"), "secret").unwrap();
    std::os::unix::fs::symlink(&outside, daemon.stored("link")).unwrap();
    std::os::unix::fs::symlink(outside.join("secret.txt"), daemon.stored("plain.txt")).unwrap();
    let before = snapshot(&outside);
    for path in ["link/new.txt", "link/secret.txt", "plain.txt"] {
        for mode in ["a", "w"] {
            wire.call_reply("ss", args![path, "written", mode]);
        }
        let reply = wire.call_reply("get", args![path]);
        assert!(!format!("{reply:?}").contains("secret\""), "{reply:?}");
    }
    let after = snapshot(&outside);
    assert!(
        after == before,
        "it was written through a link: {:?}",
        after.keys()
    );
}
