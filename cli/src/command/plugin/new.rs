//! `plugin new`: a folder that builds anywhere, with the SDK's source in it.
//! Invariant: nothing that is there is written over.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::output;
use crate::trouble::Trouble;

/// Make a folder for a new plugin, with all that it needs
///
/// The SDK's source comes with it, in vendor/: it builds wherever Rust is.
#[derive(Args, Debug)]
pub(crate) struct New {
    /// The folder; its last part is the plugin's name
    path: PathBuf,
}

/// Path below `vendor/`, and text.
const VENDORED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/vendored.rs"));

/// From here on a manifest of the SDK speaks of the workspace it comes from.
const WORKSPACE_ONLY: &str = "# What follows is left out";

const TEMPLATE: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("template/Cargo.toml")),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", "/target/\n*.wasm\n*.now.png\n"),
];

impl New {
    pub(crate) fn run(self) -> Result<(), Trouble> {
        let name = name(&self.path)?;
        if fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Trouble::Usage(format!(
                "{} is there and not empty; take another folder",
                self.path.display()
            )));
        }
        for (file, text) in TEMPLATE {
            let text = text
                .replace("NAME", &name)
                .replace("Type", &type_name(&name));
            write(&self.path.join(file), &text)?;
        }
        for (file, text) in VENDORED {
            let kept = match text.split_once(WORKSPACE_ONLY) {
                Some((kept, _)) if file.ends_with("Cargo.toml") => {
                    kept.trim_end().to_owned() + "\n"
                }
                _ => (*text).to_owned(),
            };
            write(&self.path.join("vendor").join(file), &kept)?;
        }
        let at = self.path.display();
        Ok(output::line(&format!(
            "made {at}; its code is in {at}/src/lib.rs. Go on with:\n\n  cd {at}\n  cargo test\n  pixelboy plugin build\n  pixelboy plugin check {name}.wasm"
        ))?)
    }
}

/// A name for a crate, a file and a table in config.toml.
fn name(path: &Path) -> Result<String, Trouble> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if begins && name.len() <= 32 && name.bytes().all(fits) {
        return Ok(name.to_owned());
    }
    Err(Trouble::Usage(format!(
        "a plugin's name has 1 to 32 of a-z, 0-9 and - and begins with a letter; {name:?} does not fit"
    )))
}

/// `my-plugin` as `MyPlugin`.
fn type_name(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    parts.collect()
}

fn write(file: &Path, text: &str) -> Result<(), Trouble> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(file, text))
        .map_err(|error| Trouble::Usage(format!("failed to write {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types() {
        assert_eq!(type_name("my-2nd-plugin"), "My2ndPlugin");
        assert_eq!(name(Path::new("/a/b/my-plugin")).unwrap(), "my-plugin");
        for bad in ["", "/", "..", "A", "1a", "a b", "ä"] {
            assert!(name(Path::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_vendored_is_whole_and_names_no_workspace() {
        let has = |name: &str| VENDORED.iter().any(|(file, _)| *file == name);
        for name in [
            "plugin-sdk/src/lib.rs",
            "plugin-sdk/macros/src/lib.rs",
            "wit/plugin.wit",
        ] {
            assert!(has(name), "{name}");
        }
        for (file, text) in VENDORED
            .iter()
            .filter(|(file, _)| file.ends_with("Cargo.toml"))
        {
            let (kept, _) = text.split_once(WORKSPACE_ONLY).unwrap();
            assert!(!kept.contains("workspace"), "{file}");
        }
    }
}
