//! Real guests, built as a user builds them, on a stage that remembers what they asked for.
//! What the host does with that is tested in the host.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod stage;

use stage::{Arg, Guest, Node, Values, boolean, float, int, null, text};

const PNG: Arg<'static> = Arg::Data(b"image/png 64 32 1");
const GIF: Arg<'static> = Arg::Data(b"animation/gif 16 8 12 900");
const MP3: Arg<'static> = Arg::Data(b"audio/mp3 44100 2 3000");

fn store_media() -> Guest {
    Guest::of("plugins/store-media")
}

#[test]
fn a_guest_imports_only_the_interfaces_it_calls() {
    assert_eq!(store_media().needs(), ["store", "probe"]);
    assert_eq!(Guest::of("plugins/play-audio").needs(), ["store", "audio"]);
    assert_eq!(Guest::of("plugins/show-gif").needs(), ["store", "display"]);
    assert!(Guest::of("examples/hello").needs().is_empty());
    assert!(Guest::of("bench/echo-plugin").needs().is_empty());
}

#[test]
fn the_table_comes_from_the_signatures() {
    let mut everything = Guest::of("plugin-sdk/tests/everything");
    let manifest = everything.stage().manifest.join("\n");
    let expected = r#"version 0.1.0
about One of each.
events screen-lost playback-ended started
types
  doc "Takes one of each type."
  returns "all of it."
  flag: bool "Yes or no."
  whole: int = -3 ""
  whole in -3, 4
  byte: int ""
  byte in 0.0..=255.0
  float: float ""
  float in -1.7976931348623157e308..=0.5
  text: text = "a\"b" ""
  bytes: bytes ""
  data: data ""
  list: list ""
  map: map ""
  any: any ""
  maybe: int =  ""
  maybe in 0.0..=4294967295.0
  given: int = 7 ""
an-other
  doc "Has a name that no function can have."
  returns ""
"#;
    assert!(manifest.starts_with(expected), "{manifest}");
}

#[test]
fn every_type_of_argument_arrives_and_goes_back() {
    let mut everything = Guest::of("plugin-sdk/tests/everything");
    let nodes = vec![
        Node::Boolean(true),
        Node::Int(4),
        Node::Int(255),
        Node::Int(-2),
        Node::Text("t".into()),
        Node::Bytes(vec![0, 255]),
        Node::Null,
        Node::List(vec![11, 12]),
        Node::Map(vec![("k".into(), 13)]),
        Node::Float(1.5),
        Node::Null,
        Node::Int(1),
        Node::Null,
        Node::List(vec![]),
        Node::Null,
    ];
    let roots = vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14];
    let missing = everything.handle("types", Values { nodes, roots }).unwrap();
    assert_eq!(
        missing,
        Err("bad-arguments: argument data takes data, got null".into())
    );

    let args = [
        boolean(true),
        int(4),
        int(255),
        int(-2),
        text("t"),
        Arg::Value(Node::Bytes(vec![0, 255])),
    ]
    .into_iter()
    .chain([
        Arg::Data(b"d"),
        Arg::Value(Node::List(vec![])),
        Arg::Value(Node::Map(vec![])),
    ])
    .chain([float(1.5), null(), int(3)]);
    let reply = everything.call("types", args).unwrap();
    assert_eq!(
        reply,
        r#"[true, 4, 255, -2.0, "t", bytes [0, 255], data "d", [], {}, 1.5, null, 3]"#
    );
}

#[test]
fn failures_keep_code_message_and_details() {
    let mut everything = Guest::of("plugin-sdk/tests/everything");
    assert_eq!(
        everything.call("fails", []),
        Err(r#"busy: later [("queue", "3")]"#.into())
    );
    assert_eq!(
        everything.call("parses", [text("x")]),
        Err("failed: invalid digit found in string".into())
    );
    assert_eq!(everything.call("an-other", []), Ok("\"two\", 2".into()));
}

#[test]
fn a_panic_is_logged_with_its_place_and_traps() {
    let mut everything = Guest::of("plugin-sdk/tests/everything");
    let trap = everything.handle(
        "panics",
        Values {
            nodes: vec![],
            roots: vec![],
        },
    );
    assert!(trap.is_err());
    let log = &everything.stage().log;
    assert_eq!(log[0], "Level::Info about to");
    assert!(
        log[1].starts_with("Level::Error panicked at plugin-sdk/tests/everything/src/lib.rs:"),
        "{log:?}"
    );
    assert!(
        log[1].ends_with("index out of bounds: the len is 0 but the index is 2"),
        "{log:?}"
    );
}

#[test]
fn a_later_answer_is_completed_by_the_timer() {
    let mut everything = Guest::of("plugin-sdk/tests/everything");
    assert_eq!(everything.call("waits", [int(250)]), Ok("later 77".into()));
    let payload = Arg::Value(Node::Bytes(77_u64.to_le_bytes().to_vec()));
    assert_eq!(
        everything.call("@timer", [text("answer"), payload]),
        Ok(String::new())
    );
    assert_eq!(
        everything.stage().asked,
        [
            "timer answer 250 ms [77, 0, 0, 0, 0, 0, 0, 0] durable true",
            r#"complete 77 {id: "answer", who: "ada"}"#
        ]
    );
}

#[test]
fn answers_and_events_reach_their_handlers_and_unknown_ones_are_unsupported() {
    let mut everything = Guest::of("plugin-sdk/tests/everything");
    assert_eq!(everything.call("asks", []), Ok(String::new()));
    assert_eq!(
        everything.stage().asked,
        [r#"call 5 ask("how") 2000 ms tag"#]
    );
    let answer = everything.call("@answer", [text("tag"), boolean(true), int(1), text("b")]);
    assert_eq!(answer, Ok(r#"{tag: "tag", values: [1, "b"]}"#.into()));
    let failed = everything.call(
        "@answer",
        [
            text("tag"),
            boolean(false),
            text("deadline"),
            text("too late"),
        ],
    );
    assert_eq!(
        failed,
        Ok(r#"{tag: "tag", code: "deadline", message: "too late"}"#.into())
    );

    let nodes = vec![
        Node::Text("screen-lost".into()),
        Node::Map(vec![("path".into(), 2)]),
        Node::Text("a.png".into()),
    ];
    let event = everything
        .handle(
            "@event",
            Values {
                nodes,
                roots: vec![0, 1],
            },
        )
        .unwrap();
    assert_eq!(event, Ok("\"a.png\"".into()));
    let started = everything.call("@event", [text("started"), Arg::Value(Node::Map(vec![]))]);
    assert_eq!(started, Ok("5".into()));

    let unknown = [text("client-left"), Arg::Value(Node::Map(vec![]))];
    assert_eq!(
        everything.call("@event", unknown),
        Err("unsupported: this plugin has no @event".into())
    );
    assert_eq!(
        everything.call("@moon", []),
        Err("unsupported: this plugin has no @moon".into())
    );
    let timer = store_media().call("@timer", [text("a"), null()]);
    assert_eq!(timer, Err("unsupported: this plugin has no @timer".into()));
}

#[test]
fn what_is_made_in_pieces_becomes_a_file_and_a_picture() {
    let mut everything = Guest::of("plugin-sdk/tests/everything");
    assert_eq!(
        everything.call("makes", [text("a/b")]),
        Ok("data \"abc\", 3".into())
    );
    let stage = everything.stage();
    assert_eq!(
        stage.asked,
        [
            "put a/b letters 3 bytes",
            "animate 1x1 loops 0, [1, 2, 3, 255] 40 ms"
        ]
    );
    assert_eq!(stage.log, ["Level::Debug scale 2"]);
}

#[test]
fn text_is_appended_replaced_and_written_over() {
    let mut guest = store_media();
    let mut ss = |bytes: &'static [u8], mode| {
        guest
            .call("ss", [text("notes.txt"), Arg::Data(bytes), text(mode)])
            .map(|it| {
                let (start, digest) = it.split_once(", sha256: \"").unwrap();
                assert_eq!(
                    digest,
                    format!("{}\"}}", format!("{:02x}", bytes.len()).repeat(32))
                );
                start.to_owned()
            })
    };
    let missing = ss(b"x", "r+").unwrap_err();
    assert!(
        missing.starts_with("not-found: ") && missing.contains("notes.txt"),
        "{missing}"
    );
    assert_eq!(
        ss(b"hello", "a").unwrap(),
        r#"{path: "notes.txt", kind: "text", size: 5, offset: 0"#
    );
    assert_eq!(
        ss(b" you", "a").unwrap(),
        r#"{path: "notes.txt", kind: "text", size: 9, offset: 5"#
    );
    assert_eq!(
        ss(b"J", "r+").unwrap(),
        r#"{path: "notes.txt", kind: "text", size: 9, offset: 0"#
    );
    assert!(
        ss(&[0xff], "a")
            .unwrap_err()
            .starts_with("unsupported-media: ")
    );
    assert_eq!(guest.stage().files["notes.txt"].bytes, b"Jello you");
    let replaced = guest
        .call("ss", [text("notes.txt"), Arg::Data(b""), text("w")])
        .unwrap();
    assert!(
        replaced.starts_with(r#"{path: "notes.txt", kind: "text", size: 0, offset: 0"#),
        "{replaced}"
    );
}

#[test]
fn text_gets_no_name_that_promises_a_picture_or_sound() {
    let mut guest = store_media();
    for (path, promised) in [("cat.png", "a picture"), ("a/b.MP3", "sound")] {
        let refused = guest
            .call("ss", [text(path), Arg::Data(b"x"), text("w")])
            .unwrap_err();
        assert!(
            refused.starts_with("bad-arguments: ") && refused.contains(promised),
            "{refused}"
        );
    }
    assert!(guest.stage().asked.is_empty());
    guest
        .call("ss", [text("my.png/cat"), Arg::Data(b"x"), text("w")])
        .unwrap();
}

#[test]
fn text_is_not_appended_to_a_picture() {
    let mut guest = store_media();
    guest.stage().file("cat", "image", b"pixels", &[]);
    for mode in ["a", "r+"] {
        let refused = guest
            .call("ss", [text("cat"), Arg::Data(b"x"), text(mode)])
            .unwrap_err();
        assert!(
            refused.starts_with("bad-arguments: ") && refused.contains("image"),
            "{refused}"
        );
    }
    assert!(guest.stage().asked.is_empty());
}

#[test]
fn a_stored_file_answers_what_is_known_about_it_and_stat_says_the_same() {
    let mut guest = store_media();
    let sent: [(&str, Vec<Arg>, &str); 3] = [
        (
            "si",
            vec![PNG, text("cat.png")],
            r#"{path: "cat.png", kind: "image", size: 17, sha256: S, format: "png", width: 64, height: 32, frames: 1}"#,
        ),
        (
            "sm",
            vec![int(44_100), MP3, text("song.mp3")],
            r#"{path: "song.mp3", kind: "audio", size: 22, sha256: S, format: "mp3", sample_rate: 44100, channels: 2, duration_ms: 3000}"#,
        ),
        (
            "sg",
            vec![float(12.5), GIF, text("party.gif")],
            r#"{path: "party.gif", kind: "animation", size: 25, sha256: S, format: "gif", width: 16, height: 8, frames: 12, duration_ms: 900, fps: 12.5}"#,
        ),
    ];
    for (op, args, expected) in sent {
        let reply = guest.call(op, args).unwrap();
        let path = expected.split('"').nth(1).unwrap();
        let digest = format!(
            "\"{}\"",
            format!("{:02x}", guest.stage().files[path].bytes.len()).repeat(32)
        );
        assert_eq!(reply.replace(&digest, "S"), expected);
        let stat = guest.call("stat", [text(path)]).unwrap();
        assert_eq!(
            stat.replace(&digest, "S").replace(", modified_ms: 9", ""),
            expected
        );
        let got = guest.call("get", [text(path)]).unwrap();
        assert!(got.starts_with("data \"") && got.ends_with(&stat), "{got}");
    }
}

#[test]
fn what_an_opcode_does_not_take_is_refused_with_the_one_that_does() {
    let mut guest = store_media();
    let refusals: [(&str, Vec<Arg>, &str); 9] = [
        (
            "si",
            vec![MP3, text("a")],
            "unsupported-media: si takes a picture, got audio/mp3; use sm",
        ),
        (
            "sm",
            vec![int(0), PNG, text("a")],
            "unsupported-media: sm takes sound, got image/png; use si",
        ),
        (
            "sm",
            vec![int(0), GIF, text("a")],
            "unsupported-media: sm takes sound, got animation/gif; use sg",
        ),
        (
            "sg",
            vec![float(0.0), PNG, text("a")],
            "unsupported-media: sg takes a GIF, got image/png; use si",
        ),
        (
            "sg",
            vec![float(0.0), MP3, text("a")],
            "unsupported-media: sg takes a GIF, got audio/mp3; use sm",
        ),
        (
            "si",
            vec![PNG, text("a.gif")],
            "bad-arguments: the name \"a.gif\" promises another format; ",
        ),
        (
            "sm",
            vec![int(48_000), MP3, text("a")],
            "bad-arguments: the file has 44100 Hz, not 48000 Hz; ",
        ),
        (
            "si",
            vec![Arg::Data(b"junk"), text("a")],
            "unsupported-media: these bytes are nothing that is known here",
        ),
        ("del", vec![text("a")], "not-found: "),
    ];
    for (op, args, expected) in refusals {
        let refused = guest.call(op, args).unwrap_err();
        assert!(refused.starts_with(expected), "{refused}");
    }
    assert!(guest.stage().asked.is_empty() && guest.stage().files.is_empty());
}

#[test]
fn a_folder_is_listed_whole_in_pages_and_from_a_name_on() {
    let mut guest = store_media();
    assert_eq!(
        guest.call("ls", [text(""), null(), null()]),
        Ok("[]".into())
    );
    for number in 0..600 {
        guest
            .stage()
            .file(&format!("many/{number:03}.txt"), "text", b"abc", &[]);
    }
    guest.stage().file("top.png", "image", b"", &[]);
    let top = guest.call("ls", [text(""), null(), null()]).unwrap();
    let folder = r#"{name: "many/", path: "many/", kind: "folder"}"#;
    assert_eq!(
        top,
        format!(
            r#"[{folder}, {{name: "top.png", path: "top.png", kind: "image", size: 0, modified_ms: 9}}]"#
        )
    );
    let all = guest.call("ls", [text("many/"), null(), null()]).unwrap();
    assert_eq!(all.matches("name: ").count(), 600);
    let some = guest
        .call("ls", [text("many"), text("597.txt"), int(1)])
        .unwrap();
    assert_eq!(
        some,
        r#"[{name: "598.txt", path: "many/598.txt", kind: "text", size: 3, modified_ms: 9}]"#
    );
    assert!(
        guest
            .call("ls", [text("few"), null(), null()])
            .unwrap_err()
            .starts_with("not-found: ")
    );
    assert_eq!(
        guest.call("del", [text("many/000.txt")]),
        Ok(r#"{path: "many/000.txt"}"#.into())
    );
}

#[test]
fn sound_is_played_paused_resumed_and_stopped() {
    let mut guest = Guest::of("plugins/play-audio");
    guest
        .stage()
        .file("song.mp3", "audio", b"", &[("duration_ms", "3000")]);
    guest.stage().file("cat.png", "image", b"", &[]);
    for op in ["pm", "um", "stop"] {
        let args = if op == "um" {
            vec![boolean(false)]
        } else {
            vec![]
        };
        assert!(
            guest
                .call(op, args)
                .unwrap_err()
                .starts_with("nothing-playing: ")
        );
    }
    let missing = guest
        .call("rm", [text("no.mp3"), boolean(false)])
        .unwrap_err();
    assert_eq!(
        missing,
        "not-found: there is no file \"no.mp3\"; store it first"
    );
    let picture = guest
        .call("rm", [text("cat.png"), boolean(false)])
        .unwrap_err();
    assert_eq!(
        picture,
        "unsupported-media: rm plays sound, \"cat.png\" is a picture; show it with ri [(\"kind\", \"image\")]"
    );
    assert!(guest.stage().asked.is_empty());

    let replies = [
        (
            "rm",
            vec![text("song.mp3"), boolean(true)],
            r#"{playing: "song.mp3", duration_ms: 3000, thread: true}"#,
        ),
        (
            "pm",
            vec![],
            r#"{paused: "song.mp3", position_ms: 1500, duration_ms: 3000}"#,
        ),
        (
            "um",
            vec![boolean(true)],
            r#"{playing: "song.mp3", position_ms: 1500, duration_ms: 3000, thread: true}"#,
        ),
        (
            "stop",
            vec![],
            r#"{stopped: "song.mp3", position_ms: 1500, duration_ms: 3000}"#,
        ),
        ("sv", vec![float(0.25)], "{volume: 0.25}"),
    ];
    for (op, args, expected) in replies {
        assert_eq!(guest.call(op, args), Ok(expected.into()));
    }
    let asked = [
        "play song.mp3 outlive true",
        "pause",
        "resume outlive true",
        "stop",
        "volume 0.25",
    ];
    assert_eq!(guest.stage().asked, asked);
}

#[test]
fn pictures_are_shown_and_animations_played_at_the_speed_they_were_stored_with() {
    let mut guest = Guest::of("plugins/show-gif");
    guest.stage().file("cat.png", "image", b"", &[]);
    guest
        .stage()
        .file("party.gif", "animation", b"", &[("fps", "12.5")]);
    guest.stage().file("own.gif", "animation", b"", &[]);
    guest.stage().file("song.mp3", "audio", b"", &[]);
    assert_eq!(
        guest.call("ri", [text("cat.png")]),
        Ok(r#"{shown: "cat.png"}"#.into())
    );
    assert_eq!(
        guest.call("ri", [text("party.gif")]),
        Ok(r#"{shown: "party.gif"}"#.into())
    );
    assert_eq!(
        guest.call("rg", [text("party.gif")]),
        Ok(r#"{shown: "party.gif", fps: 12.5}"#.into())
    );
    assert_eq!(
        guest.call("rg", [text("own.gif")]),
        Ok(r#"{shown: "own.gif", fps: null}"#.into())
    );
    assert_eq!(guest.call("clear", []), Ok(String::new()));
    let expected = [
        "show cat.png",
        "show party.gif",
        "play party.gif fps Some(12.5) loops None",
        "play own.gif fps None loops None",
        "clear",
    ];
    assert_eq!(guest.stage().asked, expected);
    for (op, path, start) in [
        (
            "ri",
            "no.png",
            "not-found: there is no file \"no.png\"; store it first",
        ),
        (
            "rg",
            "no.gif",
            "not-found: there is no file \"no.gif\"; store it first",
        ),
        (
            "ri",
            "song.mp3",
            "unsupported-media: ri shows pictures, \"song.mp3\" is sound; play it with rm [(\"kind\", \"audio\")]",
        ),
        (
            "rg",
            "cat.png",
            "unsupported-media: rg plays an animation, \"cat.png\" is a picture; use ri",
        ),
    ] {
        assert_eq!(guest.call(op, [text(path)]), Err(start.into()));
    }
    assert_eq!(guest.stage().asked.len(), expected.len());
}

#[test]
fn bytes_come_back_as_they_were_and_a_default_is_the_hosts_to_fill_in() {
    let bytes = vec![0, 1, 255];
    let echoed =
        Guest::of("bench/echo-plugin").call("echo", [Arg::Value(Node::Bytes(bytes.clone()))]);
    assert_eq!(echoed, Ok("bytes [0, 1, 255]".into()));
    // Larger ones may arrive as a handle.
    assert_eq!(
        Guest::of("bench/echo-plugin").call("echo", [Arg::Data(&bytes)]),
        echoed
    );
    let mut hello = Guest::of("examples/hello");
    assert_eq!(
        hello.call("hello", [text("world")]),
        Ok("\"hello, world\"".into())
    );
    assert_eq!(
        hello.call("repeat", [text("ab"), int(3)]),
        Ok("\"ababab\"".into())
    );
    assert!(
        hello
            .stage()
            .manifest
            .contains(&"  name: text = \"world\" \"\"".to_owned())
    );
}
