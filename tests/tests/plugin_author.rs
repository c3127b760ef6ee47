//! What the author of a plugin does: `pixelboy plugin new`, `build`, `check`, in a folder outside of this repository.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;
use std::process::Command;

use harness::daemon::{self, root};
use harness::{Setup, args};
use pixelboy_protocol::Value;

/// Runs `pixelboy plugin …`: its exit code, and all it said.
fn plugin(folder: &Path, words: &[&str]) -> (i32, String) {
    let program = Path::new(daemon::command().get_program()).with_file_name("pixelboy");
    let ended = Command::new(program)
        .arg("plugin")
        .args(words)
        .current_dir(folder)
        // The standard library is built there already, where this machine has to build it.
        .env("PLUGIN_TARGET_DIR", root().join(".build/wasm"))
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("RUSTC")
        .output()
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (ended.status.code().unwrap_or(-1), said)
}

#[track_caller]
fn done(folder: &Path, words: &[&str]) -> String {
    let (code, said) = plugin(folder, words);
    assert_eq!(code, 0, "{words:?}: {said}");
    said
}

#[test]
#[ignore = "without rustup's target it builds Rust's standard library, for minutes: cargo test -- --ignored"]
fn a_new_plugin_builds_outside_of_the_checkout_and_a_device_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    done(at, &["new", "my-greeter"]);
    let (code, said) = plugin(at, &["new", "my-greeter"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("not empty"), "{said}");
    let (code, said) = plugin(at, &["new", "My Greeter"]);
    assert_eq!(code, 2, "{said}");

    done(at, &["build", "my-greeter"]);
    let file = at.join("my-greeter/my-greeter.wasm");
    let told = done(at, &["check", "my-greeter/my-greeter.wasm"]);
    for words in [
        "my-greeter [name: text = \"world\"]",
        "[plugins.my-greeter]\nfile = \"my-greeter.wasm\"\nallow = [\"kv\"]",
    ] {
        assert!(told.contains(words), "{words:?} is not in:\n{told}");
    }
    let allow = told.lines().find(|line| line.starts_with("allow = "));
    let daemon = Setup::bare()
        .plugin("my-greeter", &file, allow.unwrap())
        .start();
    let greeting = daemon.client().call_one("my-greeter", args!["you"]);
    assert_eq!(greeting, Value::from("hello, you, for the 1. time"));
}

#[test]
fn new_takes_an_empty_place_and_a_name_that_fits_and_makes_a_whole_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    done(at, &["new", "my-greeter"]);
    for refused in [["new", "my-greeter"], ["new", "My Greeter"]] {
        let (code, said) = plugin(at, &refused);
        assert_eq!(code, 2, "{said}");
    }
    // Cargo takes it for a package of its own, with the SDK's source in it.
    let read = Command::new("cargo")
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(at.join("my-greeter/vendor/plugin-sdk"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "{said}");
    let text = |file: &str| std::fs::read_to_string(at.join("my-greeter").join(file)).unwrap();
    assert!(text("src/lib.rs").contains("impl MyGreeter"));
    let contract = std::fs::read_to_string(root().join("wit/plugin.wit")).unwrap();
    assert_eq!(text("vendor/wit/plugin.wit"), contract);
}

#[test]
fn check_says_why_a_file_would_not_be_taken() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("x.wasm"), "hello, world").unwrap();
    let (code, said) = plugin(at, &["check", "x.wasm"]);
    assert!(
        code == 2 && said.contains("x.wasm: not WebAssembly"),
        "{code}: {said}"
    );
    let (code, said) = plugin(at, &["check", "y.wasm"]);
    assert!(code == 2 && said.contains("No such file"), "{code}: {said}");
    let (code, said) = plugin(at, &["build"]);
    assert!(
        code == 2 && said.contains("there is no plugin in"),
        "{code}: {said}"
    );
}
