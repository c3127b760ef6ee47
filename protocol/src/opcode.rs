//! What may be the name of an opcode on the wire.
//! Not here: names in `@`, which only the host gives to plugins.

use crate::limits;

/// Whether `name` is 1 to 32 of `[a-z0-9_-]`.
#[must_use]
pub fn valid(name: &str) -> bool {
    (1..=limits::OPCODE_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::valid;

    #[test]
    fn opcodes_are_1_to_32_of_small_letters_digits_and_two_marks() {
        assert!(valid("ss") && valid("scroll_text") && valid("a-1") && valid(&"x".repeat(32)));
        for bad in ["", "@timer", "Si", "a b", "a.b", "grün", &"x".repeat(33)] {
            assert!(!valid(bad), "{bad}");
        }
    }
}
