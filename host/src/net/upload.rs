//! Uploads of one connection: chunks in, credit and durable offsets back.
//! Invariant: what waits in memory is bounded by the credit given; the disk is waited for by a thread of the upload's own.
//! Not here: parts on disk, digests, resuming (`pixelboy-store`).
//! A broken connection leaves the part on disk for resuming.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use pixelboy_protocol::{
    Abort, Code, Credit, Data, Durable, Finish, Finished, OpenState, OpenUpload, Opened, limits,
};
use pixelboy_store::{Announced, ClientId, Sha256, Store, Upload, UploadError, UploadState};

use crate::capability::failure;
use crate::dispatch::outbox::Outbox;
use crate::dispatch::session::Activity;

/// Uploads that move at a time on one connection; each has a thread.
const MAX_MOVING: usize = 8;

/// Bytes after which what came is made durable, so that a crash costs no more than these.
const DURABLE_EVERY_BYTES: u64 = 64 << 20;

/// An upload that a broken connection held is free again soon.
const BUSY_RETRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// The uploads of one connection.
pub(super) struct Uploads {
    client: ClientId,
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    activity: Activity,
    moving: HashMap<u64, Moving>,
}

/// One upload, as the connection sees it.
struct Moving {
    pieces: Sender<Piece>,
    state: Arc<Shared>,
}

/// What connection and thread both know.
struct Shared {
    /// Where the next chunk must lie; nothing fits before the upload is open.
    next: AtomicU64,
    /// Up to where chunks may come.
    limit: AtomicU64,
    over: AtomicBool,
}

enum Piece {
    Chunk(Vec<u8>),
    Finish(Finish),
    Abort,
}

impl Uploads {
    pub(super) fn new(
        client: ClientId,
        store: Arc<dyn Store>,
        outbox: Arc<Outbox>,
        activity: Activity,
    ) -> Self {
        Self {
            client,
            store,
            outbox,
            activity,
            moving: HashMap::new(),
        }
    }

    /// Begins or resumes one.
    pub(super) fn open(&mut self, open: OpenUpload) -> Result<(), (Code, String)> {
        self.moving
            .retain(|_, moving| !moving.state.over.load(Ordering::Acquire));
        self.activity.note(Instant::now());
        let transfer = open.transfer;
        if self.moving.contains_key(&transfer) {
            return Err((
                Code::BadNumber,
                format!("upload {transfer} is open already on this connection"),
            ));
        }
        if open.mode != OpenUpload::STORED {
            let message = format!("uploads of mode {} are not offered; use mode 0", open.mode);
            self.outbox
                .send(Abort::new(transfer, Code::Unsupported, &message));
            return Ok(());
        }
        if self.moving.len() >= MAX_MOVING {
            let message =
                format!("{MAX_MOVING} uploads are moving on this connection; finish one first");
            self.outbox.send(Abort::new(transfer, Code::Busy, &message));
            return Ok(());
        }
        let (pieces, inbox) = channel();
        let state = Arc::new(Shared {
            next: AtomicU64::new(u64::MAX),
            limit: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        self.moving.insert(
            transfer,
            Moving {
                pieces,
                state: state.clone(),
            },
        );
        let work = Work {
            transfer,
            client: self.client,
            announced: Announced {
                length: open.length,
                sha256: open.sha256.map(Sha256),
            },
            store: self.store.clone(),
            outbox: self.outbox.clone(),
            state,
            inbox,
        };
        tokio::task::spawn_blocking(move || work.run());
        Ok(())
    }

    /// A chunk came.
    pub(super) fn data(&mut self, data: &Data<'_>) -> Result<(), (Code, String)> {
        let Some(moving) = self.moving.get(&data.transfer) else {
            return Ok(());
        };
        let next = moving.state.next.load(Ordering::Acquire);
        if next == u64::MAX || moving.state.over.load(Ordering::Acquire) {
            return Ok(());
        }
        self.activity.note(Instant::now());
        let bad = |what: String| Err((Code::BadChunk, format!("upload {}: {what}", data.transfer)));
        if data.offset != next {
            return bad(format!(
                "the next chunk must lie at {next}, got {}",
                data.offset
            ));
        }
        let end = next + data.chunk.len() as u64;
        let limit = moving.state.limit.load(Ordering::Acquire);
        if end > limit {
            return bad(format!("the credit ends at {limit}, the chunk at {end}"));
        }
        if !data.is_intact() {
            return bad(format!(
                "the CRC-32C of the chunk at {next} does not fit; it was damaged on the way"
            ));
        }
        moving.state.next.store(end, Ordering::Release);
        // A thread that ended has said why.
        let _ = moving.pieces.send(Piece::Chunk(data.chunk.to_vec()));
        Ok(())
    }

    /// All chunks came.
    pub(super) fn finish(&mut self, finish: Finish) {
        self.activity.note(Instant::now());
        if let Some(moving) = self.moving.get(&finish.transfer) {
            let _ = moving.pieces.send(Piece::Finish(finish));
        }
    }

    /// The client wants none of it.
    pub(super) fn abort(&mut self, transfer: u64) {
        if let Some(moving) = self.moving.remove(&transfer) {
            let _ = moving.pieces.send(Piece::Abort);
        }
    }
}

/// The thread of one upload.
struct Work {
    transfer: u64,
    client: ClientId,
    announced: Announced,
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    state: Arc<Shared>,
    inbox: Receiver<Piece>,
}

impl Work {
    fn run(self) {
        if let Err(error) = self.open_and_receive() {
            let failure = failure::of_upload(&error);
            self.outbox
                .send(Abort::new(self.transfer, failure.code, &failure.message));
        }
        self.state.over.store(true, Ordering::Release);
    }

    fn open_and_receive(&self) -> Result<(), UploadError> {
        match self.open()? {
            UploadState::Open(upload) => self.receive(upload),
            UploadState::Complete { length, sha256 } => {
                self.opened(OpenState::Complete, Some(length), Some(sha256));
                Ok(())
            }
            UploadState::Consumed { number } => {
                self.opened(OpenState::Consumed { number }, None, None);
                Ok(())
            }
        }
    }

    fn open(&self) -> Result<UploadState, UploadError> {
        let mut retries = 0;
        loop {
            match self
                .store
                .open_upload(self.client, self.transfer, self.announced)
            {
                Err(UploadError::Busy { .. }) if retries < BUSY_RETRIES => {
                    retries += 1;
                    std::thread::sleep(BUSY_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn opened(&self, state: OpenState, length: Option<u64>, sha256: Option<Sha256>) {
        let sha256 = sha256.map(|sha| sha.0);
        self.outbox.send(Opened {
            transfer: self.transfer,
            state,
            length,
            sha256,
        });
    }

    fn receive(&self, mut upload: Upload) -> Result<(), UploadError> {
        let mut offset = upload.offset();
        let mut durable = offset;
        let mut limit = offset + limits::UPLOAD_CREDIT_BYTES;
        self.state.limit.store(limit, Ordering::Release);
        self.state.next.store(offset, Ordering::Release);
        self.opened(
            OpenState::At { offset, limit },
            self.announced.length,
            self.announced.sha256,
        );
        // Ends with the connection: the part stays.
        while let Ok(piece) = self.inbox.recv() {
            match piece {
                Piece::Chunk(chunk) => {
                    upload.write(&chunk)?;
                    offset += chunk.len() as u64;
                    if offset + limits::UPLOAD_CREDIT_BYTES >= limit + limits::CHUNK_BYTES as u64 {
                        limit = offset + limits::UPLOAD_CREDIT_BYTES;
                        self.state.limit.store(limit, Ordering::Release);
                        self.outbox.send(Credit {
                            transfer: self.transfer,
                            limit,
                        });
                    }
                    if offset >= durable + DURABLE_EVERY_BYTES {
                        durable = upload.sync()?;
                        self.outbox.send(Durable {
                            transfer: self.transfer,
                            offset: durable,
                        });
                    }
                }
                Piece::Finish(finish) => {
                    let sha256 = upload.finish(finish.length, Some(Sha256(finish.sha256)))?;
                    self.outbox.send(Finished {
                        transfer: self.transfer,
                        sha256: sha256.0,
                    });
                    return Ok(());
                }
                Piece::Abort => {
                    // Closed before it is dropped.
                    let _ = upload;
                    return self.store.abort_upload(self.client, self.transfer);
                }
            }
        }
        Ok(())
    }
}
