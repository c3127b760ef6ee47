//! What a call returns.
//! Invariant: a large reply looks like a small one: large text and large lists were fetched; only bytes stay to be downloaded.

use pixelboy_protocol::Value;

/// The answer to a call that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The opcode.
    pub op: String,
    /// What it gave. Bytes that were too large to come along are a [`Value::Blob`].
    pub values: Vec<Value>,
    /// The position in the device's commit order, when the call wrote: then it is on its disk.
    pub stored: Option<u64>,
    /// It had been done before; this is the answer from then.
    pub recorded: bool,
}

impl Reply {
    /// The first value; null if there is none.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.values.first().unwrap_or(&Value::Null)
    }

    /// What the first map among the values has under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.iter().find_map(|value| value.get(key))
    }
}
