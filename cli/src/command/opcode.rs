//! Any other word: an opcode of the device, with checked arguments and help from its own table.

use std::ffi::OsString;

use clap::CommandFactory as _;
use pixelboy_client::{Error, OpTable, Value};

use super::{hint_at_local_file, say, with_client};
use crate::line::{Line, Settings, seconds};
use crate::opcode_help::{self, close};
use crate::trouble::Trouble;
use crate::words;

/// Calls it.
pub(crate) async fn run(words: Vec<OsString>, settings: Settings) -> Result<(), Trouble> {
    let mut settings = settings;
    let mut words = in_utf8(words)?.into_iter();
    let word = words.next().unwrap_or_default();
    let Some(words) = own_settings(words.collect(), &mut settings)? else {
        return super::help::of_opcode(&settings, &word).await;
    };
    let done = with_client(&settings, async |client| {
        let table = client.table().await?;
        let entry = opcode_help::find(&table, &word).ok_or_else(|| unknown(&word, &table))?;
        let mut arguments = words::read(entry, &words)?;
        // The session ends with this line; what would end with it goes on.
        arguments.default_to(entry, "thread", Value::Bool(true));
        let (args, kwargs) = arguments.send(client, settings.json).await?;
        let done = client.call(&entry.op, args, kwargs, None).await;
        let named = words.first().map_or("", String::as_str);
        done.map_err(|error| hint_at_local_file(error.into(), named))
    })
    .await;
    say(&settings, &told_of(&word, done)?)
}

/// Takes this program's settings out of an opcode's words. None: help is wanted.
fn own_settings(
    words: Vec<String>,
    settings: &mut Settings,
) -> Result<Option<Vec<String>>, Trouble> {
    let mut rest = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (name, glued) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                (name.to_owned(), Some(value.to_owned()))
            }
            _ => (word.clone(), None),
        };
        let mut value = || {
            glued
                .clone()
                .or_else(|| words.next())
                .ok_or_else(|| Trouble::Usage(format!("{name} needs a value behind it")))
        };
        match name.as_str() {
            "--" => {
                rest.push(word);
                rest.extend(words);
                break;
            }
            "--help" | "-h" => return Ok(None),
            "--json" => settings.json = true,
            "--host" => settings.host = value()?,
            "--state" => settings.state = Some(value()?.into()),
            "--timeout" => {
                settings.timeout = Some(
                    seconds(&value()?)
                        .map_err(|why| Trouble::Usage(format!("--timeout: {why}")))?,
                );
            }
            _ if name.starts_with("--") => {
                return Err(Trouble::Usage(format!(
                    "{name}: an opcode's arguments are given by position or as NAME=VALUE; put -- before words that begin with --"
                )));
            }
            _ => rest.push(word),
        }
    }
    Ok(Some(rest))
}

fn in_utf8(words: Vec<OsString>) -> Result<Vec<String>, Trouble> {
    let one = |word: OsString| {
        word.into_string()
            .map_err(|word| Trouble::Usage(format!("{} is no UTF-8", word.to_string_lossy())))
    };
    words.into_iter().map(one).collect()
}

/// No such opcode: a slip of the finger, or a plugin that is missing.
pub(crate) fn unknown(word: &str, table: &OpTable) -> Trouble {
    let program = Line::command();
    let known = program
        .get_subcommands()
        .map(clap::Command::get_name)
        .chain(table.ops.iter().map(|entry| entry.op.as_str()));
    let advice = match close(word, known) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "pixelboy ops lists them, pixelboy help the words of this program".to_owned(),
    };
    Trouble::Usage(format!(
        "the device has no opcode {}; {advice}",
        crate::output::plain(word)
    ))
}

/// Where the device is not there, a slip of the finger should show all the same.
pub(crate) fn told_of<T>(word: &str, done: Result<T, Trouble>) -> Result<T, Trouble> {
    done.map_err(|trouble| match trouble {
        Trouble::Device(error @ Error::Unreachable { .. }) => {
            let program = Line::command();
            let meant = close(word, program.get_subcommands().map(clap::Command::get_name));
            let word = crate::output::plain(word);
            let advice = match meant {
                Some(meant) => format!("({word} is no word of this program; did you mean {meant}?)"),
                None => format!("({word} is no word of this program, so it was taken for an opcode of the device)"),
            };
            Trouble::Advised(error, advice)
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::own_settings;
    use crate::line::Line;

    fn taken(words: &[&str]) -> Result<(Option<Vec<String>>, crate::line::Settings), String> {
        let mut settings = Line::try_parse_from(["pixelboy", "ls"]).unwrap().settings;
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        match own_settings(words, &mut settings) {
            Ok(rest) => Ok((rest, settings)),
            Err(trouble) => Err(trouble.message()),
        }
    }

    #[test]
    fn settings_are_taken_out_of_an_opcode_s_words() {
        let (rest, settings) = taken(&[
            "a",
            "--json",
            "-5",
            "--timeout",
            "2",
            "--host=pi",
            "--",
            "--json",
        ])
        .unwrap();
        assert_eq!(rest.unwrap(), ["a", "-5", "--", "--json"]);
        assert!(settings.json && settings.host == "pi" && settings.timeout.unwrap().as_secs() == 2);
        assert!(taken(&["a", "--help"]).unwrap().0.is_none());
    }

    #[test]
    fn what_is_no_setting_is_refused_with_the_way_to_write_it() {
        let message = taken(&["--mode", "w"]).unwrap_err();
        assert!(
            message
                .contains("--mode: an opcode's arguments are given by position or as NAME=VALUE"),
            "{message}"
        );
        assert!(taken(&["--timeout"]).unwrap_err().contains("needs a value"));
        assert!(
            taken(&["--timeout", "x"])
                .unwrap_err()
                .contains("expected seconds")
        );
    }
}
