//! `settings`: the plugin's own table in config.toml.

use pixelboy_protocol::Value;

use super::Guest;
use crate::plugin::contract::pixelboy::plugin::settings::Host;
use crate::plugin::contract::pixelboy::plugin::types::Values;
use crate::plugin::values::to_guest;

impl Host for Guest {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Values>> {
        let Some(setting) = self.identity.settings.get(&key) else {
            return Ok(None);
        };
        let values = to_guest(vec![value(setting)], |_, _, _| {
            Ok::<_, wasmtime::Error>(None)
        })?;
        Ok(Some(values))
    }
}

fn value(setting: &toml::Value) -> Value {
    match setting {
        toml::Value::String(text) => Value::Text(text.clone()),
        toml::Value::Integer(number) => Value::Int(*number),
        toml::Value::Float(number) => Value::Float(*number),
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Datetime(time) => Value::Text(time.to_string()),
        toml::Value::Array(items) => Value::List(items.iter().map(value).collect()),
        toml::Value::Table(table) => Value::Map(
            table
                .iter()
                .map(|(key, item)| (key.clone(), value(item)))
                .collect(),
        ),
    }
}
