//! Whether bytes are text.
//! Invariant: read in pieces, so that memory does not grow with the bytes.

use std::io;

/// Bytes looked at in one go.
const PIECE_BYTES: usize = 64 << 10;

/// Whether all of it is UTF-8. `read` fills the front of a buffer with what comes next and says how much; 0 is the end.
///
/// # Errors
/// Those of `read`.
pub fn is_text(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<bool> {
    let mut buffer = vec![0; PIECE_BYTES];
    // The beginning of a character whose rest has not come yet.
    let mut kept = 0;
    loop {
        let filled = read(buffer.get_mut(kept..).unwrap_or_default())?;
        let end = kept + filled;
        match std::str::from_utf8(buffer.get(..end).unwrap_or_default()) {
            Ok(_) => kept = 0,
            Err(error) if error.error_len().is_some() => return Ok(false),
            Err(error) => {
                let valid = error.valid_up_to();
                buffer.copy_within(valid..end, 0);
                kept = end - valid;
            }
        }
        if filled == 0 {
            return Ok(kept == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// As it is read in pieces of one byte.
    fn told(bytes: &[u8]) -> bool {
        let mut left = bytes;
        is_text(|into| io::Read::read(&mut left, into.get_mut(..1).unwrap())).unwrap()
    }

    #[test]
    fn a_character_between_two_pieces_is_text_and_half_a_one_is_not() {
        assert!(told("a\u{20ac}\u{1f3b5}".as_bytes()) && told(b""));
        assert!(!told("\u{20ac}".as_bytes().get(..2).unwrap()));
        assert!(!told(b"a\xffb"));
    }
}
