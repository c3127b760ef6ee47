//! Files to send, and folders to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// A file of `tests/media`.
#[must_use]
pub fn media(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("media")
        .join(name);
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// SHA-256 in 64 digits, as replies have it.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(sha256(bytes))
}

/// SHA-256 as the wire has it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Every file and folder below `folder` with its bytes; folders and links have none.
#[must_use]
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(now) = folders.pop() {
        for entry in fs::read_dir(&now).into_iter().flatten().flatten() {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            let name = path.strip_prefix(folder).unwrap().to_owned();
            if kind.is_dir() {
                folders.push(path);
                found.insert(name, Vec::new());
            } else {
                // One that went meanwhile was not there.
                found.insert(name, fs::read(&path).unwrap_or_default());
            }
        }
    }
    found
}
