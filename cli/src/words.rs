//! From the words of a command line to an opcode's arguments, by the types of the device's own table.
//! Invariant: nothing is sent before everything fits; a misfit is told in the device's own words.
//! `-` is standard input, `@FILE` a file, and where bytes are taken the path of a file that exists is that file. Behind `--`
//! words are taken as they stand. Whether words fit is told before whether their files are there.

use std::path::Path;

use pixelboy_client::protocol::{ArgEntry, ArgKind, OpEntry, match_arguments};
use pixelboy_client::{Client, Error, Source, Value};

use crate::json;
use crate::opcode_help::close;
use crate::output;
use crate::progress::Progress;
use crate::trouble::Trouble;

/// An argument before it is sent.
#[derive(Debug)]
pub(crate) enum Argument {
    Value(Value),
    /// Bytes that go along or are uploaded first.
    Bytes(Source),
    /// Bytes that cannot be had, and why; told where everything fits.
    Missing(Trouble),
}

/// The arguments of one call.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) args: Vec<Argument>,
    pub(crate) kwargs: Vec<(String, Argument)>,
}

/// Endings by which a word means a file.
const ENDINGS: [&str; 11] = [
    "png", "jpg", "jpeg", "bmp", "gif", "webp", "mp3", "wav", "flac", "ogg", "txt",
];

/// Arguments by position and as NAME=VALUE.
pub(crate) fn read(entry: &OpEntry, words: &[String]) -> Result<Arguments, Trouble> {
    let (words, literal) = match words.iter().position(|word| word == "--") {
        Some(at) => (
            words.get(..at).unwrap_or_default(),
            words.get(at + 1..).unwrap_or_default(),
        ),
        None => (words, &[][..]),
    };
    let mut arguments = Arguments::default();
    for word in words {
        let named = word.split_once('=').and_then(|(name, value)| {
            Some((entry.args.iter().find(|arg| arg.name == name)?, value))
        });
        match named {
            Some((arg, value)) => arguments.kwargs.push((arg.name.clone(), one(arg, value)?)),
            None => {
                refuse_slip(entry, word)?;
                let arg = next(entry, &arguments);
                arguments.args.push(one(&arg, word)?);
            }
        }
    }
    for word in literal {
        let arg = next(entry, &arguments);
        arguments
            .args
            .push(Argument::Value(as_it_stands(&arg, word)?));
    }
    arguments.check(entry)?;
    Ok(arguments)
}

/// A name that is almost that of an argument was meant as one.
fn refuse_slip(entry: &OpEntry, word: &str) -> Result<(), Trouble> {
    let names = entry.args.iter().map(|arg| arg.name.as_str());
    let slip = word
        .split_once('=')
        .filter(|(name, _)| {
            name.chars()
                .all(|it| it.is_ascii_alphanumeric() || "_-".contains(it))
        })
        .and_then(|(name, _)| Some((name, close(&name.to_lowercase(), names)?)));
    match slip {
        Some((name, meant)) => Err(Trouble::Usage(format!(
            "{} has no argument {name}, did you mean {meant}=? put -- before words that are to be sent as they stand",
            entry.op
        ))),
        None => Ok(()),
    }
}

/// The argument that the next word is for; one too many is text, and refused by the check.
fn next(entry: &OpEntry, arguments: &Arguments) -> ArgEntry {
    match entry.args.get(arguments.args.len()) {
        Some(arg) => arg.clone(),
        None => ArgEntry::new("", ArgKind::Text, ""),
    }
}

impl Arguments {
    /// By position and by name, without an entry's help for the latter.
    pub(crate) fn raw(
        entry: &OpEntry,
        words: &[String],
        named: &[(String, String)],
    ) -> Result<Self, Trouble> {
        let mut arguments = Self::default();
        for word in words {
            let arg = next(entry, &arguments);
            arguments.args.push(one(&arg, word)?);
        }
        for (name, value) in named {
            let known = entry.args.iter().find(|arg| arg.name == *name);
            let unknown = ArgEntry::new(name, ArgKind::Text, "");
            arguments
                .kwargs
                .push((name.clone(), one(known.unwrap_or(&unknown), value)?));
        }
        arguments.check(entry)?;
        Ok(arguments)
    }

    /// Whether they fit, as the device would say it.
    fn check(&mut self, entry: &OpEntry) -> Result<(), Trouble> {
        let seen = |argument: &Argument| match argument {
            Argument::Value(value) => value.clone(),
            Argument::Bytes(_) | Argument::Missing(_) => Value::Upload(0),
        };
        let args = self.args.iter().map(seen).collect();
        let kwargs = self
            .kwargs
            .iter()
            .map(|(name, argument)| (name.clone(), seen(argument)))
            .collect();
        if let Err(error) = match_arguments(entry, args, kwargs) {
            let text = format!("{error}\ntry: pixelboy help {}", entry.op);
            return Err(Trouble::Usage(text));
        }
        let named = self.kwargs.iter_mut().map(|(_, argument)| argument);
        for argument in self.args.iter_mut().chain(named) {
            if let Argument::Missing(_) = argument
                && let Argument::Missing(why) =
                    std::mem::replace(argument, Argument::Value(Value::Null))
            {
                return Err(why);
            }
        }
        Ok(())
    }

    /// Adds an argument by name, where it is not there in any way.
    pub(crate) fn default_to(&mut self, entry: &OpEntry, name: &str, value: Value) {
        let Some(at) = entry.args.iter().position(|arg| arg.name == name) else {
            return;
        };
        if at >= self.args.len() && !self.kwargs.iter().any(|(given, _)| given == name) {
            self.kwargs.push((name.to_owned(), Argument::Value(value)));
        }
    }

    /// As values; uploads what is large.
    pub(crate) async fn send(
        self,
        client: &Client,
        json: bool,
    ) -> Result<(Vec<Value>, Vec<(String, Value)>), Trouble> {
        let mut args = Vec::new();
        for argument in self.args {
            args.push(argument.send(client, json).await?);
        }
        let mut kwargs = Vec::new();
        for (name, argument) in self.kwargs {
            kwargs.push((name, argument.send(client, json).await?));
        }
        Ok((args, kwargs))
    }
}

impl Argument {
    async fn send(self, client: &Client, json: bool) -> Result<Value, Trouble> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Missing(why) => Err(why),
            Self::Bytes(source) => {
                let mut progress = Progress::new(source.name(), json);
                let value = client
                    .data(&source, &mut |done, total| progress.update(done, total))
                    .await?;
                Ok(value)
            }
        }
    }
}

fn one(arg: &ArgEntry, word: &str) -> Result<Argument, Trouble> {
    match arg.kind {
        ArgKind::Data => data(arg, word),
        ArgKind::Bytes if word == "-" || word.starts_with('@') => {
            let source = match word.strip_prefix('@') {
                Some(path) => at(arg, path),
                None => standard_input(),
            };
            let bytes = source.and_then(|source| Ok(source.head(usize::MAX)?));
            Ok(bytes.map_or_else(Argument::Missing, |bytes| {
                Argument::Value(Value::Bytes(bytes))
            }))
        }
        _ => as_it_stands(arg, word).map(Argument::Value),
    }
}

/// Bytes, text or a file.
fn data(arg: &ArgEntry, word: &str) -> Result<Argument, Trouble> {
    if word == "-" {
        return Ok(Argument::Bytes(standard_input()?));
    }
    if let Some(path) = word.strip_prefix('@') {
        return Ok(at(arg, path).map_or_else(Argument::Missing, Argument::Bytes));
    }
    if Path::new(word).is_file() {
        let source = Source::file(word)?;
        if output::is_watched() {
            output::to_stderr(&format!(
                "{}: sending the file {word} ({}); put -- before it to send these words",
                arg.name,
                crate::said::bytes(source.len())
            ))?;
        }
        return Ok(Argument::Bytes(source));
    }
    let ending = word
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_lowercase());
    if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
        && !word.contains(char::is_whitespace)
    {
        return Ok(Argument::Missing(Trouble::Usage(format!(
            "{}: there is no file {word} here; put -- before it to send these words",
            arg.name
        ))));
    }
    Ok(Argument::Value(word.into()))
}

/// What `@FILE` names.
fn at(arg: &ArgEntry, path: &str) -> Result<Source, Trouble> {
    Source::file(path).map_err(|error| {
        let why = match error {
            Error::File { why, .. } => why,
            other => other.to_string(),
        };
        Trouble::Usage(format!(
            "{}: @{path} stands for the bytes of the file {path} here: {why}; put -- before it to send these words",
            arg.name
        ))
    })
}

pub(crate) fn standard_input() -> Result<Source, Trouble> {
    Ok(Source::reader(std::io::stdin().lock(), "standard input")?)
}

/// A word as a value of the argument's type; where it is none, as text, which the check refuses.
fn as_it_stands(arg: &ArgEntry, word: &str) -> Result<Value, Trouble> {
    let wrong_json = |why: String| {
        Trouble::Usage(format!(
            "{} takes JSON, such as [1, \"two\"]: {why}",
            arg.name
        ))
    };
    let value = match arg.kind {
        ArgKind::Bool => match word.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true.into()),
            "false" | "no" | "off" | "0" => Some(false.into()),
            _ => None,
        },
        ArgKind::Int => word.parse::<i64>().ok().map(Value::from),
        ArgKind::Float => match word.parse::<i64>() {
            Ok(int) => Some(int.into()),
            Err(_) => word.parse::<f64>().ok().map(Value::from),
        },
        ArgKind::Text | ArgKind::Data => None,
        ArgKind::Bytes => Some(Value::Bytes(word.as_bytes().to_vec())),
        ArgKind::List | ArgKind::Map => {
            let parsed =
                serde_json::from_str(word).map_err(|error| wrong_json(error.to_string()))?;
            Some(json::to_value(parsed).map_err(wrong_json)?)
        }
        ArgKind::Any => serde_json::from_str(word)
            .ok()
            .and_then(|parsed| json::to_value(parsed).ok()),
    };
    // Null in words, for what may be absent.
    Ok(
        value.unwrap_or_else(|| match (arg.is_required(), arg.kind, word) {
            (false, ArgKind::Int | ArgKind::Float | ArgKind::Bool, "null") => Value::Null,
            _ => word.into(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use pixelboy_client::Value;
    use pixelboy_client::protocol::{ArgEntry, ArgKind, OpEntry};

    use super::{Argument, Arguments, read};

    fn entry(args: Vec<ArgEntry>) -> OpEntry {
        OpEntry {
            op: "do".to_owned(),
            plugin: "p".to_owned(),
            doc: String::new(),
            args,
            returns: String::new(),
        }
    }

    fn arg(name: &str, kind: ArgKind) -> ArgEntry {
        ArgEntry::new(name, kind, "")
    }

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    fn values(arguments: &Arguments) -> Vec<Value> {
        let value = |argument: &Argument| match argument {
            Argument::Value(value) => value.clone(),
            Argument::Bytes(source) => Value::Bytes(source.head(1_000).unwrap()),
            Argument::Missing(why) => panic!("{why:?}"),
        };
        arguments
            .args
            .iter()
            .map(value)
            .chain(arguments.kwargs.iter().map(|(_, argument)| value(argument)))
            .collect()
    }

    #[test]
    fn words_become_values_of_the_table_s_types() {
        let entry = entry(vec![
            arg("a", ArgKind::Bool),
            arg("b", ArgKind::Int),
            arg("c", ArgKind::Float),
            arg("d", ArgKind::Text),
            arg("e", ArgKind::List),
            arg("f", ArgKind::Any),
            arg("g", ArgKind::Any),
            arg("h", ArgKind::Data),
        ]);
        let given = words(&[
            "yes",
            "-5",
            "0.5",
            "7",
            "[1,\"x\"]",
            "{\"k\":null}",
            "loose",
            "x=b",
        ]);
        let read = values(&read(&entry, &given).unwrap());
        let expected: Vec<Value> = vec![
            true.into(),
            (-5).into(),
            0.5.into(),
            "7".into(),
            Value::List(vec![1.into(), "x".into()]),
            vec![("k".to_owned(), Value::Null)].into(),
            "loose".into(),
            "x=b".into(),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn names_are_taken_where_the_opcode_has_them_and_not_behind_two_dashes() {
        let entry = entry(vec![
            arg("path", ArgKind::Text),
            arg("text", ArgKind::Data),
            arg("mode", ArgKind::Text).or("a"),
        ]);
        let read_them = |given: &[&str]| read(&entry, &words(given)).unwrap();
        let named = read_them(&["x", "mode=w", "hello"]);
        assert_eq!((named.args.len(), named.kwargs[0].0.as_str()), (2, "mode"));
        let literal = read_them(&["x", "--", "mode=w"]);
        assert_eq!(values(&literal), ["x".into(), "mode=w".into()]);
    }

    #[test]
    fn a_misfit_is_told_as_the_device_would_say_it() {
        let entry = entry(vec![arg("volume", ArgKind::Float)]);
        let message = read(&entry, &words(&["loud"])).unwrap_err().message();
        assert_eq!(
            message,
            "do takes (volume: float), got (text)\ntry: pixelboy help do"
        );
        let message = read(&entry, &words(&["1", "2"])).unwrap_err().message();
        assert!(
            message.starts_with("do takes (volume: float), got (int, text)"),
            "{message}"
        );
        let message = read(&entry, &[]).unwrap_err().message();
        assert!(
            message.starts_with("do takes (volume: float), got ()"),
            "{message}"
        );
    }

    #[test]
    fn bytes_come_from_a_file_where_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cat.png");
        std::fs::write(&path, "meow").unwrap();
        let path = path.to_str().unwrap();
        let entry = entry(vec![arg("image", ArgKind::Data)]);
        for word in [path.to_owned(), format!("@{path}"), format!("image={path}")] {
            let read = read(&entry, &[word]).unwrap();
            assert_eq!(values(&read), [Value::Bytes(b"meow".to_vec())]);
        }
        let read_one = |word: &str| read(&entry, &words(&[word]));
        let missing = read_one("dog.png").unwrap_err().message();
        assert!(
            missing.contains("there is no file dog.png here"),
            "{missing}"
        );
        assert!(
            read_one("@dog")
                .unwrap_err()
                .message()
                .contains("no such file")
        );
        assert_eq!(
            values(&read_one("version 1.txt").unwrap()),
            ["version 1.txt".into()]
        );
        assert_eq!(
            values(&read(&entry, &words(&["--", path])).unwrap()),
            [path.into()]
        );
    }

    #[test]
    fn a_slip_in_a_name_is_refused_and_other_equals_signs_are_text() {
        let entry = entry(vec![
            arg("name", ArgKind::Text),
            arg("loud", ArgKind::Bool).or(false),
        ]);
        for slip in ["nme=x", "naem=x", "NAME=x", "lowd=yes"] {
            let message = read(&entry, &words(&[slip])).unwrap_err().message();
            assert!(
                message.contains("did you mean") && message.contains("put -- before"),
                "{message}"
            );
        }
        for text in ["a=b", "x + y=z", "==", "https://a.b/?name=x", "title=x"] {
            assert_eq!(
                values(&read(&entry, &words(&[text])).unwrap()),
                [text.into()]
            );
        }
        assert_eq!(
            values(&read(&entry, &words(&["--", "nme=x"])).unwrap()),
            ["nme=x".into()]
        );
    }

    #[test]
    fn what_does_not_fit_is_told_before_a_file_that_is_missing() {
        let entry = entry(vec![
            arg("frame_rate", ArgKind::Int),
            arg("audio", ArgKind::Data),
            arg("name", ArgKind::Text),
        ]);
        let message = read(&entry, &words(&["@song.mp3", "s.mp3"]))
            .unwrap_err()
            .message();
        assert_eq!(
            message,
            "do takes (frame_rate: int, audio: data, name: text), got (text, data)\ntry: pixelboy help do"
        );
        let message = read(&entry, &words(&["0", "@no-such-song", "s.mp3"]))
            .unwrap_err()
            .message();
        assert_eq!(
            message,
            "audio: @no-such-song stands for the bytes of the file no-such-song here: no such file or directory; put -- before it to send these words"
        );
    }

    #[test]
    fn broken_json_says_what_is_taken() {
        let entry = entry(vec![arg("colour", ArgKind::List)]);
        let message = read(&entry, &words(&["red"])).unwrap_err().message();
        assert!(
            message.starts_with("colour takes JSON, such as [1, \"two\"]"),
            "{message}"
        );
    }
}
