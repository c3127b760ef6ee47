//! Which plain files were compared with their checksums since they look as they do.
//! Invariant: a file is given out only after it was compared once in this run, and again whenever it looks different; of
//! one above [`READ_BYTES`] its length and time are enough while they are those that the store left.
//! Not here: the comparison (`blob`).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::MediaPath;
use crate::body::Stamp;
use crate::change::FileRow;

/// Files up to this size are read and compared before they are served.
pub(crate) const READ_BYTES: u64 = 64 << 20;

/// Files that are remembered; above it all are compared anew.
const MOST: usize = 8192;

/// What was found out.
#[derive(Default)]
pub(crate) struct Checked(Mutex<HashMap<MediaPath, (Stamp, bool)>>);

/// What a file needs before it is served.
pub(crate) enum Needs {
    Nothing,
    Check,
    /// It was found to be another already.
    Refusal,
}

impl Checked {
    pub(crate) fn needs(&self, path: &MediaPath, row: &FileRow, stamp: Stamp) -> Needs {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(path) {
            Some((then, true)) if *then == stamp => Needs::Nothing,
            Some((then, false)) if *then == stamp => Needs::Refusal,
            _ if row.size > READ_BYTES && stamp.bears(row.modified_ms) => Needs::Nothing,
            _ => Needs::Check,
        }
    }

    /// A file that looked like this was compared.
    pub(crate) fn found(&self, path: &MediaPath, stamp: Stamp, right: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(path.clone(), (stamp, right));
    }
}
