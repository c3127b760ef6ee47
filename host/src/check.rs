//! `pixelboyd check FILE`: what this host would say to a plugin, without serving.
//! Invariant: the loader's own steps, with a store that is thrown away; everything that the plugin imports is granted.
//! A file that would not be taken in: the loader's reason, exit code 1.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use pixelboy_protocol::table::{ArgEntry, OpEntry};

use crate::host::bare_services;
use crate::plugin::version::Version;
use crate::plugin::{cache::Cache, engine::Engine, grants, link, loader};

/// Says it on standard output.
pub(crate) fn run(file: &Path) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let said = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(report(file)));
    match said {
        Ok(report) => {
            // Nobody may be reading.
            let _ = writeln!(std::io::stdout(), "{report}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("pixelboyd: {}: {why}", file.display());
            ExitCode::FAILURE
        }
    }
}

async fn report(file: &Path) -> Result<String, String> {
    fn text(error: impl std::fmt::Display) -> String {
        format!("{error:#}")
    }
    let bytes = loader::read(file).map_err(text)?;
    let folder = tempfile::tempdir().map_err(text)?;
    let services = bare_services(&folder.path().join("data"))?;
    let engine = Arc::new(Engine::start().map_err(text)?);
    let cache = Cache::open(folder.path().join("cache"), &engine.wasmtime).map_err(text)?;
    let (component, _) = cache
        .component(&engine.wasmtime, &bytes)
        .await
        .map_err(text)?;
    let allow = link::wanted(&engine.wasmtime, &component).map_err(text)?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let settings = crate::config::PluginSettings {
        allow: grants::NAMES
            .iter()
            .filter(|grant| allow.iter().any(|wanted| wanted == *grant))
            .map(|&grant| grant.to_owned())
            .collect(),
        ..crate::config::PluginSettings::of_file(file)
    };
    let version = Version::load(
        &engine,
        &cache,
        &services,
        &name,
        &bytes,
        &settings,
        &Arc::default(),
    )
    .await
    .map_err(text)?;
    Ok(told(&name, file, bytes.len(), &version))
}

fn told(name: &str, file: &Path, bytes: usize, version: &Version) -> String {
    let manifest = &version.manifest;
    let mut text = format!(
        "{name} {}, {bytes} bytes: {}\n",
        manifest.version, manifest.about
    );
    for row in &manifest.rows {
        let _ = write!(text, "\n{}", opcode(row));
    }
    if !manifest.events.is_empty() {
        let _ = write!(text, "\nIt is told of: {}\n", manifest.events.join(" "));
    }
    let allow: Vec<String> = version
        .settings
        .allow
        .iter()
        .map(|it| format!("{it:?}"))
        .collect();
    let file = file.file_name().unwrap_or_default().to_string_lossy();
    let _ = write!(
        text,
        "\nA device takes it with these lines in config.toml:\n\n[plugins.{name}]\nfile = {file:?}\nallow = [{}]",
        allow.join(", ")
    );
    text
}

fn opcode(row: &OpEntry) -> String {
    let mut text = row.op.clone();
    for arg in &row.args {
        let _ = write!(text, " {}", argument(arg));
    }
    text.push('\n');
    for line in row.doc.lines().filter(|line| !line.is_empty()) {
        let _ = writeln!(text, "    {line}");
    }
    if !row.returns.is_empty() {
        let _ = writeln!(text, "    Returns: {}", row.returns);
    }
    text
}

/// `name: kind`, in brackets where it can be left out.
fn argument(arg: &ArgEntry) -> String {
    use pixelboy_protocol::Value;
    let (name, kind) = (&arg.name, arg.kind.name());
    match &arg.default {
        None => format!("{name}: {kind}"),
        Some(Value::Null) => format!("[{name}: {kind}]"),
        Some(Value::Text(text)) => format!("[{name}: {kind} = {text:?}]"),
        Some(default) => format!("[{name}: {kind} = {default}]"),
    }
}
