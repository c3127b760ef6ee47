//! What can go wrong: one enum for each thing that is asked of the store.
//! Invariant: a message says what was expected, what came and what to do; none holds a path of the host's file system
//! except [`OpenError`], which only the person at the device sees.

use std::io;
use std::path::PathBuf;

use crate::{MediaPath, PathError};

/// The quota or the disk is full. Nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct NoSpace {
    /// Bytes asked for; 0 where the system only says that there are too few.
    pub needed: u64,
    /// Bytes there are, the reserve not counted.
    pub available: u64,
    /// What is full.
    pub limit: SpaceLimit,
}

impl NoSpace {
    /// What the system says of a full disk.
    pub(crate) fn disk_full() -> Self {
        Self {
            needed: 0,
            available: 0,
            limit: SpaceLimit::Disk,
        }
    }

    fn text(&self) -> String {
        let name = self.limit.name();
        if self.needed == 0 {
            return format!("{name} is full; remove files");
        }
        format!(
            "{} more bytes are needed but {name} has {} left; remove files, or raise the limit",
            self.needed, self.available
        )
    }
}

/// What limits the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceLimit {
    /// The media quota of the settings.
    Quota,
    /// The disk, less the reserve of the settings.
    Disk,
}

impl SpaceLimit {
    fn name(self) -> &'static str {
        match self {
            Self::Quota => "the media quota",
            Self::Disk => "the disk",
        }
    }
}

/// Why something can't be read or staged. The transaction goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No file there.
    #[error("there is no file `{path}`")]
    NotFound {
        /// What was asked for.
        path: MediaPath,
    },
    /// A file lies where a folder is needed.
    #[error("`{path}` can't be stored: `{file}` is a file, not a folder")]
    FileInTheWay {
        /// What was to be stored.
        path: MediaPath,
        /// The file.
        file: MediaPath,
    },
    /// A folder lies where a file is to be.
    #[error("`{path}` can't be stored: it is a folder with files in it")]
    FolderInTheWay {
        /// What was to be stored.
        path: MediaPath,
    },
    /// A text that is no path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The plain file is not what the index says: somebody changed it, or the disk did.
    #[error("`{path}` was changed by hand: {detail}; store it again, or remove it")]
    ChangedByHand {
        /// Which.
        path: MediaPath,
        /// What was expected and what is there.
        detail: String,
    },
    /// The quota or the disk is full.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// A key of no byte, or of more than 512.
    #[error("a key has 1 to 512 bytes; this one has {bytes}")]
    KeyLength {
        /// How many it has.
        bytes: usize,
    },
    /// A value of more than 64 KiB.
    #[error("a value has at most 65,536 bytes; this one has {bytes}")]
    ValueLength {
        /// How many it has.
        bytes: usize,
    },
    /// A kind or properties that are too long.
    #[error("{what} of `{path}` take {bytes} bytes; at most {most} are allowed")]
    EntryTooLarge {
        /// The file.
        path: MediaPath,
        /// `the kind` or `the properties`.
        what: &'static str,
        /// How many there are.
        bytes: usize,
        /// How many are allowed.
        most: usize,
    },
    /// A sync failed earlier, the record is damaged, or the store was closed.
    #[error(
        "writes are refused since the disk failed, the record is damaged or the store closed; the host's log says which, and what to do"
    )]
    ReadOnly,
    /// The file system takes no writes.
    #[error("the disk is read-only; find out why (`dmesg`), and mount it for writing again")]
    DiskReadOnly,
    /// Plain files can't follow the record, and no file is to be written until they do.
    #[error("files can't be written now: {why}")]
    Stuck {
        /// What is in the way, where, and what to do.
        why: String,
    },
    /// The disk failed.
    #[error("failed to {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The database failed.
    #[error("failed to {what} the record: {reason}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// SQLite's reason.
        reason: String,
    },
    /// Something in the record is not what was written.
    #[error("the record is damaged: {detail}; stop pixelboyd and run `pixelboyd verify`")]
    Damaged {
        /// What and where.
        detail: String,
    },
}

impl StoreError {
    /// What the system said when `what` was tried.
    pub(crate) fn of_io(what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace(NoSpace::disk_full())
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::DiskReadOnly,
            _ => Self::Io { what, source },
        }
    }
}

/// Why a transaction was not committed. Nothing of it stays.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something that it changes was changed by another since it read it: run the operation again from the start.
    #[error("another operation changed the same file meanwhile; run it again")]
    Conflict,
    /// The quota or the disk is full.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// A sync failed earlier, the record is damaged, or the store was closed.
    #[error(
        "writes are refused since the disk failed, the record is damaged or the store closed; the host's log says which, and what to do"
    )]
    ReadOnly,
    /// Another operation of the client used the upload.
    #[error("upload {number} was used by request {by}")]
    UploadConsumed {
        /// The upload.
        number: u64,
        /// The request that used it.
        by: u64,
    },
    /// The upload is not there, or not finished.
    #[error("upload {number} is not there or not finished")]
    UploadMissing {
        /// The upload.
        number: u64,
    },
    /// The client's operations went on to this number already.
    #[error(
        "operation {number} comes too late: the client's operations were run through {executed_through}"
    )]
    OutOfOrder {
        /// The operation's.
        number: u64,
        /// How far the client's have come.
        executed_through: u64,
    },
    /// All clients that may be remembered are present.
    #[error("{most} clients are remembered and all are present; none more is taken")]
    TooManyClients {
        /// How many.
        most: usize,
    },
    /// The store failed before the commit began.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// Nobody knows whether a commit is on disk: a sync failed, or the store closed before it. A restart tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not known whether this is on disk; restart the host and ask again")]
pub struct OutcomeUnknown;

/// Why a commit is not on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDurable {
    /// Nobody knows whether it is.
    #[error(transparent)]
    Unknown(#[from] OutcomeUnknown),
    /// It is not, for sure, and nothing of it stays: nothing could be written.
    #[error("nothing was stored: {0}")]
    TakenBack(Unwritten),
}

/// Why nothing could be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// The disk is full.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// The file system takes no writes.
    #[error("{}", StoreError::DiskReadOnly)]
    DiskReadOnly,
    /// The disk failed at the write.
    #[error("{reason}")]
    Failed {
        /// The system's reason.
        reason: String,
    },
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSpace(full) => Self::NoSpace(full),
            StoreError::DiskReadOnly => Self::DiskReadOnly,
            other => Self::Failed {
                reason: other.to_string(),
            },
        }
    }
}

impl From<Unwritten> for StoreError {
    fn from(why: Unwritten) -> Self {
        match why {
            Unwritten::NoSpace(full) => Self::NoSpace(full),
            Unwritten::DiskReadOnly => Self::DiskReadOnly,
            Unwritten::Failed { reason } => Self::Database {
                what: "write",
                reason,
            },
        }
    }
}

/// Why an upload does not go on. It stays as it was except where said.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Not finished yet.
    #[error("upload {number} is not finished")]
    NotReady {
        /// Which.
        number: u64,
    },
    /// Never opened, expired or aborted.
    #[error("upload {number} is not known: never opened, expired or aborted")]
    Unknown {
        /// Which.
        number: u64,
    },
    /// An operation used it.
    #[error("upload {number} was used by request {by}")]
    Consumed {
        /// Which.
        number: u64,
        /// The request that used it.
        by: u64,
    },
    /// A finished one is opened with another length or SHA-256.
    #[error("upload {number} is finished with other bytes; take a new number")]
    NumberReused {
        /// Which.
        number: u64,
    },
    /// The bytes are not those that were announced. The part is dropped.
    #[error(
        "the bytes that came have another SHA-256 than announced; send them again from the start"
    )]
    DigestMismatch,
    /// More or fewer bytes than announced.
    #[error("{came} bytes came; {announced} were announced")]
    LengthMismatch {
        /// How many came.
        came: u64,
        /// How many were announced.
        announced: u64,
    },
    /// The quota or the disk is full.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// It is open already.
    #[error("upload {number} is open already")]
    Busy {
        /// Which.
        number: u64,
    },
    /// A sync failed earlier, the record is damaged, or the store was closed.
    #[error(
        "writes are refused since the disk failed, the record is damaged or the store closed; the host's log says which, and what to do"
    )]
    ReadOnly,
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// Why a store can't be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another host uses the folder.
    #[error(
        "the data folder {folder} is in use by another pixelboyd; stop it, or configure another folder"
    )]
    InUse {
        /// Which.
        folder: PathBuf,
    },
    /// No permission.
    #[error("no permission for {path}; give it to the user that pixelboyd runs as")]
    NoPermission {
        /// Which.
        path: PathBuf,
    },
    /// Files of something else.
    #[error(
        "{folder} is not a data folder of pixelboy: it has {found} but no record.sqlite of its own; configure an empty or new folder"
    )]
    NotADataFolder {
        /// Which.
        folder: PathBuf,
        /// One of the files there.
        found: String,
    },
    /// Written by a newer pixelboyd.
    #[error(
        "the data folder {folder} has format {found}; this pixelboyd knows up to {known}: install a newer one"
    )]
    Newer {
        /// Which.
        folder: PathBuf,
        /// Its format.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The record can't be read, nor anything of it.
    #[error(
        "the record in {folder} is damaged: {detail}; `pixelboyd verify` tells what is intact, or restore the folder from a copy"
    )]
    Damaged {
        /// Which.
        folder: PathBuf,
        /// What.
        detail: String,
    },
    /// The disk failed.
    #[error("failed to {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}
