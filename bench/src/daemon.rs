//! The processes that are measured: `pixelboyd` in a folder of its own, and the floor.
//! Invariant: ends only what it started, and leaves no file behind.
//! Not here: what is said to them (`link`, `talk`).

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::Process;
use crate::{Args, Fault};

/// A first start compiles plugins, which takes a small machine a while.
const START: Duration = Duration::from_secs(120);

/// How long a stop may take.
const STOP: Duration = Duration::from_secs(20);

/// How often the ready file is looked for.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// The plugins of every device, with their grants in config.toml.
const STANDARD: [(&str, &str); 3] = [
    ("store-media", r#"["store", "probe"]"#),
    ("show-gif", r#"["store", "display"]"#),
    ("play-audio", r#"["store", "audio"]"#),
];

/// Where everything lies that a run needs.
#[derive(Debug)]
pub(crate) struct Kit {
    pixelboyd: PathBuf,
    plugins: PathBuf,
    echo: PathBuf,
    folder: PathBuf,
    audio: String,
    this: PathBuf,
}

impl Kit {
    /// Looks that all of it is there.
    pub(crate) fn find(args: &Args) -> Result<Self, Fault> {
        let this = std::env::current_exe()?;
        let given = args
            .pixelboyd
            .clone()
            .or_else(|| std::env::var_os("PIXELBOYD").map(PathBuf::from));
        let kit = Self {
            pixelboyd: given.unwrap_or_else(|| this.with_file_name("pixelboyd")),
            plugins: args.plugins.clone(),
            echo: args.echo.clone(),
            folder: args.folder.clone(),
            audio: args.audio.clone(),
            this,
        };
        let expect = |file: &Path, how: &str| match file.is_file() {
            true => Ok(()),
            false => Err(format!("there is no {}: {how}", file.display())),
        };
        expect(
            &kit.pixelboyd,
            "build it with `cargo build --release -p pixelboyd`",
        )?;
        for (name, _) in STANDARD {
            expect(
                &kit.plugins.join(format!("{name}.wasm")),
                "build it with `make plugins`",
            )?;
        }
        expect(
            &kit.echo,
            "build it with `tools/wasm build bench/echo-plugin .build/bench/echo.wasm`",
        )?;
        fs::create_dir_all(&kit.folder).map_err(|error| {
            format!(
                "failed to make the folder {}: {error}",
                kit.folder.display()
            )
        })?;
        Ok(kit)
    }

    /// A device with the three plugins, and with `echo` where it is asked for.
    pub(crate) fn device(&self, with_echo: bool) -> Result<Device<'_>, Fault> {
        let folder = TempDir::with_prefix_in("device-", &self.folder)?;
        fs::create_dir(folder.path().join("plugins"))?;
        let mut config = "[host]\nlisten = \"127.0.0.1:0\"\n".to_owned();
        let mut add = |name: &str, from: &Path, allow: &str| {
            config += &format!("[plugins.{name}]\nfile = \"{name}.wasm\"\nallow = {allow}\n");
            fs::copy(
                from,
                folder.path().join("plugins").join(format!("{name}.wasm")),
            )
        };
        for (name, allow) in STANDARD {
            add(name, &self.plugins.join(format!("{name}.wasm")), allow)?;
        }
        if with_echo {
            add("echo", &self.echo, "[]")?;
        }
        fs::write(folder.path().join("config.toml"), config)?;
        Ok(Device { kit: self, folder })
    }

    /// The bare echo server, started where this thread may run.
    pub(crate) fn bare_echo(&self) -> Result<Bare, Fault> {
        Bare::start(Command::new(&self.this).args(["floor", "echo"]))
    }

    /// SQLite behind a bare server, with its database in `folder`.
    pub(crate) fn bare_rows(&self, folder: &Path, batched: bool) -> Result<Bare, Fault> {
        let mut command = Command::new(&self.this);
        command.args(["floor", "rows"]);
        command.arg(folder.join(if batched {
            "batched.sqlite"
        } else {
            "alone.sqlite"
        }));
        if batched {
            command.arg("--batched");
        }
        Bare::start(&mut command)
    }

    /// On the disk that is measured.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The bare receiver, which writes into a file on the disk that is measured.
    pub(crate) fn bare_receiver(&self) -> Result<Bare, Fault> {
        let file = self
            .folder
            .join(format!("floor-{}.part", std::process::id()));
        Bare::start(
            Command::new(&self.this)
                .args(["floor", "receive"])
                .arg(file),
        )
    }
}

/// A folder with config.toml, plugins and data, from which a daemon can be started again and again.
#[derive(Debug)]
pub(crate) struct Device<'a> {
    kit: &'a Kit,
    folder: TempDir,
}

impl Device<'_> {
    /// Drops the compiled plugins, so that the next start compiles.
    pub(crate) fn forget_code(&self) -> Result<(), Fault> {
        Ok(fs::remove_dir_all(self.folder.path().join("data/cache"))?)
    }

    /// Starts the daemon where this thread may run; returns when clients can connect.
    pub(crate) fn start(&self) -> Result<Daemon, Fault> {
        self.start_with(&[])
    }

    /// The same, with this added to its environment.
    pub(crate) fn start_with(&self, environment: &[(&str, &Path)]) -> Result<Daemon, Fault> {
        let folder = self.folder.path();
        let (ready, log) = (folder.join("ready"), folder.join("log"));
        let mut command = Command::new(&self.kit.pixelboyd);
        command
            .arg("--config")
            .arg(folder.join("config.toml"))
            .arg("--ready-file")
            .arg(&ready);
        command.args(["--display", "none", "--audio", &self.kit.audio]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .envs(environment.iter().copied());
        let began = Instant::now();
        let mut daemon = Daemon {
            child: command.spawn().map_err(|error| {
                format!("failed to start {}: {error}", self.kit.pixelboyd.display())
            })?,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            began,
            ready_after: Duration::ZERO,
        };
        loop {
            if let Ok(text) = fs::read_to_string(&ready)
                && text.ends_with('\n')
            {
                daemon.ready_after = began.elapsed();
                daemon.address = text.trim().parse()?;
                return Ok(daemon);
            }
            if daemon.child.try_wait()?.is_some() || began.elapsed() > START {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("pixelboyd did not become ready; its log:\n{log}").into());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// A running `pixelboyd`; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Just before it was started.
    pub(crate) began: Instant,
    /// From then until its ready file was there.
    pub(crate) ready_after: Duration,
}

impl Daemon {
    /// What the kernel knows of it.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Ends it as a system does.
    pub(crate) fn stop(mut self) -> Result<(), Fault> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() {
            if asked.elapsed() > STOP {
                return Err(format!("pixelboyd did not stop within {STOP:?} of SIGTERM").into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After `stop` it is gone already, and both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running floor; it ends with its standard input.
#[derive(Debug)]
pub(crate) struct Bare {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Just before it was started.
    pub(crate) began: Instant,
}

impl Bare {
    fn start(command: &mut Command) -> Result<Self, Fault> {
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let address = line
            .trim()
            .parse()
            .map_err(|_| format!("the floor said {line:?}, expected its address"))?;
        Ok(Self {
            child,
            address,
            began,
        })
    }

    /// What the kernel knows of it.
    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
