//! Compiled code by content, engine and CPU, so that a start with known plugins compiles nothing.
//! Invariant: code is run only when its own digest fits, from a folder that only the host writes.
//! A damaged entry is dropped and compiled again.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::compile::{self, CompileError};
use super::engine;

/// The folder of compiled code.
pub(crate) struct Cache {
    folder: PathBuf,
    fingerprint: u64,
}

/// What a file's content is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Of a `.wasm` file's bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Cache {
    /// Opens the folder and clears what another engine left.
    pub(crate) fn open(folder: PathBuf, engine: &wasmtime::Engine) -> std::io::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let cache = Self {
            folder,
            fingerprint: engine::fingerprint(engine),
        };
        let own = format!("-{:016x}.", cache.fingerprint);
        for entry in std::fs::read_dir(&cache.folder)?.flatten() {
            if !entry.file_name().to_string_lossy().contains(&own) {
                // Left behind by another version: of no use, and only takes space.
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(cache)
    }

    /// The component of a file's bytes, compiled now where it is not yet. True: it came from the cache.
    pub(crate) async fn component(
        &self,
        engine: &wasmtime::Engine,
        bytes: &[u8],
    ) -> Result<(Component, bool), CompileError> {
        let digest = ContentDigest::of(bytes);
        let code = self.path(&digest, "cwasm");
        let seal = self.path(&digest, "seal");
        if let Some(component) = load(engine, &code, &seal) {
            return Ok((component, true));
        }
        let snapshot = self.path(&digest, "wasm");
        let fresh = self.path(&digest, "new");
        std::fs::write(&snapshot, bytes).map_err(CompileError::Start)?;
        let compiled = compile::in_child(&snapshot, &fresh).await;
        let _ = std::fs::remove_file(&snapshot);
        compiled?;
        std::fs::read(&fresh)
            .and_then(|content| std::fs::write(&seal, Sha256::digest(content)))
            .and_then(|()| std::fs::rename(&fresh, &code))
            .map_err(CompileError::Start)?;
        match load(engine, &code, &seal) {
            Some(component) => Ok((component, false)),
            None => Err(CompileError::Refused(
                "the compiled code does not load".into(),
            )),
        }
    }

    fn path(&self, digest: &ContentDigest, ending: &str) -> PathBuf {
        self.folder
            .join(format!("{digest}-{:016x}.{ending}", self.fingerprint))
    }
}

/// The code where it is there and undamaged.
fn load(engine: &wasmtime::Engine, code: &Path, seal: &Path) -> Option<Component> {
    let expected = std::fs::read(seal).ok()?;
    let content = std::fs::read(code).ok()?;
    if Sha256::digest(content).as_slice() != expected {
        tracing::warn!(file = %code.display(), "cached plugin code is damaged; compiling again");
        return None;
    }
    #[expect(
        unsafe_code,
        reason = "runs code from a file: the folder is the host's own (0700) and the digest fits"
    )]
    let component = unsafe { Component::deserialize_file(engine, code) };
    component
        .inspect_err(|error| tracing::warn!(file = %code.display(), %error, "cached plugin code does not load"))
        .ok()
}
