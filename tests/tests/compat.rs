//! Plugins that were built long ago load and run: `tests/compat`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::{Path, PathBuf};

use harness::{Setup, args};
use pixelboy_protocol::{Code, Value};

fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat");
    folder.join(format!("{name}.wasm"))
}

#[test]
fn a_rust_plugin_of_contract_0_1_runs() {
    let file = kept("counter-0.1");
    let daemon = Setup::bare()
        .plugin("counter", &file, "allow = [\"kv\"]")
        .start();
    let mut wire = daemon.client();
    assert_eq!(wire.call_one("count", args!["cats", 3]), Value::Int(3));
    assert_eq!(wire.call_one("count", args!["cats"]), Value::Int(4));
    let counts = wire.call_one("counts", args![]);
    assert_eq!(counts.get("cats"), Some(&Value::Int(4)));
    let failure = wire.call_failing("count", args!["cats", i64::MAX]);
    assert_eq!(failure.code, Code::TooLarge, "{failure}");
}

#[test]
fn a_c_plugin_of_contract_0_1_runs() {
    let file = kept("dice-c-0.1");
    let daemon = Setup::bare().plugin("dice", &file, "allow = []").start();
    let mut wire = daemon.client();
    let thrown = wire.call_one("roll", args![100, 2]);
    let thrown = thrown.as_list().unwrap();
    assert_eq!(thrown.len(), 100);
    for side in [1, 2] {
        assert!(thrown.contains(&Value::Int(side)), "{thrown:?}");
    }
    assert!(
        thrown
            .iter()
            .all(|it| [Value::Int(1), Value::Int(2)].contains(it))
    );
    // The default.
    assert_eq!(wire.call_one("roll", args![]).as_list().unwrap().len(), 1);
    let failure = wire.call_failing("roll", args![0]);
    assert_eq!(failure.code, Code::BadArguments, "{failure}");
}

#[test]
fn the_c_example_builds_where_its_tools_are() {
    let there = |program: &str| {
        let asked = std::process::Command::new(program)
            .arg("--version")
            .output();
        asked.is_ok_and(|said| said.status.success())
    };
    let missing: Vec<&str> = ["clang", "wasm-ld", "wit-bindgen"]
        .into_iter()
        .filter(|program| !there(program))
        .collect();
    if !missing.is_empty() {
        println!("not built: this machine has no {}", missing.join(", "));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("dice.wasm");
    let script = harness::daemon::root().join("examples/dice-c/build");
    let built = std::process::Command::new(script)
        .arg(&out)
        .status()
        .unwrap();
    assert!(built.success());
    let daemon = Setup::bare().plugin("dice", &out, "allow = []").start();
    let thrown = daemon.client().call_one("roll", args![2]);
    assert_eq!(thrown.as_list().unwrap().len(), 2);
}
