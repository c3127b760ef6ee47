//! An entry of the opcode table as the map that travels.
//! Invariant: the keys are written in the specification's order, so that the digest is the same everywhere.

use super::{ArgEntry, ArgKind, OpEntry, TableError};
use crate::value::Value;

pub(super) fn entry_to_value(entry: &OpEntry) -> Value {
    Value::Map(vec![
        ("op".to_owned(), entry.op.as_str().into()),
        ("plugin".to_owned(), entry.plugin.as_str().into()),
        ("doc".to_owned(), entry.doc.as_str().into()),
        (
            "args".to_owned(),
            Value::List(entry.args.iter().map(arg_to_value).collect()),
        ),
        ("returns".to_owned(), entry.returns.as_str().into()),
    ])
}

fn arg_to_value(arg: &ArgEntry) -> Value {
    let mut map = vec![
        ("name".to_owned(), arg.name.as_str().into()),
        ("type".to_owned(), arg.kind.name().into()),
        ("doc".to_owned(), arg.doc.as_str().into()),
    ];
    if let Some(default) = &arg.default {
        map.push(("default".to_owned(), default.clone()));
    }
    if !arg.choices.is_empty() {
        map.push(("choices".to_owned(), Value::List(arg.choices.clone())));
    }
    if let Some(min) = arg.min {
        map.push(("min".to_owned(), min.into()));
    }
    if let Some(max) = arg.max {
        map.push(("max".to_owned(), max.into()));
    }
    Value::Map(map)
}

pub(super) fn entry_from_value(value: &Value) -> Result<OpEntry, TableError> {
    let op = text(value, "op")?;
    let args = value
        .get("args")
        .and_then(Value::as_list)
        .ok_or(TableError::Key {
            key: "args",
            expected: "list",
        })?
        .iter()
        .map(|arg| arg_from_value(&op, arg))
        .collect::<Result<_, _>>()?;
    Ok(OpEntry {
        plugin: text(value, "plugin")?,
        doc: text(value, "doc")?,
        args,
        returns: text(value, "returns")?,
        op,
    })
}

fn arg_from_value(op: &str, value: &Value) -> Result<ArgEntry, TableError> {
    let name = text(value, "name")?;
    let kind = text(value, "type")?;
    let kind = match ArgKind::from_name(&kind) {
        Some(kind) => kind,
        None => {
            return Err(TableError::Kind {
                op: op.to_owned(),
                arg: name,
                kind,
            });
        }
    };
    let choices = match value.get("choices") {
        None => Vec::new(),
        Some(Value::List(choices)) => choices.clone(),
        Some(_) => {
            return Err(TableError::Key {
                key: "choices",
                expected: "list",
            });
        }
    };
    Ok(ArgEntry {
        name,
        kind,
        doc: text(value, "doc")?,
        default: value.get("default").cloned(),
        choices,
        min: number(value, "min")?,
        max: number(value, "max")?,
    })
}

fn text(map: &Value, key: &'static str) -> Result<String, TableError> {
    map.get(key)
        .and_then(Value::as_text)
        .map(str::to_owned)
        .ok_or(TableError::Key {
            key,
            expected: "text",
        })
}

fn number(map: &Value, key: &'static str) -> Result<Option<f64>, TableError> {
    match map.get(key) {
        None => Ok(None),
        Some(value) => value.as_float().map(Some).ok_or(TableError::Key {
            key,
            expected: "number",
        }),
    }
}
