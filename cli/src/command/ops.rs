//! `ops`: the device's opcode table.

use clap::Args;
use pixelboy_client::OpTable;
use serde_json::json;

use super::with_client;
use crate::json;
use crate::line::Settings;
use crate::output::{self, plain};
use crate::trouble::Trouble;

/// List the opcodes that the device offers
#[derive(Args, Debug)]
pub(crate) struct Ops {}

impl Ops {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let table = with_client(settings, async |client| Ok(client.table().await?)).await?;
        let text = match settings.json {
            true => {
                let ops: Vec<_> = table
                    .ops
                    .iter()
                    .map(|entry| json::of_value(&entry.to_value()))
                    .collect();
                json!({"digest": json::hex(&table.digest), "ops": ops}).to_string()
            }
            false => by_plugin(&table),
        };
        Ok(output::line(&text)?)
    }
}

fn by_plugin(table: &OpTable) -> String {
    let mut plugins: Vec<&str> = table
        .ops
        .iter()
        .map(|entry| entry.plugin.as_str())
        .collect();
    plugins.sort_unstable();
    plugins.dedup();
    // The host's own come last.
    plugins.sort_by_key(|plugin| *plugin == "host");
    let mut blocks = Vec::new();
    for plugin in plugins {
        let mut lines = vec![format!("{}:", plain(plugin))];
        for entry in table.ops.iter().filter(|entry| entry.plugin == plugin) {
            let first = entry.doc.lines().next().unwrap_or_default();
            lines.push(format!("  {} {}", entry.op, entry.parameters()));
            lines.push(format!("      {}", plain(first)));
        }
        blocks.push(lines.join("\n"));
    }
    blocks.push("pixelboy help OPCODE tells more about one".to_owned());
    blocks.join("\n\n")
}
