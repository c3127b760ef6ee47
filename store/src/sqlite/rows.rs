//! Rows of the tables as our types, and back.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::change::{FileRow, UploadRow};
use crate::{ClientId, Position, Sha256};

/// Names in `meta`.
pub(super) const STORE: &str = "store";
pub(super) const POSITION: &str = "position";
pub(super) const UPTIME: &str = "uptime_ms";
pub(super) const DROPPED: &str = "dropped_records";

/// A number in SQLite's integer, bit by bit.
pub(super) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

pub(super) fn client(row: &Row<'_>, column: usize) -> rusqlite::Result<ClientId> {
    row.get(column).map(ClientId)
}

/// A value in postcard; none in the table for an empty list.
pub(super) fn properties(properties: &[(String, String)]) -> rusqlite::Result<Option<Vec<u8>>> {
    if properties.is_empty() {
        Ok(None)
    } else {
        encode(&properties).map(Some)
    }
}

pub(super) fn upload(row: &UploadRow) -> rusqlite::Result<Vec<u8>> {
    encode(row)
}

pub(super) fn encode<T: serde::Serialize + ?Sized>(value: &T) -> rusqlite::Result<Vec<u8>> {
    postcard::to_allocvec(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

pub(super) fn decode<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let bytes = row.get_ref(column)?.as_blob()?;
    postcard::from_bytes(bytes).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
    })
}

/// A row of [`FILE_BY_PATH`]: its commit, the row, and whether it is suspect.
pub(super) fn file(row: &Row<'_>) -> rusqlite::Result<(Position, FileRow, bool)> {
    let properties = match row.get_ref(3)? {
        rusqlite::types::ValueRef::Null => Vec::new(),
        _ => decode(row, 3)?,
    };
    let file = FileRow {
        size: number(row, 1)?,
        kind: row.get(2)?,
        properties,
        modified_ms: number(row, 4)?,
        sha256: row.get::<_, Option<[u8; 32]>>(5)?.map(Sha256),
        crc32c: row.get(6)?,
    };
    Ok((Position(number(row, 0)?), file, row.get(7)?))
}

/// What [`file`] reads.
pub(super) const FILE_BY_PATH: &str = "SELECT position, size, kind, properties, modified_ms, sha256, crc32c, suspect FROM file WHERE path = ?1";

pub(super) fn meta(tables: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    tables
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(super) fn set_meta(tables: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    tables
        .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?
        .execute(params![name, value])
        .map(|_| ())
}
