//! The device's config.toml, edited by this program: only `[plugins]`.
//! Invariant: comments, order and all else stay as they are (after every edit the text is read again and compared);
//! the file is replaced whole or not at all.
//! A file that is not valid TOML is left alone, and named.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use toml::de::DeTable;
use toml::{Table, Value};

use crate::trouble::Trouble;

/// What may be granted, as the host knows it.
const GRANTS: [&str; 8] = [
    "store", "kv", "probe", "display", "audio", "client", "timer", "settings",
];

/// Which settings, for what changes them.
#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The device's settings; whoever may write this file may change its plugins
    #[arg(long, value_name = "FILE", default_value = "config.toml")]
    pub(crate) config: PathBuf,
}

/// What a plugin may use.
#[derive(Args, Debug)]
pub(crate) struct Allow {
    /// All that it may use, such as --allow store,kv; without this it keeps the grants it has, a new one has none
    #[arg(long, value_name = "GRANT", value_delimiter = ',', value_parser = GRANTS)]
    allow: Option<Vec<String>>,
}

/// config.toml as it is read, and changed.
pub(crate) struct SettingsFile {
    path: PathBuf,
    text: String,
    /// What the text says.
    table: Table,
}

/// What config.toml says about a plugin, once it is enabled.
pub(crate) struct Enabled {
    pub(crate) allow: Vec<String>,
}

impl SettingsFile {
    pub(crate) fn read(which: &Which) -> Result<Self, Trouble> {
        let named = &which.config;
        let unreadable = |error| {
            let why = format!(
                "failed to read {}: {error}; this is done on the device itself, beside its config.toml (or with --config FILE)",
                named.display()
            );
            Trouble::Usage(why)
        };
        // Behind a link lies the file that is to be replaced.
        let path = named.canonicalize().map_err(unreadable)?;
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let table = text.parse().map_err(|error| {
            Trouble::Usage(format!("{} is no valid TOML: {error}", path.display()))
        })?;
        Ok(Self { path, text, table })
    }

    /// The folder of the plugins' files.
    pub(crate) fn plugins_folder(&self) -> PathBuf {
        let folder = self.host("plugins").unwrap_or("plugins");
        self.path.parent().unwrap_or(Path::new("")).join(folder)
    }

    /// Where the device listens, as it is reached from itself.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let mut address: SocketAddr = self.host("listen")?.parse().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        (address.port() != 0).then_some(address)
    }

    fn host(&self, key: &str) -> Option<&str> {
        self.table.get("host")?.get(key)?.as_str()
    }

    /// The file that a plugin's table names.
    pub(crate) fn file_of(&self, name: &str) -> Option<&str> {
        self.plugin(name)?.get("file")?.as_str()
    }

    fn plugin(&self, name: &str) -> Option<&Value> {
        self.table.get("plugins")?.get(name)
    }

    /// Makes the plugin's table say that it serves; `file` is for a table that is not there yet.
    pub(crate) fn enable(
        &mut self,
        name: &str,
        file: &str,
        allow: Allow,
    ) -> Result<Enabled, Trouble> {
        if self.plugin(name).is_none() {
            let own = format!("[plugins.{name}]\nfile = {}\nallow = []\n", quoted(file));
            let gap = match self.text.as_str() {
                "" => "",
                text if text.ends_with('\n') => "\n",
                _ => "\n\n",
            };
            self.text.push_str(&format!("{gap}{own}"));
            let table = self.plugin_table(name)?;
            table.insert("file".into(), file.into());
            table.insert("allow".into(), Value::Array(Vec::new()));
            self.check(name)?;
        }
        let disabled = self.plugin(name).and_then(|plugin| plugin.get("enabled"));
        if disabled.is_some() {
            self.set(name, "enabled", true.into())?;
        }
        if let Some(allow) = allow.allow {
            self.set(name, "allow", allow.into())?;
        }
        let allow = self.plugin(name).and_then(|plugin| plugin.get("allow"));
        let allow = allow.and_then(Value::as_array).into_iter().flatten();
        let allow = allow.filter_map(|grant| grant.as_str().map(str::to_owned));
        Ok(Enabled {
            allow: allow.collect(),
        })
    }

    /// Makes the plugin's table say that it does not serve; the table stays.
    pub(crate) fn disable(&mut self, name: &str) -> Result<(), Trouble> {
        if self.plugin(name).is_none() {
            let path = self.path.display();
            let why =
                format!("{path} has no [plugins.{name}]; pixelboy plugin list tells the names");
            return Err(Trouble::Usage(why));
        }
        self.set(name, "enabled", false.into())
    }

    /// Sets a key of a plugin's table where it stands, or after `file`.
    fn set(&mut self, name: &str, key: &str, value: Value) -> Result<(), Trouble> {
        let text = match place_of(&self.text, name, key) {
            Some(place) => spliced(&self.text, place, &value.to_string()),
            None => {
                let end = place_of(&self.text, name, "file").map_or(0, |place| place.end);
                let rest = self.text.get(end..).unwrap_or_default();
                let line = rest.lines().next().unwrap_or_default();
                // Behind its value stands nothing but a comment, unless the table is written in one line.
                let own_line = matches!(line.trim_start().chars().next(), None | Some('#'));
                match own_line {
                    true => {
                        let end = end + line.len();
                        spliced(&self.text, end..end, &format!("\n{key} = {value}"))
                    }
                    false => spliced(&self.text, end..end, &format!(", {key} = {value}")),
                }
            }
        };
        self.text = text;
        self.plugin_table(name)?.insert(key.into(), value);
        self.check(name)
    }

    fn plugin_table(&mut self, name: &str) -> Result<&mut Table, Trouble> {
        let path = self.path.display().to_string();
        let odd = move || Trouble::Usage(format!("{path}: [plugins.{name}] is no table"));
        let none = || Value::Table(Table::new());
        let plugins = self.table.entry("plugins").or_insert_with(none);
        let plugins = plugins.as_table_mut().ok_or_else(&odd)?;
        let plugin = plugins.entry(name).or_insert_with(none);
        plugin.as_table_mut().ok_or_else(odd)
    }

    /// The text says what it was to say, and nothing else has changed.
    fn check(&self, name: &str) -> Result<(), Trouble> {
        if self
            .text
            .parse::<Table>()
            .is_ok_and(|now| now == self.table)
        {
            return Ok(());
        }
        let plugin = self
            .plugin(name)
            .cloned()
            .unwrap_or_else(|| Table::new().into());
        Err(Trouble::Usage(format!(
            "{} is written in a way that this program does not edit; nothing is changed. Write by hand what is to stand there:\n\n[plugins.{name}]\n{plugin}",
            self.path.display(),
            plugin = plugin.as_table().map(Table::to_string).unwrap_or_default()
        )))
    }

    /// Replaces the file on the disk.
    pub(crate) fn write(&self) -> Result<(), Trouble> {
        put_whole(&self.path, self.text.as_bytes())
    }
}

/// Where the value of a plugin's key stands.
fn place_of(text: &str, name: &str, key: &str) -> Option<std::ops::Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let plugins = document.get_ref().get("plugins")?.get_ref();
    Some(plugins.get(name)?.get_ref().get(key)?.span())
}

fn spliced(text: &str, place: std::ops::Range<usize>, new: &str) -> String {
    let (before, after) = (text.get(..place.start), text.get(place.end..));
    [before.unwrap_or_default(), new, after.unwrap_or_default()].concat()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The old file or the new one, never half of one, also after a power cut. Its mode stays as it was.
pub(crate) fn put_whole(path: &Path, bytes: &[u8]) -> Result<(), Trouble> {
    let put = || -> std::io::Result<()> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut file = std::fs::File::create(&part)?;
        file.write_all(bytes)?;
        if let Ok(before) = std::fs::metadata(path) {
            file.set_permissions(before.permissions())?;
        }
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    put().map_err(|error| Trouble::Usage(format!("failed to write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "\
# mine
[host]
listen = \"0.0.0.0:7000\" # all

# pictures
[plugins.show]
file = \"show.wasm\"   # as built
allow = [\"store\"] # no more
limits = { cpu_ms = 5 }

[display]
width = 64
";

    fn file(text: &str) -> SettingsFile {
        SettingsFile {
            path: "/etc/pixelboy/config.toml".into(),
            text: text.to_owned(),
            table: text.parse().unwrap(),
        }
    }

    fn allow(grants: &[&str]) -> Allow {
        let grants = grants.iter().map(|&grant| grant.to_owned());
        Allow {
            allow: Some(grants.collect()),
        }
    }

    #[test]
    fn comments_order_and_all_else_stay() {
        let mut file = file(BEFORE);
        let enabled = file
            .enable("show", "other.wasm", allow(&["store", "kv"]))
            .unwrap();
        assert_eq!(enabled.allow, ["store", "kv"]);
        let after = BEFORE.replace("[\"store\"]", "[\"store\", \"kv\"]");
        assert_eq!(file.text, after);
        file.enable("clock", "clock.wasm", Allow { allow: None })
            .unwrap();
        let text = &file.text;
        let rest = text.replace("\n[plugins.clock]\nfile = \"clock.wasm\"\nallow = []\n", "");
        assert_eq!(rest, after, "{text}");
        assert_ne!(&rest, text);
    }

    #[test]
    fn what_is_disabled_keeps_its_table_and_comes_back_as_it_was() {
        let mut file = file(BEFORE);
        file.disable("show").unwrap();
        let after = BEFORE.replace("# as built\n", "# as built\nenabled = false\n");
        assert_eq!(file.text, after);
        let enabled = file
            .enable("show", "show.wasm", Allow { allow: None })
            .unwrap();
        assert_eq!(enabled.allow, ["store"]);
        assert_eq!(file.text, after.replace("false", "true"));
        assert!(file.disable("clock").is_err());
    }

    #[test]
    fn other_ways_to_write_a_table_are_edited_or_left_alone() {
        let inline = "plugins.show = { file = \"show.wasm\", limits = { cpu_ms = 5 } } # mine\n";
        let mut edited = file(inline);
        edited.disable("show").unwrap();
        edited.enable("show", "", allow(&["kv"])).unwrap();
        let keys = "\"show.wasm\", allow = [\"kv\"], enabled = true, limits";
        assert_eq!(edited.text, inline.replace("\"show.wasm\", limits", keys));
        for odd in ["[plugins]\nshow.file = \"show.wasm\"\n", "plugins = 3\n"] {
            assert!(
                file(odd)
                    .enable("show", "show.wasm", allow(&["kv"]))
                    .is_err(),
                "{odd}"
            );
        }
    }

    #[test]
    fn the_device_and_its_folder_are_those_of_the_file() {
        let own = file(BEFORE);
        assert_eq!(own.address().unwrap().to_string(), "127.0.0.1:7000");
        assert_eq!(own.plugins_folder(), Path::new("/etc/pixelboy/plugins"));
        assert!(file("").address().is_none());
    }
}
