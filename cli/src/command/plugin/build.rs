//! `plugin build`: a `.wasm` file from a plugin's folder. How is known to one script, which this repository's own plugins
//! are built with too; it comes with the program.
//! Where it fails, it has said why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::output;
use crate::trouble::Trouble;

/// Build a plugin for WebAssembly
#[derive(Args, Debug)]
pub(crate) struct Build {
    /// Its folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The file it becomes [default: NAME.wasm in its folder]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

const SCRIPT: &str = include_str!("../../../../tools/wasm");

impl Build {
    pub(crate) fn run(self) -> Result<(), Trouble> {
        let out = match self.out {
            Some(out) => out,
            None => self.path.join(format!("{}.wasm", name(&self.path)?)),
        };
        build(&self.path, &out)?;
        let bytes = fs::metadata(&out).map_or(0, |file| file.len());
        Ok(output::line(&format!(
            "built {} ({bytes} bytes)",
            out.display()
        ))?)
    }
}

/// The plugin's name, as its manifest says.
pub(super) fn name(folder: &Path) -> Result<String, Trouble> {
    let file = folder.join("Cargo.toml");
    let text = fs::read_to_string(&file).map_err(|error| {
        Trouble::Usage(format!(
            "there is no plugin in {}: {}: {error}; pixelboy plugin new makes one",
            folder.display(),
            file.display()
        ))
    })?;
    let manifest: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        Trouble::Usage(format!("{}: {}", file.display(), error.message()))
    })?;
    let name = manifest.get("package").and_then(|it| it.get("name"));
    let name = name.and_then(toml::Value::as_str).map(str::to_owned);
    name.ok_or_else(|| Trouble::Usage(format!("{} names no package", file.display())))
}

/// The plugin's own, unless the environment names another.
fn target(folder: &Path) -> PathBuf {
    std::env::var_os("PLUGIN_TARGET_DIR").map_or_else(|| folder.join("target"), PathBuf::from)
}

/// Builds `folder` to `out`; what the compiler says goes to standard error.
pub(super) fn build(folder: &Path, out: &Path) -> Result<(), Trouble> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| Trouble::Usage(format!("{}: {error}", path.display())))
    };
    let folder = absolute(folder)?;
    let built = Command::new("sh")
        .args(["-c", SCRIPT, "sh", "build"])
        .args([&folder, &absolute(out)?])
        .env("PLUGIN_TOOL", "pixelboy plugin build")
        .env("PLUGIN_TARGET_DIR", target(&folder))
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(|error| Trouble::Usage(format!("building takes a POSIX shell, sh: {error}")))?;
    match built.success() {
        true => Ok(()),
        false => Err(Trouble::Usage(format!(
            "{} was not built",
            folder.display()
        ))),
    }
}
