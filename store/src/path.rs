//! Where a media file lies: a relative path inside the device's media folder.
//! Invariant: a [`MediaPath`] cannot lead out of the folder, on any file system, and names a file rather than a folder.
//! Not here: whether the file exists.
//! A text against the rules is refused with the rule and the part that broke it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A path that keeps the rules: relative, `/` between parts, 1 to 8 parts of 1 to 255 bytes, at most 1,024 bytes in all.
///
/// No part is `.` or `..`; there are no control characters (NUL among them) and no backslashes. Cheap to clone; ordered
/// by bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaPath(Arc<str>);

/// Parts of a path, at most.
pub const MAX_PATH_PARTS: usize = 8;

/// Bytes of one part, at most.
pub const MAX_PART_BYTES: usize = 255;

/// Bytes of a whole path, at most.
pub const MAX_PATH_BYTES: usize = 1024;

/// Which rule a text broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing at all.
    #[error("the path is empty; give a file name such as `cat.png`")]
    Empty,
    /// More than [`MAX_PATH_BYTES`].
    #[error("the path has {bytes} bytes; at most {MAX_PATH_BYTES} are allowed")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// A leading `/`.
    #[error(
        "the path `{path}` begins with `/`; give it relative to the media folder, such as `pics/cat.png`"
    )]
    Absolute {
        /// The text.
        path: String,
    },
    /// More than [`MAX_PATH_PARTS`].
    #[error("the path `{path}` has {parts} parts; at most {MAX_PATH_PARTS} are allowed")]
    TooDeep {
        /// The text.
        path: String,
        /// How many it has.
        parts: usize,
    },
    /// Two `/` in a row, or one at the end.
    #[error("the path `{path}` has an empty part (`//`, or `/` at the end); name a file")]
    EmptyPart {
        /// The text.
        path: String,
    },
    /// `.` or `..`.
    #[error(
        "the path `{path}` has the part `{part}`, which is not allowed; name files and folders only"
    )]
    Dots {
        /// The text.
        path: String,
        /// The part.
        part: String,
    },
    /// A part of more than [`MAX_PART_BYTES`].
    #[error("the part `{part}` has {bytes} bytes; at most {MAX_PART_BYTES} are allowed")]
    PartTooLong {
        /// The part.
        part: String,
        /// How many it has.
        bytes: usize,
    },
    /// NUL, a line break or another control character, or a backslash.
    #[error("the part {part:?} has the character {character:?}, which is not allowed{}", hint(*.character))]
    Character {
        /// The part.
        part: String,
        /// The first such character.
        character: char,
    },
}

fn hint(character: char) -> &'static str {
    if character == '\\' {
        "; put `/` between folders"
    } else {
        ""
    }
}

impl MediaPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts, the file's name last.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// The folders it lies in, outermost first; none at the top.
    pub fn folders(&self) -> impl Iterator<Item = MediaPath> {
        self.0
            .match_indices('/')
            .filter_map(|(at, _)| self.0.get(..at))
            .map(|folder| MediaPath(folder.into()))
    }
}

impl FromStr for MediaPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let path = || text.to_owned();
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong { bytes: text.len() });
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute { path: path() });
        }
        let parts = text.split('/').count();
        if parts > MAX_PATH_PARTS {
            return Err(PathError::TooDeep {
                path: path(),
                parts,
            });
        }
        for part in text.split('/') {
            if part.is_empty() {
                return Err(PathError::EmptyPart { path: path() });
            }
            if matches!(part, "." | "..") {
                return Err(PathError::Dots {
                    path: path(),
                    part: part.to_owned(),
                });
            }
            if part.len() > MAX_PART_BYTES {
                return Err(PathError::PartTooLong {
                    part: part.to_owned(),
                    bytes: part.len(),
                });
            }
            if let Some(character) = part.chars().find(|c| c.is_control() || *c == '\\') {
                return Err(PathError::Character {
                    part: part.to_owned(),
                    character,
                });
            }
        }
        Ok(Self(text.into()))
    }
}

impl std::borrow::Borrow<str> for MediaPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
