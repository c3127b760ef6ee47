//! The plugin files that do not serve, and why: what the loader leaves for `status`.
//! Invariant: replaced whole, so that a reader sees what one look at the files found.
//! Not here: plugins that serve (`dispatch/board.rs`); what is loaded when (`loader`).

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::cache::ContentDigest;

/// Not enabled files that are told of; a folder may hold any number.
const MOST_LYING: usize = 64;

/// What the last look found.
#[derive(Default)]
pub(crate) struct Unserved {
    found: ArcSwap<Found>,
    settings_fault: ArcSwapOption<String>,
}

/// All that one look found.
#[derive(Default)]
pub(crate) struct Found {
    /// Named in config.toml and tried.
    pub(crate) refused: Vec<Refused>,
    /// In the folder, but not named or not enabled.
    pub(crate) not_enabled: Vec<NotEnabled>,
}

/// A file that did not become a version. What served before it under the name serves on.
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// None where there is no file.
    pub(crate) digest: Option<ContentDigest>,
    /// The grants that it was tried with.
    pub(crate) allow: Vec<String>,
    pub(crate) why: Reason,
}

/// A file that lies there.
pub(crate) struct NotEnabled {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

/// Why a file is not taken in.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    /// A sentence a person can act on.
    pub(crate) text: String,
    /// It is whole, but asks for what it was not granted: a person's word is missing.
    pub(crate) wants_grant: bool,
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self {
            text,
            wants_grant: false,
        }
    }
}

impl Unserved {
    /// What the last look found.
    pub(crate) fn now(&self) -> Arc<Found> {
        self.found.load_full()
    }

    /// What a look at the files found.
    pub(crate) fn found(&self, refused: Vec<Refused>, mut not_enabled: Vec<NotEnabled>) {
        not_enabled.truncate(MOST_LYING);
        let found = Found {
            refused,
            not_enabled,
        };
        self.found.store(Arc::new(found));
    }

    /// Why config.toml is not taken in; none where it is.
    pub(crate) fn settings_fault(&self) -> Option<String> {
        self.settings_fault.load().as_deref().cloned()
    }

    /// Whether config.toml is taken in.
    pub(crate) fn settings(&self, fault: Option<String>) {
        self.settings_fault.store(fault.map(Arc::new));
    }
}
