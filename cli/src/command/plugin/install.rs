//! `plugin install`: a file becomes a plugin of the device, or the new version of one.
//! Invariant: the file appears in the plugins folder whole, before config.toml names it.

use std::path::PathBuf;

use clap::Args;
use sha2::{Digest as _, Sha256};

use super::enable::check_name;
use super::outcome::{self, Wanted};
use super::settings_file::{Allow, SettingsFile, Which, put_whole};
use crate::line::Settings;
use crate::trouble::Trouble;

/// Copy a .wasm file into the device's plugins folder and let it serve, on the device itself
#[derive(Args, Debug)]
pub(crate) struct Install {
    /// As it was built; a plugin of the same name is replaced
    file: PathBuf,
    /// The plugin's name [default: the file's]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    which: Which,
}

impl Install {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let stem = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let name = self.name.unwrap_or_else(|| stem.into_owned());
        check_name(&name)?;
        let bytes = std::fs::read(&self.file).map_err(|error| {
            Trouble::Usage(format!("failed to read {}: {error}", self.file.display()))
        })?;
        if !bytes.starts_with(b"\0asm") {
            let why = format!(
                "{} is not WebAssembly; build the plugin first",
                self.file.display()
            );
            return Err(Trouble::Usage(why));
        }
        let mut file = SettingsFile::read(&self.which)?;
        let wasm = match file.file_of(&name) {
            Some(wasm) => wasm.to_owned(),
            None => format!("{name}.wasm"),
        };
        let enabled = file.enable(&name, &wasm, self.allow)?;
        put_whole(&file.plugins_folder().join(&wasm), &bytes)?;
        file.write()?;
        let wanted = Wanted::Serves {
            sha256: sha256(&bytes),
            allow: enabled.allow,
        };
        outcome::wait(settings, &file, &name, wanted).await
    }
}

/// As `status` tells it.
pub(super) fn sha256(bytes: &[u8]) -> String {
    crate::json::hex(&Sha256::digest(bytes))
}
