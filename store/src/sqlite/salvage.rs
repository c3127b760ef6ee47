//! What can still be read of a damaged record, in a new one.
//! Invariant: a row comes over only with its checksum, a log entry only when it decodes; the damaged record is only read.
//! Not here: whether the files are as the rows say; who reads them finds out.
//! The new record has a new store id and knows no client: what became of an operation can't be told from half a record.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::tables::{Tables, TablesError};
use super::{fault, rows, schema};
use crate::{Position, log};

/// What did not come over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// In words, one for each part of the record.
    pub(crate) lost: Vec<String>,
}

/// The tables whose rows come over, and the order in which they are read.
const TABLES: [(&str, &str, &str); 2] = [
    ("file", schema::FILE, "path"),
    ("kv", schema::KV, "namespace, key"),
];

/// Makes a new record at `to` from the damaged one at `from`. `at_least`: how far it went, as noted elsewhere.
pub(crate) fn salvage(
    from: &Path,
    to: &Path,
    at_least: Option<Position>,
) -> Result<Salvaged, TablesError> {
    remove(to)?;
    let tables = Tables::open(to, true)?;
    let mut salvaged = Salvaged::default();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let old = Connection::open_with_flags(from, flags).and_then(|old| {
        rows::add_row_crc(&old)?;
        old.set_db_config(
            rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
            true,
        )?;
        old.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        Ok(old)
    });
    let writer = &mut tables.writer();
    let new = writer.transaction()?;
    let mut newest = 0;
    match &old {
        Err(error) => salvaged
            .lost
            .push(format!("the whole record: {}", fault::describe(error))),
        Ok(old) => {
            for (table, columns, order) in TABLES {
                let lost = copy_rows(old, &new, table, columns, order)?;
                salvaged.lost.extend(lost);
            }
            newest = copy_log(old, &new, &mut salvaged)?;
            for name in [rows::POSITION, rows::UPTIME] {
                if let Ok(Some(value)) = rows::meta(old, name) {
                    rows::set_meta(&new, name, &value)?;
                }
            }
        }
    }
    settle_position(&new, newest, at_least, &mut salvaged)?;
    rows::set_meta(&new, rows::DROPPED, &[1])?;
    rows::set_meta(&new, rows::GAPS, &[1])?;
    new.commit()?;
    Ok(salvaged)
}

/// A record and SQLite's own files beside it go.
pub(crate) fn remove(record: &Path) -> Result<(), TablesError> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut path = record.as_os_str().to_owned();
        path.push(ending);
        match std::fs::remove_file(Path::new(&path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(TablesError::Failed(error.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The rows that can be read, from the start on and from the end on; what was lost, in words.
fn copy_rows(
    old: &Connection,
    new: &Connection,
    table: &str,
    columns: &str,
    order: &str,
) -> rusqlite::Result<Option<String>> {
    let count = columns.split(", ").count();
    let places: Vec<String> = (1..=count).map(|at| format!("?{at}")).collect();
    let places = places.join(", ");
    let insert = format!(
        "INSERT OR REPLACE INTO {table} ({columns}, crc) VALUES ({places}, row_crc({places}))"
    );
    let mut insert = new.prepare(&insert)?;
    let mut wrong = 0u64;
    let mut copy = |direction: &str| -> rusqlite::Result<()> {
        let backwards: Vec<String> = order
            .split(", ")
            .map(|column| format!("{column} {direction}"))
            .collect();
        let select = format!(
            "SELECT {columns}, crc IS row_crc({columns}) FROM {table} ORDER BY {}",
            backwards.join(", ")
        );
        let mut select = old.prepare(&select)?;
        let mut found = select.query([])?;
        wrong = 0;
        while let Some(row) = found.next()? {
            if !row.get::<_, bool>(count)? {
                wrong += 1;
                continue;
            }
            let values: Vec<Value> = (0..count)
                .map(|at| row.get(at))
                .collect::<rusqlite::Result<_>>()?;
            // The new record is sound; what fails there is the disk, and is found when it is committed.
            insert.execute(params_from_iter(values))?;
        }
        Ok(())
    };
    let read = copy("ASC");
    if let Err(error) = read {
        // A page is out of order: what lies behind it may be had from the other end.
        let _ = copy("DESC");
        return Ok(Some(format!(
            "some rows of the table {table}: {}",
            fault::describe(&error)
        )));
    }
    Ok(
        (wrong > 0)
            .then(|| format!("{wrong} rows of the table {table}: their checksums are wrong")),
    )
}

/// The log entries that can be read and decoded; the last commit among them.
fn copy_log(old: &Connection, new: &Connection, salvaged: &mut Salvaged) -> rusqlite::Result<u64> {
    let mut newest = 0;
    let mut insert = new.prepare("INSERT INTO log (position, body) VALUES (?1, ?2)")?;
    let mut read = || -> rusqlite::Result<()> {
        let mut select = old.prepare("SELECT position, body FROM log ORDER BY position")?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let first = rows::number(row, 0)?;
            let body: Vec<u8> = row.get(1)?;
            match log::read(Position(first), &body) {
                Ok(entry) => {
                    newest = first + (entry.commits.len() as u64).saturating_sub(1);
                    insert.execute(rusqlite::params![rows::bits(first), body])?;
                }
                Err(_) => salvaged.lost.push(format!(
                    "the commits of log entry {first}: its checksum is wrong"
                )),
            }
        }
        Ok(())
    };
    if let Err(error) = read() {
        salvaged
            .lost
            .push(format!("some log entries: {}", fault::describe(&error)));
    }
    Ok(newest)
}

/// The new record goes on after everything that the old one may have had.
fn settle_position(
    new: &Connection,
    newest: u64,
    at_least: Option<Position>,
    salvaged: &mut Salvaged,
) -> rusqlite::Result<()> {
    let of = |sql: &str| new.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let in_tables = [
        of("SELECT max(position) FROM file")?,
        of("SELECT max(position) FROM kv")?,
    ]
    .into_iter()
    .flatten()
    .map(i64::cast_unsigned)
    .max()
    .unwrap_or(0);
    let known = rows::meta(new, rows::POSITION)?
        .and_then(|value| <[u8; 8]>::try_from(value).ok())
        .map_or(0, u64::from_le_bytes);
    let folded = known.max(in_tables);
    let head = folded.max(newest);
    let noted = at_least.map_or(0, |position| position.0);
    if noted > head {
        salvaged
            .lost
            .push(format!("the commits {} to {noted}", head + 1));
    }
    // Without a log the tables are all there is.
    let position = if newest == 0 {
        folded.max(noted)
    } else {
        folded
    };
    rows::set_meta(new, rows::POSITION, &position.to_le_bytes())
}
