//! Small durable data of the plugin's own; no other plugin sees it. Needs the grant `kv`.
//!
//! Keys have 1 to 512 bytes, values up to 64 KiB. This is where a plugin keeps what must outlive a call or a reload;
//! keep a schema number too, so that a later version knows what it finds.

use crate::bindings::pixelboy::plugin::kv as host;
use crate::failure::FromHost as _;
use crate::{Result, pages};

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

/// All keys that begin with `prefix`, in byte order.
pub fn keys(prefix: &str) -> impl Iterator<Item = Result<String>> {
    pages::all(None, |after| {
        host::keys(prefix, after, pages::NAMES_AT_ONCE).or_failure()
    })
}

/// A value that [`set`] was given as text.
pub fn get_text(key: &str) -> Result<Option<String>> {
    Ok(get(key)?.map(String::from_utf8).transpose()?)
}

/// A value that [`set_int`] kept.
pub fn get_int(key: &str) -> Result<Option<i64>> {
    Ok(get_text(key)?.map(|text| text.parse()).transpose()?)
}

/// Sets the value of a key to a number, in decimal digits.
pub fn set_int(key: &str, value: i64) -> Result<()> {
    set(key, value.to_string())
}
