//! A state file on the disk: found or made, locked, written.
//! Invariant: one program at a time has the file; what `write` returned from is on the disk.
//! Blocks, in syncs above all; `session` calls it on a thread for that.
//! A damaged file is set aside and told of; a file of something else is left alone and refused.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::format::{self, Kept, Unreadable};
use crate::error::{Error, said};

/// A state file that this program has for itself.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    _lock: File,
}

/// What was found in place of a state file that can be used.
pub(crate) type Notice = Option<String>;

/// What is to be written.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) text: String,
    /// In place of all that is there.
    pub(crate) is_whole: bool,
}

impl StateFile {
    /// Takes the file for this program; `Kept` is none where there is nothing to go on from.
    pub(crate) fn take(path: &Path) -> Result<(Self, Option<Kept>, Notice), Error> {
        let wrong = |why: String| Error::State {
            path: path.to_owned(),
            why,
        };
        let lock = lock(path).map_err(wrong)?;
        let (kept, notice) = match std::fs::read(path) {
            // As `mktemp` leaves it; this program never does.
            Ok(bytes) if bytes.is_empty() => (None, None),
            Ok(bytes) => match format::read(&bytes) {
                Ok(kept) => (Some(kept), None),
                Err(Unreadable::Torn(place)) => (None, Some(set_aside(path, &place)?)),
                Err(Unreadable::Newer(version)) => {
                    return Err(wrong(format!(
                        "is of version {version}, which a later pixelboy wrote; update this one, or name another file"
                    )));
                }
                Err(Unreadable::Foreign) => {
                    return Err(wrong(
                        "is no state file of pixelboy, and was left as it is; name another file"
                            .to_owned(),
                    ));
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, None),
            Err(error) => return Err(wrong(format!("failed to read it: {}", said(&error)))),
        };
        let file = Self {
            path: path.to_owned(),
            file: None,
            bytes: 0,
            _lock: lock,
        };
        Ok((file, kept, notice))
    }

    /// How large the file is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes, and returns when it is on the disk.
    pub(crate) fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let written = match (&mut self.file, batch.is_whole) {
            (Some(file), false) => append(file, self.bytes, &batch.text).map(|()| {
                self.bytes += batch.text.len() as u64;
            }),
            _ => replace(&self.path, &batch.text).map(|file| {
                self.file = Some(file);
                self.bytes = batch.text.len() as u64;
            }),
        };
        written.map_err(|error| Error::State {
            path: self.path.clone(),
            why: format!("failed to write it: {}", said(&error)),
        })
    }
}

fn append(file: &mut File, at: u64, text: &str) -> std::io::Result<()> {
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line would spoil the next one; what was not acted upon may go.
        let _ = file.set_len(at);
    }
    written
}

/// All of it or nothing. Only the owner may read it: who knows the id can pose as the client.
fn replace(path: &Path, text: &str) -> std::io::Result<File> {
    let fresh = beside(path, ".new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&fresh, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let here = folder.as_os_str().is_empty();
        File::open(if here { Path::new(".") } else { folder })?.sync_all()?;
    }
    OpenOptions::new().append(true).open(path)
}

fn set_aside(path: &Path, place: &str) -> Result<String, Error> {
    let aside = beside(path, ".damaged");
    std::fs::rename(path, &aside).map_err(|error| Error::State {
        path: path.to_owned(),
        why: format!(
            "is damaged ({place}), and cannot be set aside: {}",
            said(&error)
        ),
    })?;
    Ok(format!(
        "the state file {} is damaged ({place}) and was set aside as {}; going on as a new client. What earlier runs sent last may or may not have happened",
        path.display(),
        aside.display()
    ))
}

fn lock(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(beside(path, ".lock"))
        .map_err(|error| format!("failed to open its lock beside it: {}", said(&error)))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err("another program uses it now; give each program its own, or none".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(format!("failed to lock it: {}", said(&error))),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}
