//! A bar for transfers that take a while.
//! Invariant: on standard error, only where a person looks, and only after half a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;
use crate::said::{bytes, minutes};

const AFTER: Duration = Duration::from_millis(500);
const TEMPLATE: &str = "{prefix} [{bar:30}] {msg}";

/// A bar that may appear.
pub(crate) struct Progress {
    name: String,
    began: Instant,
    bar: Option<ProgressBar>,
    is_watched: bool,
    done: u64,
}

impl Progress {
    pub(crate) fn new(name: &str, json: bool) -> Self {
        Self {
            name: output::plain(name),
            began: Instant::now(),
            bar: None,
            is_watched: output::is_watched() && !json,
            done: 0,
        }
    }

    /// How many bytes are through.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// So many bytes are through.
    pub(crate) fn update(&mut self, done: u64, total: u64) {
        self.done = done;
        if self.bar.is_none() && self.is_watched && self.began.elapsed() >= AFTER && done < total {
            let bar = ProgressBar::new(total).with_prefix(self.name.clone());
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style.progress_chars("=> "));
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(pace(done, total, self.began.elapsed()));
        }
    }
}

/// `5.4 MB of 40.5 MB, 2.1 MB a second, 0:16 left`
fn pace(done: u64, total: u64, taken: Duration) -> String {
    let (done_said, total_said) = (bytes(done), bytes(total));
    let a_second = done as f64 / taken.as_secs_f64().max(0.001);
    if a_second < 1.0 {
        return format!("{done_said} of {total_said}");
    }
    let left = total.saturating_sub(done) as f64 / a_second;
    format!(
        "{done_said} of {total_said}, {} a second, {} left",
        bytes(a_second as u64),
        minutes((left * 1_000.0) as u64)
    )
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pace;

    #[test]
    fn the_pace_is_that_of_the_whole_transfer() {
        assert_eq!(
            pace(20_000_000, 60_000_000, Duration::from_secs(2)),
            "20.0 MB of 60.0 MB, 10.0 MB a second, 0:04 left"
        );
        assert_eq!(
            pace(0, 60_000_000, Duration::from_secs(2)),
            "0 bytes of 60.0 MB"
        );
    }
}
