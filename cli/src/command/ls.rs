//! `ls`: a folder of the device, fetched page by page so that a long one fits replies.

use clap::Args;
use pixelboy_client::{Client, Value};
use serde_json::json;

use super::with_client;
use crate::json;
use crate::line::Settings;
use crate::output;
use crate::said::bytes;
use crate::trouble::Trouble;

/// Names at a time.
const PAGE: usize = 500;

/// List stored files
#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// A folder on the device
    #[arg(default_value = "", hide_default_value = true)]
    folder: String,
}

impl Ls {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let entries = with_client(settings, async |client| all(client, &self.folder).await).await?;
        if settings.json {
            let values: Vec<_> = entries.iter().map(json::of_value).collect();
            let reply = json!({"op": "ls", "values": [values], "stored": null, "recorded": false});
            return Ok(output::line(&reply.to_string())?);
        }
        if entries.is_empty() {
            return Ok(output::to_stderr("nothing is stored")?);
        }
        Ok(output::line(&columns(&entries))?)
    }
}

async fn all(client: &Client, folder: &str) -> Result<Vec<Value>, Trouble> {
    let mut entries: Vec<Value> = Vec::new();
    loop {
        let after = entries
            .last()
            .and_then(|last| last.get("name"))
            .cloned()
            .unwrap_or_default();
        let page = [folder.into(), after, (PAGE as i64).into()];
        let reply = client.call("ls", page, [], None).await?;
        let page = reply.value().as_list().unwrap_or_default();
        entries.extend_from_slice(page);
        if page.len() < PAGE {
            return Ok(entries);
        }
    }
}

fn columns(entries: &[Value]) -> String {
    let text = |entry: &Value, key: &str| {
        entry
            .get(key)
            .and_then(Value::as_text)
            .map(output::plain)
            .unwrap_or_default()
    };
    let size = |entry: &Value| {
        let size = entry
            .get("size")
            .and_then(Value::as_int)
            .and_then(|size| u64::try_from(size).ok());
        size.map(bytes).unwrap_or_default()
    };
    let kinds = entries
        .iter()
        .map(|entry| text(entry, "kind").len())
        .max()
        .unwrap_or(0);
    let sizes = entries
        .iter()
        .map(|entry| size(entry).len())
        .max()
        .unwrap_or(0);
    let lines: Vec<String> = entries
        .iter()
        .map(|entry| {
            format!(
                "{:kinds$}  {:>sizes$}  {}",
                text(entry, "kind"),
                size(entry),
                text(entry, "path")
            )
        })
        .collect();
    lines.join("\n")
}
