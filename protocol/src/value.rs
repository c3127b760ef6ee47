//! The values that requests and replies carry.
//! Invariant: nesting, number and size are checked while decoding and while encoding, before memory is taken.
//! Not here: which values an opcode takes (`arguments`).

mod convert;
mod display;

use crate::codec::{Field, Reader, Writer, body, put_list};
use crate::error::{EncodeError, WireError};
use crate::limits;

pub use convert::WrongType;

/// One value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; NaN and the infinities too.
    Float(f64),
    /// At most 64 KiB of UTF-8.
    Text(String),
    /// At most 64 KiB.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name; names are unique, their order is kept.
    Map(Vec<(String, Value)>),
    /// The number of a finished upload of this client, in requests.
    Upload(u64),
    /// What is to be fetched, in replies, pushes and calls.
    Blob(Blob),
}

body! {
    /// What is to be fetched with `OpenDownload`, in replies, pushes and calls.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Blob {
        /// For `OpenDownload`.
        id: u64,
        /// In bytes.
        length: u64,
        /// Where known.
        sha256: Option<[u8; 32]>,
        /// What the bytes are: [`Blob::BYTES`], [`Blob::TEXT`] or [`Blob::VALUES`]; any other is taken as bytes.
        form: u8,
    }
}

impl Blob {
    /// They are a value of bytes.
    pub const BYTES: u8 = 0;
    /// They are a value of text.
    pub const TEXT: u8 = 1;
    /// They are what [`encode_values`] wrote, and stand for all values of the reply.
    pub const VALUES: u8 = 2;
}

/// Appends an encoded `list of value` whose texts and bytes may be large, for a blob of the form [`Blob::VALUES`].
///
/// # Errors
/// When they are nested too deep; then `out` is as it was.
pub fn encode_values(values: &[Value], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut to = Writer::new(out, "a value", usize::MAX);
    to.inline_bytes_each = usize::MAX;
    to.nodes_left = usize::MAX;
    let done = put_list(values, &mut to);
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// Reads what [`encode_values`] wrote.
///
/// # Errors
/// When it does not decode, or they are nested too deep.
pub fn decode_values(bytes: &[u8]) -> Result<Vec<Value>, WireError> {
    let mut from = Reader::new(bytes);
    from.inline_bytes_each = usize::MAX;
    from.nodes_left = usize::MAX;
    Field::get(&mut from)
}

impl Value {
    /// The name of its type, as error messages show it: `null bool int float text bytes list map upload blob`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Upload(_) => "upload",
            Self::Blob(_) => "blob",
        }
    }

    /// Appends the encoding of this value alone, for whoever keeps values elsewhere than in a frame.
    ///
    /// # Errors
    /// When it is beyond the limits; then `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let mut to = Writer::new(out, "a value", limits::FRAME_BYTES);
        let done = Self::admit_put(&mut to, 1)
            .and_then(|()| self.put(&mut to))
            .and_then(|()| to.finish());
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// Reads what [`Value::encode`] wrote; what is left over is ignored.
    ///
    /// # Errors
    /// When it does not decode or is beyond the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        <Self as Field>::admit(&mut from, 1)?;
        <Self as Field>::get(&mut from)
    }
}

impl<'a> Field<'a> for Value {
    const LEAST_BYTES: usize = 1;

    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Null => to.byte(0),
            Self::Bool(value) => {
                to.byte(1);
                value.put(to)?;
            }
            Self::Int(value) => {
                to.byte(2);
                value.put(to)?;
            }
            Self::Float(value) => {
                to.byte(3);
                value.put(to)?;
            }
            Self::Text(text) => {
                to.admit_inline(text.len())?;
                to.byte(4);
                to.bytes(text.as_bytes())?;
            }
            Self::Bytes(bytes) => {
                to.admit_inline(bytes.len())?;
                to.byte(5);
                to.bytes(bytes)?;
            }
            Self::List(list) => {
                to.byte(6);
                put_nested(list, to)?;
            }
            Self::Map(entries) => {
                if !keys_are_unique(entries) {
                    return Err(EncodeError::DuplicateKey);
                }
                to.byte(7);
                put_nested(entries, to)?;
            }
            Self::Upload(transfer) => {
                to.byte(8);
                to.varint(*transfer);
            }
            Self::Blob(blob) => {
                to.byte(9);
                blob.put(to)?;
            }
        }
        Ok(())
    }

    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(match from.varint(32)? {
            0 => Self::Null,
            1 => Self::Bool(Field::get(from)?),
            2 => Self::Int(Field::get(from)?),
            3 => Self::Float(Field::get(from)?),
            4 => {
                let text = from.text()?;
                from.admit_inline(text.len())?;
                Self::Text(text.to_owned())
            }
            5 => {
                let bytes = from.bytes()?;
                from.admit_inline(bytes.len())?;
                Self::Bytes(bytes.to_owned())
            }
            6 => Self::List(get_nested(from)?),
            7 => {
                let entries: Vec<(String, Self)> = get_nested(from)?;
                if !keys_are_unique(&entries) {
                    return Err(WireError::DuplicateKey);
                }
                Self::Map(entries)
            }
            8 => Self::Upload(Field::get(from)?),
            9 => Self::Blob(Field::get(from)?),
            variant => {
                return Err(WireError::BadVariant {
                    of: "value",
                    variant,
                });
            }
        })
    }

    fn admit(from: &mut Reader<'a>, count: usize) -> Result<(), WireError> {
        from.admit_nodes(count)
    }

    fn admit_put(to: &mut Writer<'_>, count: usize) -> Result<(), EncodeError> {
        to.admit_nodes(count)
    }
}

fn put_nested<'a, T: Field<'a>>(list: &[T], to: &mut Writer<'_>) -> Result<(), EncodeError> {
    to.depth_left = to.depth_left.checked_sub(1).ok_or(EncodeError::TooDeep)?;
    put_list(list, to)?;
    to.depth_left += 1;
    Ok(())
}

fn get_nested<'a, T: Field<'a>>(from: &mut Reader<'a>) -> Result<Vec<T>, WireError> {
    from.depth_left = from.depth_left.checked_sub(1).ok_or(WireError::TooDeep)?;
    let list = Field::get(from)?;
    from.depth_left += 1;
    Ok(list)
}

/// Compares each with each while that is quick, otherwise sorts.
pub(crate) fn keys_are_unique<T>(entries: &[(String, T)]) -> bool {
    if entries.len() <= 8 {
        return entries.iter().enumerate().all(|(index, (key, _))| {
            entries
                .iter()
                .skip(index + 1)
                .all(|(other, _)| key != other)
        });
    }
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.iter()
        .zip(keys.iter().skip(1))
        .all(|(key, next)| key != next)
}
