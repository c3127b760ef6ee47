//! What a client asked for, and what must be there when so much of it has happened.
//! Invariant: knows nothing of the daemon; a state is made from the operations alone, one after the other.

use std::collections::BTreeMap;

use faultfs::Random;
use harness::args;
use pixelboy_protocol::{Code, Request, Value};

use crate::media;

/// The file to which all clients append.
pub const SHARED: &str = "all.txt";

/// Files by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// How text is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `a`
    Append,
    /// `w`
    Replace,
    /// `r+`
    Over,
}

/// What an operation does.
#[derive(Clone, Debug)]
pub enum Act {
    /// `ss`
    Text(String, Mode, Vec<u8>),
    /// `ss` to the shared file.
    Shared(Vec<u8>),
    /// `si`, `sm`, `sg`
    Put(&'static str, String, Vec<u8>),
    /// `del`
    Remove(String),
    /// `ri`
    Show(String),
    /// `clear`
    Clear,
    /// `rm`
    Play(String),
}

/// What a reply must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Stored: offset where there is one, and the new size.
    Stored(Option<u64>, u64),
    /// Stored at an offset that depends on others.
    Appended(u64),
    /// Done.
    Done,
    /// Refused.
    Refused(Code),
}

impl Act {
    /// Does it to the files of its client.
    pub fn apply(&self, files: &mut Files) -> Expected {
        match self {
            Self::Text(path, mode, text) => {
                let before = files.get(path).map_or(0, Vec::len) as u64;
                match mode {
                    Mode::Append => {
                        files.entry(path.clone()).or_default().extend(text);
                        Expected::Stored(Some(before), before + text.len() as u64)
                    }
                    Mode::Replace => {
                        files.insert(path.clone(), text.clone());
                        Expected::Stored(Some(0), text.len() as u64)
                    }
                    Mode::Over => match files.get_mut(path) {
                        None => Expected::Refused(Code::NotFound),
                        Some(file) => {
                            let size = file.len().max(text.len());
                            file.resize(size, 0);
                            file[..text.len()].copy_from_slice(text);
                            Expected::Stored(Some(0), size as u64)
                        }
                    },
                }
            }
            Self::Shared(text) => Expected::Appended(text.len() as u64),
            Self::Put(_, path, bytes) => {
                files.insert(path.clone(), bytes.clone());
                Expected::Stored(None, bytes.len() as u64)
            }
            Self::Remove(path) => match files.remove(path) {
                Some(_) => Expected::Done,
                None => Expected::Refused(Code::NotFound),
            },
            Self::Show(path) | Self::Play(path) => match files.get(path) {
                Some(_) => Expected::Done,
                None => Expected::Refused(Code::NotFound),
            },
            Self::Clear => Expected::Done,
        }
    }

    /// Whether it leaves a record.
    #[must_use]
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Show(_) | Self::Clear | Self::Play(_))
    }

    /// The bytes that it sends.
    #[must_use]
    pub fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Text(_, _, bytes) | Self::Shared(bytes) | Self::Put(_, _, bytes) => Some(bytes),
            _ => None,
        }
    }

    /// As a request; `upload` names the bytes where they travel on their own.
    #[must_use]
    pub fn request(&self, number: u64, upload: Option<u64>) -> Request {
        let text = |bytes: &[u8]| match upload {
            Some(upload) => Value::Upload(upload),
            None => Value::Text(String::from_utf8(bytes.to_owned()).unwrap()),
        };
        let data = |bytes: &[u8]| match upload {
            Some(upload) => Value::Upload(upload),
            None => Value::Bytes(bytes.to_owned()),
        };
        let path = |path: &str| Value::Text(path.to_owned());
        let (op, args) = match self {
            Self::Text(name, mode, bytes) => {
                let mode = match mode {
                    Mode::Append => "a",
                    Mode::Replace => "w",
                    Mode::Over => "r+",
                };
                ("ss", args![path(name), text(bytes), mode])
            }
            Self::Shared(bytes) => ("ss", args![SHARED, text(bytes)]),
            Self::Put(op @ ("sm" | "sg"), name, bytes) => (*op, args![0, data(bytes), path(name)]),
            Self::Put(op, name, bytes) => (*op, args![data(bytes), path(name)]),
            Self::Remove(name) => ("del", args![path(name)]),
            Self::Show(name) => ("ri", args![path(name)]),
            Self::Clear => ("clear", args![]),
            Self::Play(name) => ("rm", args![path(name), true]),
        };
        Request {
            number,
            confirmed: 0,
            deadline_ms: None,
            op: op.to_owned(),
            args,
            kwargs: Vec::new(),
        }
    }
}

/// The next thing that a client does, as a seed says. `large`: its bytes travel as an upload.
pub fn next(random: &mut Random, client: u8, number: u64, large: bool) -> Act {
    let folder = format!("c{client}");
    let line = |random: &mut Random, longest: u64| {
        let long = random.below(longest) as usize;
        let letters = (0..long).map(|_| char::from(b'a' + random.below(26) as u8));
        let letters: String = letters.collect();
        format!("{client}:{number}:{letters}\n").into_bytes()
    };
    if large {
        let bytes = 70_000 + random.below(200_000);
        return match random.below(3) {
            0 => {
                let mut text = line(random, 200);
                while (text.len() as u64) < bytes {
                    text.extend_from_within(..);
                }
                let name = random.below(2);
                Act::Text(format!("{folder}/text-{name}.txt"), Mode::Append, text)
            }
            1 => {
                let path = format!("{folder}/deep/er/noise-{}.png", random.below(3));
                Act::Put("si", path, media::noise(random, bytes))
            }
            _ => {
                let path = format!("{folder}/long-{}.wav", random.below(2));
                Act::Put("sm", path, media::wav(random, bytes as u32))
            }
        };
    }
    let longest = if random.chance(8) { 60_000 } else { 300 };
    let text = format!("{folder}/text-{}.txt", random.below(4));
    let picture = format!("{folder}/picture-{}.png", random.below(3));
    match random.below(100) {
        0..30 => Act::Text(text, Mode::Append, line(random, longest)),
        30..46 => Act::Shared(line(random, longest)),
        46..54 => Act::Text(text, Mode::Replace, line(random, longest)),
        54..61 => Act::Text(text, Mode::Over, line(random, longest)),
        61..66 => Act::Remove(text),
        66..69 => Act::Remove(picture),
        69..82 => Act::Put("si", picture, media::png(&media::marked(client, number))),
        82..85 => Act::Put("sg", format!("{folder}/party.gif"), media::gif(random)),
        85..88 => Act::Put(
            "sm",
            format!("{folder}/tone.wav"),
            media::wav(random, 4_000),
        ),
        88..97 => Act::Show(picture),
        97..98 => Act::Clear,
        _ => Act::Play(format!("{folder}/tone.wav")),
    }
}
