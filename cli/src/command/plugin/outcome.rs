//! What became of a change: the running host takes it in by itself, and tells.
//! Invariant: success is said only of the very file and grants that were asked for.
//! A host that does not run: the change is there for its next start, which is said, with exit code 3.

use std::time::Duration;

use pixelboy_client::protocol::Failure;
use pixelboy_client::{Client, Code, Error, Value};

use super::settings_file::SettingsFile;
use crate::command::with_client;
use crate::line::{DEFAULT_HOST, Settings};
use crate::output::{self, plain};
use crate::trouble::Trouble;

/// A large plugin compiles for as long on a small device.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often the host is asked.
const EVERY: Duration = Duration::from_millis(100);

/// What the host is to come to.
pub(crate) enum Wanted {
    /// This file serves with these grants.
    Serves { sha256: String, allow: Vec<String> },
    /// The plugin does not serve.
    Gone,
}

/// How the host stands to it.
enum Stands {
    NotYet,
    Done(String),
    Refused(String),
}

/// Waits until the host has taken the change in, and says how that went.
pub(crate) async fn wait(
    settings: &Settings,
    file: &SettingsFile,
    name: &str,
    wanted: Wanted,
) -> Result<(), Trouble> {
    let mut settings = settings.clone();
    // Unless another device was named, it is the one that reads this file.
    if settings.host == DEFAULT_HOST
        && let Some(address) = file.address()
    {
        settings.host = address.to_string();
    }
    let patience = settings.timeout.unwrap_or(PATIENCE);
    let waited = with_client(&settings, async |client| {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let status = status(client).await?;
            match stands(&status, name, &wanted) {
                Stands::Done(said) => return Ok(said),
                Stands::Refused(why) => return Err(refused(name, &why)),
                Stands::NotYet if tokio::time::Instant::now() < until => {}
                Stands::NotYet => return Err(late(&status, &settings, patience)),
            }
            tokio::time::sleep(EVERY).await;
        }
    });
    let said = waited.await.map_err(|trouble| match trouble {
        Trouble::Device(error @ Error::Unreachable { .. }) => {
            let advice = "config.toml is changed; the host takes that in when it starts".to_owned();
            Trouble::Advised(error, advice)
        }
        other => other,
    })?;
    match settings.json {
        true => {
            let done = serde_json::json!({"plugin": name, "done": said});
            Ok(output::line(&done.to_string())?)
        }
        false => Ok(output::line(&format!("{name}: {}", plain(&said)))?),
    }
}

async fn status(client: &Client) -> Result<Value, Trouble> {
    let reply = client.call("status", [], [], None).await?;
    Ok(reply.value().clone())
}

fn stands(status: &Value, name: &str, wanted: &Wanted) -> Stands {
    let plugin = status.get("plugins").and_then(|plugins| plugins.get(name));
    let text = |of: Option<&Value>, key: &str| {
        let of = of.and_then(|of| of.get(key));
        of.and_then(Value::as_text).unwrap_or_default().to_owned()
    };
    let state = text(plugin, "state");
    let serves = !matches!(state.as_str(), "" | "refused" | "not enabled");
    let (sha256, allow) = match wanted {
        Wanted::Gone if serves || state == "refused" => return Stands::NotYet,
        Wanted::Gone => return Stands::Done("not enabled any more".to_owned()),
        Wanted::Serves { sha256, allow } => (sha256, allow),
    };
    let is_it = |of: Option<&Value>| {
        let grants = of.and_then(|of| of.get("allow")).and_then(Value::as_list);
        let grants = grants.unwrap_or_default().iter().filter_map(Value::as_text);
        text(of, "sha256") == *sha256 && grants.eq(allow.iter().map(String::as_str))
    };
    let newer = plugin.and_then(|plugin| plugin.get("newer"));
    if serves && is_it(plugin) {
        return Stands::Done(format!("{state}, version {}", text(plugin, "version")));
    }
    if state == "refused" && is_it(plugin) {
        return Stands::Refused(text(plugin, "reason"));
    }
    if is_it(newer) {
        let why = text(newer, "reason");
        return Stands::Refused(format!(
            "{}\nthe version before it serves on",
            why.trim_end()
        ));
    }
    Stands::NotYet
}

fn refused(name: &str, why: &str) -> Trouble {
    let message = format!("{name} is not taken in: {}", plain(why.trim_end()));
    Trouble::Device(Error::Failed(Failure::new(
        Code::PluginUnavailable,
        message,
    )))
}

fn late(status: &Value, settings: &Settings, patience: Duration) -> Trouble {
    let why = match status.get("settings_fault").and_then(Value::as_text) {
        Some(fault) => format!("the host does not take config.toml in: {}", plain(fault)),
        None => format!(
            "the host at {} did not take the change in within {patience:?}; does it read this config.toml? its log tells more",
            settings.host
        ),
    };
    Trouble::Unsettled(format!("config.toml is changed, but {why}"))
}
