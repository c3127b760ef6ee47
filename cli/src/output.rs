//! Standard output and standard error.
//! Invariant: what a device says cannot steer the terminal: control characters are shown, not sent.

use std::io::{self, IsTerminal as _, Write as _};

/// One line, or several, to standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// One line to standard error.
pub(crate) fn to_stderr(text: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{text}")
}

/// Whether a person looks at standard error.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Text from the device, for a terminal.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            control if control.is_control() => shown.extend(control.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn control_characters_of_the_device_do_not_reach_the_terminal() {
        assert_eq!(plain("a\tb\nä"), "a\tb\nä");
        assert_eq!(plain("\u{1b}[2J\r"), "\\u{1b}[2J\\r");
    }
}
