//! The tables, and which versions of them this host knows.
//! The format is a contract from version 1 on: a change to it raises [`FORMAT`] and brings a step from the one before.

/// The format that is written, and the newest that is read; in `PRAGMA user_version`.
pub(super) const FORMAT: i64 = 1;

/// "PXLB", in `PRAGMA application_id`.
pub(super) const APPLICATION: i64 = 0x5058_4C42;

/// Makes the tables of format 1.
///
/// Numbers that may use all 64 bits (a client's) are kept with their bits in SQLite's signed integers; nothing compares
/// them by size. `log`: commits that are not in the other tables yet, see `log`.
pub(super) const TABLES: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);
CREATE TABLE file (
    path TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    size INTEGER NOT NULL,
    kind TEXT NOT NULL,
    properties BLOB,
    modified_ms INTEGER NOT NULL,
    sha256 BLOB,
    crc32c INTEGER NOT NULL,
    suspect INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE kv (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    position INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE TABLE client (
    client BLOB PRIMARY KEY,
    executed_through INTEGER NOT NULL,
    confirmed_through INTEGER NOT NULL DEFAULT 0,
    confirmed_also BLOB,
    used_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE reply (
    client BLOB NOT NULL,
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    digest BLOB NOT NULL,
    reply BLOB NOT NULL,
    PRIMARY KEY (client, number)
);
CREATE TABLE upload (
    client BLOB NOT NULL,
    number INTEGER NOT NULL,
    consumed_by INTEGER,
    row BLOB NOT NULL,
    PRIMARY KEY (client, number)
) WITHOUT ROWID;
";
