//! What somebody gets who does not speak our protocol.

use pixelboy_protocol::Opening;

/// The sentence.
const SENTENCE: &str = "This is a pixelboy device (pixelboyd). It does not speak your protocol; \
                        use the pixelboy command or the pixelboy Python package.";

/// The bytes to send before closing; none for silence.
pub(super) fn answer(opening: Opening) -> Option<Vec<u8>> {
    match opening {
        Opening::Http => Some(
            format!(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{SENTENCE}\n",
                SENTENCE.len() + 1
            )
            .into_bytes(),
        ),
        Opening::Text => Some(format!("{SENTENCE}\n").into_bytes()),
        Opening::Pixelboy | Opening::NeedMore | Opening::OtherFraming | Opening::Other => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_browser_gets_a_complete_http_answer() {
        let answer = String::from_utf8(answer(Opening::Http).unwrap()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }

    #[test]
    fn what_is_no_text_gets_silence() {
        assert_eq!(answer(Opening::Other), None);
    }
}
