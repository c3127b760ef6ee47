//! Turns a `.wasm` file into machine code, in a short-lived child process.
//! Why a child: the compiler's memory does not come back, and a hostile file must not take the host's.
//! Invariant: the output file appears whole, under its final name, or not at all.
//! A file that does not compile: the child's sentence becomes the error.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::engine;

/// The hidden flag by which the host starts itself as the compiler.
pub(crate) const FLAG: &str = "--compile-plugin";

/// The compiler's memory; a 750 KB guest needs about 90 MB.
const MEMORY_BYTES: u64 = 768 << 20;

/// A 20 MB component takes about 10 s on two cores of a PC, several times that on a small device.
const TIME_LIMIT: Duration = Duration::from_secs(180);

/// Why a file was not compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    /// The child could not be started, or the files not be written.
    #[error("failed to run the compiler: {0}")]
    Start(#[source] std::io::Error),
    /// The compiler's own reason.
    #[error("{0}")]
    Refused(String),
    /// It was stopped.
    #[error(
        "compiling took longer than {TIME_LIMIT:?}; is the plugin very large? build it in release mode"
    )]
    TooSlow,
    /// It died, most likely for want of memory.
    #[error(
        "the compiler ended with {0}; it may use {memory} MiB: build the plugin smaller (release mode, stripped)",
        memory = MEMORY_BYTES >> 20
    )]
    Died(std::process::ExitStatus),
}

/// Compiles `wasm` to `code` in a child process.
pub(crate) async fn in_child(wasm: &Path, code: &Path) -> Result<(), CompileError> {
    let host = own_executable().map_err(CompileError::Start)?;
    let child = tokio::process::Command::new(host)
        .arg(FLAG)
        .arg(wasm)
        .arg(code)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(CompileError::Start)?;
    let output = tokio::time::timeout(TIME_LIMIT, child.wait_with_output())
        .await
        .map_err(|_| CompileError::TooSlow)?
        .map_err(CompileError::Start)?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(CompileError::Refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
        _ => Err(CompileError::Died(output.status)),
    }
}

/// The running program, also after its file was replaced by an upgrade.
fn own_executable() -> std::io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() {
        Ok(own)
    } else {
        std::env::current_exe()
    }
}

/// The child's whole life: reads `wasm`, writes `code`. The error is one sentence.
pub(crate) fn run_child(wasm: &Path, code: &Path) -> Result<(), String> {
    // Parsers of other people's files do panic; the sentence below says enough.
    std::panic::set_hook(Box::new(|_| {}));
    std::panic::catch_unwind(|| compile(wasm, code))
        .unwrap_or_else(|_| Err("the file is damaged WebAssembly; was it copied in full?".into()))
}

fn compile(wasm: &Path, code: &Path) -> Result<(), String> {
    let limit = rustix::process::Rlimit {
        current: Some(MEMORY_BYTES),
        maximum: Some(MEMORY_BYTES),
    };
    rustix::process::setrlimit(rustix::process::Resource::Data, limit)
        .map_err(|error| format!("failed to limit the compiler's memory: {error}"))?;
    let bytes = std::fs::read(wasm)
        .map_err(|error| format!("failed to read {}: {error}", wasm.display()))?;
    let component = complete(&bytes)?;
    let engine = engine::bare().map_err(|error| format!("{error:#}"))?;
    let compiled = engine
        .precompile_component(&component)
        .map_err(|error| format!("the file is no valid component: {error:#}"))?;
    std::fs::write(code, compiled)
        .map_err(|error| format!("failed to write {}: {error}", code.display()))
}

/// A component as it is; a plain module, as `cargo build --target wasm32-unknown-unknown` leaves it, is completed.
fn complete(bytes: &[u8]) -> Result<Vec<u8>, String> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => wit_component::ComponentEncoder::default()
            .validate(true)
            .module(bytes)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| {
                format!(
                    "the module could not be completed to a component: {error:#}; \
                         was it built with the plugin SDK (or wit-bindgen) for this contract?"
                )
            }),
        Some([0, b'a', b's', b'm', ..]) => Ok(bytes.to_vec()),
        Some(start) => Err(format!(
            "not WebAssembly: the file begins with {}, expected 00 61 73 6d",
            start
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        )),
        None => Err(format!(
            "not WebAssembly: the file has {} bytes; was it copied in full?",
            bytes.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_no_wasm_is_said_so() {
        assert!(
            complete(b"hello, world")
                .unwrap_err()
                .contains("not WebAssembly")
        );
        assert!(complete(b"").unwrap_err().contains("copied in full"));
    }
}
