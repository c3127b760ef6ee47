//! What is SQLite's: the log and the folded tables, in `record.sqlite`.
//! Invariant: one connection writes; a log entry is on disk when `add_to_log` returns; the tables only ever hold what was
//! in the log before. Readers have connections of their own and never wait for a sync.
//! Not here: what a commit is. An error is SQLite's own; who called knows what it means.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::rows::{self, bits, number};
use super::{apply, fault, schema};
use crate::blob::Bytes;
use crate::change::{FileRow, UploadRow};
use crate::disk::Disk;
use crate::memory::{Client, Kept};
use crate::{
    ClientId, Guard, MediaPath, OperationId, Position, RequestDigest, StoreError, StoreId,
};

/// The database.
pub(crate) struct Tables {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Readers are not kept, so that the last one takes SQLite's own files with it.
    closed: AtomicBool,
}

/// Why the tables can't be opened.
#[derive(Debug)]
pub(crate) enum TablesError {
    /// From a newer format than is known.
    Newer { found: i64, known: i64 },
    /// Another program's database.
    Foreign,
    /// Not readable, or not what was written.
    Damaged(String),
    /// The disk is full, read-only, or failed.
    Failed(String),
}

impl From<rusqlite::Error> for TablesError {
    fn from(error: rusqlite::Error) -> Self {
        if fault::is_damage(&error) {
            Self::Damaged(fault::describe(&error))
        } else {
            Self::Failed(error.to_string())
        }
    }
}

/// What the tables hold when they are opened, less the files and the key-value data.
pub(crate) struct Loaded {
    pub(crate) store: StoreId,
    /// The last commit that was folded.
    pub(crate) position: Position,
    pub(crate) uptime_ms: u64,
    pub(crate) dropped_records: bool,
    /// The log may lack entries.
    pub(crate) gaps: bool,
    pub(crate) clients: Vec<(ClientId, Client)>,
    pub(crate) uploads: Vec<(ClientId, u64, UploadRow, Option<u64>)>,
}

/// What a fold writes besides the commits.
pub(crate) struct FoldMarks {
    pub(crate) clients: Vec<(ClientId, Client)>,
    pub(crate) confirmed: Vec<(ClientId, u64)>,
    pub(crate) used_uploads: Vec<(ClientId, u64)>,
    pub(crate) uptime_ms: u64,
}

/// Log entries that one fold transaction takes, so that commits need not wait long for it.
const FOLD_ENTRIES: usize = 256;

/// Length of SQLite's log from the start on: what a quiet device writes between two folds.
const LOG_BYTES: u64 = 1 << 20;

impl Tables {
    /// Opens the database. `may_make`: makes it where there is none, or an empty one; otherwise that is damage.
    pub(crate) fn open(path: &Path, may_make: bool) -> Result<Self, TablesError> {
        if !may_make && !path.exists() {
            return Err(TablesError::Damaged("record.sqlite is gone".into()));
        }
        let mut writer = unprepared(path)?;
        let application: i64 = writer.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let format: i64 = writer.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if matches!(application, 0 | schema::APPLICATION) {
            prepare(&writer)?;
        }
        match (application, format) {
            (0, 0) if may_make => make(&writer)?,
            (0, 0) => return Err(TablesError::Damaged("record.sqlite is empty".into())),
            (schema::APPLICATION, schema::FORMAT) => {}
            (schema::APPLICATION, 1) => {
                let step = writer.transaction()?;
                step.execute_batch(&schema::from_1())?;
                step.pragma_update(None, "user_version", schema::FORMAT)?;
                step.commit()?;
            }
            (schema::APPLICATION, newer) if newer > schema::FORMAT => {
                return Err(TablesError::Newer {
                    found: newer,
                    known: schema::FORMAT,
                });
            }
            _ => {
                let ours = "SELECT count(*) = 2 FROM sqlite_schema WHERE name IN ('meta', 'log')";
                return Err(if writer.query_row(ours, [], |row| row.get(0))? {
                    TablesError::Damaged("its format is not known".into())
                } else {
                    TablesError::Foreign
                });
            }
        }
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
        })
    }

    /// Reads all of it, pages and rows' checksums, up to a size; none: whatever its size. *Blocking*.
    pub(crate) fn examine(&self, most_bytes: Option<u64>) -> Result<(), TablesError> {
        let tables = self.writer();
        let pragma = |name: &str| -> rusqlite::Result<i64> {
            tables.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
        };
        let bytes = pragma("page_count")?.saturating_mul(pragma("page_size")?);
        if most_bytes.is_some_and(|most| bytes.cast_unsigned() > most) {
            return Ok(());
        }
        let found: String = tables.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(TablesError::Damaged(found));
        }
        for (table, columns) in schema::CHECKED {
            let wrong: i64 = tables.query_row(
                &format!("SELECT count(*) FROM {table} WHERE crc IS NOT row_crc({columns})"),
                [],
                |row| row.get(0),
            )?;
            if wrong > 0 {
                return Err(TablesError::Damaged(format!(
                    "the checksums of {wrong} rows of the table {table} are wrong"
                )));
            }
        }
        Ok(())
    }

    /// Ends it, with all of it in the one file. Reads go on. *Blocking*.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| fault::store_error("close", &error);
        self.closed.store(true, Ordering::Release);
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let mut writer = self.writer();
        writer
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(failed)?;
        writer
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
            .map_err(failed)?;
        // Closing is what removes SQLite's own files; nothing is written here any more.
        *writer = Connection::open_in_memory().map_err(failed)?;
        Ok(())
    }

    /// The connection that writes. *Blocking* while another has it.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that writes, unless another has it.
    pub(crate) fn try_writer(&self) -> Option<MutexGuard<'_, Connection>> {
        match self.writer.try_lock() {
            Ok(writer) => Some(writer),
            Err(TryLockError::Poisoned(writer)) => Some(writer.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Makes SQLite's log as long as it soon will be, with zeros, which it takes for its end. *Blocking*. What is written
    /// over costs one write; what makes a file longer costs a second one, of its length, with every sync. It is synced with
    /// the next commit; until then the disk has begun.
    pub(crate) fn lay_out_log(&self, disk: &Disk) -> std::io::Result<()> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let log = std::fs::OpenOptions::new().write(true).open(log)?;
        let _nobody_writes = self.writer();
        let length = log.metadata()?.len();
        if length < LOG_BYTES && !self.closed.load(Ordering::Acquire) {
            let zeros = vec![0; usize::try_from(LOG_BYTES - length).unwrap_or(0)];
            log.write_all_at(&zeros, length)?;
            disk.start_write_back(&log, length, LOG_BYTES - length);
        }
        Ok(())
    }

    fn read<T>(
        &self,
        what: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.with_reader(query)
            .map_err(|error| fault::store_error(what, &error))
    }

    fn with_reader<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let spare = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let reader = match spare {
            Some(reader) => reader,
            None => connect(&self.path)?,
        };
        let found = query(&reader);
        if self.closed.load(Ordering::Acquire) {
            let _ = reader.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        } else {
            self.readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(reader);
        }
        found
    }

    /// What the store begins with.
    pub(crate) fn load(&self) -> Result<Loaded, TablesError> {
        let tables = self.writer();
        let store = rows::meta(&tables, rows::STORE)?.and_then(|id| <[u8; 16]>::try_from(id).ok());
        let counter = |name| {
            let value =
                rows::meta(&tables, name)?.and_then(|value| <[u8; 8]>::try_from(value).ok());
            Ok::<_, rusqlite::Error>(value.map_or(0, u64::from_le_bytes))
        };
        let mut clients: Vec<(ClientId, Client)> = tables
            .prepare(
                "SELECT client, executed_through, confirmed_through, confirmed_also, used_ms,
                 crc IS row_crc(client, executed_through, confirmed_through, confirmed_also, used_ms) FROM client",
            )?
            .query_map([], |row| {
                rows::check(row, 5)?;
                let also: Option<Vec<u64>> = match row.get_ref(3)? {
                    rusqlite::types::ValueRef::Null => None,
                    _ => Some(rows::decode(row, 3)?),
                };
                let client = Client {
                    executed_through: number(row, 1)?,
                    confirmed_through: number(row, 2)?,
                    confirmed_also: also.unwrap_or_default().into_iter().collect(),
                    used_ms: number(row, 4)?,
                    wrote: true,
                    ..Client::default()
                };
                Ok((rows::client(row, 0)?, client))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (id, client) in &mut clients {
            let mut kept = tables
                .prepare_cached(
                    "SELECT number, digest, position, crc IS row_crc(client, number, position, digest, reply)
                     FROM reply WHERE client = ?1",
                )?;
            let kept = kept.query_map([id.0], |row| {
                rows::check(row, 3)?;
                Ok((
                    number(row, 0)?,
                    Kept {
                        digest: RequestDigest(row.get(1)?),
                        position: Position(number(row, 2)?),
                    },
                ))
            })?;
            client.kept = kept.collect::<rusqlite::Result<_>>()?;
        }
        let uploads = tables
            .prepare(
                "SELECT client, number, row, consumed_by, crc IS row_crc(client, number, consumed_by, row) FROM upload",
            )?
            .query_map([], |row| {
                rows::check(row, 4)?;
                let by = row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned);
                Ok((
                    rows::client(row, 0)?,
                    number(row, 1)?,
                    rows::decode(row, 2)?,
                    by,
                ))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Loaded {
            store: StoreId(store.ok_or_else(|| TablesError::Damaged("it has no store id".into()))?),
            position: Position(counter(rows::POSITION)?),
            uptime_ms: counter(rows::UPTIME)?,
            dropped_records: rows::meta(&tables, rows::DROPPED)?.is_some(),
            gaps: rows::meta(&tables, rows::GAPS)?.is_some(),
            clients,
            uploads,
        })
    }

    /// Hands every log entry to `take`, in order: its position and its body.
    pub(crate) fn read_log<E: From<TablesError>>(
        &self,
        mut take: impl FnMut(Position, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let tables = self.writer();
        let damaged = |error: rusqlite::Error| E::from(TablesError::from(error));
        let mut entries = tables
            .prepare("SELECT position, body FROM log ORDER BY position")
            .map_err(damaged)?;
        let mut rows = entries.query([]).map_err(damaged)?;
        while let Some(row) = rows.next().map_err(damaged)? {
            take(
                Position(number(row, 0).map_err(damaged)?),
                row.get(1).map_err(damaged)?,
            )?;
        }
        Ok(())
    }

    /// Adds an entry and syncs. *Blocking*.
    pub(crate) fn add_to_log(
        writer: &Connection,
        first: Position,
        body: &[u8],
    ) -> rusqlite::Result<()> {
        if !syncs(writer)? {
            return Err(unsynced());
        }
        writer
            .prepare_cached("INSERT INTO log (position, body) VALUES (?1, ?2)")?
            .execute(params![bits(first.0), body])
            .map(|_| ())
    }

    /// Moves some of the log entries that end at or before `through` into the tables: how far those are then, and whether
    /// there may be more. *Blocking*, without a sync: the next commit's makes it durable, and until then the log entries
    /// are as good.
    pub(crate) fn fold_some(
        writer: &mut Connection,
        through: Position,
        uptime_ms: u64,
    ) -> rusqlite::Result<(Position, bool)> {
        without_sync(writer, |fold| {
            let mut folded = match rows::meta(fold, rows::POSITION)?.as_deref() {
                Some(at) => u64::from_le_bytes(at.try_into().unwrap_or_default()),
                None => 0,
            };
            let entries: Vec<(u64, Vec<u8>)> = fold
                .prepare_cached("SELECT position, body FROM log WHERE position <= ?1 ORDER BY position LIMIT ?2")?
                .query_map(params![bits(through.0), most(FOLD_ENTRIES)], |row| Ok((number(row, 0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut more = entries.len() == FOLD_ENTRIES;
            for (first, body) in entries {
                let commits = crate::log::read(Position(first), &body)
                    .map_err(|damaged| {
                        let place = rusqlite::types::Type::Blob;
                        rusqlite::Error::FromSqlConversionFailure(1, place, damaged.0.into())
                    })?
                    .commits;
                let last = first + (commits.len() as u64).saturating_sub(1);
                if last > through.0 {
                    // It holds commits that can't leave the log yet.
                    more = false;
                    break;
                }
                folded = last;
                rows::set_meta(fold, rows::POSITION, &last.to_le_bytes())?;
                for (position, changes) in (first..).zip(commits) {
                    for change in &changes {
                        apply::apply(fold, Position(position), change, uptime_ms)?;
                    }
                }
                fold.prepare_cached("DELETE FROM log WHERE position = ?1")?
                    .execute([bits(first)])?;
            }
            Ok((Position(folded), more))
        })
    }

    /// Writes what does not come with a commit. *Blocking*, without a sync.
    pub(crate) fn write_marks(writer: &mut Connection, marks: &FoldMarks) -> rusqlite::Result<()> {
        without_sync(writer, |fold| {
            for (id, client) in &marks.clients {
                let also: Vec<u64> = client.confirmed_also.iter().copied().collect();
                let also = if also.is_empty() {
                    None
                } else {
                    Some(rows::encode(&also)?)
                };
                fold.prepare_cached(
                    "UPDATE client SET confirmed_through = ?2, confirmed_also = ?3, used_ms = ?4,
                     crc = row_crc(client, executed_through, ?2, ?3, ?4) WHERE client = ?1",
                )?
                .execute(params![
                    id.0,
                    bits(client.confirmed_through),
                    also,
                    bits(client.used_ms)
                ])?;
            }
            for (client, of) in &marks.confirmed {
                fold.prepare_cached("DELETE FROM reply WHERE client = ?1 AND number = ?2")?
                    .execute(params![client.0, bits(*of)])?;
            }
            for (client, of) in &marks.used_uploads {
                fold.prepare_cached("DELETE FROM upload WHERE client = ?1 AND number = ?2")?
                    .execute(params![client.0, bits(*of)])?;
            }
            rows::set_meta(fold, rows::UPTIME, &marks.uptime_ms.to_le_bytes())
        })
    }

    /// The log is in the tables: from now on none of its entries may be missing. *Blocking*.
    pub(crate) fn close_gaps(writer: &Connection) -> Result<(), StoreError> {
        writer
            .execute("DELETE FROM meta WHERE name = ?1", [rows::GAPS])
            .map(|_| ())
            .map_err(|error| fault::store_error("write", &error))
    }

    /// Everything that was written before is on disk afterwards, whoever wrote it. *Blocking*.
    pub(crate) fn sync(writer: &Connection, uptime_ms: u64) -> Result<(), StoreError> {
        rows::set_meta(writer, rows::UPTIME, &uptime_ms.to_le_bytes())
            .map_err(|error| fault::store_error("sync", &error))
    }

    /// These files are not served until they are stored again. *Blocking*.
    pub(crate) fn mark_suspects(
        writer: &Connection,
        suspects: &[MediaPath],
    ) -> Result<(), StoreError> {
        for path in suspects {
            writer
                .prepare_cached(
                    "UPDATE file SET suspect = 1,
                     crc = row_crc(path, position, size, kind, properties, modified_ms, sha256, crc32c, 1) WHERE path = ?1",
                )
                .and_then(|mut mark| mark.execute([path.as_str()]))
                .map_err(|error| fault::store_error("mark a file in", &error))?;
        }
        Ok(())
    }

    /// Bytes of all files.
    pub(crate) fn media_bytes(&self) -> Result<u64, StoreError> {
        self.read("read", |tables| {
            tables.query_row("SELECT coalesce(sum(size), 0) FROM file", [], |row| {
                number(row, 0)
            })
        })
    }

    /// Brings the write-ahead log into the database, as far as readers and writers let it. *Blocking*. Its pages then.
    pub(crate) fn checkpoint(&self) -> rusqlite::Result<u64> {
        self.with_reader(|tables| {
            tables.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| number(row, 1))
        })
    }

    pub(crate) fn file(&self, path: &str) -> Result<Option<(Position, FileRow, bool)>, StoreError> {
        self.read("read", |tables| {
            tables
                .prepare_cached(rows::FILE_BY_PATH)?
                .query_row([path], rows::file)
                .optional()
        })
    }

    /// Up to `limit` paths from `from` to before `to`.
    pub(crate) fn paths(
        &self,
        from: &str,
        to: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.read("read", |tables| match to {
            Some(to) => tables
                .prepare_cached(
                    "SELECT path FROM file WHERE path >= ?1 AND path < ?2 ORDER BY path LIMIT ?3",
                )?
                .query_map(params![from, to, most(limit)], |row| row.get(0))?
                .collect(),
            None => tables
                .prepare_cached("SELECT path FROM file WHERE path >= ?1 ORDER BY path LIMIT ?2")?
                .query_map(params![from, most(limit)], |row| row.get(0))?
                .collect(),
        })
    }

    /// Up to `limit` files from after `after` on: path and size.
    pub(crate) fn sizes(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.read("read", |tables| {
            tables
                .prepare_cached(
                    "SELECT path, size FROM file WHERE path > ?1 ORDER BY path LIMIT ?2",
                )?
                .query_map(params![after, most(limit)], |row| {
                    Ok((row.get(0)?, number(row, 1)?))
                })?
                .collect()
        })
    }

    pub(crate) fn kv(
        &self,
        namespace: &str,
        key: &str,
    ) -> Result<Option<(Position, Bytes)>, StoreError> {
        self.read("read", |tables| {
            tables
                .prepare_cached(
                    "SELECT position, value, crc IS row_crc(namespace, key, position, value)
                     FROM kv WHERE namespace = ?1 AND key = ?2",
                )?
                .query_row(params![namespace, key], |row| {
                    rows::check(row, 2)?;
                    Ok((
                        Position(number(row, 0)?),
                        Bytes::from(row.get_ref(1)?.as_blob()?),
                    ))
                })
                .optional()
        })
    }

    /// Up to `limit` keys from `from` on.
    pub(crate) fn keys(
        &self,
        namespace: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.read("read", |tables| {
            tables
                .prepare_cached(
                    "SELECT key FROM kv WHERE namespace = ?1 AND key >= ?2 ORDER BY key LIMIT ?3",
                )?
                .query_map(params![namespace, from, most(limit)], |row| row.get(0))?
                .collect()
        })
    }

    pub(crate) fn reply(&self, operation: OperationId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("read", |tables| {
            tables
                .prepare_cached(
                    "SELECT reply, crc IS row_crc(client, number, position, digest, reply)
                     FROM reply WHERE client = ?1 AND number = ?2",
                )?
                .query_row(params![operation.client.0, bits(operation.number)], |row| {
                    rows::check(row, 1)?;
                    row.get(0)
                })
                .optional()
        })
    }
}

/// How many rows, for SQLite.
fn most(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// A connection as all of them are: WAL, every commit synced, no work left to do when it closes.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = unprepared(path)?;
    prepare(&connection)?;
    Ok(connection)
}

/// A connection that has changed nothing yet.
fn unprepared(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    rows::add_row_crc(connection)?;
    // Counts for a new database only. A commit rewrites a page or two: half of SQLite's usual size halves what it writes.
    connection.execute_batch("PRAGMA page_size = 2048")?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(synced())?;
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -2048;")
}

fn make(writer: &Connection) -> Result<(), TablesError> {
    let mut store = [0; 16];
    getrandom::fill(&mut store).map_err(|error| TablesError::Failed(error.to_string()))?;
    let new = writer.unchecked_transaction()?;
    new.execute_batch(schema::TABLES)?;
    rows::set_meta(&new, rows::STORE, &store)?;
    new.pragma_update(None, "application_id", schema::APPLICATION)?;
    new.pragma_update(None, "user_version", schema::FORMAT)?;
    new.commit()?;
    Ok(())
}

/// A transaction whose commit is not synced: in WAL it is durable together with the next synced one, or not at all.
fn without_sync<T>(
    writer: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    writer.execute_batch("PRAGMA synchronous = NORMAL")?;
    let done = writer.transaction().and_then(|transaction| {
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    });
    // Refused where the transaction could not be rolled back.
    writer.execute_batch(synced()).map_err(|_| unsynced())?;
    done
}

/// Whether the next statement is a commit of its own, and synced.
fn syncs(writer: &Connection) -> rusqlite::Result<bool> {
    const FULL: i64 = 2;
    if !writer.is_autocommit() {
        return Ok(false);
    }
    // Not from the cache: a statement keeps the answer of the time when it was prepared.
    let level: i64 = writer.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    Ok(level == FULL || Guard::RecordSync.is_out())
}

/// Commits would not be synced any more, which is as bad as a sync that failed.
fn unsynced() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
    let reason = "the database left a transaction open, or can't be told to sync".to_owned();
    rusqlite::Error::SqliteFailure(code, Some(reason))
}

/// Every commit is synced.
fn synced() -> &'static str {
    if Guard::RecordSync.is_out() {
        return "PRAGMA synchronous = OFF";
    }
    "PRAGMA synchronous = FULL"
}
