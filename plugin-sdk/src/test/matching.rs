//! Arguments by position, completed and checked against a row of the table, as the host does it.

use crate::table::{Arg, Literal, Op, Presence};
use crate::{Failure, Result, Value};

/// One value for each argument of the row.
pub(super) fn complete(op: &Op, given: Vec<Value>) -> Result<Vec<Value>> {
    if given.len() > op.args.len() {
        return Err(Failure::bad_arguments(format!(
            "{} takes {} arguments, got {}",
            op.name,
            op.args.len(),
            given.len()
        )));
    }
    let mut given = given.into_iter();
    op.args.iter().map(|arg| one(arg, given.next())).collect()
}

fn one(arg: &Arg, given: Option<Value>) -> Result<Value> {
    let value = match (given, arg.presence) {
        (None | Some(Value::Null), Presence::Default(default)) => return Ok(default.into()),
        (None | Some(Value::Null), Presence::Optional) => return Ok(Value::Null),
        (None, Presence::Required) => {
            let name = arg.name;
            return Err(Failure::bad_arguments(format!("{name} is missing")));
        }
        (Some(value), _) => convert(arg, value)?,
    };
    if !arg.choices.is_empty() && !arg.choices.iter().any(|choice| is(choice, &value)) {
        return Err(refusal(arg, "takes other values than", &value));
    }
    if let Some((min, max)) = arg.range {
        let number = match value {
            #[expect(clippy::cast_precision_loss, reason = "the ends of ranges are floats")]
            Value::Int(it) => it as f64,
            Value::Float(it) => it,
            _ => return Err(refusal(arg, "takes a number, not", &value)),
        };
        if !(min..=max).contains(&number) {
            return Err(refusal(arg, "has a range without", &value));
        }
    }
    Ok(value)
}

/// A value of the argument's kind. Data always arrives as a handle.
fn convert(arg: &Arg, value: Value) -> Result<Value> {
    match (arg.kind, value) {
        ("any", value) => Ok(value),
        ("data", Value::Text(it)) => Ok(Value::Data(it.into_bytes().into())),
        ("data", Value::Bytes(it)) => Ok(Value::Data(it.into())),
        ("float", value @ Value::Int(_)) => Ok(value),
        (kind, value) if kind == value.kind() => Ok(value),
        (kind, value) => Err(refusal(arg, &format!("takes {kind}, not"), &value)),
    }
}

fn is(choice: &Literal, value: &Value) -> bool {
    Value::from(*choice) == *value
}

fn refusal(arg: &Arg, why: &str, value: &Value) -> Failure {
    Failure::bad_arguments(format!("{} {why} {value:?}", arg.name))
}
