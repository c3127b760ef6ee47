//! Why a file cannot be shown or played.
//! Invariant: every text says what was expected, what came and what to do, in lower case.
//! Not here: reply codes; whoever answers a client maps these.

use crate::media::Format;
use std::fmt;
use thiserror::Error;

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There was nothing in it.
    #[error("expected a picture or a sound, got an empty file (0 bytes); send the file itself")]
    Empty,
    /// It is none of the known formats.
    #[error(
        "expected a picture (png, jpeg, gif, bmp, webp) or a sound (mp3, wav, flac, ogg), got {}; convert it first",
        start_text(.start, *.looks_like)
    )]
    UnknownFormat {
        /// Its first bytes, 16 at most.
        start: Vec<u8>,
        /// What it seems to be, with an article.
        looks_like: Option<&'static str>,
    },
    /// A known container around something that cannot be played or shown here.
    #[error(
        "the {format} file holds {found}, which this device cannot use; convert it to {instead}"
    )]
    Unsupported {
        /// The container.
        format: Format,
        /// What is inside.
        found: String,
        /// What would work.
        instead: &'static str,
    },
    /// A picture with more pixels than allowed.
    #[error(
        "the {format} picture has {width} x {height} pixels, at most {max_pixels} in all are accepted; \
         send a smaller one"
    )]
    TooLarge {
        /// The container.
        format: Format,
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// The limit on width times height.
        max_pixels: u64,
    },
    /// It ends before the end that it announces.
    #[error("the {format} file is cut off {place}: {}; send the whole file", extent_text(*.declared, *.came, .unit))]
    Truncated {
        /// The container.
        format: Format,
        /// Where, such as `in its sound data`.
        place: String,
        /// What it announces, where it does.
        declared: Option<u64>,
        /// What is there.
        came: u64,
        /// What `declared` and `came` count: `bytes`, `frames` or `samples`.
        unit: &'static str,
    },
    /// It does not decode.
    #[error("the {format} file is damaged: {reason}; export or download it again")]
    Damaged {
        /// The container.
        format: Format,
        /// The decoder's reason.
        reason: String,
    },
    /// Looking at it costs more than allowed.
    #[error(
        "the file is too much work to check: it needs more than {limit}; send a smaller or simpler one"
    )]
    Budget {
        /// The limit that was reached.
        limit: Limit,
    },
    /// The source failed; the file itself may be fine.
    #[error("failed to read the file to check it: {reason}; try again")]
    Unreadable {
        /// What the source said.
        reason: String,
    },
}

/// The limit that ended a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Bytes read.
    BytesRead(u64),
    /// Milliseconds taken.
    TimeMs(u64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BytesRead(bytes) => write!(f, "{bytes} bytes of reading"),
            Self::TimeMs(ms) => write!(f, "{ms} ms"),
        }
    }
}

impl Refusal {
    pub(crate) fn damaged(format: Format, reason: impl fmt::Display) -> Self {
        Self::Damaged {
            format,
            reason: reason.to_string(),
        }
    }

    /// Ends early, without having announced how long it is.
    pub(crate) fn cut(format: Format, place: impl Into<String>, came_bytes: u64) -> Self {
        Self::Truncated {
            format,
            place: place.into(),
            declared: None,
            came: came_bytes,
            unit: "bytes",
        }
    }

    /// Ends earlier than it announces.
    pub(crate) fn short(
        format: Format,
        place: impl Into<String>,
        declared: u64,
        came: u64,
        unit: &'static str,
    ) -> Self {
        Self::Truncated {
            format,
            place: place.into(),
            declared: Some(declared),
            came,
            unit,
        }
    }
}

fn start_text(start: &[u8], looks_like: Option<&str>) -> String {
    if let Some(looks_like) = looks_like {
        return looks_like.to_owned();
    }
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    if start.iter().all(is_text) {
        return format!(
            "text that begins with {:?}",
            String::from_utf8_lossy(start).trim()
        );
    }
    let bytes = start
        .iter()
        .map(|byte| format!(" {byte:02x}"))
        .collect::<String>();
    format!("unknown data that begins with{bytes}")
}

fn extent_text(declared: Option<u64>, came: u64, unit: &str) -> String {
    match declared {
        Some(declared) => format!("it announces {declared} {unit}, {came} came"),
        None => format!("it ends after {came} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_what_was_expected_what_came_and_what_to_do() {
        let text = Refusal::short(Format::Wav, "in its sound data", 1000, 10, "bytes").to_string();
        assert_eq!(
            text,
            "the wav file is cut off in its sound data: it announces 1000 bytes, 10 came; send the whole file"
        );
        let text = Refusal::UnknownFormat {
            start: b"hello\n".to_vec(),
            looks_like: None,
        }
        .to_string();
        assert!(
            text.ends_with("got text that begins with \"hello\"; convert it first"),
            "{text}"
        );
        let text = Refusal::UnknownFormat {
            start: vec![0, 255],
            looks_like: None,
        }
        .to_string();
        assert!(text.contains("begins with 00 ff;"), "{text}");
    }
}
