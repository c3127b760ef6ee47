//! Matches what a request brings against an entry of the opcode table; host and clients do it alike.
//! Invariant: what comes out has one value for each argument of the entry, in its order and of its type.
//! Not here: what a value means to the opcode, and whether an upload exists.
//! A mismatch changes nothing and says what the opcode takes and what came.

use std::borrow::Cow;

use crate::table::{ArgEntry, ArgKind, OpEntry};
use crate::value::Value;

/// The arguments do not match; becomes the message of a `bad-arguments` failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} takes {takes}{}", match reason { Some(reason) => format!(": {reason}"), None => format!(", got {got}") })]
pub struct ArgumentError {
    /// The opcode.
    pub op: String,
    /// `(path: text, mode: text = "a")`.
    pub takes: String,
    /// The types that came: `(text, mode: int)`; told where there is no other reason.
    pub got: String,
    /// Where the types do not tell it: `mode must be one of "a", "w", "r+", got "x"`.
    pub reason: Option<String>,
}

/// One complete list of values, in the entry's order: by position, by name, then defaults.
/// Null for an optional argument is taken as absent.
/// An int becomes a float where the entry says so.
///
/// Allocates nothing where everything came by position and nothing is left out.
///
/// # Errors
/// When something is missing, too much, twice, of a wrong type, out of range or not among the choices.
pub fn match_arguments(
    entry: &OpEntry,
    mut args: Vec<Value>,
    mut kwargs: Vec<(String, Value)>,
) -> Result<Vec<Value>, ArgumentError> {
    if is_legacy_nothing(entry, &args, &kwargs) {
        args.clear();
    }
    check(entry, &args, &kwargs).map_err(|reason| ArgumentError {
        op: entry.op.clone(),
        takes: entry.parameters(),
        got: types(&args, &kwargs),
        reason: reason.map(Cow::into_owned),
    })?;
    let by_position = args.len();
    args.reserve_exact(entry.args.len().saturating_sub(by_position));
    for arg in entry.args.iter().skip(by_position) {
        let named = kwargs.iter_mut().find(|(name, _)| *name == arg.name);
        args.push(match named {
            Some((_, value)) => std::mem::take(value),
            None => Value::Null,
        });
    }
    for (arg, value) in entry.args.iter().zip(&mut args) {
        if let (Value::Null, Some(default)) = (&*value, &arg.default) {
            value.clone_from(default);
        }
        if let (ArgKind::Float, Value::Int(number)) = (arg.kind, &*value) {
            *value = Value::Float(*number as f64);
        }
    }
    Ok(args)
}

/// Old clients send `(true, true)` with opcodes that have no argument, or a single optional one.
fn is_legacy_nothing(entry: &OpEntry, args: &[Value], kwargs: &[(String, Value)]) -> bool {
    matches!(args, [Value::Bool(true), Value::Bool(true)])
        && kwargs.is_empty()
        && entry.args.len() <= 1
        && !entry.args.iter().any(ArgEntry::is_required)
}

/// Why it does not match; none within where the types tell it already.
type Reason = Option<Cow<'static, str>>;

fn check(entry: &OpEntry, args: &[Value], kwargs: &[(String, Value)]) -> Result<(), Reason> {
    if args.len() > entry.args.len() {
        return Err(None);
    }
    for (arg, value) in entry.args.iter().zip(args) {
        check_one(arg, value)?;
    }
    for (index, (name, value)) in kwargs.iter().enumerate() {
        let Some((position, arg)) = entry
            .args
            .iter()
            .enumerate()
            .find(|(_, arg)| arg.name == *name)
        else {
            return Err(Some(
                format!("no argument named {}", shown_name(name)).into(),
            ));
        };
        if position < args.len() || kwargs.iter().take(index).any(|(other, _)| other == name) {
            return Err(Some(format!("{name} is given twice").into()));
        }
        check_one(arg, value)?;
    }
    for arg in entry
        .args
        .iter()
        .skip(args.len())
        .filter(|arg| arg.is_required())
    {
        if !kwargs.iter().any(|(name, _)| *name == arg.name) {
            // What is missing shows by itself where all came by position.
            return Err((!kwargs.is_empty()).then(|| format!("{} is missing", arg.name).into()));
        }
    }
    Ok(())
}

fn check_one(arg: &ArgEntry, value: &Value) -> Result<(), Reason> {
    if *value == Value::Null && !arg.is_required() {
        return Ok(());
    }
    match fit(arg.kind, value) {
        Fit::Yes => {}
        Fit::No => return Err(None),
        Fit::Blob => return Err(Some("a blob comes only in replies".into())),
    }
    if !in_choices(arg, value) {
        let choices: Vec<String> = arg.choices.iter().map(Value::to_string).collect();
        return Err(Some(
            format!(
                "{} must be one of {}, got {value}",
                arg.name,
                choices.join(", ")
            )
            .into(),
        ));
    }
    if !in_range(arg, value) {
        let range = match (least(arg), most(arg)) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => "a number".to_owned(),
        };
        return Err(Some(
            format!("{} must be {range}, got {value}", arg.name).into(),
        ));
    }
    Ok(())
}

/// Whether a value is what an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Yes,
    No,
    /// It is or holds a `blob`, which no request may.
    Blob,
}

pub(crate) fn fit(kind: ArgKind, value: &Value) -> Fit {
    let fits = match kind {
        ArgKind::Bool => matches!(value, Value::Bool(_)),
        ArgKind::Int => matches!(value, Value::Int(_)),
        ArgKind::Float => matches!(value, Value::Float(_) | Value::Int(_)),
        ArgKind::Text => matches!(value, Value::Text(_)),
        ArgKind::Bytes => matches!(value, Value::Bytes(_)),
        ArgKind::Data => matches!(value, Value::Text(_) | Value::Bytes(_) | Value::Upload(_)),
        ArgKind::List => matches!(value, Value::List(_)),
        ArgKind::Map => matches!(value, Value::Map(_)),
        ArgKind::Any => true,
    };
    match fits {
        false => Fit::No,
        true if holds_blob(value) => Fit::Blob,
        true => Fit::Yes,
    }
}

fn holds_blob(value: &Value) -> bool {
    match value {
        Value::Blob(_) => true,
        Value::List(list) => list.iter().any(holds_blob),
        Value::Map(entries) => entries.iter().any(|(_, value)| holds_blob(value)),
        _ => false,
    }
}

pub(crate) fn in_choices(arg: &ArgEntry, value: &Value) -> bool {
    arg.choices.is_empty()
        || arg.choices.iter().any(|choice| match (choice, value) {
            (Value::Int(choice), Value::Int(value)) => choice == value,
            _ if choice.as_float().is_some() => choice.as_float() == value.as_float(),
            _ => choice == value,
        })
}

pub(crate) fn in_range(arg: &ArgEntry, value: &Value) -> bool {
    match value.as_float() {
        Some(number) if arg.min.is_some() || arg.max.is_some() => {
            least(arg).unwrap_or(f64::NEG_INFINITY) <= number
                && number <= most(arg).unwrap_or(f64::INFINITY)
        }
        _ => true,
    }
}

fn least(arg: &ArgEntry) -> Option<f64> {
    arg.min.filter(|min| *min > f64::MIN)
}

fn most(arg: &ArgEntry) -> Option<f64> {
    arg.max.filter(|max| *max < f64::MAX)
}

/// The first types are shown; a request may hold thousands.
const SHOWN_TYPES: usize = 16;

fn types(args: &[Value], kwargs: &[(String, Value)]) -> String {
    let by_position = args.iter().map(|value| type_name(value).to_owned());
    let by_name = kwargs
        .iter()
        .map(|(name, value)| format!("{}: {}", shown_name(name), type_name(value)));
    let mut shown: Vec<String> = by_position.chain(by_name).take(SHOWN_TYPES).collect();
    if args.len() + kwargs.len() > SHOWN_TYPES {
        shown.push("...".to_owned());
    }
    format!("({})", shown.join(", "))
}

/// In the words of the table, where an upload is one way to bring data.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Upload(_) => "data",
        other => other.type_name(),
    }
}

fn shown_name(name: &str) -> String {
    name.chars()
        .take(32)
        .collect::<String>()
        .escape_debug()
        .to_string()
}
