//! The types that a handler's arguments can have.
//! The host has matched and checked all arguments against the table before a handler runs, so a mismatch
//! here means that the two disagree; it is answered as `bad-arguments` all the same.

use crate::{Data, Failure, Map, Result, Value};

/// A type that an argument can have. Implement it for your own to take them directly.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of an opcode",
    note = "arguments are bool, integers, f64, String, Vec<u8>, Data, Value, Vec<Value>, Map, or Option of one of them"
)]
pub trait Argument: Sized {
    /// Its type as clients see it: one of `bool int float text bytes data list map any`.
    const KIND: &'static str;
    /// Whether it may be absent without a default.
    const OPTIONAL: bool = false;
    /// The numbers it can hold, both ends included, where these are fewer than its kind has.
    const RANGE: Option<(f64, f64)> = None;
    /// How a default, a choice or an end of a range is written; [`NoLiteral`] where none can be.
    type Literal;

    /// Takes the value, or gives it back when it is of another kind.
    fn from_value(value: Value) -> Result<Self, Value>;
}

/// A number, which can have a range.
#[diagnostic::on_unimplemented(message = "`{Self}` is no number, so it has no range")]
pub trait Number: Argument {}

/// What can't be written: a type with this as its literal has no defaults and no choices.
#[derive(Debug, Clone, Copy)]
pub enum NoLiteral {}

/// Types that are taken from exactly these values.
macro_rules! argument {
    ($($type:ty as $kind:literal, written $literal:ty: $($from:pat => $to:expr),+;)*) => {
        $(impl Argument for $type {
            const KIND: &'static str = $kind;
            type Literal = $literal;

            fn from_value(value: Value) -> Result<Self, Value> {
                match value {
                    $($from => Ok($to),)+
                    other => Err(other),
                }
            }
        })*
    };
}

argument! {
    bool as "bool", written bool: Value::Bool(it) => it;
    String as "text", written &'static str: Value::Text(it) => it;
    Data as "data", written &'static str: Value::Data(it) => it;
    Vec<Value> as "list", written NoLiteral: Value::List(it) => it;
    Map as "map", written NoLiteral: Value::Map(it) => it;
}

impl Argument for Value {
    const KIND: &'static str = "any";
    type Literal = NoLiteral;

    fn from_value(value: Value) -> Result<Self, Value> {
        Ok(value)
    }
}

/// Bytes; those that are large stayed with the host until now.
impl Argument for Vec<u8> {
    const KIND: &'static str = "bytes";
    type Literal = &'static [u8];

    fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::Bytes(it) => Ok(it),
            Value::Data(it) => it.bytes().map_err(|_| Value::Data(it)),
            other => Err(other),
        }
    }
}

impl<T: Argument> Argument for Option<T> {
    const KIND: &'static str = T::KIND;
    const OPTIONAL: bool = true;
    const RANGE: Option<(f64, f64)> = T::RANGE;
    type Literal = T::Literal;

    fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: Number> Number for Option<T> {}

impl Argument for f64 {
    const KIND: &'static str = "float";
    type Literal = f64;

    #[expect(
        clippy::cast_precision_loss,
        reason = "a whole number is taken for a float, as the contract says"
    )]
    fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::Float(it) => Ok(it),
            Value::Int(it) => Ok(it as f64),
            other => Err(other),
        }
    }
}

impl Number for f64 {}

/// Whole numbers; the smaller ones have a range by themselves.
macro_rules! whole_number {
    ($($type:ty, $range:expr;)*) => {
        $(impl Argument for $type {
            const KIND: &'static str = "int";
            const RANGE: Option<(f64, f64)> = $range;
            type Literal = $type;

            fn from_value(value: Value) -> Result<Self, Value> {
                match value {
                    Value::Int(it) => Self::try_from(it).map_err(|_| value),
                    other => Err(other),
                }
            }
        }

        impl Number for $type {})*
    };
}

whole_number! {
    i64, None;
    i32, Some((i32::MIN as f64, i32::MAX as f64));
    u8, Some((0.0, u8::MAX as f64));
    u16, Some((0.0, u16::MAX as f64));
    u32, Some((0.0, u32::MAX as f64));
}

/// The values of one operation, taken one by one in the table's order.
#[derive(Debug)]
pub struct Arguments(std::vec::IntoIter<Value>);

impl Arguments {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// The next one; an absent one is null.
    pub fn take<T: Argument>(&mut self, name: &str) -> Result<T> {
        T::from_value(self.0.next().unwrap_or_default())
            .map_err(|value| mismatch(name, T::KIND, &value))
    }

    /// All that are left.
    pub fn rest(&mut self) -> Vec<Value> {
        self.0.by_ref().collect()
    }
}

/// Apart from `take`, so that each plugin holds it once.
#[cold]
#[inline(never)]
fn mismatch(name: &str, takes: &str, got: &Value) -> Failure {
    Failure::bad_arguments(format!("argument {name} takes {takes}, got {}", got.kind()))
}
