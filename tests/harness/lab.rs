//! The plugins of the tests' own: `tests/lab`, variants of it that differ in what `version` answers, `tests/actor`,
//! `tests/deaf`, and the examples.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::args;
use crate::daemon::{profile_folder, root};
use crate::wire::Wire;

/// What `version` answers in the file as it is built.
pub const VERSION: &str = "lab version A";

/// The built file; built now where its sources changed.
#[must_use]
pub fn built() -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build("tests/lab", "lab"))
        .clone()
        .unwrap_or_else(|why| panic!("{why}"))
}

/// The built file of `tests/actor`.
#[must_use]
pub fn actor() -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build("tests/actor", "actor"))
        .clone()
        .unwrap_or_else(|why| panic!("{why}"))
}

/// The built file of `tests/deaf`.
#[must_use]
pub fn deaf() -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build("tests/deaf", "deaf"))
        .clone()
        .unwrap_or_else(|why| panic!("{why}"))
}

/// The built file of `examples/NAME`.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    build(&format!("examples/{name}"), &format!("example-{name}"))
        .unwrap_or_else(|why| panic!("{why}"))
}

/// The built file of `tests/hostile`.
#[must_use]
pub fn hostile() -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build("tests/hostile", "hostile"))
        .clone()
        .unwrap_or_else(|why| panic!("{why}"))
}

fn build(folder: &str, name: &str) -> Result<PathBuf, String> {
    let out = profile_folder().join("../tmp");
    std::fs::create_dir_all(&out).map_err(|error| error.to_string())?;
    let out = out.join(format!("{name}.wasm"));
    let made = Command::new(root().join("tools/wasm"))
        .args([Path::new("build"), &root().join(folder), &out])
        // Cargo tells its tests about their own build.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTC")
        .output()
        .map_err(|error| format!("tools/wasm does not start: {error}"))?;
    if made.status.success() {
        return Ok(out);
    }
    Err(format!(
        "{folder} was not built for WebAssembly; `make plugins` brings what is missing. tools/wasm said:\n{}",
        String::from_utf8_lossy(&made.stderr)
    ))
}

/// The same plugin but that `version` answers with another letter.
#[must_use]
pub fn variant(letter: char) -> Vec<u8> {
    let mut bytes = std::fs::read(built()).unwrap();
    let found: Vec<usize> = bytes
        .windows(VERSION.len())
        .enumerate()
        .filter(|(_, part)| *part == VERSION.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert_eq!(found.len(), 1, "the version must be in the file once");
    bytes[found[0] + VERSION.len() - 1] = letter as u8;
    bytes
}

/// What `version` of [`variant`] answers.
#[must_use]
pub fn answer(letter: char) -> String {
    VERSION.replace('A', &letter.to_string())
}

/// Rounds of `spin` that take `time` on this machine, or more where it is busy.
#[must_use]
pub fn rounds_for(wire: &mut Wire, time: Duration) -> i64 {
    let rounds = 10_000_000;
    wire.call("spin", args![1]);
    let once = |_| {
        let begun = Instant::now();
        wire.call("spin", args![rounds]);
        begun.elapsed()
    };
    // The fastest of a few: others may have been interrupted.
    let fastest = (0..4).map(once).min().unwrap_or_default();
    (rounds as f64 * time.as_secs_f64() / fastest.as_secs_f64()) as i64
}
