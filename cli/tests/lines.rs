//! The command as it is typed, against a scripted host: exit codes and texts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../../client/tests/scripted/mod.rs"]
mod scripted;

use std::process::Stdio;

use pixelboy_client::protocol::{
    ArgKind, Code, Data, Failure, Finish, Finished, Kind, OpEntry, OpenDownload, OpenState,
    OpenUpload, Opened, Outcome, Reply, Request,
};
use pixelboy_client::{Blob, Value};
use scripted::{Connection, Host, PATIENCE, arg, row, table};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// What a line ended with.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn begin(host: &str, line: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pixelboy"))
        .args(line)
        .env("PIXELBOY_HOST", host)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn end(child: Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("the command should have ended").unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn run(host: &str, line: &[&str]) -> Ended {
    end(begin(host, line)).await
}

fn ops() -> Vec<OpEntry> {
    vec![
        row(
            "ri",
            "Shows a stored picture.",
            vec![arg("path", ArgKind::Text)],
        ),
        row(
            "scroll_text",
            "Scrolls text.",
            vec![
                arg("text", ArgKind::Data),
                arg("speed", ArgKind::Float).or(10.0),
                arg("thread", ArgKind::Bool).or(false),
            ],
        ),
        row("tune", "Plays notes.", vec![arg("notes", ArgKind::List)]),
    ]
}

/// Gives the table out.
async fn give_table(device: &mut Connection) {
    device.expect(Kind::GetTable).await;
    for part in table(&ops()) {
        device.send(part).await;
    }
}

fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(
        entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
    )
}

/// One request, answered; then the goodbye.
async fn answer_one(host: &Host, position: Option<u64>, values: Vec<Value>) -> Request {
    let (mut device, _) = host.welcome().await;
    let request = device.request().await;
    match position {
        Some(position) => device.stored(request.number, position, values).await,
        None => device.done(request.number, values).await,
    }
    device.goodbye().await;
    request
}

#[tokio::test]
async fn a_file_is_stored_with_the_opcode_that_its_bytes_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8], &str, usize); 4] = [
        ("notes.txt", b"hello", "ss", 1),
        ("cat.png", b"\x89PNG\r\n\x1a\n", "si", 0),
        ("party.gif", b"GIF89a", "sg", 1),
        ("song.mp3", b"ID3\x04", "sm", 1),
    ];
    let host = Host::new().await;
    for (name, bytes, op, at) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let reply = map(&[
            ("path", name.into()),
            ("size", 5.into()),
            ("offset", 0.into()),
            ("sha256", "ab".repeat(32).into()),
        ]);
        let line = ["store", path.to_str().unwrap()];
        let (ended, request) = tokio::join!(
            run(&host.address, &line),
            answer_one(&host, Some(17), vec![reply])
        );
        assert_eq!(
            (request.op.as_str(), &request.args[at]),
            (op, &bytes.to_vec().into())
        );
        assert!(request.args.contains(&name.into()), "{:?}", request.args);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        assert_eq!(
            ended.out,
            format!("stored {name} (5 bytes, sha256 abababababab...), on disk at position 17\n")
        );
    }
}

#[tokio::test]
async fn every_failure_has_its_exit_code_and_its_words() {
    let host = Host::new().await;
    let cases = [
        (
            Code::NotFound,
            1,
            "pixelboy: there is no file \"x\" (not-found)\n",
        ),
        (
            Code::Deadline,
            5,
            "pixelboy: there is no file \"x\" (deadline)\n",
        ),
        (Code::Busy, 1, "pixelboy: there is no file \"x\" (busy)\n"),
    ];
    for (code, exit, said) in cases {
        let (ended, ()) = tokio::join!(run(&host.address, &["stat", "x"]), async {
            let (mut device, _) = host.welcome().await;
            device.request().await;
            device.failed(1, code, "there is no file \"x\"").await;
            device.goodbye().await;
        });
        assert_eq!(
            (ended.code, ended.out.as_str(), ended.err.as_str()),
            (exit, "", said)
        );
    }
}

#[tokio::test]
async fn a_device_that_may_have_done_it_is_exit_code_4() {
    let host = Host::new().await;
    let (ended, ()) = tokio::join!(
        run(&host.address, &["del", "x", "--timeout", "0.3"]),
        async {
            let (mut device, _) = host.welcome().await;
            device.request().await;
            device.expect(Kind::Cancel).await;
            device.goodbye().await;
        }
    );
    assert_eq!(ended.code, 4);
    assert!(
        ended.err.starts_with(
            "pixelboy: del may or may not have happened: no answer within 0.3 s\nthe next line with the same --state FILE tells; without one look first"
        ),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_device_that_is_not_there_is_exit_code_3() {
    let host = Host::new().await;
    let address = host.address.clone();
    drop(host);
    let ended = run(&address, &["ls"]).await;
    let said = format!(
        "no device answers at {address}: connection refused; is pixelboyd running there? try: pixelboy ping"
    );
    assert_eq!((ended.code, ended.err), (3, format!("pixelboy: {said}\n")));
    let ended = run(&address, &["--json", "ls"]).await;
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(json["error"]["code"], "unreachable");
    assert_eq!(json["error"]["message"], said.as_str());
    assert_eq!((ended.code, ended.err.as_str()), (3, ""));
    let ended = run(&address, &["stroe", "x"]).await;
    assert!(
        ended.code == 3 && ended.err.contains("did you mean store?"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_device_that_refuses_is_exit_code_3() {
    let host = Host::new().await;
    let (ended, ()) = tokio::join!(run(&host.address, &["ls"]), async {
        let (device, _) = host.accept().await;
        device
            .close(Code::TooManyClients, "64 clients are connected; try later")
            .await;
    });
    assert_eq!(ended.code, 3);
    assert!(
        ended.err.contains("64 clients are connected; try later"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn an_opcode_of_the_table_is_called_with_typed_arguments() {
    let host = Host::new().await;
    let line = ["--json", "scroll-text", "hello world", "speed=3"];
    let (ended, request) = tokio::join!(run(&host.address, &line), async {
        let (mut device, _) = host.welcome().await;
        give_table(&mut device).await;
        let request = device.request().await;
        device
            .done(request.number, vec![map(&[("width", 40.into())])])
            .await;
        device.goodbye().await;
        request
    });
    assert_eq!(
        (request.op.as_str(), request.args.as_slice()),
        ("scroll_text", &["hello world".into()][..])
    );
    // What would end with this short session is told to go on.
    assert_eq!(
        request.kwargs,
        [
            ("speed".to_owned(), 3.into()),
            ("thread".to_owned(), true.into())
        ]
    );
    let json: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let expected = serde_json::json!({"op": "scroll_text", "values": [{"width": 40}], "stored": null, "recorded": false});
    assert_eq!((ended.code, json), (0, expected));
}

#[tokio::test]
async fn wrong_arguments_are_told_as_the_device_would_and_nothing_is_sent() {
    let host = Host::new().await;
    let cases: [(&[&str], &str); 4] = [
        (
            &["ri"],
            "pixelboy: ri takes (path: text), got ()\ntry: pixelboy help ri\n",
        ),
        (
            &["scroll-text", "hi", "fast"],
            "pixelboy: scroll_text takes (text: data, speed: float = 10.0, thread: bool = false), got (text, text)\ntry: pixelboy help scroll_text\n",
        ),
        (
            &["tune", "c"],
            "pixelboy: notes takes JSON, such as [1, \"two\"]: expected value at line 1 column 1\n",
        ),
        (
            &["tuen"],
            "pixelboy: the device has no opcode tuen; did you mean tune?\n",
        ),
    ];
    for (line, said) in cases {
        let (ended, ()) = tokio::join!(run(&host.address, line), async {
            let (mut device, _) = host.welcome().await;
            give_table(&mut device).await;
            device.goodbye().await;
        });
        assert_eq!(
            (ended.code, ended.out.as_str(), ended.err.as_str()),
            (2, "", said)
        );
    }
}

#[tokio::test]
async fn help_of_an_opcode_comes_from_the_device() {
    let host = Host::new().await;
    for line in [&["scroll-text", "--help"][..], &["help", "scroll_text"]] {
        let (ended, ()) = tokio::join!(run(&host.address, line), async {
            let (mut device, _) = host.welcome().await;
            give_table(&mut device).await;
            device.goodbye().await;
        });
        assert_eq!(ended.code, 0);
        assert!(
            ended.out.starts_with(
                "Scrolls text.\n\nUsage: pixelboy scroll_text TEXT [SPEED] [THREAD]\n"
            ),
            "{}",
            ended.out
        );
    }
}

#[tokio::test]
async fn help_of_the_program_needs_no_device() {
    for line in [
        &["--help"][..],
        &["help"],
        &["help", "play"],
        &["store", "--help"],
        &["completions", "bash"],
    ] {
        let ended = run("127.0.0.1:1", line).await;
        assert!(
            ended.code == 0 && !ended.out.is_empty() && ended.err.is_empty(),
            "{line:?}: {}",
            ended.err
        );
    }
    let ended = run("127.0.0.1:1", &[]).await;
    assert!(
        ended.code == 2 && ended.err.contains("play"),
        "{}",
        ended.err
    );
    let ended = run("127.0.0.1:1", &["volume", "loud"]).await;
    assert!(
        ended.code == 2 && ended.err.contains("expected 0 to 1, or 0% to 100%"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_large_file_is_uploaded_before_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.txt");
    let whole = "pixel ".repeat(20_000);
    std::fs::write(&path, &whole).unwrap();
    let host = Host::new().await;
    let line = ["scroll-text", path.to_str().unwrap()];
    let (ended, ()) = tokio::join!(run(&host.address, &line), async {
        let (mut device, _) = host.welcome().await;
        give_table(&mut device).await;
        let open = OpenUpload::decode(&device.expect(Kind::OpenUpload).await).unwrap();
        let state = OpenState::At {
            offset: 0,
            limit: 262_144,
        };
        device
            .send(Opened {
                transfer: open.transfer,
                state,
                length: None,
                sha256: None,
            })
            .await;
        let mut came = Vec::new();
        while came.len() < whole.len() {
            let body = device.expect(Kind::Data).await;
            came.extend_from_slice(Data::decode(&body).unwrap().chunk);
        }
        assert!(came == whole.as_bytes());
        let finish = Finish::decode(&device.expect(Kind::Finish).await).unwrap();
        device
            .send(Finished {
                transfer: open.transfer,
                sha256: finish.sha256,
            })
            .await;
        let request = device.request().await;
        assert_eq!(request.args, [Value::Upload(open.transfer)]);
        device.done(request.number, vec![]).await;
        device.goodbye().await;
    });
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.err.as_str()),
        (0, "done\n", "")
    );
}

#[tokio::test]
async fn standard_input_is_stored_under_a_name() {
    let host = Host::new().await;
    let (ended, request) = tokio::join!(
        async {
            let mut child = begin(&host.address, &["store", "-", "n.txt", "--append"]);
            child
                .stdin
                .take()
                .unwrap()
                .write_all(b"piped")
                .await
                .unwrap();
            end(child).await
        },
        answer_one(&host, Some(3), vec![])
    );
    assert_eq!(
        request.args,
        ["n.txt".into(), b"piped".to_vec().into(), "a".into()]
    );
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (0, "on disk at position 3\n")
    );
}

#[tokio::test]
async fn a_file_is_fetched_to_its_own_name_or_to_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::new().await;
    let whole = b"some bytes".to_vec();
    let digest: [u8; 32] = sha256(&whole);
    let serve = async |blob: bool| {
        let (mut device, _) = host.welcome().await;
        device.request().await;
        let value = match blob {
            true => Blob {
                id: 4,
                length: 10,
                sha256: Some(digest),
                form: 0,
            }
            .into(),
            false => whole.clone().into(),
        };
        device
            .done(1, vec![value, map(&[("path", "cat.bin".into())])])
            .await;
        if blob {
            let open = OpenDownload::decode(&device.expect(Kind::OpenDownload).await).unwrap();
            device.send(Data::new(open.transfer, 0, &whole)).await;
            device
                .send(Finish {
                    transfer: open.transfer,
                    length: 10,
                    sha256: digest,
                })
                .await;
        }
        device.goodbye().await;
    };
    for blob in [false, true] {
        let (ended, ()) = tokio::join!(
            run(&host.address, &["get", "pets/cat.bin", "-o", "-"]),
            serve(blob)
        );
        assert_eq!((ended.code, ended.out.as_str()), (0, "some bytes"));
        let target = folder.path().join(format!("{blob}.bin"));
        let line = ["get", "pets/cat.bin", "-o", target.to_str().unwrap()];
        let (ended, ()) = tokio::join!(run(&host.address, &line), serve(blob));
        assert_eq!(
            ended.out,
            format!("saved {} (10 bytes)\n", target.display())
        );
        assert_eq!(std::fs::read(&target).unwrap(), whole);
    }
    // A file that is here is not replaced without being named.
    let child = Command::new(env!("CARGO_BIN_EXE_pixelboy"))
        .args(["get", "pets/true.bin"])
        .current_dir(folder.path())
        .output();
    let output = child.await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("-o true.bin replaces it"));
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let source = pixelboy_client::Source::bytes(bytes);
    source.sha256().unwrap()
}

fn playing(path: &str) -> Value {
    map(&[(
        "playing",
        map(&[
            ("path", path.into()),
            ("position_ms", 900.into()),
            ("duration_ms", 1_000.into()),
        ]),
    )])
}

#[tokio::test]
async fn play_stays_until_the_music_ends() {
    let host = Host::new().await;
    let (ended, ()) = tokio::join!(run(&host.address, &["play", "a.mp3"]), async {
        let (mut device, _) = host.welcome().await;
        let request = device.request().await;
        assert_eq!(
            (request.op.as_str(), request.args),
            ("rm", vec!["a.mp3".into(), false.into()])
        );
        device
            .done(
                1,
                vec![map(&[
                    ("playing", "a.mp3".into()),
                    ("duration_ms", 1_000.into()),
                ])],
            )
            .await;
        for (number, status) in [
            (2, playing("a.mp3")),
            (3, playing("a.mp3")),
            (4, map(&[("playing", Value::Null)])),
        ] {
            assert_eq!(device.request().await.op, "status");
            device.done(number, vec![status]).await;
        }
        device.goodbye().await;
    });
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.err.as_str()),
        (0, "playing a.mp3 (0:01)\n", "")
    );
}

#[tokio::test]
async fn what_play_cannot_play_is_told_in_the_words_that_were_typed() {
    for (kind, said) in [
        (
            "image",
            "play is for sound, it is a picture; try: pixelboy show it",
        ),
        (
            "text",
            "play is for sound, it is text; try: pixelboy get it -o -",
        ),
    ] {
        let host = Host::new().await;
        let (ended, ()) = tokio::join!(run(&host.address, &["play", "it"]), async {
            let (mut device, _) = host.welcome().await;
            let number = device.request().await.number;
            let mut failure = Failure::new(Code::UnsupportedMedia, "rm plays sound, ...");
            failure.details = vec![("kind".to_owned(), kind.to_owned())];
            device
                .send(Reply {
                    number,
                    stored: None,
                    recorded: false,
                    outcome: Outcome::Failed(failure),
                })
                .await;
            device.goodbye().await;
        });
        let said = format!("pixelboy: {said} (unsupported-media)\n");
        assert_eq!((ended.code, ended.err), (1, said));
    }
}

#[tokio::test]
async fn play_ends_at_once_when_detached() {
    let host = Host::new().await;
    let line = ["play", "a.mp3", "--detach"];
    let (ended, request) = tokio::join!(
        run(&host.address, &line),
        answer_one(&host, None, vec![map(&[("playing", "a.mp3".into())])])
    );
    assert_eq!(request.args, ["a.mp3".into(), true.into()]);
    assert_eq!((ended.code, ended.out.as_str()), (0, "playing a.mp3\n"));
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_stops_the_music_that_play_stays_for() {
    let host = Host::new().await;
    let child = begin(&host.address, &["play", "a.mp3"]);
    let process = child.id().unwrap().to_string();
    let (mut device, _) = host.welcome().await;
    device.request().await;
    device.done(1, vec![]).await;
    // It looks at the status, so it listens for Ctrl-C.
    assert_eq!(device.request().await.op, "status");
    device.done(2, vec![playing("a.mp3")]).await;
    let killed = Command::new("kill")
        .args(["-INT", &process])
        .status()
        .await
        .unwrap();
    assert!(killed.success());
    loop {
        let request = device.request().await;
        if request.op == "stop" {
            device.done(request.number, vec![]).await;
            break;
        }
        device.done(request.number, vec![playing("a.mp3")]).await;
    }
    device.goodbye().await;
    let ended = end(child).await;
    assert_eq!((ended.code, ended.err.as_str()), (130, ""));
}

#[tokio::test]
async fn quiet_is_content_where_nothing_plays_and_stop_is_not() {
    let host = Host::new().await;
    for (word, exit) in [("quiet", 0), ("stop", 1)] {
        let line = [word];
        let (ended, ()) = tokio::join!(run(&host.address, &line), async {
            let (mut device, _) = host.welcome().await;
            assert_eq!(device.request().await.op, "stop");
            device
                .failed(1, Code::NothingPlaying, "nothing plays")
                .await;
            device.goodbye().await;
        });
        assert_eq!(ended.code, exit, "{word}");
    }
}

#[tokio::test]
async fn show_picks_the_opcode_by_what_is_stored() {
    let host = Host::new().await;
    for (kind, op) in [("image", "ri"), ("animation", "rg")] {
        let (ended, ()) = tokio::join!(run(&host.address, &["show", "x"]), async {
            let (mut device, _) = host.welcome().await;
            assert_eq!(device.request().await.op, "stat");
            device.done(1, vec![map(&[("kind", kind.into())])]).await;
            assert_eq!(device.request().await.op, op);
            device.done(2, vec![map(&[("shown", "x".into())])]).await;
            device.goodbye().await;
        });
        assert_eq!((ended.code, ended.out.as_str()), (0, "showing x\n"));
    }
}

#[tokio::test]
async fn what_is_only_on_this_computer_is_hinted_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cat.png");
    std::fs::write(&path, "meow").unwrap();
    let path = path.to_str().unwrap();
    let host = Host::new().await;
    for line in [["show", path], ["play", path]] {
        let (ended, ()) = tokio::join!(run(&host.address, &line), async {
            let (mut device, _) = host.welcome().await;
            device.request().await;
            device
                .failed(1, Code::NotFound, "there is no such file")
                .await;
            device.goodbye().await;
        });
        assert_eq!(ended.code, 1);
        assert!(
            ended
                .err
                .ends_with(&format!("on this computer; first: pixelboy store {path}\n")),
            "{}",
            ended.err
        );
    }
}

#[tokio::test]
async fn ping_tries_again_and_its_exit_code_tells() {
    let host = Host::new().await;
    let address = host.address.clone();
    let ended = run("127.0.0.1:1", &["ping", "--retry", "1", "--delay", "0"]).await;
    assert_eq!(ended.code, 3);
    assert!(!ended.err.contains("try: pixelboy ping"), "{}", ended.err);
    let line = ["ping", "--retry", "1", "--delay", "0.01"];
    let (ended, ()) = tokio::join!(run(&address, &line), async {
        drop(host.accept_raw().await);
        let (device, _) = host.welcome().await;
        device.goodbye().await;
    });
    assert_eq!(ended.code, 0);
    assert!(
        ended.out.starts_with(&format!("{address} answers in "))
            && ended.out.ends_with("ms (scripted 1)\n"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn a_long_folder_is_listed_page_by_page() {
    let host = Host::new().await;
    let entry = |index: usize| {
        let name = format!("{index:04}.txt");
        map(&[
            ("name", name.as_str().into()),
            ("path", name.into()),
            ("kind", "text".into()),
            ("size", 1.into()),
        ])
    };
    let (ended, ()) = tokio::join!(run(&host.address, &["ls"]), async {
        let (mut device, _) = host.welcome().await;
        let first = device.request().await;
        assert_eq!(first.args, ["".into(), Value::Null, 500.into()]);
        device
            .done(1, vec![Value::List((0..500).map(entry).collect())])
            .await;
        let second = device.request().await;
        assert_eq!(second.args[1], "0499.txt".into());
        device
            .done(2, vec![Value::List((500..502).map(entry).collect())])
            .await;
        device.goodbye().await;
    });
    assert_eq!((ended.code, ended.out.lines().count()), (0, 502));
    assert_eq!(ended.out.lines().last(), Some("text  1 byte  0501.txt"));
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_command_quietly() {
    let host = Host::new().await;
    let (ended, ()) = tokio::join!(
        async {
            let mut child = begin(&host.address, &["ls"]);
            drop(child.stdout.take());
            end(child).await
        },
        async {
            let (mut device, _) = host.welcome().await;
            device.request().await;
            device
                .done(1, vec![Value::List(vec![map(&[("path", "a".into())])])])
                .await;
            device.goodbye().await;
        }
    );
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[tokio::test]
async fn a_state_file_keeps_the_client_known() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let host = Host::new().await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let line = ["--state", state.to_str().unwrap(), "clear"];
        let (ended, ()) = tokio::join!(run(&host.address, &line), async {
            let (mut device, hello) = host.welcome().await;
            ids.push(hello.client);
            device.expect(Kind::GetTable).await;
            for part in table(&[row("clear", "", vec![])]) {
                device.send(part).await;
            }
            let request = device.request().await;
            device.done(request.number, vec![]).await;
            device.expect(Kind::Confirm).await;
            assert_eq!(device.request().await.op, "cc");
            device.close(Code::Closed, "as asked").await;
        });
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    }
    assert!(ids[0] == ids[1]);
}

#[tokio::test]
async fn a_killed_line_is_told_of_by_the_next_that_does_something() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    let host = Host::new().await;
    let line = ["--state", state, "del", "x"];
    let mut killed = begin(&host.address, &line);
    let (mut device, first) = host.welcome().await;
    assert_eq!(device.request().await.number, 1);
    killed.kill().await.unwrap();
    drop(device);

    let ping = ["--state", state, "ping"];
    let (ended, ()) = tokio::join!(run(&host.address, &ping), async {
        let (device, hello) = host.welcome().await;
        assert!(hello.client != first.client);
        device.goodbye().await;
    });
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));

    let (ended, ()) = tokio::join!(run(&host.address, &line), async {
        let (mut device, hello) = host.welcome().await;
        assert!(hello.client == first.client && hello.lowest_unconfirmed == 1);
        for number in [1, 2] {
            assert_eq!(device.request().await.number, number);
            device
                .send(Reply {
                    number,
                    stored: Some(number),
                    recorded: number == 1,
                    outcome: Outcome::Done(vec![map(&[("path", "x".into())])]),
                })
                .await;
        }
        device.expect(Kind::Confirm).await;
        assert_eq!(device.request().await.op, "cc");
        device.close(Code::Closed, "as asked").await;
    });
    assert_eq!(ended.out, "removed x, on disk at position 2\n");
    assert_eq!(
        ended.err,
        "pixelboy: del of an earlier line: removed x, on disk at position 1 (done before)\n"
    );
}
