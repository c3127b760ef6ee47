//! The opcode table: which plugin answers which opcode.
//! Invariant: replaced whole; a call that has its turn sees one table from beginning to end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use pixelboy_protocol::{OpEntry, Table as TableFrame, Value, table_digest};

use super::host_ops::{self, HostOp};
use super::lane::Lane;
use crate::plugin::seat::Seat;
use crate::plugin::version::Version;

/// Who answers.
#[derive(Clone)]
pub(crate) enum Handler {
    /// The host itself.
    Host(HostOp),
    /// A plugin's current version.
    Plugin(Serving),
}

/// A plugin as it serves.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) seat: Arc<Seat>,
    pub(crate) version: Arc<Version>,
    pub(crate) lane: Lane,
}

/// One opcode.
pub(crate) struct Row {
    pub(crate) entry: OpEntry,
    pub(crate) handler: Handler,
}

/// The whole table at one time.
pub(crate) struct Table {
    rows: HashMap<String, Arc<Row>>,
    /// By name, those without an opcode too.
    plugins: HashMap<Arc<str>, Serving>,
    parts: Vec<TableFrame>,
    pub(crate) digest: [u8; 16],
}

/// Why plugins can't be put into one table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TableClash {
    /// Two want one opcode.
    #[error(
        "opcode {op} is offered by {first} already; {second} is not taken in: remove or rename one of them"
    )]
    Twice {
        /// The opcode.
        op: String,
        /// Who has it.
        first: String,
        /// Who wants it too.
        second: String,
    },
    /// A doc is too long for a frame.
    #[error("the opcode table can't be sent: {0}; shorten the docs")]
    TooLarge(String),
}

impl Table {
    /// Of the host's own opcodes and these plugins'.
    pub(crate) fn new<'a>(
        plugins: impl IntoIterator<Item = &'a Serving>,
    ) -> Result<Self, TableClash> {
        let mut rows: HashMap<String, Arc<Row>> = host_ops::rows()
            .into_iter()
            .map(|(entry, op)| {
                (
                    entry.op.clone(),
                    Arc::new(Row {
                        entry,
                        handler: Handler::Host(op),
                    }),
                )
            })
            .collect();
        let mut by_name = HashMap::new();
        for serving in plugins {
            by_name.insert(serving.seat.name.clone(), serving.clone());
            for entry in &serving.version.manifest.rows {
                if let Some(first) = rows.get(&entry.op) {
                    return Err(TableClash::Twice {
                        op: entry.op.clone(),
                        first: first.entry.plugin.clone(),
                        second: entry.plugin.clone(),
                    });
                }
                let handler = Handler::Plugin(serving.clone());
                rows.insert(
                    entry.op.clone(),
                    Arc::new(Row {
                        entry: entry.clone(),
                        handler,
                    }),
                );
            }
        }
        let mut entries: Vec<&OpEntry> = rows.values().map(|row| &row.entry).collect();
        entries.sort_by(|a, b| a.op.cmp(&b.op));
        let values: Vec<Value> = entries.into_iter().map(OpEntry::to_value).collect();
        let too_large =
            |error: pixelboy_protocol::EncodeError| TableClash::TooLarge(error.to_string());
        let digest = table_digest(&values).map_err(too_large)?;
        let parts = TableFrame::parts(values).map_err(too_large)?;
        Ok(Self {
            rows,
            plugins: by_name,
            parts,
            digest,
        })
    }

    /// Who answers `op`.
    pub(crate) fn row(&self, op: &str) -> Option<&Arc<Row>> {
        self.rows.get(op)
    }

    /// A plugin as it serves.
    pub(crate) fn plugin(&self, name: &str) -> Option<&Serving> {
        self.plugins.get(name)
    }

    /// All plugins.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = &Serving> {
        self.plugins.values()
    }

    /// The plugins that are to be told of events of this kind.
    pub(crate) fn listeners(&self, kind: &str) -> Vec<Arc<str>> {
        let plugins = self.plugins.iter();
        let listeners = plugins.filter(|(_, serving)| serving.version.listens(kind));
        listeners.map(|(name, _)| name.clone()).collect()
    }

    /// For clients that ask.
    pub(crate) fn parts(&self) -> &[TableFrame] {
        &self.parts
    }

    /// All opcodes, for a hint.
    pub(crate) fn ops(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }
}

/// The table in force.
pub(crate) struct Board {
    table: ArcSwap<Table>,
    /// Rises with each table.
    edition: AtomicU64,
    changes: tokio::sync::watch::Sender<[u8; 16]>,
}

impl Board {
    /// With a first table.
    pub(crate) fn new(table: Table) -> Self {
        let (changes, _) = tokio::sync::watch::channel(table.digest);
        Self {
            table: ArcSwap::from_pointee(table),
            edition: AtomicU64::new(0),
            changes,
        }
    }

    /// The table in force, cheap.
    pub(crate) fn now(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Puts another table in force and tells who listens.
    pub(crate) fn replace(&self, table: Table) {
        let digest = table.digest;
        self.table.store(Arc::new(table));
        self.edition.fetch_add(1, Ordering::Release);
        self.changes
            .send_if_modified(|now| std::mem::replace(now, digest) != digest);
    }

    /// Who answers `op`, with the edition of the table that says so, or of one before it.
    pub(crate) fn find(&self, op: &str) -> (Option<Arc<Row>>, u64) {
        let edition = self.edition();
        (self.now().row(op).cloned(), edition)
    }

    /// As long as it stays the same, so does what `find` found.
    pub(crate) fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// Digests of tables to come.
    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<[u8; 16]> {
        self.changes.subscribe()
    }
}
