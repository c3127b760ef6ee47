//! What a look at a whole data folder found.
//! Invariant: everything that the record names was read and compared, and nothing was changed.
//! Not here: the looking (`engine/inspect`).

use std::path::PathBuf;

use crate::MediaPath;

/// A data folder, compared with its record from end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong with the record, in words; empty where it is sound.
    pub record: Vec<String>,
    /// The newest commit.
    pub commits: u64,
    /// Media files in the record.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that no request has used yet.
    pub uploads: u64,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether all is as it should be. Files that were put there by hand beside what is stored do no harm.
    pub fn is_sound(&self) -> bool {
        self.record.is_empty()
            && self
                .problems
                .iter()
                .all(|problem| problem.fault == Fault::Strange)
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, below the data folder: `media/cat.png`.
    pub place: String,
    /// The media file's path, where it is one.
    pub path: Option<MediaPath>,
    /// What.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there.
    Gone,
    /// It has another length.
    Length {
        /// In bytes, by the record.
        expected: u64,
        /// In bytes.
        found: u64,
    },
    /// Its bytes are others than those that were stored.
    Bytes,
    /// It can't be read.
    Unreadable {
        /// The system's reason.
        reason: String,
    },
    /// It was put there by hand, and is not served.
    Strange,
    /// What a client sent is damaged from here on; the client is asked for it again.
    Part {
        /// Bytes that are sound.
        sound: u64,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => f.write_str("it is gone"),
            Self::Length { expected, found } => {
                write!(f, "it has {found} bytes, {expected} were stored")
            }
            Self::Bytes => f.write_str("its bytes are not those that were stored"),
            Self::Unreadable { reason } => write!(f, "it can't be read: {reason}"),
            Self::Strange => f.write_str("it was put there by hand, and is not served"),
            Self::Part { sound } => write!(
                f,
                "an upload is damaged after {sound} bytes; its client sends it again"
            ),
        }
    }
}

/// How far a look has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Bytes read.
    pub done: u64,
    /// Bytes to be read.
    pub total: u64,
    /// What is being read, below the data folder.
    pub place: &'a str,
}

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The folder below the data folder to which things were moved; none where there was nothing to move.
    pub aside: Option<PathBuf>,
    /// The media files that are no longer in the record.
    pub removed: Vec<MediaPath>,
}
