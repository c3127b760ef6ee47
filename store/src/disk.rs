//! The one layer through which plain files are touched; SQLite's own files are the only others.
//! Invariant: every create, write, rename, link, removal and sync of a plain file is a method here, so that a test can
//! stop the world at any of them. Not here: why and in which order (`plain`, `upload`, `recovery`).
//! An error is the system's own; who called says what it means. All of it may block.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, FlockOperation, OFlags};

use crate::{Guard, MediaPath, Position};

/// A file that only takes room.
const BALLAST: &str = "ballast";
const BALLAST_BYTES: u64 = 1 << 20;

/// Where a plain file lies in the data folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// `staging/NAME`.
    Staging(Arc<str>),
    /// `media/PATH`.
    Media(MediaPath),
}

/// A folder that is to be synced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Folder {
    /// `staging/`.
    Staging,
    /// `media/`.
    Media,
    /// `media/PATH/`.
    Under(MediaPath),
}

/// The data folder.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    /// Begins every name in `staging/` that is made while this lives.
    prefix: String,
    names: AtomicU64,
    /// The file `lock` once more, for what it says.
    mark: File,
    /// Whether the ballast lies there.
    has_ballast: AtomicBool,
    /// It was given back, and could not be laid again yet.
    owes_ballast: AtomicBool,
    /// `aside/N`, once something was moved there.
    aside: OnceLock<PathBuf>,
    #[cfg(test)]
    pub(crate) faults: crate::tests::faults::Faults,
}

/// Why the folder can't be held.
#[derive(Debug)]
pub(crate) enum HoldError {
    /// Somebody else holds it.
    InUse,
    /// The system says no.
    Io(&'static str, PathBuf, io::Error),
}

impl Disk {
    /// Makes the folders that are missing and takes the lock, which goes with the file that comes back beside.
    pub(crate) fn hold(root: &Path) -> Result<(Self, File), HoldError> {
        let make = |path: PathBuf| {
            std::fs::create_dir_all(&path)
                .map_err(|error| HoldError::Io("make the folder", path, error))
        };
        make(root.to_owned())?;
        let lock_path = root.join("lock");
        let open = || {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&lock_path)
                .map_err(|error| HoldError::Io("open", lock_path.clone(), error))
        };
        let lock = open()?;
        let mark = open()?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(HoldError::InUse),
            Err(error) => return Err(HoldError::Io("lock", lock_path, error.into())),
        }
        make(root.join("media"))?;
        make(root.join("staging"))?;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            HoldError::Io("get random bytes for", root.to_owned(), error.into())
        })?;
        let disk = Self {
            root: root.to_owned(),
            prefix: hex::encode(random),
            names: AtomicU64::new(0),
            has_ballast: AtomicBool::new(root.join(BALLAST).exists()),
            owes_ballast: AtomicBool::new(false),
            mark,
            aside: OnceLock::new(),
            #[cfg(test)]
            faults: Default::default(),
        };
        Ok((disk, lock))
    }

    /// The data folder and what lies in it are there after a power cut. For when it was just made.
    pub(crate) fn sync_root(&self) -> io::Result<()> {
        self.at("sync root")?;
        let above = self.root.canonicalize()?;
        above
            .ancestors()
            .take(2)
            .try_for_each(|folder| match File::open(folder) {
                Ok(open) => open.sync_all(),
                // What this user may not look into was not made by it.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                Err(error) => Err(error),
            })
    }

    /// A name for `staging/` that was never used.
    pub(crate) fn new_name(&self) -> Arc<str> {
        format!(
            "{}-{}",
            self.prefix,
            self.names.fetch_add(1, Ordering::Relaxed)
        )
        .into()
    }

    /// `record.sqlite`.
    pub(crate) fn record_path(&self) -> PathBuf {
        self.root.join("record.sqlite")
    }

    /// Where a damaged record's intact rows are gathered, to be read from.
    pub(crate) fn view_path(&self) -> PathBuf {
        self.root.join("record.view.sqlite")
    }

    /// Where a repaired record is made; it becomes `record.sqlite` when that is out of the way.
    pub(crate) fn new_record_path(&self) -> PathBuf {
        self.root.join("record.new.sqlite")
    }

    /// Notes that everything up to this commit is on disk: in the page cache, so that it costs no sync. What is found there
    /// after a crash is a commit that the record must still have.
    pub(crate) fn note_durable(&self, position: Position) {
        // Without the note a loss is not noticed; nothing else depends on it.
        let _ = self.mark.write_all_at(&mark_of(position.0), 0);
    }

    /// What was noted last, by this run or one before.
    pub(crate) fn noted(&self) -> Option<Position> {
        read_mark(&self.mark)
    }

    /// A file's bytes are on disk afterwards, and the next to read it gets them from there: after a failed sync the system
    /// may still show what it could not write. One that is not there is fine.
    pub(crate) fn reread(&self, path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if gone(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.at("sync")?;
        file.sync_all()?;
        forget_cached(&file);
        Ok(())
    }

    /// What lies where a file at this path, or a folder on its way, is to be: put there by hand.
    pub(crate) fn in_the_way(&self, path: &MediaPath) -> Option<MediaPath> {
        let looks = |below: &MediaPath| {
            std::fs::symlink_metadata(self.path(&Place::Media(below.clone()))).ok()
        };
        path.folders()
            .find(|folder| looks(folder).is_some_and(|found| !found.is_dir()))
            .or_else(|| {
                let found = looks(path)?;
                (found.is_dir() && remove_would_lose(&self.path(&Place::Media(path.clone()))))
                    .then(|| path.clone())
            })
    }

    /// Moves something into `aside/N`, under its own path. Where it is now, below the data folder.
    pub(crate) fn set_aside(&self, below: &Path) -> io::Result<PathBuf> {
        self.at("set aside")?;
        let folder = match self.aside.get() {
            Some(folder) => folder.clone(),
            None => {
                let free = (1..)
                    .map(|number: u32| Path::new("aside").join(number.to_string()))
                    .find(|folder| !self.root.join(folder).exists())
                    .unwrap_or_default();
                self.aside.get_or_init(|| free).clone()
            }
        };
        let to = folder.join(below);
        if let Some(above) = to.parent() {
            std::fs::create_dir_all(self.root.join(above))?;
        }
        std::fs::rename(self.root.join(below), self.root.join(&to))?;
        Ok(to)
    }

    /// Takes room that is given back when the disk is full, so that what frees space can still be written down.
    pub(crate) fn lay_ballast(&self, reserve: u64) {
        let room = BALLAST_BYTES.saturating_mul(4).saturating_add(reserve);
        if self.has_ballast.load(Ordering::Relaxed) {
            return;
        }
        if !self.free_bytes().is_ok_and(|free| free > room) {
            self.owes_ballast.store(true, Ordering::Relaxed);
            return;
        }
        // Room that can't be had is no fault.
        let laid = File::create(self.root.join(BALLAST)).and_then(|file| {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file, flags, 0, BALLAST_BYTES)
                .or_else(|_| file.write_all_at(&vec![0; BALLAST_BYTES as usize], 0))
        });
        match laid {
            Ok(()) => {
                self.has_ballast.store(true, Ordering::Relaxed);
                self.owes_ballast.store(false, Ordering::Relaxed);
            }
            Err(_) => drop(std::fs::remove_file(self.root.join(BALLAST))),
        }
    }

    /// Gives that room back.
    pub(crate) fn drop_ballast(&self) {
        if self.has_ballast.swap(false, Ordering::Relaxed) {
            let _ = std::fs::remove_file(self.root.join(BALLAST));
            self.owes_ballast.store(true, Ordering::Relaxed);
        }
    }

    /// Bytes that are not there to be used for growing.
    pub(crate) fn missing_ballast(&self) -> u64 {
        if self.owes_ballast.load(Ordering::Relaxed) {
            BALLAST_BYTES
        } else {
            0
        }
    }

    /// The data folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file's time becomes this one.
    pub(crate) fn set_modified(&self, file: &File, modified_ms: u64) {
        let seconds = modified_ms / 1000;
        let time = rustix::fs::Timespec {
            tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(modified_ms % 1000 * 1_000_000).unwrap_or(0),
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        // A file with another time is read and compared before it is served; that is all.
        let _ = rustix::fs::futimens(file, &times);
    }

    pub(crate) fn path(&self, place: &Place) -> PathBuf {
        match place {
            Place::Staging(name) => self.root.join("staging").join(&**name),
            Place::Media(path) => self.root.join("media").join(path.as_str()),
        }
    }

    fn folder_path(&self, folder: &Folder) -> PathBuf {
        match folder {
            Folder::Staging => self.root.join("staging"),
            Folder::Media => self.root.join("media"),
            Folder::Under(path) => self.root.join("media").join(path.as_str()),
        }
    }

    /// Makes a new, empty file for reading and writing.
    pub(crate) fn create(&self, place: &Place) -> io::Result<File> {
        self.at("create")?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.path(place))
    }

    /// Opens for reading.
    pub(crate) fn open(&self, place: &Place) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(self.path(place))
    }

    /// Opens for reading and writing.
    pub(crate) fn open_to_write(&self, place: &Place) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(self.path(place))
    }

    /// Writes all of `bytes` at `offset`, into the page cache.
    pub(crate) fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.at("write")?;
        file.write_all_at(bytes, offset)
    }

    /// Cuts or extends a file.
    pub(crate) fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        self.at("set the length of")?;
        file.set_len(len)
    }

    /// Asks for the write-back of a range that was just written, without waiting; where that is not possible: nothing.
    pub(crate) fn start_write_back(&self, file: &File, offset: u64, len: u64) {
        // On Linux this advice begins the write-back; pages that are dirty or on their way stay in memory.
        let _ = rustix::fs::fadvise(
            file,
            offset,
            std::num::NonZeroU64::new(len),
            Advice::DontNeed,
        );
    }

    /// Bytes of a file and its length are on disk afterwards.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.at("sync")?;
        if Guard::DataSync.is_out() {
            return Ok(());
        }
        file.sync_data()
    }

    /// The names in a folder are on disk afterwards. A folder that is gone needs none.
    pub(crate) fn sync_folder(&self, folder: &Folder) -> io::Result<()> {
        self.at("sync folder")?;
        if Guard::FolderSync.is_out() {
            return Ok(());
        }
        match File::open(self.folder_path(folder)) {
            Ok(open) => open.sync_all(),
            Err(error) if gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether a symbolic link lies where a folder of media is to be.
    pub(crate) fn is_link(&self, folder: &MediaPath) -> bool {
        std::fs::symlink_metadata(self.folder_path(&Folder::Under(folder.clone())))
            .is_ok_and(|found| found.is_symlink())
    }

    /// Moves a file, replacing what is there. Folders on the way come into being; empty ones in its place go.
    pub(crate) fn rename(&self, from: &Place, to: &Place) -> io::Result<()> {
        self.at("rename")?;
        let (from, target) = (self.path(from), self.path(to));
        match std::fs::rename(&from, &target) {
            Err(error) if gone(&error) && from.symlink_metadata().is_ok() => {
                if let Some(folder) = target.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::rename(&from, &target)
            }
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                remove_empty_folders(&target)?;
                std::fs::rename(&from, &target)
            }
            done => done,
        }
    }

    /// Gives a staged file its path too. Its staged name stays: until the folders are synced, a rename alone could lose
    /// both names in a power cut.
    pub(crate) fn adopt(&self, from: &Place, to: &Place) -> io::Result<()> {
        self.at("adopt")?;
        let second = Place::Staging(self.new_name());
        let done = self
            .link(from, &second)
            .and_then(|()| self.rename(&second, to));
        if done.is_err() {
            let _ = std::fs::remove_file(self.path(&second));
        }
        done
    }

    /// Gives a file a second name; where the file system has no links, copies it.
    pub(crate) fn link(&self, from: &Place, to: &Place) -> io::Result<()> {
        self.at("link")?;
        let (from, to) = (self.path(from), self.path(to));
        match std::fs::hard_link(&from, &to) {
            Err(error) if has_no_links(&error) => {
                std::fs::copy(&from, &to)?;
                File::open(&to)?.sync_data()
            }
            done => done,
        }
    }

    /// Removes a file, and the folders in `media/` that become empty by it. One that is gone, or has become a folder, is fine.
    pub(crate) fn remove(&self, place: &Place) -> io::Result<()> {
        self.at("remove")?;
        match std::fs::remove_file(self.path(place)) {
            Err(error) if !(gone(&error) || error.kind() == io::ErrorKind::IsADirectory) => {
                return Err(error);
            }
            _ => {}
        }
        if let Place::Media(path) = place {
            let mut folders: Vec<_> = path.folders().collect();
            while let Some(folder) = folders.pop() {
                if std::fs::remove_dir(self.folder_path(&Folder::Under(folder))).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The length of a plain file; none where there is none.
    pub(crate) fn size(&self, place: &Place) -> io::Result<Option<u64>> {
        match std::fs::symlink_metadata(self.path(place)) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Ok(None),
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Bytes that this user may still write.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        #[cfg(test)]
        if let Some(free) = self.faults.free_bytes() {
            return Ok(free);
        }
        let found = rustix::fs::statvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// The names in `staging/`.
    pub(crate) fn staged_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for found in std::fs::read_dir(self.root.join("staging"))? {
            if let Ok(name) = found?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Calls `seen` with each plain file in `media/`: its path below it (as well as it can be shown) and its length.
    pub(crate) fn walk_media(&self, seen: &mut dyn FnMut(String, u64)) -> io::Result<()> {
        let top = self.root.join("media");
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            let inside = match std::fs::read_dir(&folder) {
                Err(error) if gone(&error) => continue,
                other => other?,
            };
            for found in inside {
                let found = found?;
                let kind = found.file_type()?;
                if kind.is_dir() {
                    folders.push(found.path());
                } else if let (Ok(below), Ok(data)) =
                    (found.path().strip_prefix(&top), found.metadata())
                {
                    seen(below.to_string_lossy().into_owned(), data.size());
                }
            }
        }
        Ok(())
    }

    /// Whether a record was kept in this folder, or things are in it that only a record explains.
    pub(crate) fn had_record(&self) -> bool {
        let has_inside = |name: &str| {
            std::fs::read_dir(self.root.join(name)).is_ok_and(|mut found| found.next().is_some())
        };
        self.noted().is_some() || has_inside("media") || has_inside("staging")
    }

    /// Something in a folder that a data folder has not, where there is no record in it.
    pub(crate) fn stranger(root: &Path) -> io::Result<Option<String>> {
        if File::open(root.join("lock")).is_ok_and(|lock| read_mark(&lock).is_some()) {
            return Ok(None);
        }
        let inside = match std::fs::read_dir(root) {
            Err(error) if gone(&error) => return Ok(None),
            other => other?,
        };
        if root.join("record.sqlite").exists() {
            return Ok(None);
        }
        for found in inside {
            let name = found?.file_name().to_string_lossy().into_owned();
            let ours = match &*name {
                "lock" => true,
                "media" | "staging" => std::fs::read_dir(root.join(&name))?.next().is_none(),
                _ => name.starts_with("record.sqlite"),
            };
            if !ours {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// A point at which a test can stop the world.
    #[cfg(test)]
    pub(crate) fn at(&self, step: &'static str) -> io::Result<()> {
        self.faults.at(step)
    }

    /// A point at which a test can stop the world.
    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the same shape as in tests"
    )]
    pub(crate) fn at(&self, _step: &'static str) -> io::Result<()> {
        Ok(())
    }
}

/// Without what is cached of it, the next to read a file gets what is on disk.
pub(crate) fn forget_cached(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

/// A position with its checksum.
fn mark_of(position: u64) -> [u8; 12] {
    let mut mark = [0; 12];
    let (number, crc) = mark.split_at_mut(8);
    number.copy_from_slice(&position.to_le_bytes());
    crc.copy_from_slice(&crc32c::crc32c(number).to_le_bytes());
    mark
}

fn read_mark(file: &File) -> Option<Position> {
    let mut mark = [0; 12];
    file.read_exact_at(&mut mark, 0).ok()?;
    let position = u64::from_le_bytes(*mark.first_chunk()?);
    (mark == mark_of(position)).then_some(Position(position))
}

/// Whether there is anything but folders in a folder.
fn remove_would_lose(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut inside| {
        inside.any(|found| {
            found.is_ok_and(|found| {
                let is_folder = found.file_type().is_ok_and(|kind| kind.is_dir());
                !is_folder || remove_would_lose(&found.path())
            })
        })
    })
}

/// Whether the file system can't give this file a second name at all, as against now.
fn has_no_links(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::MLINK | Errno::XDEV)
    )
}

/// Whether a path, or a folder on the way to it, is not there.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Removes a folder that has nothing but empty folders in it.
fn remove_empty_folders(folder: &Path) -> io::Result<()> {
    for found in std::fs::read_dir(folder)? {
        remove_empty_folders(&found?.path())?;
    }
    std::fs::remove_dir(folder)
}
