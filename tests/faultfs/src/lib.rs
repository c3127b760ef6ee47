//! A file system for tests: it forgets what was not synced when the power is cut, tears writes, and fails by rule.
//!
//! Invariant: it never promises more than POSIX does. After a cut there are the bytes of a file up to its last sync,
//! and the names in a folder up to the folder's last sync; of what came later, what a seed says: nothing, all, what came
//! before a moment, or any sectors, pages and names, with lengths that grew before their bytes came.
//! Not here: attributes and times (they are not lost), and who may do what (the mounting user may do everything).
//! The process that serves it must not map files of it into its memory (SQLite does, unless it locks exclusively): the
//! kernel would wait for it while it waits for the kernel. Others may.
//! The test mounts it and serves it from its own threads; a program under test sees an ordinary folder:
//! ```no_run
//! # use faultfs::{Cut, Disk, FaultFs};
//! let fs = FaultFs::mount(Disk::new(), 1)?;
//! fs.cut_at(Cut::InWrite(3));
//! std::fs::write(fs.path().join("a"), b"bytes").ok();
//! let (disk, damage) = fs.unmount().after_cut(7);
//! let fs = FaultFs::mount(disk, 2)?; // after the reboot
//! # Ok::<(), std::io::Error>(())
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test aid: whatever goes wrong here fails the test"
)]

mod disk;
mod faults;
mod file;
mod folder;
mod mount;
mod random;
mod serve;
mod wire;

pub use disk::{Damage, Disk};
pub use faults::{Call, Counts, Cut, Rule};
pub use mount::FaultFs;
pub use random::Random;
pub use rustix::io::Errno;
