//! The opcode table: what a device offers, with arguments, defaults and docs.
//! Invariant: an entry that passed [`OpEntry::check`] matches its own defaults.
//! Not here: where entries come from (plugins' manifests); matching of arguments (`arguments`).
//! A map with keys of a later version reads as what this version knows of it.

mod map;

use crate::arguments::{Fit, fit, in_range};
use crate::codec::{Field, Writer, body};
use crate::error::EncodeError;
use crate::limits;
use crate::opcode;
use crate::value::{Value, keys_are_unique};

body! {
    /// Asks for the opcode table.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    GetTable {}

    /// A part of the opcode table; see [`Table::parts`].
    #[derive(Clone, Debug, PartialEq)]
    Table {
        /// Of the whole table.
        digest: [u8; 16],
        /// The number of opcodes.
        total: u32,
        /// The index of the first one in this frame.
        first: u32,
        /// Each an [`OpEntry`] as a map, sorted by opcode.
        ops: Vec<Value>,
    }

    /// The table is another one now.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    TableChanged {
        /// Of the whole table.
        digest: [u8; 16],
    }
}

/// What an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgKind {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number; an int is taken and made a float.
    Float,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// Text, bytes or an upload.
    Data,
    /// A list.
    List,
    /// A map.
    Map,
    /// Everything that a request may hold.
    Any,
}

impl ArgKind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::Bool,
        Self::Int,
        Self::Float,
        Self::Text,
        Self::Bytes,
        Self::Data,
        Self::List,
        Self::Map,
        Self::Any,
    ];

    /// As in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Data => "data",
            Self::List => "list",
            Self::Map => "map",
            Self::Any => "any",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// One argument of an opcode.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgEntry {
    /// 1 to 32 of `[a-z0-9_]`, no digit first.
    pub name: String,
    /// What it takes.
    pub kind: ArgKind,
    /// What it is for.
    pub doc: String,
    /// None: required. Null: absent.
    pub default: Option<Value>,
    /// The only values it takes; empty: any.
    pub choices: Vec<Value>,
    /// The least it takes, for numbers. None or `-f64::MAX`: open.
    pub min: Option<f64>,
    /// The most it takes, for numbers. None or `f64::MAX`: open.
    pub max: Option<f64>,
}

impl ArgEntry {
    /// A required argument.
    #[must_use]
    pub fn new(name: &str, kind: ArgKind, doc: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            doc: doc.to_owned(),
            default: None,
            choices: Vec::new(),
            min: None,
            max: None,
        }
    }

    /// Made optional.
    #[must_use]
    pub fn or(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// Whether it must be given.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.default.is_none()
    }
}

/// One opcode.
#[derive(Clone, Debug, PartialEq)]
pub struct OpEntry {
    /// 1 to 32 of `[a-z0-9_-]`.
    pub op: String,
    /// The plugin that offers it; `host` for the host's own.
    pub plugin: String,
    /// The first line is the short form.
    pub doc: String,
    /// In order; required ones first.
    pub args: Vec<ArgEntry>,
    /// What the reply holds, in words.
    pub returns: String,
}

/// Why an entry cannot be in the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The entry or one of its arguments lacks a key, or the key has another type.
    #[error("an entry of the opcode table must have {key} as {expected}")]
    Key {
        /// The key.
        key: &'static str,
        /// Its type.
        expected: &'static str,
    },
    /// Not one of [`ArgKind::ALL`].
    #[error(
        "{op}: {arg} must be one of bool, int, float, text, bytes, data, list, map, any, got {kind}"
    )]
    Kind {
        /// The opcode.
        op: String,
        /// The argument.
        arg: String,
        /// The type that came.
        kind: String,
    },
    /// Not the name of an opcode.
    #[error("an opcode must be 1 to 32 of a-z, 0-9, _ and -, got {0:?}")]
    Opcode(String),
    /// Something about an argument.
    #[error("{op}: {arg} {fault}")]
    Argument {
        /// The opcode.
        op: String,
        /// The argument.
        arg: String,
        /// What must change.
        fault: &'static str,
    },
}

impl OpEntry {
    /// As a map, for [`Table`].
    #[must_use]
    pub fn to_value(&self) -> Value {
        map::entry_to_value(self)
    }

    /// From a map of a [`Table`]; keys that are not known are ignored.
    ///
    /// # Errors
    /// When a key is missing or of another type.
    pub fn from_value(value: &Value) -> Result<Self, TableError> {
        map::entry_from_value(value)
    }

    /// The arguments as a person writes them: `(path: text, mode: text = "a")`.
    #[must_use]
    pub fn parameters(&self) -> String {
        let args: Vec<String> = self
            .args
            .iter()
            .map(|arg| match &arg.default {
                None => format!("{}: {}", arg.name, arg.kind.name()),
                Some(default) => format!("{}: {} = {default}", arg.name, arg.kind.name()),
            })
            .collect();
        format!("({})", args.join(", "))
    }

    /// Whether the entry makes sense; a host asks before it takes a plugin in.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), TableError> {
        if !opcode::valid(&self.op) {
            return Err(TableError::Opcode(self.op.clone()));
        }
        let mut optional_before = false;
        for (index, arg) in self.args.iter().enumerate() {
            let twice = self
                .args
                .iter()
                .take(index)
                .any(|other| other.name == arg.name);
            let fault = if twice {
                Some("is there twice")
            } else if optional_before && arg.is_required() {
                Some("is required and must come before the optional arguments")
            } else {
                argument_fault(arg)
            };
            if let Some(fault) = fault {
                return Err(TableError::Argument {
                    op: self.op.clone(),
                    arg: arg.name.clone(),
                    fault,
                });
            }
            optional_before |= !arg.is_required();
        }
        Ok(())
    }
}

fn argument_fault(arg: &ArgEntry) -> Option<&'static str> {
    let letters = arg
        .name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let digit_first = arg.name.starts_with(|first: char| first.is_ascii_digit());
    if !letters || digit_first || !(1..=limits::OPCODE_BYTES).contains(&arg.name.len()) {
        return Some("must be named by 1 to 32 of a-z, 0-9 and _, no digit first");
    }
    if arg.min.is_some() || arg.max.is_some() {
        if !matches!(arg.kind, ArgKind::Int | ArgKind::Float) {
            return Some("has a range and must be int or float");
        }
        let (least, most) = (arg.min.unwrap_or(f64::MIN), arg.max.unwrap_or(f64::MAX));
        if least
            .partial_cmp(&most)
            .is_none_or(std::cmp::Ordering::is_gt)
        {
            return Some("has a range whose min must not be above its max");
        }
    }
    let choice = |value: &Value| {
        matches!(value, Value::Text(_) | Value::Int(_) | Value::Float(_))
            && fit(arg.kind, value) != Fit::No
    };
    if !arg.choices.iter().all(choice) {
        return Some("must have choices of its own type: text, int or float");
    }
    match &arg.default {
        None | Some(Value::Null) => None,
        Some(default) if fit(arg.kind, default) == Fit::No => {
            Some("must have a default of its own type")
        }
        Some(default) if !in_range(arg, default) => Some("must have a default inside its range"),
        Some(default) if !crate::arguments::in_choices(arg, default) => {
            Some("must have a default among its choices")
        }
        Some(Value::Map(entries)) if !keys_are_unique(entries) => {
            Some("must have each key once in its default")
        }
        Some(_) => None,
    }
}

/// The first 16 bytes of SHA-256 over the encoded maps one after the other.
///
/// # Errors
/// When a map is beyond the limits of values.
pub fn table_digest(ops: &[Value]) -> Result<[u8; 16], EncodeError> {
    let mut encoded = Vec::new();
    for op in ops {
        encode_one(op, &mut encoded)?;
    }
    Ok(crate::short_sha256(&[&encoded]))
}

/// Appends the encoding of one value; gives the values in it.
fn encode_one(op: &Value, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
    let mut to = Writer::new(out, "an opcode's entry", limits::OP_ENTRY_BYTES);
    Value::admit_put(&mut to, 1)?;
    op.put(&mut to)?;
    let nodes = limits::NODES - to.nodes_left;
    to.finish()?;
    Ok(nodes)
}

/// Bytes of the maps in one part: a frame less digest, total, first and count.
const PART_BYTES: usize = limits::FRAME_BYTES - 32;

impl Table {
    /// Splits the whole table, sorted by opcode, into frames within the limits; an empty table is one frame.
    ///
    /// # Errors
    /// When an entry alone is beyond the limits.
    pub fn parts(ops: Vec<Value>) -> Result<Vec<Self>, EncodeError> {
        let digest = table_digest(&ops)?;
        let total = ops.len() as u32;
        let mut parts = vec![Self {
            digest,
            total,
            first: 0,
            ops: Vec::new(),
        }];
        let (mut bytes, mut nodes) = (0, 0);
        let mut scratch = Vec::new();
        for (index, op) in ops.into_iter().enumerate() {
            scratch.clear();
            let op_nodes = encode_one(&op, &mut scratch)?;
            if bytes + scratch.len() > PART_BYTES || nodes + op_nodes > limits::NODES {
                parts.push(Self {
                    digest,
                    total,
                    first: index as u32,
                    ops: Vec::new(),
                });
                (bytes, nodes) = (0, 0);
            }
            bytes += scratch.len();
            nodes += op_nodes;
            if let Some(part) = parts.last_mut() {
                part.ops.push(op);
            }
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests;
