//! The plugin's own table in config.toml, `[plugins.NAME.settings]`. Needs the grant `settings`.

use crate::argument::Argument;
use crate::bindings::pixelboy::plugin::settings as host;
use crate::{Failure, Result, nodes};

/// A setting of a type that an argument can have; none where it is not set, a failure where it is of another type.
pub fn get<T: Argument>(key: &str) -> Result<Option<T>> {
    let Some(values) = host::get(key) else {
        return Ok(None);
    };
    let value = nodes::decode(values).into_iter().next().unwrap_or_default();
    T::from_value(value).map(Some).map_err(|value| {
        Failure::failed(format!(
            "the setting {key} in config.toml takes {}, got {}",
            T::KIND,
            value.kind()
        ))
    })
}
