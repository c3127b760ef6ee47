//! What an error of SQLite's means: a record that is damaged, a disk that is full or read-only, a failed sync.
//! Invariant: what is not known for sure to have come before a sync counts as a failed one.

use rusqlite::ffi;
use rusqlite::{Error, ErrorCode};

use crate::{NoSpace, StoreError};

/// Whether what was read is not what was written.
pub(crate) fn is_damage(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(failure, _) => {
            matches!(
                failure.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
            ) || matches!(
                failure.extended_code,
                ffi::SQLITE_IOERR_READ
                    | ffi::SQLITE_IOERR_SHORT_READ
                    | ffi::SQLITE_IOERR_DATA
                    | ffi::SQLITE_IOERR_CORRUPTFS
            )
        }
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::InvalidColumnName(_)
        | Error::Utf8Error(..) => true,
        _ => is_schema(error),
    }
}

/// A table or column that should be there is not.
fn is_schema(error: &Error) -> bool {
    matches!(error, Error::SqlInputError { .. })
        || matches!(error, Error::SqliteFailure(failure, _) if failure.code == ErrorCode::Unknown)
}

/// Whether it came from a write, before anything was synced: then nothing of the transaction is on disk.
pub(crate) fn is_before_sync(error: &Error) -> bool {
    let Error::SqliteFailure(failure, _) = error else {
        return false;
    };
    matches!(failure.code, ErrorCode::DiskFull | ErrorCode::ReadOnly)
        || failure.extended_code == ffi::SQLITE_IOERR_WRITE
}

/// Whether a sync failed, so that nobody can tell what is on disk.
pub(crate) fn is_failed_sync(error: &Error) -> bool {
    matches!(error, Error::SqliteFailure(failure, _) if matches!(
        failure.extended_code,
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC
    ))
}

/// In words.
pub(crate) fn describe(error: &Error) -> String {
    match error {
        Error::FromSqlConversionFailure(_, _, reason) => reason.to_string(),
        other => other.to_string(),
    }
}

/// The store's error for it. `what` was tried.
pub(crate) fn store_error(what: &'static str, error: &Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::NoSpace(NoSpace::disk_full()),
        Some(ErrorCode::ReadOnly) => StoreError::DiskReadOnly,
        _ if is_damage(error) => StoreError::Damaged {
            detail: describe(error),
        },
        _ => StoreError::Database {
            what,
            reason: error.to_string(),
        },
    }
}
