//! The real daemon on a data folder that somebody else keeps.
//! Invariant: ends only the process it started. What the panel showed and the log outlive the data folder's cuts.
//! Not here: the harness's `Daemon`, whose data folder is its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use faultfs::{Cut, Disk, FaultFs, Random};
use harness::{Setup, daemon, panel};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Tally;
use crate::media::{PANEL, whose};

/// For a busy machine.
const START: Duration = Duration::from_secs(120);

/// See the module.
pub struct Device {
    folder: TempDir,
    child: Option<Child>,
    /// A guard that the daemon is to leave out.
    without: Option<String>,
    /// Commits after which the log is folded.
    pub fold_after: u64,
    seen: u64,
    shown: Vec<(u8, u64)>,
}

impl Device {
    /// A device that was never started.
    #[must_use]
    pub fn new(without: Option<String>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("pixelboy-crash-")
            .tempdir()
            .unwrap();
        Self {
            folder,
            child: None,
            without,
            fold_after: 8_000,
            seen: 0,
            shown: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the daemon.
    pub fn spawn(&mut self, data: &Path, setup: Setup) {
        let plugins = root().join("plugins");
        let config = setup
            .host(&format!("data = {:?}", data.display().to_string()))
            .host(&format!("plugins = {:?}", plugins.display().to_string()))
            .host("session_grace_s = 10.0")
            .config();
        let display = format!("png:{},scale=1,keep=100000", self.path("panel").display());
        fs::write(self.path("config.toml"), config).unwrap();
        let _ = fs::remove_file(self.path("ready"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = daemon::command();
        command
            .arg("--config")
            .arg(self.path("config.toml"))
            .arg("--ready-file")
            .arg(self.path("ready"))
            .args(["--display", &display])
            .env("RUST_LOG", "info")
            .env("PIXELBOY_FOLD_AFTER", self.fold_after.to_string())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(guard) = &self.without {
            command.env("PIXELBOY_WITHOUT", guard);
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it takes connections, ends, or `stop` says so; the address, if it is ready.
    ///
    /// # Errors
    /// It ended by itself, or never got ready; in words.
    pub fn ready(&mut self, stop: impl Fn() -> bool) -> Result<Option<SocketAddr>, String> {
        let begun = Instant::now();
        loop {
            if stop() {
                return Ok(None);
            }
            if let Ok(line) = fs::read_to_string(self.path("ready"))
                && let Ok(address) = line.trim().parse()
            {
                return Ok(Some(address));
            }
            let child = self.child.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                if stop() {
                    return Ok(None);
                }
                return Err(format!("the daemon ended at its start with {status}"));
            }
            if begun.elapsed() > START {
                return Err(format!("the daemon was not ready after {START:?}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGTERM, and its end, or what `stop` says.
    pub fn stop(&mut self, stop: impl Fn() -> bool) {
        if let Some(child) = &mut self.child {
            kill_process(Pid::from_child(child), Signal::TERM).unwrap();
            let begun = Instant::now();
            while !stop() && begun.elapsed() < START && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.kill();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// All pictures that were shown so far: whose, and from which operation.
    pub fn shown(&mut self) -> &[(u8, u64)] {
        let folder = self.path("panel");
        if folder.exists() {
            for (number, _, picture) in panel::all(&folder) {
                if number > self.seen {
                    self.seen = number;
                    assert_eq!(picture.dimensions(), (PANEL, PANEL));
                    self.shown.extend(whose(&picture));
                }
            }
        }
        &self.shown
    }

    /// The end of the log.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.path("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All plugins, a small panel, no sound.
#[must_use]
pub fn setup() -> Setup {
    Setup::new().panel(PANEL, PANEL)
}

/// Makes a new data folder at `data`, whose compiled plugins lie outside of it: compiling takes seconds, and they may be
/// lost at any time.
pub fn furnish(data: &Path) {
    let mut device = Device::new(None);
    device.spawn(data, Setup::bare());
    device.ready(|| false).unwrap();
    device.kill();
    move_cache(data);
}

fn move_cache(data: &Path) {
    let compiled = compiled();
    fs::create_dir_all(&compiled).unwrap();
    let _ = fs::remove_dir_all(data.join("cache"));
    symlink(compiled, data.join("cache")).unwrap();
}

/// A disk with such a data folder, during whose making the power went, over and over.
///
/// # Errors
/// The daemon did not start on what a cut left.
pub fn furnished_in_spite_of(random: &mut Random, tally: &mut Tally) -> Result<Disk, String> {
    let mut disk = Disk::new();
    for cuts_left in (0..4).rev() {
        let fs = FaultFs::mount(disk, random.any()).unwrap();
        if cuts_left > 0 {
            fs.cut_at(match random.below(3) {
                0 => Cut::BeforeSync(1 + random.below(8)),
                1 => Cut::InWrite(1 + random.below(30)),
                _ => Cut::AfterName(1 + random.below(8)),
            });
        }
        let mut device = Device::new(None);
        device.spawn(&fs.path(), Setup::bare());
        let ready = device.ready(|| fs.is_off());
        device.kill();
        if fs.is_off() {
            tally.cuts_in_recovery += 1;
        } else {
            ready.map_err(|words| format!("on a new disk: {words}; its log:\n{}", device.log()))?;
        }
        disk = fs.unmount().after_cut(random.any()).0;
    }
    let fs = FaultFs::mount(disk, 0).unwrap();
    move_cache(&fs.path());
    Ok(fs.unmount().settled())
}

/// A disk with such a data folder.
#[must_use]
pub fn furnished() -> Disk {
    let fs = FaultFs::mount(Disk::new(), 0).unwrap();
    furnish(&fs.path());
    fs.unmount().settled()
}

/// Shared by all runs: named by content, engine and CPU.
fn compiled() -> PathBuf {
    daemon::profile_folder().join("../tmp/crash-compiled")
}

fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.ancestors().nth(2).unwrap()
}
