//! What a plugin says of itself in `describe`, checked.
//! Invariant: a manifest that is accepted has valid, distinct opcodes whose arguments can be matched.
//! A fault names the opcode and the argument; the version is not loaded.

use std::sync::{Arc, Mutex, PoisonError};

use pixelboy_protocol::Value;
use pixelboy_protocol::table::{ArgEntry, ArgKind, OpEntry};
use wasmtime::component::Resource;

use super::contract::pixelboy::plugin::calls;
use super::contract::pixelboy::plugin::types::Values;
use super::values::from_guest;
use crate::capability::Guest;
use crate::capability::errand::EVENTS;

/// What a loaded version offers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifest {
    pub(crate) version: String,
    pub(crate) about: String,
    /// The kinds of events it wants to be told.
    pub(crate) events: Vec<&'static str>,
    pub(crate) rows: Vec<OpEntry>,
}

/// A manifest while the guest fills it; the resource behind `manifest`.
#[derive(Default)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct Draft {
    version: String,
    about: String,
    events: Vec<String>,
    rows: Vec<DraftRow>,
}

/// One row while the guest fills it; the resource behind `opcode`.
#[derive(Clone)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct DraftRow(Arc<Mutex<Row>>);

struct Row {
    entry: OpEntry,
    fault: Option<String>,
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
#[error("the plugin's manifest is wrong: {0}")]
pub(crate) struct BadManifest(String);

/// More opcodes than a device can want in one plugin.
const MAX_OPCODES: usize = 256;
/// Arguments of one opcode.
const MAX_ARGUMENTS: usize = 16;
/// Kinds of events that are looked at.
const MAX_EVENTS: usize = 64;
/// Bytes of one doc text.
const MAX_DOC_BYTES: usize = 4096;

impl Draft {
    /// The finished manifest of plugin `name`.
    pub(crate) fn finish(self, name: &str) -> Result<Manifest, BadManifest> {
        if self.rows.len() > MAX_OPCODES {
            let count = self.rows.len();
            return Err(BadManifest(format!(
                "{count} opcodes, at most {MAX_OPCODES} are allowed"
            )));
        }
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let row = row.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut entry = row.entry.clone();
            entry.plugin = name.to_owned();
            let op = &entry.op;
            if let Some(fault) = &row.fault {
                return Err(BadManifest(format!("{op}: {fault}")));
            }
            entry
                .check()
                .map_err(|error| BadManifest(error.to_string()))?;
            if rows.iter().any(|other: &OpEntry| other.op == *op) {
                return Err(BadManifest(format!("{op} is there twice")));
            }
            rows.push(entry);
        }
        Ok(Manifest {
            version: self.version,
            about: self.about,
            events: events(name, &self.events),
            rows,
        })
    }
}

/// Those that there are; others may come from a later version of the contract.
fn events(plugin: &str, wanted: &[String]) -> Vec<&'static str> {
    let known = |kind: &String| EVENTS.iter().find(|(known, _)| known == kind);
    for kind in wanted.iter().filter(|kind| known(kind).is_none()) {
        let names: Vec<&str> = EVENTS.iter().map(|(name, _)| *name).collect();
        let names = names.join(" ");
        tracing::warn!(
            plugin,
            kind,
            "the plugin asks for events that never come; there are: {names}"
        );
    }
    let known = wanted.iter().filter_map(known);
    known.map(|(name, _)| *name).collect()
}

impl DraftRow {
    fn new(op: String) -> Self {
        let entry = OpEntry {
            op,
            plugin: String::new(),
            doc: String::new(),
            args: Vec::new(),
            returns: String::new(),
        };
        Self(Arc::new(Mutex::new(Row { entry, fault: None })))
    }

    /// Changes the row; the first fault is kept for `finish`.
    fn change(&self, change: impl FnOnce(&mut OpEntry) -> Result<(), String>) {
        let mut row = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(fault) = change(&mut row.entry) {
            row.fault.get_or_insert(fault);
        }
    }

    fn add(&self, name: String, kind: &str, doc: String, default: Option<Value>) {
        self.change(|entry| {
            let Some(known) = ArgKind::from_name(kind) else {
                let names: Vec<_> = ArgKind::ALL.iter().map(|kind| kind.name()).collect();
                return Err(format!(
                    "{name}: {kind:?} is no type; the types are {}",
                    names.join(", ")
                ));
            };
            if entry.args.len() >= MAX_ARGUMENTS {
                return Err(format!("more than {MAX_ARGUMENTS} arguments"));
            }
            let mut arg = ArgEntry::new(&short(name), known, &short(doc));
            arg.default = default;
            entry.args.push(arg);
            Ok(())
        });
    }

    fn limit(&self, name: &str, limit: impl FnOnce(&mut ArgEntry) -> Result<(), String>) {
        self.change(
            |entry| match entry.args.iter_mut().find(|arg| arg.name == name) {
                Some(arg) => limit(arg),
                None => Err(format!("there is no argument {name} to limit")),
            },
        );
    }
}

fn short(mut doc: String) -> String {
    if doc.len() > MAX_DOC_BYTES {
        let end = (0..=MAX_DOC_BYTES)
            .rev()
            .find(|&at| doc.is_char_boundary(at))
            .unwrap_or(0);
        doc.truncate(end);
    }
    doc
}

/// Plain values: a manifest has no handles to give.
fn plain(values: Values) -> Result<Vec<Value>, String> {
    let mut handle = false;
    let values = from_guest(values, |_| {
        handle = true;
        Value::Null
    })
    .map_err(|error| error.to_string())?;
    if handle {
        Err("a manifest's value can't be a handle".into())
    } else {
        Ok(values)
    }
}

impl calls::HostManifest for Guest {
    fn version(&mut self, this: Resource<Draft>, version: String) -> wasmtime::Result<()> {
        self.table.get_mut(&this)?.version = short(version);
        Ok(())
    }

    fn about(&mut self, this: Resource<Draft>, text: String) -> wasmtime::Result<()> {
        self.table.get_mut(&this)?.about = short(text);
        Ok(())
    }

    fn events(&mut self, this: Resource<Draft>, mut kinds: Vec<String>) -> wasmtime::Result<()> {
        kinds.truncate(MAX_EVENTS);
        self.table.get_mut(&this)?.events = kinds;
        Ok(())
    }

    fn opcode(
        &mut self,
        this: Resource<Draft>,
        name: String,
    ) -> wasmtime::Result<Resource<DraftRow>> {
        let row = DraftRow::new(short(name));
        let draft = self.table.get_mut(&this)?;
        if draft.rows.len() <= MAX_OPCODES {
            draft.rows.push(row.clone());
        }
        Ok(self.table.push(row)?)
    }

    fn drop(&mut self, this: Resource<Draft>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl calls::HostOpcode for Guest {
    fn doc(&mut self, this: Resource<DraftRow>, text: String) -> wasmtime::Result<()> {
        self.table.get(&this)?.change(|entry| {
            entry.doc = short(text);
            Ok(())
        });
        Ok(())
    }

    fn arg(
        &mut self,
        this: Resource<DraftRow>,
        name: String,
        kind: String,
        doc: String,
    ) -> wasmtime::Result<()> {
        self.table.get(&this)?.add(name, &kind, doc, None);
        Ok(())
    }

    fn optional(
        &mut self,
        this: Resource<DraftRow>,
        name: String,
        kind: String,
        doc: String,
        default: Values,
    ) -> wasmtime::Result<()> {
        let row = self.table.get(&this)?;
        match plain(default).map(|mut values| (values.len(), values.pop())) {
            Ok((0, _)) => row.add(name, &kind, doc, Some(Value::Null)),
            Ok((1, default)) => row.add(name, &kind, doc, default),
            Ok((count, _)) => row.change(|_| Err(format!("{name} has {count} defaults"))),
            Err(fault) => row.change(|_| Err(format!("the default of {name}: {fault}"))),
        }
        Ok(())
    }

    fn choices(
        &mut self,
        this: Resource<DraftRow>,
        arg: String,
        choices: Values,
    ) -> wasmtime::Result<()> {
        let choices = plain(choices);
        self.table.get(&this)?.limit(&arg, |entry| {
            let choices = choices.map_err(|fault| format!("the choices of {arg}: {fault}"))?;
            entry.choices = choices;
            Ok(())
        });
        Ok(())
    }

    fn range(
        &mut self,
        this: Resource<DraftRow>,
        arg: String,
        min: f64,
        max: f64,
    ) -> wasmtime::Result<()> {
        self.table.get(&this)?.limit(&arg, |entry| {
            entry.min = (min > f64::MIN).then_some(min);
            entry.max = (max < f64::MAX).then_some(max);
            Ok(())
        });
        Ok(())
    }

    fn returns(&mut self, this: Resource<DraftRow>, doc: String) -> wasmtime::Result<()> {
        self.table.get(&this)?.change(|entry| {
            entry.returns = short(doc);
            Ok(())
        });
        Ok(())
    }

    fn drop(&mut self, this: Resource<DraftRow>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
