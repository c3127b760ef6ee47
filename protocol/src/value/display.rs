//! The short form of a value, for messages to people.
//! Invariant: however large the value, the text stays short.
//! Not here: the whole value as a person wants to see it; that is the command line's.

use std::fmt;

use super::Value;

/// Characters of text, and elements of a list or map, that are shown.
const SHOWN_CHARS: usize = 40;
const SHOWN_ELEMENTS: usize = 8;

impl fmt::Display for Value {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => to.write_str("null"),
            Self::Bool(value) => write!(to, "{value}"),
            Self::Int(value) => write!(to, "{value}"),
            Self::Float(value) => write!(to, "{value:?}"),
            Self::Text(text) => match text.char_indices().nth(SHOWN_CHARS) {
                None => write!(to, "{text:?}"),
                Some((end, _)) => write!(to, "{:?}...", text.get(..end).unwrap_or_default()),
            },
            Self::Bytes(bytes) if bytes.len() == 1 => to.write_str("1 byte"),
            Self::Bytes(bytes) => write!(to, "{} bytes", bytes.len()),
            Self::List(list) => {
                to.write_str("[")?;
                elements(to, list, inner)?;
                to.write_str("]")
            }
            Self::Map(entries) => {
                to.write_str("{")?;
                elements(to, entries, |to, (key, element)| {
                    write!(
                        to,
                        "{}: ",
                        key.chars()
                            .take(SHOWN_CHARS)
                            .collect::<String>()
                            .escape_debug()
                    )?;
                    inner(to, element)
                })?;
                to.write_str("}")
            }
            Self::Upload(transfer) => write!(to, "upload {transfer}"),
            Self::Blob(blob) => write!(to, "blob of {} bytes", blob.length),
        }
    }
}

/// Inside a list only one level is shown.
fn inner(to: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::List(list) => write!(to, "[{} values]", list.len()),
        Value::Map(entries) => write!(to, "{{{} values}}", entries.len()),
        other => write!(to, "{other}"),
    }
}

fn elements<T>(
    to: &mut fmt::Formatter<'_>,
    list: &[T],
    one: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, element) in list.iter().take(SHOWN_ELEMENTS).enumerate() {
        if index > 0 {
            to.write_str(", ")?;
        }
        one(to, element)?;
    }
    match list.len().checked_sub(SHOWN_ELEMENTS) {
        Some(more) if more > 0 => write!(to, ", and {more} more"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Blob, Value};

    #[test]
    fn values_show_as_a_person_would_write_them() {
        let shown = |value: Value| value.to_string();
        assert_eq!(shown(Value::Null), "null");
        assert_eq!(shown(1.into()), "1");
        assert_eq!(shown(1.0.into()), "1.0");
        assert_eq!(shown(f64::NAN.into()), "NaN");
        assert_eq!(shown("a\"b\n".into()), r#""a\"b\n""#);
        assert_eq!(shown(vec![0u8; 12].into()), "12 bytes");
        assert_eq!(shown(Value::Upload(7)), "upload 7");
        assert_eq!(
            shown(
                Blob {
                    id: 1,
                    length: 9,
                    sha256: None,
                    form: Blob::BYTES
                }
                .into()
            ),
            "blob of 9 bytes"
        );
        let nested = Value::from(vec![
            Value::from(vec![("k".to_owned(), Value::Null)]),
            true.into(),
        ]);
        assert_eq!(shown(nested), "[{1 values}, true]");
    }

    #[test]
    fn a_large_value_stays_short() {
        let long = Value::from("ä".repeat(60_000));
        assert!(long.to_string().len() < 100);
        assert!(Value::from(vec![long; 1_000]).to_string().len() < 800);
    }
}
