//! What plugins are told outside of any request: `@event`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use harness::{Daemon, PATIENCE, Setup, args, field, lab, media, wav};

fn happened(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.stored("happened.txt")).unwrap_or_default()
}

/// Waits until the plugin was told of something with all of `words`, after so many bytes of what it was told; the line.
#[track_caller]
fn told(daemon: &Daemon, from: usize, words: &[&str]) -> String {
    let begun = Instant::now();
    loop {
        let happened = happened(daemon);
        let mut lines = happened[from..].lines();
        if let Some(line) = lines.find(|line| words.iter().all(|word| line.contains(word))) {
            return line.to_owned();
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "it was not told of {words:?}, but of:\n{happened}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_plugin_is_told_when_it_starts_and_of_clients_that_come_and_go() {
    let mut daemon = Setup::new().actor().start();
    told(&daemon, 0, &["started", "reloaded=Bool(false)"]);
    let mut wire = daemon.client();
    let joined = told(&daemon, 0, &["client-joined", "name=end-to-end test"]);
    let session = joined.split("session=").nth(1).unwrap();
    let session = session.split(' ').next().unwrap().to_owned();
    // A session that goes on is neither.
    wire = daemon.client_again(&wire.break_off());
    assert!(wire.welcome().resumed);
    let before = happened(&daemon);
    assert!(!before.contains("client-left"), "{before}");
    assert_eq!(before.matches("client-joined").count(), 1, "{before}");
    wire.call("cc", args![]);
    told(&daemon, 0, &["client-left", &session]);
    let from = happened(&daemon).len();
    daemon.stop();
    daemon.boot();
    told(&daemon, from, &["started", "reloaded=Bool(false)"]);
    let from = happened(&daemon).len();
    let mut changed = std::fs::read(lab::actor()).unwrap();
    // A custom section that says nothing makes another file of it.
    changed.extend([0, 2, 1, b'x']);
    harness::daemon::put_whole(&daemon.plugin("actor"), &changed);
    told(&daemon, from, &["started", "reloaded=Bool(true)"]);
}

#[test]
fn the_loser_of_the_screen_is_told_and_nobody_else() {
    let daemon = Setup::new().panel(64, 64).actor().start();
    let mut wire = daemon.client();
    wire.call("si", args![media("logo.png"), "logo.png"]);
    wire.call("keep", args!["broken.png", "no picture", "image"]);
    wire.call("draw", args![8, 8, 1, 2, 3]);
    // It takes its own place, is not displaced by what is refused, and not told of the end of others.
    wire.call("show", args!["logo.png"]);
    wire.call_failing("ri", args!["broken.png"]);
    let from = happened(&daemon).len();
    assert!(!happened(&daemon).contains("screen-lost"));
    wire.call("ri", args!["logo.png"]);
    let line = told(&daemon, from, &["screen-lost"]);
    for word in ["kind=picture", "path=logo.png", "to=show-gif"] {
        assert!(line.contains(word), "{line}");
    }
    let from = happened(&daemon).len();
    wire.call("show", args!["logo.png"]);
    wire.call("clear", args![]);
    told(&daemon, from, &["screen-lost", "to=show-gif"]);
    assert_eq!(happened(&daemon).matches("screen-lost").count(), 2);
}

#[test]
fn a_plugin_is_told_how_music_ended() {
    let daemon = Setup::new().actor().start();
    let mut wire = daemon.client();
    for (name, seconds) in [("short.wav", 0.3), ("long.wav", 60.0)] {
        let data = wire.data(&wav::tone(seconds, 8_000, 440.0));
        wire.call("sm", args![0, data, name]);
    }
    wire.call("rm", args!["short.wav", true]);
    told(
        &daemon,
        0,
        &["playback-ended", "path=short.wav", "why=finished"],
    );
    wire.call("rm", args!["long.wav", true]);
    wire.call("rm", args!["long.wav", true]);
    told(
        &daemon,
        0,
        &["playback-ended", "path=long.wav", "why=replaced"],
    );
    wire.call("stop", args![]);
    told(
        &daemon,
        0,
        &["playback-ended", "path=long.wav", "why=stopped"],
    );
}

#[test]
fn a_plugin_is_told_when_the_panel_goes_and_when_it_is_back() {
    // A frame is 400 bytes: the command ends after the first one, and lasts when it is started again.
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("flag");
    let flag = flag.display();
    let command = format!(
        "[ -e {flag} ] || {{ head -c 400 >{flag}.part; [ -s {flag}.part ] && touch {flag}; exit; }}; cat >/dev/null"
    );
    let daemon = Setup::new()
        .display("width = 16")
        .display("height = 8")
        .display("backend = \"pipe\"")
        .display(&format!("options = {command:?}"))
        .actor()
        .start();
    let mut wire = daemon.client();
    wire.call("draw", args![16, 8, 1, 2, 3]);
    told(&daemon, 0, &["display-lost", "head -c 400"]);
    told(
        &daemon,
        0,
        &["display-resized", "width=Int(16) height=Int(8)"],
    );
}

#[test]
fn a_plugin_that_asks_for_nothing_is_told_nothing() {
    let daemon = Setup::new().lab().actor().start();
    let mut wire = daemon.client();
    told(&daemon, 0, &["client-joined"]);
    wire.call("version", args![]);
    let status = wire.call_one("status", args![]);
    let calls = |name: &str| {
        let plugin = field(field(&status, "plugins"), name);
        field(plugin, "calls").as_int().unwrap()
    };
    assert_eq!(calls("lab"), 1);
    assert!(calls("actor") >= 2);
}
