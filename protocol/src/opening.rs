//! The first bytes of a connection: ours, or a stranger's who deserves a sentence.
//! Invariant: at most 8 bytes decide.
//! Not here: the sentence, and how long to wait for it.

/// What a client sends before its first frame: `\0PXLBOY` and the version of the framing.
pub const PREAMBLE: [u8; 8] = *b"\0PXLBOY\x01";

const HTTP_METHODS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI ",
];

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A client of ours: frames begin after [`PREAMBLE`].
    Pixelboy,
    /// Not decided yet.
    NeedMore,
    /// An HTTP request: answer with a 400.
    Http,
    /// Other printable text: answer with the sentence.
    Text,
    /// Ours, but another number than 1 after the name: answer with a `Close` that says `version`.
    OtherFraming,
    /// Anything else: close without a word.
    Other,
}

impl Opening {
    /// Looks at what was read so far; only the first 8 bytes count.
    #[must_use]
    pub fn check(bytes: &[u8]) -> Self {
        let first = bytes.get(..PREAMBLE.len()).unwrap_or(bytes);
        if first == PREAMBLE {
            return Self::Pixelboy;
        }
        if PREAMBLE.starts_with(first) {
            return Self::NeedMore;
        }
        if first.len() == PREAMBLE.len() && PREAMBLE.starts_with(first.get(..7).unwrap_or_default())
        {
            return Self::OtherFraming;
        }
        if HTTP_METHODS.iter().any(|method| first.starts_with(method)) {
            return Self::Http;
        }
        if !is_text(first) {
            return Self::Other;
        }
        // A line that a person typed is complete with its end, however short.
        if first.len() == PREAMBLE.len() || first.contains(&b'\n') {
            Self::Text
        } else {
            Self::NeedMore
        }
    }

    /// The same where nothing more will come: never [`Opening::NeedMore`].
    #[must_use]
    pub fn check_last(bytes: &[u8]) -> Self {
        match Self::check(bytes) {
            Self::NeedMore if !bytes.is_empty() && is_text(bytes) => Self::Text,
            Self::NeedMore => Self::Other,
            decided => decided,
        }
    }
}

/// UTF-8, perhaps cut off inside its last character, without control characters but those of lines.
fn is_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let (valid, _) = bytes
                .split_at_checked(error.valid_up_to())
                .unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    whole
        .chars()
        .all(|character| !character.is_control() || matches!(character, '\t' | '\r' | '\n'))
}

#[cfg(test)]
mod tests {
    use super::{Opening, PREAMBLE};

    #[test]
    fn the_preamble_is_recognised_whole_and_awaited_in_part() {
        assert_eq!(Opening::check(&PREAMBLE), Opening::Pixelboy);
        assert_eq!(Opening::check(b"\0PXLBOY\x01\x20\0\0\0"), Opening::Pixelboy);
        for length in 0..8 {
            assert_eq!(Opening::check(&PREAMBLE[..length]), Opening::NeedMore);
            assert_eq!(Opening::check_last(&PREAMBLE[..length]), Opening::Other);
        }
        assert_eq!(Opening::check(b"\0PXLBOY\x02\x16\0"), Opening::OtherFraming);
        assert_eq!(Opening::check(b"\0PXLBOY\0"), Opening::OtherFraming);
        assert_eq!(Opening::check(b"\0PXLBOX"), Opening::Other);
    }

    #[test]
    fn a_browser_is_told_from_a_person_at_a_terminal() {
        assert_eq!(Opening::check(b"GET / HTTP/1.1\r\n"), Opening::Http);
        assert_eq!(Opening::check(b"OPTIONS *"), Opening::Http);
        assert_eq!(Opening::check(b"GET"), Opening::NeedMore);
        assert_eq!(Opening::check(b"GETAWAY, please"), Opening::Text);
        assert_eq!(Opening::check(b"hi\n"), Opening::Text);
        assert_eq!(Opening::check(b"hi"), Opening::NeedMore);
        assert_eq!(Opening::check_last(b"hi"), Opening::Text);
        assert_eq!(Opening::check("grüße, du".as_bytes()), Opening::Text);
        assert_eq!(Opening::check("1234567ü".as_bytes()), Opening::Text);
    }

    #[test]
    fn binary_protocols_get_nothing() {
        assert_eq!(Opening::check(b"\x16\x03\x01\x02\x00"), Opening::Other); // TLS
        assert_eq!(Opening::check(b"\x80\x04\x95"), Opening::Other); // a pickle
        assert_eq!(Opening::check(b"SSH\x01"), Opening::Other);
        assert_eq!(Opening::check_last(b""), Opening::Other);
    }
}
