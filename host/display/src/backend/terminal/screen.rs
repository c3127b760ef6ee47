//! A picture that stays in place at the bottom of a terminal while log lines scroll above it.
//! Invariant: the scrolling region ends above the picture, so neither overwrites the other, and what
//! scrolls off goes to the terminal's own history. The cursor is where it was after every drawing.
//! Only lines that changed are written. A picture larger than the terminal is made smaller.
//! `close` gives the whole screen back; a host killed with SIGKILL cannot (`reset` in the shell does).

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::cells::{Ink, lines, within};
use crate::backend::{Delivery, Panel, Step};
use crate::frame::Frame;

/// Rows left for log lines, at least.
const LOG_ROWS: u16 = 4;
/// How often the terminal's size is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Columns and rows of the terminal.
pub(super) type Size = Box<dyn Fn() -> (u16, u16) + Send>;

/// The bottom of a terminal.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    ink: Ink,
    size: Size,
    layout: Option<Layout>,
    newest: Option<Frame>,
    /// The lines on the screen.
    drawn: Vec<String>,
    look_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Layout {
    columns: u16,
    rows: u16,
    /// Rows of the picture.
    picture: u16,
}

impl Screen {
    pub(super) fn new(out: Box<dyn Write + Send>, ink: Ink, size: Size) -> Self {
        Self {
            out,
            ink,
            size,
            layout: None,
            newest: None,
            drawn: Vec::new(),
            look_at: None,
        }
    }

    fn draw(&mut self) -> Delivery {
        let Some(frame) = &self.newest else {
            return Delivery::Done;
        };
        let (columns, rows) = (self.size)();
        let free = u32::from(rows.saturating_sub(LOG_ROWS).max(1));
        let view = within(frame, columns.into(), free * 2);
        let lines = lines(&view, self.ink);
        let picture = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(rows);
        let layout = Layout {
            columns,
            rows,
            picture,
        };
        let mut text = String::new();
        if self.layout != Some(layout) {
            text.push_str(&self.make_room(layout));
            self.layout = Some(layout);
            self.drawn.clear();
        }
        text.push_str("\x1b7");
        let mut before = self.drawn.iter();
        for (line, row) in lines.iter().zip(rows - picture + 1..) {
            if before.next() != Some(line) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\x1b[{row};1H{line}\x1b[K");
            }
        }
        text.push_str("\x1b8");
        self.drawn = lines;
        self.write(&text)
    }

    /// Moves what is on the screen up, and keeps log lines out of the picture's rows.
    fn make_room(&self, layout: Layout) -> String {
        let Layout { rows, picture, .. } = layout;
        let mut text = String::new();
        if self.layout.is_some() {
            // After a change of size: no region, and the old picture goes.
            text.push_str("\x1b7\x1b[r\x1b8\x1b[J");
        }
        text.push_str(&"\n".repeat(picture.into()));
        let last_log_row = rows.saturating_sub(picture).max(1);
        let _ = write!(text, "\x1b[{picture}A\x1b7\x1b[1;{last_log_row}r\x1b8");
        text
    }

    fn write(&mut self, text: &str) -> Delivery {
        // Log lines of other threads must not land inside the picture. Only when both go to a
        // terminal: a log in a file never waits for this one.
        let _quiet = io::stderr().is_terminal().then(|| io::stderr().lock());
        match self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
        {
            Ok(()) => Delivery::Done,
            Err(error) => {
                // Everything is drawn again next time.
                self.layout = None;
                Delivery::Waiting(format!("the terminal takes no pictures: {error}"))
            }
        }
    }
}

impl Panel for Screen {
    fn present(&mut self, frame: &Frame, _step: Step, now: Instant) -> Delivery {
        self.newest = Some(frame.clone());
        self.look_at = Some(now + LOOK_EVERY);
        self.draw()
    }

    fn tend_at(&self) -> Option<Instant> {
        self.look_at
    }

    fn tend(&mut self, now: Instant) -> Delivery {
        self.look_at = Some(now + LOOK_EVERY);
        let changed = self
            .layout
            .is_none_or(|layout| (layout.columns, layout.rows) != (self.size)());
        if changed { self.draw() } else { Delivery::Done }
    }

    fn close(&mut self) {
        if let Some(layout) = self.layout.take() {
            self.write(&format!("\x1b[r\x1b[{};1H\n", layout.rows));
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU16, Ordering};

    use super::*;
    use crate::backend::terminal::tests::Paper;

    #[test]
    fn the_picture_stays_at_the_bottom_and_only_changed_lines_are_written() {
        let paper = Paper::default();
        let mut screen = Screen::new(Box::new(paper.clone()), Ink::Shades, Box::new(|| (80, 24)));
        let now = Instant::now();
        let mut rgb = vec![0; 2 * 4 * 3];
        screen.present(&Frame::new(2, 4, rgb.clone()).unwrap(), Step::First, now);
        assert_eq!(
            paper.text(),
            "\n\n\x1b[2A\x1b7\x1b[1;22r\x1b8\x1b7\x1b[23;1H  \x1b[K\x1b[24;1H  \x1b[K\x1b8"
        );
        paper.clear();
        rgb[2 * 2 * 3..].fill(255);
        screen.present(&Frame::new(2, 4, rgb).unwrap(), Step::Next, now);
        assert_eq!(paper.text(), "\x1b7\x1b[24;1H@@\x1b[K\x1b8");
        paper.clear();
        screen.close();
        assert_eq!(paper.text(), "\x1b[r\x1b[24;1H\n");
        paper.clear();
        drop(screen);
        assert_eq!(paper.text(), "");
    }

    #[test]
    fn a_changed_terminal_is_noticed_and_drawn_again() {
        let paper = Paper::default();
        let columns = Arc::new(AtomicU16::new(80));
        let theirs = Arc::clone(&columns);
        let size: Size = Box::new(move || (theirs.load(Ordering::Relaxed), 24));
        let mut screen = Screen::new(Box::new(paper.clone()), Ink::Shades, size);
        let now = Instant::now();
        screen.present(&Frame::filled(64, 16, [255; 3]), Step::First, now);
        paper.clear();
        assert_eq!(screen.tend_at(), Some(now + LOOK_EVERY));
        screen.tend(now + LOOK_EVERY);
        assert_eq!(paper.text(), "");
        columns.store(32, Ordering::Relaxed);
        screen.tend(now + 2 * LOOK_EVERY);
        let text = paper.text();
        assert!(text.starts_with("\x1b7\x1b[r\x1b8\x1b[J"), "{text:?}");
        assert_eq!(text.matches(&"@".repeat(32)).count(), 4, "{text:?}");
        assert!(!text.contains(&"@".repeat(33)));
    }
}
