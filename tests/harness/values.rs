//! Making arguments and taking replies apart.

pub use pixelboy_protocol::Value;

/// Arguments of a request: `args!["notes.txt", "hello"]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::values::Value::from($value)),*] };
}

/// One field of a map; fails the test where it is not there.
#[track_caller]
#[must_use]
pub fn field<'a>(map: &'a Value, key: &str) -> &'a Value {
    map.get(key)
        .unwrap_or_else(|| panic!("no {key:?} in {map:?}"))
}

/// A field that is text.
#[track_caller]
#[must_use]
pub fn text_field<'a>(map: &'a Value, key: &str) -> &'a str {
    let found = field(map, key);
    found
        .as_text()
        .unwrap_or_else(|| panic!("{key:?} is no text: {found:?}"))
}
