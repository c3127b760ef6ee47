//! The start: what can be wrong with it is said in one sentence on standard error, with an exit code and no stack trace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Setup, args, daemon};

/// Runs the daemon to its end, which must come soon: how it ended, and what it wrote on standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let begun = Instant::now();
    let mut child = daemon::command()
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
            panic!("it runs, though it was started with {arguments:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let (code, text) = run(arguments);
    assert!(
        code.is_some_and(|code| code != 0),
        "{arguments:?} ended with {code:?}: {text}"
    );
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
    for word in ["panicked", "stack backtrace", "RUST_BACKTRACE"] {
        assert!(!text.contains(word), "{text}");
    }
}

#[test]
fn what_is_wrong_at_the_start_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    refused(
        &["--config", &path("missing.toml")],
        &["missing.toml", "--config"],
    );
    for (text, words) in [
        ("[host\n", &["config.toml"][..]),
        ("[host]\nport = 7\n", &["port"]),
        (
            "[host]\nreceive_timeout_s = 0.01\n",
            &["receive_timeout_s", "0.05"],
        ),
        ("[host]\nlisten = \"nowhere\"\n", &["listen"]),
        (
            "[display]\nbackend = \"hologram\"\n",
            &["hologram", "terminal"],
        ),
        ("[display]\nwidth = 0\n", &["0x64"]),
        ("[audio]\nvolume = 2.0\n", &["volume"]),
        ("[audio]\nbackend = \"tape\"\n", &["tape"]),
        ("[plugins.x]\nfile = \"/etc/passwd\"\n", &["plugins folder"]),
        (
            "[plugins.x]\nfile = \"x.wasm\"\nallow = [\"root\"]\n",
            &["root"],
        ),
    ] {
        fs::write(folder.path().join("config.toml"), text).unwrap();
        refused(&["--config", &path("config.toml")], words);
    }
    fs::write(folder.path().join("config.toml"), "").unwrap();
    let config = path("config.toml");
    refused(
        &["--config", &config, "--display", "hologram"],
        &["hologram"],
    );
    refused(&["--config", &config, "--listen", "7777"], &["--listen"]);
    refused(&["--config", &config, "--volume", "1"], &["--volume"]);
    let (code, text) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("pixelboyd "), "{text}");
    let (code, text) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for flag in [
        "--config",
        "--listen",
        "--data",
        "--plugins",
        "--display",
        "--audio",
    ] {
        assert!(text.contains(flag), "{text}");
    }
    assert!(
        !Path::new(&path("data")).exists(),
        "a start that failed left a data folder"
    );
}

#[test]
fn a_port_and_a_data_folder_serve_one_daemon_only() {
    let daemon = Setup::bare().start();
    let other = tempfile::tempdir().unwrap();
    let config = other.path().join("config.toml");
    fs::write(
        &config,
        "[display]\nbackend = \"none\"\n[audio]\nbackend = \"null\"\n",
    )
    .unwrap();
    let config = config.display().to_string();
    let address = daemon.address().to_string();
    refused(
        &["--config", &config, "--listen", &address],
        &[&address, "another pixelboyd"],
    );
    let data = daemon.path("data").display().to_string();
    refused(
        &[
            "--config",
            &config,
            "--listen",
            "127.0.0.1:0",
            "--data",
            &data,
        ],
        &[&data],
    );
    let strange = other.path().join("strange");
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("letter.odt"), "dear").unwrap();
    let strange = strange.display().to_string();
    refused(
        &[
            "--config",
            &config,
            "--listen",
            "127.0.0.1:0",
            "--data",
            &strange,
        ],
        &[&strange],
    );
    assert_eq!(
        fs::read_dir(&strange).unwrap().count(),
        1,
        "it left something there"
    );
    daemon.client().call("status", args![]);
}

#[test]
fn the_ready_file_names_the_address_and_goes_with_the_daemon() {
    let mut daemon = Setup::bare().start();
    let line = fs::read_to_string(daemon.path("ready")).unwrap();
    assert_eq!(line, format!("{}\n", daemon.address()));
    assert!(daemon.address().ip().is_loopback());
    let (took, status) = daemon.stop();
    assert!(status.success());
    assert!(
        took < Duration::from_secs(2),
        "it took {took:?} with nothing to do"
    );
    assert!(!daemon.path("ready").exists());
}

/// Plugins that are named but not there, or not plugins, cost their opcodes and no others.
#[test]
fn a_plugin_that_is_missing_or_broken_keeps_nobody_from_starting() {
    let broken = tempfile::NamedTempFile::new().unwrap();
    fs::write(broken.path(), "no plugin").unwrap();
    let mut daemon = Setup::new().plugin("broken", broken.path(), "").start();
    daemon.wait_for_log(&["broken", "not WebAssembly"]);
    daemon.stop();
    fs::remove_file(daemon.plugin("show-gif")).unwrap();
    daemon.boot();
    daemon.wait_for_log(&["show-gif.wasm", "there is no"]);
    let mut wire = daemon.client();
    wire.call("ss", args!["a.txt", "works"]);
    assert_eq!(
        wire.call_failing("ri", args!["a.png"]).code,
        pixelboy_protocol::Code::UnknownOp
    );
    daemon.stop();
    fs::remove_dir_all(daemon.path("plugins")).unwrap();
    daemon.boot();
    daemon.client().call("status", args![]);
    daemon.assert_no_stack_trace();
}
