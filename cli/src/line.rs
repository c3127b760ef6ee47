//! The command line as it is typed: settings that hold for every word, and the words.
//! Not here: what the words do (`command`), one file each with its own arguments.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::command;

const AFTER: &str = "\
Any other word is an opcode of the device, with the arguments of its own table:
  pixelboy ops                         lists them
  pixelboy help ss                     explains one; so does: pixelboy ss --help
  pixelboy ss notes.txt hi mode=w      calls it, arguments by position or as NAME=VALUE

Exit codes:
  0  done
  1  the device said no; the message tells why
  2  wrong usage, or a file here that cannot be read or written
  3  the device cannot be reached, or does not take this client
  4  outcome unknown: it may or may not have happened
  5  timed out; nothing happened
  130  stopped with Ctrl-C

With --json, one JSON object goes to standard output for each reply, also for failures:
  {\"op\": …, \"values\": […], \"stored\": 17, \"recorded\": false}
  {\"error\": {\"code\": \"not-found\", \"message\": …, \"details\": {…}}}
\"stored\" is the position in the device's commit order: what it stands by is on the device's disk.";

/// Where a device listens that is not told otherwise.
pub(crate) const DEFAULT_HOST: &str = "127.0.0.1:7777";

/// Stores, shows and plays on a pixelboy device.
#[derive(Debug, Parser)]
#[command(
    name = "pixelboy",
    version,
    after_help = AFTER,
    disable_help_subcommand = true,
    subcommand_required = false,
    subcommand_value_name = "WORD",
    subcommand_help_heading = "Words"
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) word: Option<Word>,
}

/// What holds for every word.
#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    /// The device: a name or an IP address.
    #[arg(
        long,
        global = true,
        value_name = "HOST[:PORT]",
        env = "PIXELBOY_HOST",
        default_value = DEFAULT_HOST
    )]
    pub(crate) host: String,
    /// Print JSON instead of sentences.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Seconds to wait for an answer; of a transfer, how long it may rest [default: 30; of ping: 3]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Keep who this client is and what has no answer yet in a file, one for each device: the next line goes on after a crash of this one.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

/// The words of this program; every other word is an opcode of the device.
#[derive(Debug, Subcommand)]
pub(crate) enum Word {
    Play(command::play::Play),
    Show(command::show::Show),
    Store(command::store::Store),
    Pause(command::sound::Pause),
    Resume(command::sound::Resume),
    Stop(command::sound::Stop),
    Quiet(command::sound::Quiet),
    Volume(command::sound::Volume),
    Ls(command::ls::Ls),
    Get(command::get::Get),
    Del(command::files::Del),
    Stat(command::files::Stat),
    Status(command::status::Status),
    Ops(command::ops::Ops),
    Call(command::call::Call),
    Ping(command::ping::Ping),
    Plugin(command::plugin::Plugin),
    Completions(command::completions::Completions),
    Help(command::help::Help),
    #[command(external_subcommand)]
    Opcode(Vec<OsString>),
}

/// Seconds on the command line: above 0, at most a day.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds above 0, at most 86400, such as 0.5".to_owned()),
    }
}

/// Seconds that may be none.
pub(crate) fn pause(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(0.0) => Ok(Duration::ZERO),
        _ => seconds(text),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Line, Word};

    #[test]
    fn the_definition_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn settings_are_taken_before_and_after_the_word() {
        for line in [
            "pixelboy --json --timeout 2 ls",
            "pixelboy ls --timeout 2 --json",
        ] {
            let line = Line::try_parse_from(line.split(' ')).unwrap();
            assert!(line.settings.json && line.settings.timeout.unwrap().as_secs() == 2);
        }
        assert!(Line::try_parse_from(["pixelboy", "--timeout", "0", "ls"]).is_err());
        assert!(Line::try_parse_from(["pixelboy", "--timeout", "nan", "ls"]).is_err());
    }

    #[test]
    fn an_unknown_word_becomes_an_opcode_with_all_that_follows() {
        let line =
            Line::try_parse_from(["pixelboy", "scroll-text", "hi", "--json", "speed=3"]).unwrap();
        let Some(Word::Opcode(words)) = line.word else {
            panic!("no word of this program")
        };
        assert_eq!(words, ["scroll-text", "hi", "--json", "speed=3"]);
    }

    #[test]
    fn play_comes_first_in_the_help() {
        let help = Line::command().render_help().to_string();
        let words = help.split("Words:").nth(1).unwrap();
        assert!(words.trim_start().starts_with("play"), "{help}");
        assert!(help.contains("Exit codes:") && help.contains("130"));
    }
}
