//! Guards that tests take out, one at a time, to see that the loss is found.
//! Invariant: without the feature `breakable` there is no switch: every guard is in place, and the compiler knows it. The
//! feature is turned on by the tests' own crates only, never by what is released.
//! Which one is out is named in the environment variable `PIXELBOY_WITHOUT` when the process starts. `PIXELBOY_FOLD_AFTER`
//! is a number of commits after which the log is folded, so that short runs meet folds too.

/// What keeps a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Bytes of plain and staged files are synced.
    DataSync,
    /// The record is synced.
    RecordSync,
    /// Names in folders are synced.
    FolderSync,
    /// An operation that writes leaves its record in the same commit.
    Record,
    /// Effects wait until their operation is durable.
    Order,
    /// Replies and effects wait until what the operation saw is durable.
    Seen,
}

#[cfg(feature = "breakable")]
impl Guard {
    fn name(self) -> &'static str {
        match self {
            Self::DataSync => "data-sync",
            Self::RecordSync => "record-sync",
            Self::FolderSync => "folder-sync",
            Self::Record => "record",
            Self::Order => "order",
            Self::Seen => "seen",
        }
    }

    /// Whether it is taken out.
    #[must_use]
    pub fn is_out(self) -> bool {
        use std::sync::OnceLock;
        static OUT: OnceLock<Option<String>> = OnceLock::new();
        let out = OUT.get_or_init(|| std::env::var("PIXELBOY_WITHOUT").ok());
        out.as_deref() == Some(self.name())
    }
}

#[cfg(not(feature = "breakable"))]
impl Guard {
    /// Whether it is taken out: never.
    #[must_use]
    pub const fn is_out(self) -> bool {
        false
    }
}

/// Commits after which the log is folded, where a test says so.
#[cfg(feature = "breakable")]
pub(crate) fn fold_after() -> Option<u64> {
    use std::sync::OnceLock;
    static AFTER: OnceLock<Option<u64>> = OnceLock::new();
    *AFTER.get_or_init(|| std::env::var("PIXELBOY_FOLD_AFTER").ok()?.parse().ok())
}

/// Commits after which the log is folded, where a test says so: never.
#[cfg(not(feature = "breakable"))]
pub(crate) const fn fold_after() -> Option<u64> {
    None
}
