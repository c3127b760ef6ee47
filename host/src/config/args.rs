//! The command line of `pixelboyd`. Flags override config.toml.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::settings::{ConfigError, Settings};

/// The host of a pixelboy device: stores, shows and plays what clients send, by plugins.
#[derive(Clone, Debug, Parser)]
#[command(name = "pixelboyd", version)]
pub(crate) struct Args {
    /// Another thing to do than to serve.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The settings; data and plugins folders in it are relative to it.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "config.toml",
        global = true
    )]
    pub(crate) config: PathBuf,

    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    listen: Option<SocketAddr>,

    /// The folder of everything stored.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,

    /// The folder of .wasm files.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,

    /// auto, terminal, pipe:COMMAND, png:FOLDER or none.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    display: Option<String>,

    /// default, wav:FILE or null.
    #[arg(long, value_name = "NAME[:OPTIONS]")]
    audio: Option<String>,

    /// Written, with the bound address as its one line, when clients can connect.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// How log lines look, on standard error; RUST_LOG sets what is logged.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| {
        "expected an IP address and a port, such as 127.0.0.1:7777, or 0.0.0.0:7777 for the whole network"
    })
}

/// What can be done besides serving.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Compares everything stored with its digests and the record. pixelboyd must not be running on the folder.
    #[command(after_help = crate::verify::EXIT_CODES)]
    Verify(Verify),
    /// Tells what this host would say to a plugin: its opcodes and the lines for config.toml, or why it is not taken.
    Check {
        /// The .wasm file.
        file: PathBuf,
    },
}

/// What `verify` does besides looking.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Verify {
    /// Moves what is not intact to `aside/` in the data folder and goes on with the rest; says what is lost, and asks.
    #[arg(long)]
    pub(crate) repair: bool,

    /// Repairs without asking.
    #[arg(long, requires = "repair")]
    pub(crate) yes: bool,

    /// Takes a file in as it is, that was changed or put into `media/` by hand; a folder: all in it; `.`: all there are.
    #[arg(long, value_name = "PATH")]
    pub(crate) adopt: Vec<String>,

    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Args {
    /// The data folder, for what needs no other setting.
    pub(crate) fn data(&self) -> Result<PathBuf, ConfigError> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(Settings::read(&self.config)?.host.data),
        }
    }

    /// The file's settings with the flags on top.
    pub(crate) fn settings(&self) -> Result<Settings, ConfigError> {
        let mut settings = Settings::read(&self.config)?;
        if let Some(listen) = self.listen {
            settings.host.listen = listen;
        }
        if let Some(data) = &self.data {
            settings.host.data.clone_from(data);
        }
        if let Some(plugins) = &self.plugins {
            settings.host.plugins.clone_from(plugins);
        }
        let value = |flag: &str, error: String| ConfigError::Value(flag.into(), error);
        if let Some(display) = &self.display {
            settings
                .display
                .set_backend(display)
                .map_err(|error| value("--display", error.to_string()))?;
        }
        if let Some(audio) = &self.audio {
            settings.audio.backend.clone_from(audio);
            settings.audio().map_err(|error| value("--audio", error))?;
        }
        Ok(settings)
    }
}
