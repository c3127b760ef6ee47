//! An operation on its way from a door to its reply.

use std::sync::Arc;
use std::time::Instant;

use pixelboy_protocol::Value;

/// What a client asks for; doors make it, whatever their frames look like.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The client's own number.
    pub(crate) number: u64,
    /// What tells a resend from another request under the same number.
    pub(crate) digest: [u8; 16],
    pub(crate) op: String,
    pub(crate) args: Vec<Value>,
    pub(crate) kwargs: Vec<(String, Value)>,
    /// Its arguments until its turn, where they would take much more memory than the bytes that they came as.
    pub(crate) packed: Option<Packed>,
    /// Past it the operation is dropped unless it has committed.
    pub(crate) deadline: Option<Instant>,
    /// Bytes that it takes of the client's window.
    pub(crate) bytes: usize,
}

/// By position and by name.
type Arguments = (Vec<Value>, Vec<(String, Value)>);

/// Arguments as they came, and how their door reads them.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) unpack: fn(&[u8]) -> Option<Arguments>,
}

/// What arguments may take of memory besides four times their bytes.
const UNPACKED_BYTES: usize = 4096;

impl Operation {
    /// Whether thousands of arguments like these must wait as bytes.
    pub(crate) fn is_bulky(&self) -> bool {
        let each = size_of::<(String, Value)>();
        // The fewest bytes of a value are one, so most operations need no look.
        self.bytes * each > UNPACKED_BYTES && {
            let named: usize = self.kwargs.iter().map(named_bytes).sum();
            list_bytes(&self.args) + named > UNPACKED_BYTES + 4 * self.bytes
        }
    }

    /// Its turn has come.
    pub(crate) fn unpack(&mut self) {
        if let Some((args, kwargs)) = self
            .packed
            .take()
            .and_then(|packed| (packed.unpack)(&packed.bytes))
        {
            (self.args, self.kwargs) = (args, kwargs);
        }
    }
}

fn list_bytes(values: &[Value]) -> usize {
    values.iter().map(value_bytes).sum()
}

fn named_bytes((name, value): &(String, Value)) -> usize {
    size_of::<String>() + name.len() + value_bytes(value)
}

fn value_bytes(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => list_bytes(items),
            Value::Map(items) => items.iter().map(named_bytes).sum(),
            _ => 0,
        }
}

/// An encoded outcome, shared by the reply, the record in memory and the record on disk.
pub(crate) type EncodedOutcome = Arc<[u8]>;
