//! `plugin list`: every plugin that the device knows of, and how it stands.

use clap::Args;
use pixelboy_client::Value;

use crate::command::with_client;
use crate::json;
use crate::line::Settings;
use crate::output::{self, plain};
use crate::trouble::Trouble;

/// List plugins: state, version, calls, how long a call takes, memory, grants
#[derive(Args, Debug)]
pub(crate) struct List {}

const HEAD: [&str; 9] = [
    "NAME", "STATE", "VERSION", "CALLS", "FAILED", "P50 µs", "P99 µs", "KiB", "MAY USE",
];

/// Columns of numbers.
const RIGHT: std::ops::Range<usize> = 3..8;

impl List {
    pub(crate) async fn run(self, settings: &Settings) -> Result<(), Trouble> {
        let reply = with_client(settings, async |client| {
            Ok(client.call("status", [], [], None).await?)
        })
        .await?;
        let status = reply.value();
        let none = Value::Map(Vec::new());
        let plugins = status.get("plugins").unwrap_or(&none);
        let text = match settings.json {
            true => json::of_value(plugins).to_string(),
            false => table(plugins, status.get("settings_fault")),
        };
        Ok(output::line(&text)?)
    }
}

fn table(plugins: &Value, fault: Option<&Value>) -> String {
    let plugins = plugins.as_map().unwrap_or_default();
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(plugins.iter().map(|(name, about)| row(name, about)));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| match RIGHT.contains(&column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    for (name, about) in plugins {
        let newer = about.get("newer");
        let reasons = [
            (name.clone(), about.get("reason")),
            (
                format!("{name}, its new file"),
                newer.and_then(|newer| newer.get("reason")),
            ),
        ];
        for (of, reason) in reasons {
            if let Some(reason) = reason.and_then(Value::as_text) {
                lines.push(format!("\n{}: {}", plain(&of), plain(reason.trim_end())));
            }
        }
    }
    if let Some(fault) = fault.and_then(Value::as_text) {
        lines.push(format!("\nconfig.toml is not taken in: {}", plain(fault)));
    }
    lines.join("\n")
}

fn row(name: &str, about: &Value) -> [String; 9] {
    let text = |key| about.get(key).and_then(Value::as_text).map(plain);
    let number = |key| about.get(key).and_then(Value::as_int);
    let told = |key| number(key).map_or_else(|| "-".to_owned(), |number| number.to_string());
    let newer = about.get("newer").and_then(|newer| newer.get("state"));
    let mut state = text("state").unwrap_or_default();
    if let Some(newer) = newer.and_then(Value::as_text) {
        state.push_str(&format!(", new {}", plain(newer)));
    }
    let allow = about.get("allow").and_then(Value::as_list);
    let allow = allow.unwrap_or_default().iter().filter_map(Value::as_text);
    [
        plain(name),
        state,
        text("version").unwrap_or_else(|| "-".to_owned()),
        told("calls"),
        told("failures"),
        told("p50_us"),
        told("p99_us"),
        number("memory_bytes").map_or_else(|| "-".to_owned(), |bytes| (bytes >> 10).to_string()),
        plain(&allow.collect::<Vec<_>>().join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Value)]) -> Value {
        let entries = entries.iter();
        Value::Map(
            entries
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        )
    }

    #[test]
    fn the_table_tells_what_runs_and_why_the_rest_does_not() {
        let newer = map(&[
            ("state", "pending".into()),
            ("reason", "it imports kv".into()),
        ]);
        let runs = map(&[
            ("state", "running".into()),
            ("version", "1.2.0".into()),
            ("calls", Value::Int(12)),
            ("failures", Value::Int(0)),
            ("p50_us", Value::Int(63)),
            ("p99_us", Value::Null),
            ("memory_bytes", Value::Int(1_114_112)),
            ("allow", Value::List(vec!["store".into(), "probe".into()])),
            ("reason", Value::Null),
            ("newer", newer),
        ]);
        let lies = map(&[
            ("state", "not enabled".into()),
            ("file", "clock.wasm".into()),
        ]);
        let text = table(&map(&[("notes", runs), ("clock", lies)]), None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("NAME   STATE                 VERSION  CALLS"),
            "{text}"
        );
        assert!(
            lines[1].starts_with("notes  running, new pending  1.2.0       12       0"),
            "{text}"
        );
        assert!(
            lines[1].ends_with("63       -  1088  store probe"),
            "{text}"
        );
        assert!(
            lines[2].starts_with("clock  not enabled           -            -"),
            "{text}"
        );
        assert!(
            text.ends_with("\nnotes, its new file: it imports kv"),
            "{text}"
        );
    }
}
