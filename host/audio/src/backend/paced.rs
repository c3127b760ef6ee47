//! A thread that takes sound as fast as a clock runs and hands it to a writer.
//! Invariant: at any time the frames taken are those due by the clock, less than one tick short.
//! Unlike a device it waits a little for a decoder that is behind, then catches up: a busy machine leaves no holes in
//! a capture.
//! A writer's error ends the thread and is reported once.

use super::Wiring;
use crate::convert::Format;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Ticks per second: pause and volume act within one of them.
const TICKS_PER_S: u32 = 100;
/// How long to wait for a decoder before its silence counts, in real time.
const DECODER_GRACE: Duration = Duration::from_millis(500);

/// Where the taken sound goes.
pub(super) trait Writer: Send + 'static {
    /// Takes interleaved samples.
    fn write(&mut self, samples: &[f32]) -> io::Result<()>;
    /// Called once after the last samples.
    fn finish(&mut self) -> io::Result<()>;
}

/// The running thread; dropping it ends it after its current tick.
pub(super) struct Paced {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Paced {
    /// Starts to take sound in `format`.
    pub(super) fn start(
        format: Format,
        wiring: &Wiring,
        mut writer: impl Writer,
    ) -> Result<Self, String> {
        let end = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&end);
        let mut tap = wiring.tap(format);
        let line = wiring.line();
        let lost = wiring.lost();
        let clock = Arc::clone(&wiring.clock);
        let begun = clock.now();
        let thread = std::thread::Builder::new()
            .name("audio-paced".to_owned())
            .spawn(move || {
                let tick_frames = (format.rate / TICKS_PER_S).max(1);
                let mut block = vec![0.0; tick_frames as usize * format.channels];
                let mut taken = 0_u64;
                let mut outcome = Ok(());
                while outcome.is_ok() && !ending.load(Ordering::Acquire) {
                    let due = begun + format.duration(taken + u64::from(tick_frames));
                    if clock.now() < due {
                        clock.wait_until(due);
                        continue;
                    }
                    let patience = Instant::now();
                    while !line.is_ready(tick_frames as usize)
                        && patience.elapsed() < DECODER_GRACE
                        && !ending.load(Ordering::Acquire)
                    {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    tap.pull(&mut block);
                    outcome = writer.write(&block);
                    taken += u64::from(tick_frames);
                }
                if let Err(error) = outcome.and_then(|()| writer.finish()) {
                    lost(error.to_string());
                }
            })
            .map_err(|error| format!("no thread for the output: {error}"))?;
        Ok(Self {
            end,
            thread: Some(thread),
        })
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It catches nothing and reports through `lost`; a panic there has been printed.
            let _ = thread.join();
        }
    }
}
