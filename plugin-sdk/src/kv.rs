//! Small durable data of the plugin's own; no other plugin sees it. Needs the grant `kv`.
//!
//! Keys have 1 to 512 bytes, values up to 64 KiB. This is where a plugin keeps what must outlive a call or a reload;
//! keep a schema number too, so that a later version knows what it finds.

use crate::Result;
use crate::bindings::pixelboy::plugin::kv as host;
use crate::failure::FromHost as _;

/// The value of a key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    host::get(key).or_failure()
}

/// Sets the value of a key.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<()> {
    host::set(key, value.as_ref()).or_failure()
}

/// Removes a key, if it is there.
pub fn delete(key: &str) -> Result<()> {
    host::delete(key).or_failure()
}

/// Up to `limit` keys that begin with `prefix`, in byte order, from after `after`.
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
    host::keys(prefix, after, limit).or_failure()
}
