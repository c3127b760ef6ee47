//! `pixelboy plugin …` beside a running daemon: what is listed, taken in, left pending, taken out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use harness::daemon::profile_folder;
use harness::{Daemon, PATIENCE, Setup, Wire, args, field, lab, text_field};
use pixelboy_protocol::{Code, Value};

/// One line of the command on the device itself, with its exit code and all it said.
#[track_caller]
fn line(daemon: &Daemon, words: &[&str]) -> (i32, String) {
    let output: Output = Command::new(profile_folder().join("pixelboy"))
        .args(["plugin"])
        .args(words)
        .args(["--host", &daemon.address().to_string()])
        .current_dir(daemon.path(""))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    println!("$ pixelboy plugin {}\n{said}", words.join(" "));
    (output.status.code().unwrap(), said)
}

fn plugin(wire: &mut Wire, name: &str) -> Value {
    let status = wire.call_one("status", args![]);
    field(field(&status, "plugins"), name).clone()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn status_tells_how_every_plugin_stands() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    for _ in 0..20 {
        wire.call("version", args![]);
    }
    wire.call_failing("crashed_note", args!["a.txt", "x"]);
    let lab = plugin(&mut wire, "lab");
    assert_eq!(text_field(&lab, "state"), "running");
    assert_eq!(text_field(&lab, "file"), "lab.wasm");
    assert_eq!(field(&lab, "allow"), &Value::List(vec!["store".into()]));
    let ops = field(&lab, "ops").as_list().unwrap();
    assert!(ops.contains(&"slow_note".into()), "{ops:?}");
    assert_eq!(field(&lab, "calls"), &Value::Int(21));
    assert_eq!(field(&lab, "failures"), &Value::Int(1));
    let number = |key| field(&lab, key).as_int().unwrap();
    assert!(1 <= number("p50_us") && number("p50_us") <= number("p99_us"));
    assert_eq!(number("memory_bytes"), 0, "the guest crashed");
    wire.call("version", args![]);
    let lab = plugin(&mut wire, "lab");
    let bytes = field(&lab, "memory_bytes").as_int().unwrap();
    assert!((64 << 10..32 << 20).contains(&bytes), "{bytes}");
    // One that nobody has called has a guest too, which waits.
    let idle = plugin(&mut wire, "show-gif");
    assert!(field(&idle, "memory_bytes").as_int().unwrap() > 0);
    assert_eq!(field(&idle, "p50_us"), &Value::Null);
    for _ in 0..5 {
        wire.call_failing("crashed_note", args!["a.txt", "x"]);
    }
    let lab = plugin(&mut wire, "lab");
    assert_eq!(text_field(&lab, "state"), "resting");
    assert!(text_field(&lab, "reason").contains("crashed 5 times in a row"));
}

#[test]
fn a_plugin_is_installed_disabled_and_enabled_beside_the_running_host() {
    let daemon = Setup::new().start();
    let mut wire = daemon.client();
    let before = format!("# mine, and mine to keep\n{}", daemon.setup().config());
    daemon.write_config(&before);
    let built = lab::built();
    // Nothing is granted by itself: the reason says which word is missing.
    let (code, said) = line(&daemon, &["install", text(&built)]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("it imports store, which is not granted"),
        "{said}"
    );
    let refused = plugin(&mut wire, "lab");
    assert_eq!(text_field(&refused, "state"), "refused");
    assert_eq!(wire.call_failing("version", args![]).code, Code::UnknownOp);

    let (code, said) = line(&daemon, &["enable", "lab", "--allow", "store"]);
    assert_eq!(
        (code, said.starts_with("lab: running, version ")),
        (0, true),
        "{said}"
    );
    wire.call("slow_note", args!["lab.txt", "it writes", 1]);
    let config = fs::read_to_string(daemon.path("config.toml")).unwrap();
    let own = "[plugins.lab]\nfile = \"lab.wasm\"\nallow = [\"store\"]\n";
    assert!(
        config.starts_with(&before) && config.contains(own),
        "{config}"
    );

    let (code, said) = line(&daemon, &["disable", "lab"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(wire.call_failing("version", args![]).code, Code::UnknownOp);
    let (code, said) = line(&daemon, &["list"]);
    assert_eq!(code, 0);
    let row = said.lines().find(|line| line.starts_with("lab ")).unwrap();
    assert!(row.contains("not enabled"), "{said}");
    // The grants that it had are in its table still.
    let (code, _) = line(&daemon, &["enable", "lab"]);
    assert_eq!(code, 0);
    let again = fs::read_to_string(daemon.path("config.toml")).unwrap();
    assert_eq!(again.replace("enabled = true\n", ""), config);
    wire.call("version", args![]);
}

#[test]
fn a_version_that_asks_for_more_stays_pending_while_the_old_one_serves() {
    let daemon = Setup::new().lab().start();
    let mut wire = daemon.client();
    let greedy = lab::actor();
    let (code, said) = line(&daemon, &["install", text(&greedy), "--name", "lab"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("not granted") && said.contains("serves on"),
        "{said}"
    );
    assert_eq!(
        wire.call_one("version", args![]),
        Value::from(lab::answer('A'))
    );
    let lab = plugin(&mut wire, "lab");
    assert_eq!(text_field(&lab, "state"), "running");
    assert_eq!(text_field(field(&lab, "newer"), "state"), "pending");
    let (_, said) = line(&daemon, &["list"]);
    assert!(said.contains("running, new pending"), "{said}");
    // A person's word lets it in.
    let all = "store,kv,display,audio,client,timer";
    let (code, said) = line(&daemon, &["enable", "lab", "--allow", all]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(wire.call_failing("version", args![]).code, Code::UnknownOp);
    // A list of what is refused follows the swap.
    let begun = Instant::now();
    while field(&plugin(&mut wire, "lab"), "newer") != &Value::Null {
        assert!(begun.elapsed() < PATIENCE, "{:?}", plugin(&mut wire, "lab"));
    }

    // One that is broken is no question of grants.
    fs::write(daemon.path("broken.wasm"), b"\0asm\x0d\0\x01\0 nothing").unwrap();
    let (code, said) = line(&daemon, &["install", "broken.wasm", "--name", "lab"]);
    assert_eq!(code, 1, "{said}");
    let lab = plugin(&mut wire, "lab");
    assert_eq!(text_field(field(&lab, "newer"), "state"), "refused");
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let daemon = Setup::new().start();
    let before = fs::read_to_string(daemon.path("config.toml")).unwrap();
    fs::write(daemon.path("text.wasm"), b"no plugin").unwrap();
    for (words, reason) in [
        (&["install", "text.wasm"][..], "not WebAssembly"),
        (&["install", "gone.wasm"], "gone.wasm"),
        (&["enable", "lab"], "pixelboy plugin install"),
        (&["enable", "../lab"], "no plugin's name"),
        (&["enable", "show-gif", "--allow", "net"], "probe"),
        (&["disable", "lab"], "has no [plugins.lab]"),
        (&["disable", "lab", "--config", "other.toml"], "other.toml"),
    ] {
        let (code, said) = line(&daemon, words);
        assert_eq!(code, 2, "{words:?}: {said}");
        assert!(said.contains(reason), "{words:?}: {said}");
    }
    let after = fs::read_to_string(daemon.path("config.toml")).unwrap();
    assert_eq!(after, before);
}
