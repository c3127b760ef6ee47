//! The settings, field by field; `config.toml` in the repository shows them with their defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// All of `config.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) host: Host,
    pub(crate) display: pixelboy_display::DisplaySettings,
    pub(crate) audio: Audio,
    pub(crate) store: Store,
    pub(crate) plugins: BTreeMap<String, PluginSettings>,
}

/// `[host]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Host {
    /// Where clients connect. `0.0.0.0:7777` opens it to the network: anybody there can use the device.
    pub(crate) listen: SocketAddr,
    /// The folder of everything stored; relative to config.toml.
    pub(crate) data: PathBuf,
    /// The folder of `.wasm` files; relative to config.toml.
    pub(crate) plugins: PathBuf,
    /// Seconds of idleness until a client gets `TimeOut`, 0.05 to 86,400.
    pub(crate) receive_timeout_s: f64,
    /// Seconds that a session outlives its connection, 0 to 3,600.
    pub(crate) session_grace_s: f64,
    /// Connections at a time; others are turned away with `too-many-clients`.
    pub(crate) max_connections: usize,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7777)),
            data: "data".into(),
            plugins: "plugins".into(),
            receive_timeout_s: 5.0,
            session_grace_s: 10.0,
            max_connections: 256,
        }
    }
}

/// `[audio]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audio {
    /// `default` (the default device), `wav:FILE` (a capture) or `null`.
    pub(crate) backend: String,
    /// At the first start; later what `sv` set last.
    pub(crate) volume: f32,
}

impl Default for Audio {
    fn default() -> Self {
        Self {
            backend: "default".into(),
            volume: 1.0,
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    /// MiB that media may take; 0 for no limit but the disk.
    pub(crate) media_quota_mib: u64,
    /// MiB of the disk that are left free.
    pub(crate) reserve_mib: u64,
    /// Clients whose operations are remembered. With all of them present others are turned away with `too-many-clients`.
    pub(crate) max_clients: usize,
    /// Days of the host's uptime after which a client that is away is forgotten, above 0 to 36,500.
    pub(crate) client_age_days: f64,
    /// Hours of the host's uptime after which an unused upload is dropped, above 0 to 876,000.
    pub(crate) upload_age_hours: f64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            media_quota_mib: 0,
            reserve_mib: 64,
            max_clients: 1024,
            client_age_days: 30.0,
            upload_age_hours: 24.0,
        }
    }
}

/// `[plugins.NAME]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginSettings {
    /// The file in the plugins folder.
    pub(crate) file: PathBuf,
    /// What it may use: any of store, kv, probe, display, audio, client, timer, settings.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    /// False: it does not serve, and its table stays.
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    /// How much it may use.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Its own settings.
    #[serde(default)]
    pub(crate) settings: toml::Table,
}

fn yes() -> bool {
    true
}

impl PluginSettings {
    /// Nothing is granted.
    pub(crate) fn of_file(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            allow: Vec::new(),
            enabled: true,
            limits: Limits::default(),
            settings: toml::Table::new(),
        }
    }
}

/// `[plugins.NAME.limits]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// MiB of the guest's memory.
    pub(crate) memory_mib: u32,
    /// Milliseconds on the CPU for one operation.
    pub(crate) cpu_ms: u64,
    /// Milliseconds for one operation by the clock, waiting in host functions included.
    pub(crate) wall_ms: u64,
    /// Operations of different clients that may wait for their turn; more are answered `busy`.
    pub(crate) queue: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 32,
            cpu_ms: 1000,
            wall_ms: 30_000,
            queue: 64,
        }
    }
}

/// Why the settings are not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file.
    #[error("failed to read {0}: {1}; name another file with --config")]
    Read(PathBuf, #[source] std::io::Error),
    /// Its syntax, or a field.
    #[error("{0} is not as expected: {1}")]
    Parse(PathBuf, #[source] Box<toml::de::Error>),
    /// A value.
    #[error("{0}: {1}")]
    Value(PathBuf, String),
}

impl Settings {
    /// Reads and checks a file.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::Read(file.to_owned(), error))?;
        let mut settings: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Parse(file.to_owned(), Box::new(error)))?;
        settings
            .check()
            .map_err(|fault| ConfigError::Value(file.to_owned(), fault))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        settings.host.data = folder.join(&settings.host.data);
        settings.host.plugins = folder.join(&settings.host.plugins);
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        let Host {
            receive_timeout_s,
            session_grace_s,
            max_connections,
            ..
        } = self.host;
        if !(0.05..=86_400.0).contains(&receive_timeout_s) {
            return Err(format!(
                "host.receive_timeout_s must be 0.05 to 86400, got {receive_timeout_s}"
            ));
        }
        if !(0.0..=3600.0).contains(&session_grace_s) {
            return Err(format!(
                "host.session_grace_s must be 0 to 3600, got {session_grace_s}"
            ));
        }
        if max_connections == 0 {
            return Err("host.max_connections must be at least 1".into());
        }
        let Store {
            max_clients,
            client_age_days: days,
            upload_age_hours: hours,
            ..
        } = self.store;
        if max_clients == 0 {
            return Err("store.max_clients must be at least 1".into());
        }
        if !(days > 0.0 && days <= 36_500.0) {
            return Err(format!(
                "store.client_age_days must be above 0, to 36500, got {days}"
            ));
        }
        if !(hours > 0.0 && hours <= 876_000.0) {
            return Err(format!(
                "store.upload_age_hours must be above 0, to 876000, got {hours}"
            ));
        }
        self.display
            .check()
            .map_err(|error| format!("display: {error}"))?;
        self.audio()?;
        self.plugins
            .iter()
            .try_for_each(|(name, plugin)| plugin.check(name))
    }

    /// The audio station's settings.
    pub(crate) fn audio(&self) -> Result<pixelboy_audio::AudioSettings, String> {
        self.audio
            .backend
            .parse::<pixelboy_audio::AudioSettings>()
            .and_then(|settings| settings.with_volume(self.audio.volume))
            .map_err(|error| format!("audio: {error}"))
    }
}

impl PluginSettings {
    fn check(&self, name: &str) -> Result<(), String> {
        let plain = name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !plain || name.is_empty() || name.len() > 64 || name == "host" {
            return Err(format!(
                "[plugins.{name}]: a plugin's name is 1 to 64 of a-z, 0-9, - and _, and not \"host\""
            ));
        }
        if self.file.components().count() != 1
            || self.file.extension().is_none_or(|ending| ending != "wasm")
        {
            return Err(format!(
                "[plugins.{name}]: file must be the name of a .wasm file in the plugins folder, got {:?}",
                self.file
            ));
        }
        if self.limits.memory_mib == 0 || self.limits.cpu_ms == 0 || self.limits.wall_ms == 0 {
            return Err(format!(
                "[plugins.{name}.limits]: every limit must be at least 1"
            ));
        }
        crate::plugin::grants::Grants::new(&self.allow)
            .map(drop)
            .map_err(|error| format!("[plugins.{name}]: {error}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        let settings: Settings = toml::from_str(text).map_err(|error| error.to_string())?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        assert_eq!(parse("").unwrap(), Settings::default());
    }

    #[test]
    fn the_file_of_the_repository_is_accepted() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml");
        let settings = parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(settings.host, Host::default());
        assert_eq!(settings.store, Store::default());
        assert_eq!(settings.audio, Audio::default());
        assert_eq!(
            settings.display,
            pixelboy_display::DisplaySettings::default()
        );
        for (name, plugin) in &settings.plugins {
            assert_eq!(plugin.file, PathBuf::from(format!("{name}.wasm")));
        }
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = parse("[host]\nport = 7").unwrap_err();
        assert!(
            error.contains("port") && error.contains("listen"),
            "{error}"
        );
    }

    #[test]
    fn a_plugin_outside_the_folder_is_refused() {
        let error = parse("[plugins.x]\nfile = \"../x.wasm\"").unwrap_err();
        assert!(error.contains("plugins folder"), "{error}");
    }

    #[test]
    fn a_grant_that_does_not_exist_is_named() {
        let error = parse("[plugins.x]\nfile = \"x.wasm\"\nallow = [\"net\"]").unwrap_err();
        assert!(
            error.contains("[plugins.x]") && error.contains("\"net\""),
            "{error}"
        );
    }
}
