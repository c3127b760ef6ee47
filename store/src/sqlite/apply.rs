//! How a commit enters the tables.
//! Invariant: the same as `Memory::apply` does in memory; both take changes in the order of their commits.

use rusqlite::{Connection, params};

use super::rows::{self, bits};
use crate::Position;
use crate::change::Change;

/// Puts one change of the commit at `position` into the tables. `uptime_ms`: the store's uptime now.
pub(super) fn apply(
    tables: &Connection,
    position: Position,
    change: &Change,
    uptime_ms: u64,
) -> rusqlite::Result<()> {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        tables.prepare_cached(sql)?.execute(params).map(|_| ())
    };
    let at = bits(position.0);
    match change {
        Change::File { path, row, redo: _ } => run(
            "INSERT OR REPLACE INTO file (path, position, size, kind, properties, modified_ms, sha256, crc32c, suspect, crc)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, row_crc(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0))",
            params![
                path,
                at,
                bits(row.size),
                row.kind,
                rows::properties(&row.properties)?,
                bits(row.modified_ms),
                row.sha256.map(|sha256| sha256.0),
                row.crc32c,
            ],
        ),
        Change::NoFile { path } => run("DELETE FROM file WHERE path = ?1", params![path]),
        Change::Kv { namespace, key, value: Some(value) } => run(
            "INSERT OR REPLACE INTO kv (namespace, key, position, value, crc)
             VALUES (?1, ?2, ?3, ?4, row_crc(?1, ?2, ?3, ?4))",
            params![namespace, key, at, &value[..]],
        ),
        Change::Kv { namespace, key, value: None } => {
            run("DELETE FROM kv WHERE namespace = ?1 AND key = ?2", params![namespace, key])
        }
        Change::Ran { client, number, digest, reply } => {
            run(
                "INSERT INTO client (client, executed_through, confirmed_through, confirmed_also, used_ms, crc)
                 VALUES (?1, ?2, 0, NULL, ?3, row_crc(?1, ?2, 0, NULL, ?3))
                 ON CONFLICT (client) DO UPDATE SET executed_through = ?2, used_ms = ?3,
                 crc = row_crc(client, ?2, confirmed_through, confirmed_also, ?3)",
                params![client.0, bits(*number), bits(uptime_ms)],
            )?;
            run(
                "INSERT OR REPLACE INTO reply (client, number, position, digest, reply, crc)
                 VALUES (?1, ?2, ?3, ?4, ?5, row_crc(?1, ?2, ?3, ?4, ?5))",
                params![client.0, bits(*number), at, digest.0, reply],
            )
        }
        Change::Answer { client, number, reply } => run(
            "UPDATE reply SET reply = ?3, position = ?4, crc = row_crc(client, number, ?4, digest, ?3)
             WHERE client = ?1 AND number = ?2",
            params![client.0, bits(*number), reply, at],
        ),
        Change::Upload { client, number, row } => run(
            "INSERT OR REPLACE INTO upload (client, number, consumed_by, row, crc)
             VALUES (?1, ?2, NULL, ?3, row_crc(?1, ?2, NULL, ?3))",
            params![client.0, bits(*number), rows::upload(row)?],
        ),
        Change::UploadConsumed { client, number, by } => run(
            "UPDATE upload SET consumed_by = ?3, crc = row_crc(client, number, ?3, row)
             WHERE client = ?1 AND number = ?2",
            params![client.0, bits(*number), bits(*by)],
        ),
        Change::NoUpload { client, number } => {
            run("DELETE FROM upload WHERE client = ?1 AND number = ?2", params![client.0, bits(*number)])
        }
        Change::Forget { client, dropped } => {
            run("DELETE FROM client WHERE client = ?1", params![client.0])?;
            run("DELETE FROM reply WHERE client = ?1", params![client.0])?;
            run("DELETE FROM upload WHERE client = ?1", params![client.0])?;
            if *dropped {
                rows::set_meta(tables, rows::DROPPED, &[1])?;
            }
            Ok(())
        }
    }
}
