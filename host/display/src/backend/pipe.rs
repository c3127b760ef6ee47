//! Gives every frame to a command of the user's on its standard input, so that any panel library in any
//! language is a display. The command line runs through `sh -c`, in a process group of its own.
//!
//! A frame is a header of 16 bytes, little-endian, then the pixels:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `PXF1` |
//! | 4 | 2 | width in pixels |
//! | 6 | 2 | height in pixels |
//! | 8 | 4 | sequence number: 1 for the command's first frame, 1 more for each frame after it (wraps to 0) |
//! | 12 | 4 | payload length in bytes: width * height * 3 |
//! | 16 | | red, green, blue of each pixel, row by row from the top left |
//!
//! At the end of its input the command should end. `examples/pipe_display.py` is one to start from.
//! Invariant: nobody waits for a command that does not read. A frame it began to read is finished; of
//! the frames behind that only the newest is kept, so sequence numbers may have gaps.
//! A command that ends or closes its input is started again, after 1 s at first, doubling to 30 s, and
//! gets the current frame again. It counts as back when it has lasted for a quarter of a second.

mod feeder;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Backend, Delivery, Panel, Step};
use crate::frame::Frame;
use feeder::{Feeder, Taken};

const MAGIC: &[u8; 4] = b"PXF1";
/// How long a frame may take to go into the pipe before the command counts as not reading.
const READ_PATIENCE: Duration = Duration::from_millis(100);
/// How often the command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A command that ran for so long has earned a quick restart.
const RAN_WELL: Duration = Duration::from_secs(30);
/// How long a command may take to end by itself after the end of its input, then after SIGTERM.
const END_PATIENCE: Duration = Duration::from_millis(300);
const TERM_PATIENCE: Duration = Duration::from_millis(150);

pub(super) const BACKEND: Backend = Backend {
    name: "pipe",
    help: "pipe:COMMAND: gives raw RGB frames to a command, for instance \
           pipe:python3 examples/pipe_display.py",
    check: |options| {
        if options.trim().is_empty() {
            Err("needs a command, for instance pipe:python3 examples/pipe_display.py".into())
        } else {
            Ok(())
        }
    },
    open: |options| Ok(Box::new(Pipe::start(options, Instant::now()))),
};

struct Pipe {
    command: String,
    state: State,
    /// The next pause before a restart.
    pause: Duration,
    /// What belongs on the panel now.
    newest: Option<Frame>,
    sequence: u32,
}

enum State {
    Running {
        child: Child,
        feeder: Feeder,
        since: Instant,
        look_at: Instant,
        stalled: bool,
        /// After a restart, until it has lasted for a moment: why it was down.
        probation: Option<String>,
    },
    Down {
        reason: String,
        again: Instant,
    },
}

impl Pipe {
    fn start(command: &str, now: Instant) -> Self {
        let down = State::Down {
            reason: String::new(),
            again: now,
        };
        let mut pipe = Self {
            command: command.into(),
            state: down,
            pause: FIRST_PAUSE,
            newest: None,
            sequence: 0,
        };
        pipe.restart(now);
        pipe
    }

    fn restart(&mut self, now: Instant) {
        let probation = match &self.state {
            State::Down { reason, .. } => Some(reason.clone()).filter(|reason| !reason.is_empty()),
            State::Running { .. } => None,
        };
        match spawn(&self.command) {
            Ok((child, feeder)) => {
                self.sequence = 0;
                self.state = State::Running {
                    child,
                    feeder,
                    since: now,
                    look_at: now + LOOK_EVERY,
                    stalled: false,
                    probation,
                };
            }
            Err(error) => self.down(format!("could not be started: {error}"), now),
        }
    }

    fn down(&mut self, what: String, now: Instant) {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        let reason = format!(
            "the display command `{}` {what}; it is started again in {} s",
            self.command,
            pause.as_secs()
        );
        self.state = State::Down {
            reason,
            again: now + pause,
        };
    }

    /// Sends the newest frame.
    fn send(&mut self, now: Instant) -> Delivery {
        let Some(frame) = &self.newest else {
            return self.delivery();
        };
        let State::Running {
            feeder, stalled, ..
        } = &mut self.state
        else {
            return self.delivery();
        };
        self.sequence = self.sequence.wrapping_add(1);
        feeder.offer(packet(frame, self.sequence));
        let patience = if *stalled {
            Duration::ZERO
        } else {
            READ_PATIENCE
        };
        match feeder.taken_within(patience) {
            Taken::Yes => *stalled = false,
            Taken::NotYet => *stalled = true,
            Taken::Never(error) => self.closed(&error, now),
        }
        self.delivery()
    }

    /// The command no longer reads for good.
    fn closed(&mut self, error: &str, now: Instant) {
        if let State::Running { child, since, .. } = &mut self.state {
            let what = match end(child, END_PATIENCE) {
                Some(status) => format!("ended with {status}"),
                None => format!("closed its input ({error})"),
            };
            let since = *since;
            self.forgive(since, now);
            self.down(what, now);
        }
    }

    fn forgive(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= RAN_WELL {
            self.pause = FIRST_PAUSE;
        }
    }

    /// Whether the command still runs and reads.
    fn look(&mut self, now: Instant) {
        let State::Running {
            child,
            feeder,
            look_at,
            stalled,
            since,
            probation,
        } = &mut self.state
        else {
            return;
        };
        *look_at = now + LOOK_EVERY;
        let lasted = now.saturating_duration_since(*since) >= LOOK_EVERY;
        let gone = exited(child).then(|| "ended".to_owned());
        match (gone, feeder.taken_within(Duration::ZERO)) {
            (Some(error), _) | (None, Taken::Never(error)) => self.closed(&error, now),
            (None, Taken::Yes) => {
                *stalled = false;
                if lasted {
                    *probation = None;
                }
            }
            (None, Taken::NotYet) => {}
        }
    }

    fn delivery(&self) -> Delivery {
        match &self.state {
            State::Running {
                probation: Some(reason),
                ..
            } => Delivery::Waiting(reason.clone()),
            State::Running { stalled: false, .. } => Delivery::Done,
            State::Running { .. } => Delivery::Waiting(format!(
                "the display command `{}` does not read its input",
                self.command
            )),
            State::Down { reason, .. } => Delivery::Waiting(reason.clone()),
        }
    }
}

impl Panel for Pipe {
    fn present(&mut self, frame: &Frame, _step: Step, now: Instant) -> Delivery {
        self.newest = Some(frame.clone());
        self.look(now);
        self.send(now)
    }

    fn tend_at(&self) -> Option<Instant> {
        match &self.state {
            State::Running { look_at, .. } => Some(*look_at),
            State::Down { again, .. } => Some(*again),
        }
    }

    fn tend(&mut self, now: Instant) -> Delivery {
        match &self.state {
            State::Running { .. } => self.look(now),
            State::Down { again, .. } if *again <= now => {
                self.restart(now);
                return self.send(now);
            }
            State::Down { .. } => {}
        }
        self.delivery()
    }

    fn close(&mut self) {
        if let State::Running { child, feeder, .. } = &mut self.state {
            feeder.finish();
            end(child, END_PATIENCE);
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(command: &str) -> io::Result<(Child, Feeder)> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        // Ctrl-C is for the host, which then ends its input.
        .process_group(0)
        .spawn()?;
    let stdin = child
        .stdin
        .take()
        .ok_or_else(|| io::Error::other("it has no standard input"))?;
    match Feeder::start(stdin) {
        Ok(feeder) => Ok((child, feeder)),
        Err(error) => {
            end(&mut child, Duration::ZERO);
            Err(error)
        }
    }
}

/// Ends the command and what it started, politely at first. Its status if it ended by itself.
fn end(child: &mut Child, patience: Duration) -> Option<std::process::ExitStatus> {
    let group = Pid::from_child(child);
    let by_itself = ends_within(child, patience);
    // The leader is not yet reaped, so the group's number still belongs to it.
    let _ = kill_process_group(group, Signal::TERM);
    if !by_itself && !ends_within(child, TERM_PATIENCE) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait().ok().filter(|_| by_itself)
}

fn ends_within(child: &Child, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while !exited(child) {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Whether the command has ended, without reaping it.
fn exited(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // An error means that it was reaped already.
    !matches!(
        waitid(WaitId::Pid(Pid::from_child(child)), options),
        Ok(None)
    )
}

fn packet(frame: &Frame, sequence: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(16 + frame.rgb().len());
    packet.extend_from_slice(MAGIC);
    // Panels have at most 2048 pixels a side.
    for side in [frame.width(), frame.height()] {
        packet.extend_from_slice(&u16::try_from(side).unwrap_or(u16::MAX).to_le_bytes());
    }
    packet.extend_from_slice(&sequence.to_le_bytes());
    let length = u32::try_from(frame.rgb().len()).unwrap_or(u32::MAX);
    packet.extend_from_slice(&length.to_le_bytes());
    packet.extend_from_slice(frame.rgb());
    packet
}

#[cfg(test)]
mod tests;
