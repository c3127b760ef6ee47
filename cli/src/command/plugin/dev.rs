//! `plugin dev`: builds whenever a source is saved, and hands the result to a device on this computer while it runs.
//! Invariant: what does not build or would not be taken never reaches the device; the version before it serves on.
//! Ends with Ctrl-C; the device of its own ends with it, and keeps its data in the plugin's `target/device`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, SystemTime};

use clap::Args;

use super::{build, host};
use crate::output;
use crate::trouble::Trouble;

/// How often the sources are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Build at each save, into a device on this computer that takes it while it runs
#[derive(Args, Debug)]
pub(crate) struct Dev {
    /// The plugin's folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The plugins folder of a device that runs already, instead of one that is started here
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Where the device that is started here listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7777")]
    listen: String,
    /// Its display, as in pixelboyd --display
    #[arg(long, value_name = "NAME[:OPTIONS]", default_value = "none")]
    display: String,
}

impl Dev {
    pub(crate) fn run(self) -> Result<(), Trouble> {
        let name = build::name(&self.path)?;
        let home = self.path.join("target/device");
        let plugins = self.plugins.clone().unwrap_or_else(|| home.join("plugins"));
        fs::create_dir_all(&home).map_err(failed(&home))?;
        if self.plugins.is_none() {
            fs::create_dir_all(&plugins).map_err(failed(&plugins))?;
        }
        let mut device: Option<Child> = None;
        loop {
            let seen = newest(&self.path);
            match self.hand_over(&name, &home, &plugins) {
                Ok(()) if self.plugins.is_none() && device.is_none() => {
                    device = Some(self.start(&name, &home)?);
                }
                Ok(()) => {}
                Err(trouble) => output::to_stderr(&format!("pixelboy: {}", trouble.message()))?,
            }
            while newest(&self.path) == seen {
                std::thread::sleep(LOOK_EVERY);
                let ended = device.as_mut().map(Child::try_wait);
                if let Some(Ok(Some(status))) = ended {
                    let why = format!("the device ended with {status}, for the reason above");
                    return Err(Trouble::Usage(why));
                }
            }
        }
    }

    /// Builds, has it checked, and puts it into the plugins folder.
    fn hand_over(&self, name: &str, home: &Path, plugins: &Path) -> Result<(), Trouble> {
        let built = home.join(format!("{name}.wasm"));
        build::build(&self.path, &built)?;
        let report = host::check(&built)?;
        if self.plugins.is_none() {
            let table = report.find("[plugins.").and_then(|at| report.get(at..));
            put(
                &home.join("config.toml"),
                table.unwrap_or_default().as_bytes(),
            )?;
        }
        let bytes = fs::read(&built).map_err(failed(&built))?;
        put(&plugins.join(format!("{name}.wasm")), &bytes)?;
        Ok(output::to_stderr(&format!(
            "pixelboy: {name} is built and handed over"
        ))?)
    }

    fn start(&self, name: &str, home: &Path) -> Result<Child, Trouble> {
        let mut device = host::command()
            .arg("--config")
            .arg(home.join("config.toml"))
            .args(["--listen", &self.listen, "--display", &self.display])
            .args(["--audio", "null"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(host::not_there)?;
        if let Some(log) = device.stderr.take() {
            let name = name.to_owned();
            std::thread::spawn(move || tell(log, &name));
        }
        Ok(device)
    }
}

/// Shows what a device's log says of the plugin, and what goes wrong.
fn tell(log: ChildStderr, name: &str) {
    let signs = [
        format!("plugin=\"{name}\""),
        format!("plugin={name}"),
        " WARN ".to_owned(),
        " ERROR ".to_owned(),
        "pixelboyd:".to_owned(),
    ];
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        if signs.iter().any(|sign| line.contains(sign)) && output::to_stderr(&line).is_err() {
            return;
        }
    }
}

/// The old file or the new one, never half of one; unchanged where it is the same.
fn put(file: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let part = file.with_extension("part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, file))
        .map_err(failed(file))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Trouble {
    move |error| Trouble::Usage(format!("{}: {error}", path.display()))
}

/// When a source was changed last. What is built does not count.
fn newest(folder: &Path) -> Option<SystemTime> {
    let sources = ["src", "Cargo.toml", "vendor"].map(|name| folder.join(name));
    sources.iter().filter_map(|path| newest_below(path)).max()
}

fn newest_below(path: &Path) -> Option<SystemTime> {
    let own = fs::metadata(path).and_then(|it| it.modified()).ok();
    let below = fs::read_dir(path).into_iter().flatten().flatten();
    below
        .filter_map(|entry| newest_below(&entry.path()))
        .chain(own)
        .max()
}
