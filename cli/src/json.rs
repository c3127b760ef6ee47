//! Values as JSON, and JSON as values.
//! What JSON has no form for: bytes are `{"hex": …}`, what is to be downloaded `{"bytes": length, "sha256": …}`, and a number
//! that is none (NaN, infinities) is its name as text.

use pixelboy_client::{Reply, Value};
use serde_json::{Value as Json, json};

/// A reply, for a program.
pub(crate) fn of_reply(reply: &Reply) -> Json {
    let values: Vec<Json> = reply.values.iter().map(of_value).collect();
    json!({"op": reply.op, "values": values, "stored": reply.stored, "recorded": reply.recorded})
}

/// A value, for a program.
pub(crate) fn of_value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) if value.is_finite() => json!(value),
        Value::Float(value) => json!(value.to_string()),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!({"hex": hex(bytes)}),
        Value::List(list) => list.iter().map(of_value).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(name, value)| (name.clone(), of_value(value)))
            .collect::<serde_json::Map<String, Json>>()
            .into(),
        Value::Upload(number) => json!({"upload": number}),
        Value::Blob(blob) => {
            json!({"bytes": blob.length, "sha256": blob.sha256.map(|sha256| hex(&sha256))})
        }
    }
}

/// A value from JSON.
///
/// # Errors
/// When a number is beyond 64 bits.
pub(crate) fn to_value(json: Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => value.into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => int.into(),
            (None, Some(float)) if !number.is_u64() => float.into(),
            _ => return Err(format!("{number} is beyond 64 bits")),
        },
        Json::String(text) => text.into(),
        Json::Array(list) => list
            .into_iter()
            .map(to_value)
            .collect::<Result<Vec<Value>, String>>()?
            .into(),
        Json::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| Ok((name, to_value(value)?)))
            .collect::<Result<Vec<(String, Value)>, String>>()?
            .into(),
    })
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use pixelboy_client::Value;

    use super::{of_value, to_value};

    #[test]
    fn what_json_can_say_comes_back_the_same() {
        for text in [
            "null",
            "true",
            "-7",
            "1.5",
            "\"ä\"",
            "[1,[2]]",
            r#"{"a":{"b":[]}}"#,
        ] {
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(of_value(&to_value(json).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn what_json_cannot_say_has_a_form_of_its_own() {
        assert_eq!(
            of_value(&vec![0u8, 255].into()).to_string(),
            r#"{"hex":"00ff"}"#
        );
        assert_eq!(of_value(&Value::Float(f64::NAN)).to_string(), "\"NaN\"");
        assert!(to_value(serde_json::json!(u64::MAX)).is_err());
    }
}
