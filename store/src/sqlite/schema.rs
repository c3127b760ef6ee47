//! The tables, and which versions of them this host knows.
//! The format is a contract from version 1 on: a change to it raises [`FORMAT`] and brings a step from the one before.

/// The format that is written, and the newest that is read; in `PRAGMA user_version`.
pub(super) const FORMAT: i64 = 2;

/// "PXLB", in `PRAGMA application_id`.
pub(super) const APPLICATION: i64 = 0x5058_4C42;

/// Tables whose rows have a checksum, and what it covers, in this order: `crc = row_crc(…)`. SQLite finds a page that is
/// out of order, but not a value in which a bit has changed. The log's bodies have a checksum of their own.
pub(super) const CHECKED: [(&str, &str); 6] = [
    ("meta", META),
    ("file", FILE),
    ("kv", KV),
    ("client", CLIENT),
    ("reply", REPLY),
    ("upload", UPLOAD),
];
pub(super) const META: &str = "name, value";
pub(super) const FILE: &str =
    "path, position, size, kind, properties, modified_ms, sha256, crc32c, suspect";
pub(super) const KV: &str = "namespace, key, position, value";
pub(super) const CLIENT: &str =
    "client, executed_through, confirmed_through, confirmed_also, used_ms";
pub(super) const REPLY: &str = "client, number, position, digest, reply";
pub(super) const UPLOAD: &str = "client, number, consumed_by, row";

/// Makes the tables.
///
/// Numbers that may use all 64 bits (a client's) are kept with their bits in SQLite's signed integers; nothing compares
/// them by size. `log`: commits that are not in the other tables yet, see `log`.
pub(super) const TABLES: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    crc INTEGER NOT NULL
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
    suspect INTEGER NOT NULL DEFAULT 0,
    crc INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE kv (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    position INTEGER NOT NULL,
    value BLOB NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE TABLE client (
    client BLOB PRIMARY KEY,
    executed_through INTEGER NOT NULL,
    confirmed_through INTEGER NOT NULL DEFAULT 0,
    confirmed_also BLOB,
    used_ms INTEGER NOT NULL,
    crc INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE reply (
    client BLOB NOT NULL,
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    digest BLOB NOT NULL,
    reply BLOB NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (client, number)
);
CREATE TABLE upload (
    client BLOB NOT NULL,
    number INTEGER NOT NULL,
    consumed_by INTEGER,
    row BLOB NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (client, number)
) WITHOUT ROWID;
";

/// Brings format 1, whose rows had no checksum, to format 2.
pub(super) fn from_1() -> String {
    CHECKED
        .iter()
        .map(|(table, columns)| {
            format!(
                "ALTER TABLE {table} ADD COLUMN crc INTEGER NOT NULL DEFAULT 0;
                 UPDATE {table} SET crc = row_crc({columns});"
            )
        })
        .collect()
}
