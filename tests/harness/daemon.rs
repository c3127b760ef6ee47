//! One `pixelboyd` with a folder of its own: config.toml, plugins, data.
//! Invariant: ends only the process it started; the folder outlives the process, so that it can start again.
//! Not here: talking to it (`wire`).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::lab;
use crate::wire::{Identity, Wire};

/// A start with plugins that were never compiled takes seconds in the dev profile.
const START: Duration = Duration::from_secs(60);

/// How long `stop` waits before it gives the daemon up.
const STOP: Duration = Duration::from_secs(20);

/// How a device is set up before its daemon starts.
#[derive(Clone)]
pub struct Setup {
    host: String,
    display: String,
    audio: String,
    store: String,
    environment: Vec<(OsString, OsString)>,
    /// The file's name without its ending, and the rest of its table in config.toml.
    plugins: Vec<(String, PathBuf, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// The three plugins, dark and silent; a session ends 2 s after its connection broke.
    #[must_use]
    pub fn new() -> Self {
        let allow = [
            ("store-media", "allow = [\"store\", \"probe\"]"),
            ("show-gif", "allow = [\"store\", \"display\"]"),
            ("play-audio", "allow = [\"store\", \"audio\"]"),
        ];
        let standard = |(name, allow): (&str, &str)| {
            (name.to_owned(), standard_plugin(name), allow.to_owned())
        };
        Self {
            host: "listen = \"127.0.0.1:0\"\n".to_owned(),
            display: "backend = \"none\"\n".to_owned(),
            audio: "backend = \"null\"\n".to_owned(),
            store: String::new(),
            environment: Vec::new(),
            plugins: allow.into_iter().map(standard).collect(),
        }
        .host("session_grace_s = 2.0")
    }

    /// The same without any plugin.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            plugins: Vec::new(),
            ..Self::new()
        }
    }

    /// A line of `[host]`; a later one of the same key counts.
    #[must_use]
    pub fn host(mut self, line: &str) -> Self {
        set(&mut self.host, line);
        self
    }

    /// A line of `[store]`.
    #[must_use]
    pub fn store(mut self, line: &str) -> Self {
        set(&mut self.store, line);
        self
    }

    /// The receive time-out in seconds.
    #[must_use]
    pub fn receive_timeout_s(self, seconds: f64) -> Self {
        self.host(&format!("receive_timeout_s = {seconds:?}"))
    }

    /// A panel of that many pixels, captured pixel by pixel in [`Daemon::panel`].
    #[must_use]
    pub fn panel(mut self, width: u32, height: u32) -> Self {
        set(&mut self.display, &format!("width = {width}"));
        set(&mut self.display, &format!("height = {height}"));
        self
    }

    /// A line of `[display]`.
    #[must_use]
    pub fn display(mut self, line: &str) -> Self {
        set(&mut self.display, line);
        self
    }

    /// `[audio] backend`.
    #[must_use]
    pub fn audio(mut self, backend: &str) -> Self {
        set(&mut self.audio, &format!("backend = {backend:?}"));
        self
    }

    /// For the daemon's environment.
    #[must_use]
    pub fn environment(mut self, more: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.environment.extend(more);
        self
    }

    /// One more plugin: its file, and its table in config.toml.
    #[must_use]
    pub fn plugin(mut self, name: &str, file: &Path, table: &str) -> Self {
        self.plugins
            .push((name.to_owned(), file.to_owned(), table.to_owned()));
        self
    }

    /// The plugin of the tests' own, with time enough to be slow.
    #[must_use]
    pub fn lab(self) -> Self {
        let table = "allow = [\"store\"]\nlimits = { cpu_ms = 60000, wall_ms = 60000 }";
        self.plugin("lab", &lab::built(), table)
    }

    /// The plugin that does all that the contract has.
    #[must_use]
    pub fn actor(self) -> Self {
        let table = "allow = [\"store\", \"kv\", \"display\", \"audio\", \"client\", \"timer\"]";
        self.plugin("actor", &lab::actor(), table)
    }

    /// The text of config.toml.
    #[must_use]
    pub fn config(&self) -> String {
        let mut text = String::new();
        for (name, lines) in [
            ("host", &self.host),
            ("display", &self.display),
            ("audio", &self.audio),
            ("store", &self.store),
        ] {
            let _ = write!(text, "[{name}]\n{lines}\n");
        }
        for (name, _, table) in &self.plugins {
            let _ = write!(
                text,
                "[plugins.{name}]\nfile = \"{name}.wasm\"\n{table}\n\n"
            );
        }
        text
    }

    /// Starts a daemon; returns when it takes connections.
    #[must_use]
    pub fn start(self) -> Daemon {
        let folder = tempfile::Builder::new()
            .prefix("pixelboy-e2e-")
            .tempdir()
            .unwrap();
        let mut daemon = Daemon {
            folder,
            setup: self,
            child: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        fs::create_dir(daemon.path("plugins")).unwrap();
        for (name, file, _) in &daemon.setup.plugins {
            put_whole(&daemon.plugin(name), &fs::read(file).unwrap());
        }
        let display = &daemon.setup.display;
        if display.contains("width") && display.contains("\"none\"") {
            let panel = daemon.panel();
            set(&mut daemon.setup.display, "backend = \"png\"");
            let options = format!("options = \"{},scale=1,keep=500\"", panel.display());
            set(&mut daemon.setup.display, &options);
        }
        let compiled = daemon.path("data/cache");
        if cache::has_any() {
            // The first start makes the data folder, and takes none that has something in it.
            let none = Self {
                plugins: Vec::new(),
                ..daemon.setup.clone()
            };
            daemon.write_config(&none.config());
            daemon.boot();
            daemon.stop();
            cache::give(&compiled);
            let _ = fs::remove_file(daemon.path("log"));
        }
        daemon.write_config(&daemon.setup.config());
        daemon.boot();
        cache::take(&compiled);
        daemon
    }
}

/// Replaces the line of the same key.
fn set(lines: &mut String, line: &str) {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let kept: Vec<&str> = lines.lines().filter(|old| key(old) != key(line)).collect();
    *lines = kept
        .into_iter()
        .chain([line])
        .flat_map(|line| [line, "\n"])
        .collect();
}

/// A device whose daemon runs or can be started again.
pub struct Daemon {
    folder: TempDir,
    setup: Setup,
    child: Option<Child>,
    address: SocketAddr,
}

impl Daemon {
    /// Starts the daemon again on what is in the folder.
    pub fn boot(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let ready = self.path("ready");
        let _ = fs::remove_file(&ready);
        let mut child = self.spawn();
        let begun = Instant::now();
        let address = loop {
            if let Ok(line) = fs::read_to_string(&ready) {
                break line.trim().parse().unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!(
                    "pixelboyd ended at its start with {status}; its log:\n{}",
                    self.log()
                );
            }
            if begun.elapsed() > START {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "pixelboyd was not ready after {START:?}; its log:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        self.address = address;
        self.child = Some(child);
    }

    fn spawn(&self) -> Child {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        command()
            .arg("--config")
            .arg(self.path("config.toml"))
            .arg("--ready-file")
            .arg(self.path("ready"))
            .env("RUST_LOG", "debug,wasmtime=info,cranelift=info")
            .env("SYNC_CONTROL", self.path("sync"))
            .envs(self.setup.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// Starts the daemon and kills it a time later, ready or not.
    pub fn boot_and_kill_after(&self, time: Duration) {
        assert!(self.child.is_none(), "it runs");
        let mut child = self.spawn();
        std::thread::sleep(time);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends the daemon as a power cut would, but for what the kernel has in its caches.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it does not run");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the daemon to stop (SIGTERM); how long that took, and how it ended.
    pub fn stop(&mut self) -> (Duration, ExitStatus) {
        let mut child = self.child.take().expect("it does not run");
        let begun = Instant::now();
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return (begun.elapsed(), status);
            }
            if begun.elapsed() > STOP {
                let _ = child.kill();
                let _ = child.wait();
                panic!("pixelboyd still ran {STOP:?} after SIGTERM");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Changes how it is set up from its next start on.
    pub fn set_up_anew(&mut self, change: impl FnOnce(Setup) -> Setup) {
        assert!(self.child.is_none(), "it runs");
        self.setup = change(self.setup.clone());
        self.write_config(&self.setup.config());
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The daemon's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it does not run").id()
    }

    /// A client without a past.
    #[must_use]
    pub fn client(&self) -> Wire {
        Wire::join(self.address, Identity::new())
    }

    /// A client with its past.
    #[must_use]
    pub fn client_again(&self, id: &Identity) -> Wire {
        Wire::join(self.address, id.clone())
    }

    /// Something in the device's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The plain file of something stored.
    #[must_use]
    pub fn stored(&self, path: &str) -> PathBuf {
        self.path("data/media").join(path)
    }

    /// The bytes of something stored, as they lie on the disk.
    #[track_caller]
    #[must_use]
    pub fn on_disk(&self, path: &str) -> Vec<u8> {
        let file = self.stored(path);
        fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Where the panel's frames are captured.
    #[must_use]
    pub fn panel(&self) -> PathBuf {
        self.path("panel")
    }

    /// A plugin's file.
    #[must_use]
    pub fn plugin(&self, name: &str) -> PathBuf {
        self.path("plugins").join(format!("{name}.wasm"))
    }

    /// How it was set up.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Replaces config.toml in one step.
    pub fn write_config(&self, text: &str) {
        put_whole(&self.path("config.toml"), text.as_bytes());
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.path("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until a line of the log holds all of `words`; the line.
    #[track_caller]
    pub fn wait_for_log(&self, words: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let log = self.log();
            let fits = |line: &&str| words.iter().all(|word| line.contains(word));
            if let Some(line) = log.lines().find(fits) {
                return line.to_owned();
            }
            assert!(
                begun.elapsed() < crate::PATIENCE,
                "no line of the log has all of {words:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Fails where the daemon panicked or printed a stack trace.
    #[track_caller]
    pub fn assert_no_stack_trace(&self) {
        let log = self.log();
        for word in ["panicked", "stack backtrace", "RUST_BACKTRACE", "   0: "] {
            assert!(!log.contains(word), "{word:?} is in the log");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(60);
            eprintln!(
                "---- the end of the daemon's log ----\n{}",
                lines[from..].join("\n")
            );
        }
    }
}

/// The old file or the new one, never half of one.
pub fn put_whole(path: &Path, bytes: &[u8]) {
    let part = path.with_extension("part");
    fs::write(&part, bytes).unwrap();
    fs::rename(&part, path).unwrap();
}

/// The daemon's program, to be started.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(program());
    command
        .env_remove("RUST_BACKTRACE")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// The daemon: `PIXELBOYD`, or what lies beside the folder of this test's executable.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("PIXELBOYD") {
        return named.into();
    }
    let built = profile_folder().join("pixelboyd");
    assert!(
        built.exists(),
        "there is no {}: `make test` builds it before it runs the tests (or: cargo build -p pixelboyd)",
        built.display()
    );
    built
}

/// `target/debug`, from `target/debug/deps/test` or `target/debug/program`.
#[must_use]
pub fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap();
    if folder.ends_with("deps") {
        return folder.parent().unwrap().to_owned();
    }
    folder.to_owned()
}

/// The project's folder.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn standard_plugin(name: &str) -> PathBuf {
    let file = root().join("plugins").join(format!("{name}.wasm"));
    assert!(
        file.exists(),
        "there is no {}: `make plugins` builds it",
        file.display()
    );
    file
}

/// Compiled plugins, handed from one daemon to the next: compiling them anew for every test would take minutes.
/// They are named by content, engine and CPU, so no daemon takes one that is not its own.
mod cache {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    fn shared() -> PathBuf {
        super::profile_folder().join("../tmp/pixelboyd-compiled")
    }

    pub(super) fn has_any() -> bool {
        fs::read_dir(shared()).is_ok_and(|mut files| files.next().is_some())
    }

    pub(super) fn give(own: &Path) {
        copy(&shared(), own);
    }

    pub(super) fn take(own: &Path) {
        copy(own, &shared());
    }

    fn copy(from: &Path, to: &Path) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(entries) = fs::read_dir(from) else {
            return;
        };
        fs::create_dir_all(to).unwrap();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let ours = Path::new(&name)
                .extension()
                .is_some_and(|ending| ending == "cwasm" || ending == "seal");
            let target = to.join(&name);
            if !ours || target.exists() {
                continue;
            }
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let part = to.join(format!("{}-{count}.part", std::process::id()));
            if fs::copy(entry.path(), &part).is_ok() {
                fs::rename(&part, &target).unwrap();
            }
        }
    }
}
