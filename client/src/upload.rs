//! Bytes to the device, however large, before a call names them.
//! Invariant: no byte beyond the credit is sent; after a break it goes on where the device says that it stands.
//! Runs in its caller; files are read and hashed on a thread for blocking work. Memory holds one block whatever the size.
//! A file that changes meanwhile is refused by its SHA-256, which was announced before the first byte.

use std::time::Instant;

use pixelboy_protocol::{Code, Data, EncodeError, Finish, OpenState, OpenUpload, Value};

use crate::client::{Client, Progress};
use crate::error::Error;
use crate::source::{Source, piece_bytes};
use crate::transfer::{Chunk, Lane, Told};

/// Read from the file at a time.
const BLOCK_BYTES: usize = 256 * 1_024;

/// Bytes that lie on the device, to be named in one call: as an argument it is a [`Value::Upload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// For [`Value::Upload`].
    pub number: u64,
    /// In bytes.
    pub length: u64,
    /// Of all of it.
    pub sha256: [u8; 32],
}

impl From<Upload> for Value {
    fn from(upload: Upload) -> Self {
        Self::Upload(upload.number)
    }
}

/// Where it stands with the device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Offline,
    Opening,
    Sending,
    Finishing,
}

pub(crate) async fn upload(
    client: &Client,
    source: &Source,
    progress: Progress<'_>,
) -> Result<Upload, Error> {
    let hashed = source.clone();
    let sha256 = blocking(source, move || hashed.sha256()).await?;
    loop {
        let lane = Lane::open(client.commands()).await?;
        let number = lane.number;
        let sending = Sending {
            client,
            source,
            sha256,
            lane,
            stage: Stage::Offline,
            position: 0,
            limit: 0,
            window: 0,
            chunk_bytes: pixelboy_protocol::limits::CHUNK_BYTES,
            block: Block::default(),
            moved: Instant::now(),
            done: 0,
            finished: false,
            trouble: None,
        };
        if sending.run(progress).await? {
            return Ok(Upload {
                number,
                length: source.len(),
                sha256,
            });
        }
    }
}

/// Work that blocks, on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    source: &Source,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(Error::File {
            name: source.name().to_owned(),
            why: "reading it was interrupted, as the program ends".to_owned(),
        })
    })
}

struct Sending<'a> {
    client: &'a Client,
    source: &'a Source,
    sha256: [u8; 32],
    lane: Lane,
    stage: Stage,
    /// Of the next chunk.
    position: u64,
    limit: u64,
    /// How far the limit was ahead of the offset when it was opened.
    window: u64,
    chunk_bytes: usize,
    block: Block,
    moved: Instant,
    /// As far as was told.
    done: u64,
    finished: bool,
    /// Why there is no connection.
    trouble: Option<String>,
}

#[derive(Default)]
struct Block {
    offset: u64,
    bytes: Vec<u8>,
}

impl Sending<'_> {
    /// True when it is there; false where another number must be taken.
    async fn run(mut self, progress: Progress<'_>) -> Result<bool, Error> {
        let patience = self.client.options().deadline;
        while !self.finished {
            let chunk = self.chunk().await?;
            let until = self.moved + patience;
            let told = tokio::select! {
                told = self.lane.hear() => Some(told?),
                room = self.client.chunks().reserve(), if chunk.is_some() => {
                    if let (Ok(room), Some(next)) = (room, chunk) {
                        (self.position, self.stage) = (next.end, next.stage);
                        room.send(next.chunk);
                    }
                    None
                }
                () = tokio::time::sleep_until(until.into()) => {
                    return Err(Error::TimedOut {
                        what: format!("the upload of {} did not go on", self.source.name()),
                        after: patience,
                        why: self.standing(),
                    });
                }
            };
            if let Some(told) = told
                && !self.on_told(told, progress)?
            {
                return Ok(false);
            }
        }
        progress(self.source.len(), self.source.len());
        Ok(true)
    }

    fn on_told(&mut self, told: Told, progress: Progress<'_>) -> Result<bool, Error> {
        match told {
            Told::Connected { limits, .. } => {
                self.trouble = None;
                self.stage = Stage::Opening;
                self.chunk_bytes =
                    piece_bytes(limits.chunk_bytes, pixelboy_protocol::limits::CHUNK_BYTES).max(1);
                self.lane.send(OpenUpload {
                    transfer: self.lane.number,
                    length: Some(self.source.len()),
                    sha256: Some(self.sha256),
                    mode: OpenUpload::STORED,
                });
            }
            Told::Lost(why) => {
                self.stage = Stage::Offline;
                self.trouble = Some(why);
            }
            Told::Opened(opened) if self.stage == Stage::Opening => match opened.state {
                OpenState::At { offset, limit } => {
                    if offset > self.source.len() {
                        return Err(self.client.protocol_error(format!(
                            "byte {offset} is asked for of {}",
                            self.source.len()
                        )));
                    }
                    self.stage = Stage::Sending;
                    (self.position, self.limit) = (offset, limit);
                    self.window = limit.saturating_sub(offset);
                    self.done_through(offset, progress);
                }
                OpenState::Complete => self.finished = true,
                OpenState::Consumed { .. } => {
                    self.lane.is_done = true;
                    return Ok(false);
                }
            },
            Told::Credit { limit } => {
                self.limit = self.limit.max(limit);
                self.done_through(limit.saturating_sub(self.window), progress);
            }
            Told::Durable { offset } => self.done_through(offset, progress),
            Told::Finished(finished) if finished.sha256 != self.sha256 => {
                return Err(self
                    .client
                    .protocol_error("an upload finished with another SHA-256".to_owned()));
            }
            Told::Finished(_) => self.finished = true,
            Told::Aborted(failure) => match failure.code {
                Code::NumberReused => return Ok(false),
                Code::DigestMismatch => {
                    return Err(Error::File {
                        name: self.source.name().to_owned(),
                        why: "changed while it was sent; nothing was stored, send it again"
                            .to_owned(),
                    });
                }
                _ => return Err(Error::Failed(failure)),
            },
            _ => {}
        }
        if self.finished {
            self.lane.is_done = true;
        }
        Ok(true)
    }

    /// How far it came, and what is in the way.
    fn standing(&self) -> String {
        let trouble = self
            .trouble
            .as_ref()
            .map(|why| format!("; no connection: {why}"))
            .unwrap_or_default();
        format!(
            " ({} of {} bytes are there{trouble}); nothing was stored",
            self.done,
            self.source.len()
        )
    }

    fn done_through(&mut self, offset: u64, progress: Progress<'_>) {
        self.moved = Instant::now();
        self.done = self.done.max(offset.min(self.source.len()));
        progress(self.done, self.source.len());
    }

    /// What goes next, if anything may: a chunk, or behind the last one the end.
    async fn chunk(&mut self) -> Result<Option<Next>, Error> {
        let Some(epoch) = self.lane.epoch() else {
            return Ok(None);
        };
        let end = self.limit.min(self.source.len());
        if self.stage != Stage::Sending
            || (self.position >= end && self.position < self.source.len())
        {
            return Ok(None);
        }
        let mut frame = Vec::new();
        if self.position == self.source.len() {
            let finish = Finish {
                transfer: self.lane.number,
                length: self.source.len(),
                sha256: self.sha256,
            };
            self.encoded(finish.encode(&mut frame))?;
            return Ok(Some(Next {
                end: self.position,
                stage: Stage::Finishing,
                chunk: Chunk { epoch, frame },
            }));
        }
        let block_end = self.block.offset + self.block.bytes.len() as u64;
        if self.position < self.block.offset || self.position >= block_end {
            let (source, offset) = (self.source.clone(), self.position);
            let bytes = piece_bytes(self.source.len() - offset, BLOCK_BYTES);
            let bytes = blocking(self.source, move || source.read(offset, bytes)).await?;
            self.block = Block { offset, bytes };
        }
        let start = piece_bytes(self.position - self.block.offset, BLOCK_BYTES);
        let rest = self.block.bytes.get(start..).unwrap_or_default();
        let most = piece_bytes(end - self.position, self.chunk_bytes).min(rest.len());
        let chunk = rest.get(..most).unwrap_or_default();
        frame.reserve(most + 32);
        self.encoded(Data::new(self.lane.number, self.position, chunk).encode(&mut frame))?;
        Ok(Some(Next {
            end: self.position + most as u64,
            stage: Stage::Sending,
            chunk: Chunk { epoch, frame },
        }))
    }

    /// What is encoded here fits, unless this client is wrong.
    fn encoded(&self, encoded: Result<(), EncodeError>) -> Result<(), Error> {
        encoded.map_err(|error| Error::File {
            name: self.source.name().to_owned(),
            why: format!("cannot be sent: {error}"),
        })
    }
}

/// A frame, and where it stands when it has been sent.
struct Next {
    end: u64,
    stage: Stage,
    chunk: Chunk,
}
