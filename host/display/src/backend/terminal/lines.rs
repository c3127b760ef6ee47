//! One picture after the other, for output that is no terminal: a file, a pipe, a demonstration's record.
//! Invariant: every scene's first frame is printed; of its later frames at most one a second, so that
//! the record stays readable. Each picture ends with an empty line.

use std::io::Write;
use std::time::{Duration, Instant};

use super::cells::{Ink, lines, within};
use crate::backend::{Delivery, Panel, Step};
use crate::frame::Frame;

const NEXT_FRAME_EVERY: Duration = Duration::from_secs(1);

/// Output that only grows.
pub(super) struct Lines {
    out: Box<dyn Write + Send>,
    ink: Ink,
    /// Wider pictures are made smaller.
    columns: Option<u32>,
    /// Only first frames.
    once: bool,
    printed_at: Option<Instant>,
}

impl Lines {
    pub(super) fn new(
        out: Box<dyn Write + Send>,
        ink: Ink,
        columns: Option<u32>,
        once: bool,
    ) -> Self {
        Self {
            out,
            ink,
            columns,
            once,
            printed_at: None,
        }
    }

    fn is_due(&self, step: Step, now: Instant) -> bool {
        match (step, self.printed_at) {
            (Step::First, _) | (_, None) => true,
            (Step::Next, Some(at)) => {
                !self.once && now.saturating_duration_since(at) >= NEXT_FRAME_EVERY
            }
        }
    }
}

impl Panel for Lines {
    fn present(&mut self, frame: &Frame, step: Step, now: Instant) -> Delivery {
        if !self.is_due(step, now) {
            return Delivery::Done;
        }
        self.printed_at = Some(now);
        let view = within(frame, self.columns.unwrap_or(u32::MAX), u32::MAX);
        let mut text = lines(&view, self.ink).join("\n");
        text.push_str("\n\n");
        match self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
        {
            Ok(()) => Delivery::Done,
            Err(error) => Delivery::Waiting(format!("standard output takes no pictures: {error}")),
        }
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
    use super::*;
    use crate::backend::terminal::tests::Paper;

    fn printed(once: bool, frames: &[(Step, u64)]) -> String {
        let paper = Paper::default();
        let mut panel = Lines::new(Box::new(paper.clone()), Ink::Shades, Some(4), once);
        let start = Instant::now();
        for (number, (step, at_ms)) in frames.iter().enumerate() {
            let shade = if number % 2 == 0 { [255; 3] } else { [0; 3] };
            let at = start + Duration::from_millis(*at_ms);
            panel.present(&Frame::filled(8, 4, shade), *step, at);
        }
        paper.text()
    }

    #[test]
    fn an_animation_prints_its_first_frame_and_then_one_a_second() {
        let frames = [
            (Step::First, 0),
            (Step::Next, 500),
            (Step::Next, 999),
            (Step::Next, 1_000),
            (Step::Next, 1_500),
            (Step::First, 1_501),
        ];
        assert_eq!(printed(false, &frames), "@@@@\n\n    \n\n    \n\n");
        assert_eq!(printed(true, &frames), "@@@@\n\n    \n\n");
    }
}
