//! A mounted [`Disk`]: `fusermount3` mounts it, some threads of this process serve it.
//! Invariant: ends with the value; what is still open then gets errors.
//! Not here: what is answered (`serve`). Without /dev/fuse or fusermount3: an error that tells what to do.

use std::fs::File;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::faults::{Counts, Cut, Rule};
use crate::serve::Shared;
use crate::wire::{BUFFER_BYTES, Request, message};

/// So that a slow sync does not hold up all else.
const THREADS: usize = 4;

/// A mounted file system.
#[derive(Debug)]
pub struct FaultFs {
    shared: Arc<Shared>,
    folder: Option<TempDir>,
}

impl FaultFs {
    /// Mounts a disk in a folder of its own. The seed decides how much of a write is there when the power goes in the
    /// middle of it.
    ///
    /// # Errors
    /// There is no /dev/fuse, or no `fusermount3`, or it refuses.
    pub fn mount(disk: Disk, seed: u64) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("faultfs-").tempdir()?;
        let device = Arc::new(open(folder.path())?);
        let shared = Shared::new(disk, seed);
        for _ in 0..THREADS {
            let (device, shared) = (device.clone(), shared.clone());
            std::thread::spawn(move || serve(&device, &shared));
        }
        Ok(Self {
            folder: Some(folder),
            shared,
        })
    }

    /// The folder where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let folder = self.folder.as_ref().map(TempDir::path);
        folder.unwrap_or(Path::new("")).to_owned()
    }

    /// Chooses the moment at which the power goes, counted from now; none: not at all.
    pub fn cut_at(&self, cut: impl Into<Option<Cut>>) {
        self.shared.with(|state| state.faults.cut_at(cut.into()));
    }

    /// The power goes now.
    pub fn cut(&self) {
        self.shared.with(|state| state.faults.cut_now());
    }

    /// Whether the power went.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.shared.with(|state| state.faults.is_off())
    }

    /// One more rule by which calls fail; the first that matches counts.
    pub fn fail(&self, rule: Rule) {
        self.shared.with(|state| state.faults.add(rule));
    }

    /// No call fails any more.
    pub fn mend(&self) {
        self.shared.with(|state| state.faults.clear_rules());
    }

    /// Every sync takes so much longer.
    pub fn slow_syncs(&self, by: Duration) {
        self.shared.with(|state| state.faults.slow_syncs = by);
    }

    /// What the file system says is free.
    pub fn set_free_bytes(&self, free: u64) {
        self.shared.with(|state| state.free_bytes = free);
    }

    /// What was asked of it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.with(|state| state.faults.counts)
    }

    /// A copy of the disk as it is now, with what is synced and what is not.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.shared.with(|state| state.disk.clone())
    }

    /// Unmounts it: the disk, with what is synced and what is not.
    #[must_use]
    pub fn unmount(mut self) -> Disk {
        self.end();
        let empty = Disk::new();
        self.shared
            .with(|state| std::mem::replace(&mut state.disk, empty))
    }

    fn end(&mut self) {
        let Some(folder) = self.folder.take() else {
            return;
        };
        // The threads go on until the last one who has something open here closed it, and answer with errors: without an
        // answer he would wait for good.
        self.cut();
        let mut unmount = Command::new("fusermount3");
        unmount.args(["-u", "-z", "-q", "--"]).arg(folder.path());
        let _ = unmount.status();
    }
}

impl Drop for FaultFs {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lets `fusermount3` mount and hand over the open device.
fn open(folder: &Path) -> io::Result<File> {
    if !Path::new("/dev/fuse").exists() {
        return Err(io::Error::other(
            "there is no /dev/fuse: load the kernel's module (modprobe fuse), or give the container the device",
        ));
    }
    let (ours, theirs) = UnixStream::pair()?;
    let mount = Command::new("fusermount3")
        .args(["-o", "fsname=faultfs,subtype=faultfs", "--"])
        .arg(folder)
        .env("_FUSE_COMMFD", "0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .output()
        .map_err(|error| {
            let words = format!("fusermount3 does not start ({error}): apt-get install fuse3");
            io::Error::new(error.kind(), words)
        })?;
    if !mount.status.success() {
        let words = String::from_utf8_lossy(&mount.stderr).trim().to_owned();
        return Err(io::Error::other(format!("fusermount3: {words}")));
    }
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        &ours,
        &mut [IoSliceMut::new(&mut byte)],
        &mut beside,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let device = beside.drain().find_map(|found| match found {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    device
        .map(File::from)
        .ok_or_else(|| io::Error::other("fusermount3 gave no file"))
}

/// Until it is unmounted and nothing in it is open.
fn serve(device: &File, shared: &Shared) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let mut from = device;
        let len = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => len,
            Err(error) => match Errno::from_io_error(&error) {
                // The one who asked went away.
                Some(Errno::NOENT | Errno::INTR | Errno::AGAIN) => continue,
                _ => return,
            },
        };
        let request = Request::new(&buffer[..len]);
        let unique = request.unique;
        let answer = match shared.serve(request) {
            Ok(None) => continue,
            Ok(Some(answer)) => message(unique, 0, &answer.0),
            Err(error) => message(unique, error.raw_os_error(), &[]),
        };
        // An answer that nobody waits for any more is refused.
        let mut to = device;
        let _ = to.write_all(&answer);
    }
}
