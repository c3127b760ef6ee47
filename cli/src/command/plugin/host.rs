//! The host's program, which knows what a plugin must be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::trouble::Trouble;

/// `pixelboyd`, to be started: beside this program, or where the system finds it.
pub(super) fn command() -> Command {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name("pixelboyd"));
    Command::new(
        beside
            .filter(|file| file.exists())
            .unwrap_or(PathBuf::from("pixelboyd")),
    )
}

/// What the host says to a plugin's file.
pub(super) fn check(file: &Path) -> Result<String, Trouble> {
    let said = command()
        .arg("check")
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .map_err(not_there)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match said.status.success() {
        true => Ok(text(&said.stdout)),
        false => {
            let said = text(&said.stderr);
            let said = said.strip_prefix("pixelboyd: ").unwrap_or(&said);
            Err(Trouble::Usage(said.to_owned()))
        }
    }
}

pub(super) fn not_there(error: std::io::Error) -> Trouble {
    Trouble::Usage(format!(
        "this needs the host's program, pixelboyd, beside pixelboy or in the PATH: {error}"
    ))
}
