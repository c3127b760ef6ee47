//! `plugin enable` and `plugin disable`: whether a plugin serves, and what it may use.

use clap::Args;

use super::outcome::{self, Wanted};
use super::settings_file::{Allow, SettingsFile, Which};
use crate::line::Settings;
use crate::trouble::Trouble;

/// Let a plugin in the device's plugins folder serve, on the device itself
#[derive(Args, Debug)]
pub(crate) struct Enable {
    /// The file's name without .wasm, or the name in config.toml
    name: String,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    which: Which,
}

/// Take a plugin out; its table in config.toml and its data stay
#[derive(Args, Debug)]
pub(crate) struct Disable {
    /// Its name in config.toml
    name: String,
    #[command(flatten)]
    which: Which,
}

impl Enable {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        check_name(&self.name)?;
        let mut file = SettingsFile::read(&self.which)?;
        let wasm = match file.file_of(&self.name) {
            Some(wasm) => wasm.to_owned(),
            None => format!("{}.wasm", self.name),
        };
        let path = file.plugins_folder().join(&wasm);
        let bytes = std::fs::read(&path).map_err(|error| {
            let why = format!(
                "failed to read {}: {error}; to bring a file there: pixelboy plugin install FILE",
                path.display()
            );
            Trouble::Usage(why)
        })?;
        let enabled = file.enable(&self.name, &wasm, self.allow)?;
        file.write()?;
        let wanted = Wanted::Serves {
            sha256: super::install::sha256(&bytes),
            allow: enabled.allow,
        };
        outcome::wait(settings, &file, &self.name, wanted).await
    }
}

impl Disable {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let mut file = SettingsFile::read(&self.which)?;
        file.disable(&self.name)?;
        file.write()?;
        outcome::wait(settings, &file, &self.name, Wanted::Gone).await
    }
}

/// The host refuses all of config.toml for a name that is none.
pub(super) fn check_name(name: &str) -> Result<(), Trouble> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if name.bytes().all(plain) && (1..=64).contains(&name.len()) && name != "host" {
        return Ok(());
    }
    Err(Trouble::Usage(format!(
        "{name:?} is no plugin's name: 1 to 64 of a-z, 0-9, - and _, and not \"host\""
    )))
}
