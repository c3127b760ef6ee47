//! Rows of the tables as our types, and back.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::change::{FileRow, UploadRow};
use crate::{ClientId, Position, Sha256};

/// Names in `meta`.
pub(super) const STORE: &str = "store";
pub(super) const POSITION: &str = "position";
pub(super) const UPTIME: &str = "uptime_ms";
pub(super) const DROPPED: &str = "dropped_records";
/// The log may lack entries: it comes from a damaged record.
pub(super) const GAPS: &str = "gaps";

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
    check(row, 8)?;
    let properties = match row.get_ref(3)? {
        ValueRef::Null => Vec::new(),
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
pub(super) const FILE_BY_PATH: &str = "SELECT position, size, kind, properties, modified_ms, sha256, crc32c, suspect,
     crc IS row_crc(path, position, size, kind, properties, modified_ms, sha256, crc32c, suspect) FROM file WHERE path = ?1";

/// Whether a row's checksum is right, as the query says in this column: what is wrong is never taken for good.
pub(super) fn check(row: &Row<'_>, column: usize) -> rusqlite::Result<()> {
    if row.get(column)? {
        return Ok(());
    }
    let wrong = "a row's checksum is wrong".into();
    Err(rusqlite::Error::FromSqlConversionFailure(
        column,
        Type::Integer,
        wrong,
    ))
}

/// The function behind the rows' checksums: CRC-32C over kind, length and bytes of each value.
pub(super) fn add_row_crc(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("row_crc", -1, flags, |values| {
        let mut crc = 0;
        let mut add = |kind: u8, bytes: &[u8]| {
            crc = crc32c::crc32c_append(crc, &[kind]);
            crc = crc32c::crc32c_append(crc, &(bytes.len() as u64).to_le_bytes());
            crc = crc32c::crc32c_append(crc, bytes);
        };
        for at in 0..values.len() {
            match values.get_raw(at) {
                ValueRef::Null => add(0, &[]),
                ValueRef::Integer(number) => add(1, &number.to_le_bytes()),
                ValueRef::Real(number) => add(2, &number.to_le_bytes()),
                ValueRef::Text(text) => add(3, text),
                ValueRef::Blob(bytes) => add(4, bytes),
            }
        }
        Ok(crc)
    })
}

pub(super) fn meta(tables: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    tables
        .prepare_cached("SELECT value, crc IS row_crc(name, value) FROM meta WHERE name = ?1")?
        .query_row([name], |row| {
            check(row, 1)?;
            row.get(0)
        })
        .optional()
}

pub(super) fn set_meta(tables: &Connection, name: &str, value: &[u8]) -> rusqlite::Result<()> {
    tables
        .prepare_cached(
            "INSERT OR REPLACE INTO meta (name, value, crc) VALUES (?1, ?2, row_crc(?1, ?2))",
        )?
        .execute(params![name, value])
        .map(|_| ())
}
