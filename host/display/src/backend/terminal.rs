//! Draws on standard output with half blocks: a cell is two pixels, one above the other.
//! On a terminal the picture stays in place at the bottom and log lines scroll above it (`screen`);
//! into a file or a pipe one picture follows the other (`lines`). Options: `once` prints only the first
//! frame of an animation there.
//! With `NO_COLOR` set, or on a `dumb` terminal, pictures are shades of gray made of characters.
//! Not here: standard error. Logs are never hidden or overwritten.
//! A closed output is reported; nothing ends.

mod cells;
mod lines;
mod screen;

use std::env;
use std::io::{self, IsTerminal};

use super::{Backend, Opened};
use cells::Ink;

pub(super) const BACKEND: Backend = Backend {
    name: "terminal",
    help: "terminal[:once]: draws on standard output; where that is no terminal, one picture after \
           the other, of an animation one a second or (once) only the first",
    check: |options| once(options).map(drop),
    open,
};

fn once(options: &str) -> Result<bool, String> {
    match options {
        "" => Ok(false),
        "once" => Ok(true),
        other => Err(format!("takes the option once or none, got {other:?}")),
    }
}

fn open(options: &str) -> Opened {
    let once = once(options)?;
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let ink = if no_colour || dumb {
        Ink::Shades
    } else {
        Ink::TrueColour
    };
    let out = Box::new(io::stdout());
    if io::stdout().is_terminal() && !dumb {
        Ok(Box::new(screen::Screen::new(
            out,
            ink,
            Box::new(terminal_size),
        )))
    } else {
        let columns = variable("COLUMNS").map(u32::from);
        Ok(Box::new(lines::Lines::new(out, ink, columns, once)))
    }
}

/// Columns and rows: what the terminal says, else `COLUMNS` and `LINES`, else 80 and 24.
fn terminal_size() -> (u16, u16) {
    let said = rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0);
    match said {
        Some(size) => (size.ws_col, size.ws_row),
        None => (
            variable("COLUMNS").unwrap_or(80),
            variable("LINES").unwrap_or(24),
        ),
    }
}

fn variable(name: &str) -> Option<u16> {
    env::var(name)
        .ok()?
        .parse()
        .ok()
        .filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Output that can be read again.
    #[derive(Clone, Default)]
    pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        pub(super) fn clear(&self) {
            self.0.lock().unwrap().clear();
        }
    }

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn once_is_the_only_option() {
        assert_eq!(once(""), Ok(false));
        assert_eq!(once("once"), Ok(true));
        assert!(once("twice").is_err());
    }
}
