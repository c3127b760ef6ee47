//! What the driver tells a transfer, and what a transfer sends through it.
//! Invariant: what was made for one connection is never sent on another: everything carries the connection's epoch.
//! Not here: what an upload or a download does with it.

use pixelboy_protocol::{Code, Failure, Finish, Finished, Frame, Limits, Opened};
use tokio::sync::{mpsc, oneshot};

use crate::command::Command;
use crate::error::Error;

/// Counts the connections of a client.
pub(crate) type Epoch = u64;

/// What the driver tells a transfer.
#[derive(Debug)]
pub(crate) enum Told {
    /// There is a connection: open it (again).
    Connected {
        epoch: Epoch,
        limits: Limits,
    },
    /// The connection broke, or could not be made; what was sent counts only as far as the next `Opened` says.
    Lost(String),
    /// There will be no further connection.
    Over(Error),
    Opened(Opened),
    Credit {
        limit: u64,
    },
    Durable {
        offset: u64,
    },
    Finished(Finished),
    Data {
        offset: u64,
        crc32c: u32,
        chunk: Vec<u8>,
    },
    Finish(Finish),
    Aborted(Failure),
}

/// A chunk on its way to the socket; it waits until no other frame does.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) epoch: Epoch,
    /// A whole `Data` frame.
    pub(crate) frame: Vec<u8>,
}

/// The driver's end of a transfer.
pub(crate) type Route = mpsc::UnboundedSender<Told>;
/// The transfer's end; what arrives is bounded by the credit it gives.
pub(crate) type Hears = mpsc::UnboundedReceiver<Told>;

/// A transfer's end of its way through the driver.
pub(crate) struct Lane {
    pub(crate) number: u64,
    hears: Hears,
    commands: mpsc::UnboundedSender<Command>,
    epoch: Option<Epoch>,
    /// The device knows that it is over.
    pub(crate) is_done: bool,
}

impl Lane {
    /// A new transfer.
    pub(crate) async fn open(commands: &mpsc::UnboundedSender<Command>) -> Result<Self, Error> {
        let (route, hears) = mpsc::unbounded_channel();
        let (number, found) = oneshot::channel();
        let asked = commands.send(Command::Route { route, number });
        asked.map_err(|_| Error::Closed)?;
        let number = found.await.map_err(|_| Error::Closed)??;
        Ok(Self {
            number,
            hears,
            commands: commands.clone(),
            epoch: None,
            is_done: false,
        })
    }

    /// What comes next.
    pub(crate) async fn hear(&mut self) -> Result<Told, Error> {
        let told = self.hears.recv().await.ok_or(Error::Closed)?;
        match &told {
            Told::Connected { epoch, .. } => self.epoch = Some(*epoch),
            Told::Lost(_) => self.epoch = None,
            Told::Over(error) => {
                self.is_done = true;
                return Err(error.clone());
            }
            Told::Aborted(_) | Told::Finished(_) | Told::Finish(_) => self.is_done = true,
            _ => {}
        }
        Ok(told)
    }

    /// The present connection, for chunks.
    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Sends a frame; without a connection it is dropped, as everything is opened anew on the next one.
    pub(crate) fn send<'a>(&self, frame: impl Into<Frame<'a>>) {
        let Some(epoch) = self.epoch else { return };
        let mut bytes = Vec::new();
        if frame.into().encode(&mut bytes).is_ok() {
            // A client that ended is heard of.
            let _ = self.commands.send(Command::Frame {
                epoch,
                frame: bytes,
            });
        }
    }

    /// Breaks the connection because the device did what it must not.
    pub(crate) fn broken(&self, code: Code, what: String) {
        if let Some(epoch) = self.epoch {
            let _ = self.commands.send(Command::Broken { epoch, code, what });
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::EndTransfer {
            number: self.number,
            abort: !self.is_done,
        });
    }
}
