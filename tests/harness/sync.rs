//! A disk whose syncs take as long as a test wants, or fail: a library before the daemon's own `fdatasync`.
//! Not here: what is lost in a power cut.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::daemon::{Daemon, Setup, profile_folder, put_whole, root};

/// How syncs go from now on.
#[derive(Clone, Copy, Debug)]
pub enum Syncs {
    /// As the disk does them.
    Usual,
    /// Each takes so much longer.
    Slow(Duration),
    /// Each fails.
    Fail,
}

impl Setup {
    /// A daemon whose syncs can be told how to go.
    #[must_use]
    pub fn told_syncs(self) -> Self {
        self.environment([(OsString::from("LD_PRELOAD"), library().into_os_string())])
    }
}

impl Daemon {
    /// Tells how syncs go; that of [`Setup::told_syncs`].
    pub fn syncs(&self, how: Syncs) {
        let text = match how {
            Syncs::Usual => "usual".to_owned(),
            Syncs::Slow(by) => format!("slow {}", by.as_millis()),
            Syncs::Fail => "fail".to_owned(),
        };
        put_whole(&self.path("sync"), text.as_bytes());
    }

    /// Slow syncs that have begun so far.
    #[must_use]
    pub fn slow_syncs(&self) -> u64 {
        std::fs::metadata(self.path("sync.begun")).map_or(0, |file| file.len())
    }

    /// Waits until one more has begun than `before`: what was sent before it has committed, and waits for the disk.
    #[track_caller]
    pub fn wait_for_slow_sync(&self, before: u64) {
        let begun = Instant::now();
        while self.slow_syncs() <= before {
            assert!(begun.elapsed() < PATIENCE, "no sync began");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The built library.
fn library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = profile_folder().join("../tmp");
        std::fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        // Other tests may build it at the same time.
        let (part, library) = (
            folder.join(format!("sync-{}.so", std::process::id())),
            folder.join("sync.so"),
        );
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&part)
            .arg(root().join("tests/harness/sync.c"))
            .status()
            .expect("there is no C compiler: apt-get install gcc libc6-dev");
        assert!(made.success(), "sync.c does not compile: {made}");
        std::fs::rename(&part, &library).unwrap();
        library
    };
    BUILT.get_or_init(build).clone()
}
