//! Between values and Rust types.
//! Not here: lossy conversions; a `u64` that may not fit an int goes through `i64::try_from`.

use super::{Blob, Value};

macro_rules! into_value {
    ($($from:ty => |$value:ident| $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )*};
}

into_value! {
    () => |_value| Self::Null;
    bool => |value| Self::Bool(value);
    i8 => |value| Self::Int(value.into());
    i16 => |value| Self::Int(value.into());
    i32 => |value| Self::Int(value.into());
    i64 => |value| Self::Int(value);
    u8 => |value| Self::Int(value.into());
    u16 => |value| Self::Int(value.into());
    u32 => |value| Self::Int(value.into());
    f32 => |value| Self::Float(value.into());
    f64 => |value| Self::Float(value);
    &str => |value| Self::Text(value.to_owned());
    String => |value| Self::Text(value);
    &[u8] => |value| Self::Bytes(value.to_owned());
    Vec<u8> => |value| Self::Bytes(value);
    Vec<Value> => |value| Self::List(value);
    Vec<(String, Value)> => |value| Self::Map(value);
    Blob => |value| Self::Blob(value);
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A value is not of the type that was asked for; it comes back.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("expected {expected}, got {}", got.type_name())]
pub struct WrongType {
    /// What was asked for.
    pub expected: &'static str,
    /// The value.
    pub got: Value,
}

macro_rules! from_value {
    ($($to:ty, $expected:literal: $($pattern:pat => $value:expr),*;)*) => {$(
        impl TryFrom<Value> for $to {
            type Error = WrongType;
            fn try_from(value: Value) -> Result<Self, WrongType> {
                match value {
                    $( $pattern => Ok($value), )*
                    got => Err(WrongType { expected: $expected, got }),
                }
            }
        }
    )*};
}

from_value! {
    (), "null": Value::Null => ();
    bool, "bool": Value::Bool(value) => value;
    i64, "int": Value::Int(value) => value;
    f64, "float": Value::Float(value) => value, Value::Int(value) => value as f64;
    String, "text": Value::Text(value) => value;
    Vec<u8>, "bytes": Value::Bytes(value) => value;
    Vec<Value>, "list": Value::List(value) => value;
    Vec<(String, Value)>, "map": Value::Map(value) => value;
    Blob, "blob": Value::Blob(value) => value;
}

impl Value {
    /// The bool, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The int, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, of a float or an int.
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes, if it is bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(value) => Some(value),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Map(value) => Some(value),
            _ => None,
        }
    }

    /// What a map has under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }
}
