//! Puts the SDK's source and the script that builds plugins into the program, so that `pixelboy plugin new` needs no checkout.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a build that can't go on ends"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a plugin's folder gets of this repository, below `vendor/`.
const VENDORED: [&str; 5] = [
    "plugin-sdk/Cargo.toml",
    "plugin-sdk/src",
    "plugin-sdk/macros/Cargo.toml",
    "plugin-sdk/macros/src",
    "wit",
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned();
    let mut files = Vec::new();
    for name in VENDORED {
        println!("cargo::rerun-if-changed={}", root.join(name).display());
        gather(&root.join(name), &mut files);
    }
    files.sort();
    let mut list = String::from("[\n");
    for file in files {
        let name = file.strip_prefix(&root).unwrap();
        writeln!(list, "({name:?}, include_str!({file:?})),").unwrap();
    }
    list.push(']');
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap()).join("vendored.rs");
    std::fs::write(out, list).unwrap();
}

fn gather(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_owned());
        return;
    }
    for entry in std::fs::read_dir(path).unwrap() {
        gather(&entry.unwrap().path(), files);
    }
}
