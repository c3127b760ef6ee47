//! Uploads of one connection: chunks in, credit and durable offsets back.
//! Invariant: what waits in memory is bounded by the credit given; the disk is waited for by a thread of the upload's own.
//! Not here: parts on disk, digests, resuming (`pixelboy-store`).
//! A broken connection leaves the part on disk for resuming.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use pixelboy_protocol::{
    Abort, Code, Credit, Data, Durable, Finish, Finished, OpenState, OpenUpload, Opened, limits,
};
use pixelboy_store::{Announced, ClientId, Sha256, Store, Upload, UploadError, UploadState};
use tokio::sync::Semaphore;

use crate::capability::failure;
use crate::dispatch::outbox::Outbox;
use crate::dispatch::session::Activity;

/// How often what came is made durable: a crash costs no more than this.
const DURABLE_EVERY: Duration = Duration::from_secs(1);

/// An upload that brings nothing for this long gives its thread back; the part stays.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// An upload that a broken connection held is free again soon.
const BUSY_RETRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// The uploads of one connection.
pub(super) struct Uploads {
    client: ClientId,
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    activity: Activity,
    threads: Arc<Semaphore>,
    places: Arc<Semaphore>,
    moving: HashMap<u64, Moving>,
}

/// One upload, as the connection sees it.
struct Moving {
    pieces: Sender<Piece>,
    state: Arc<Shared>,
    /// Nothing more is taken.
    finished: bool,
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
        threads: Arc<Semaphore>,
        places: Arc<Semaphore>,
    ) -> Self {
        Self {
            client,
            store,
            outbox,
            activity,
            threads,
            places,
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
        if self.moving.len() as u64 >= limits::UPLOADS {
            let message = format!(
                "{} uploads are moving on this connection; finish one first",
                limits::UPLOADS
            );
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
                finished: false,
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
        let (threads, places) = (self.threads.clone(), self.places.clone());
        tokio::spawn(async move {
            // Neither is ever closed.
            let Ok(place) = places.acquire_owned().await else {
                return;
            };
            let Ok(thread) = threads.acquire_owned().await else {
                return;
            };
            tokio::task::spawn_blocking(move || {
                work.run();
                drop((place, thread));
            });
        });
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
        if moving.finished {
            return Ok(());
        }
        let bad = |what: String| Err((Code::BadChunk, format!("upload {}: {what}", data.transfer)));
        if data.offset != next {
            return bad(format!(
                "the next chunk must lie at {next}, got {}",
                data.offset
            ));
        }
        if data.chunk.is_empty() {
            return bad("an empty chunk".into());
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
        if let Some(moving) = self.moving.get_mut(&finish.transfer)
            && !moving.finished
            && moving.state.next.load(Ordering::Acquire) != u64::MAX
        {
            moving.finished = true;
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

/// The last frame of an upload, sent when it may be opened again.
enum Last {
    Opened(Opened),
    Finished(Finished),
    Nothing,
}

impl Work {
    fn run(self) {
        let last = self.open_and_receive();
        self.state.over.store(true, Ordering::Release);
        match last {
            Ok(Last::Opened(opened)) => self.outbox.send(opened),
            Ok(Last::Finished(finished)) => self.outbox.send(finished),
            Ok(Last::Nothing) => {}
            Err(error) => {
                let failure = failure::of_upload(&error);
                self.outbox
                    .send(Abort::new(self.transfer, failure.code, &failure.message));
            }
        }
    }

    fn open_and_receive(&self) -> Result<Last, UploadError> {
        match self.open()? {
            UploadState::Open(upload) => self.receive(upload),
            UploadState::Complete { length, sha256 } => Ok(Last::Opened(self.opened(
                OpenState::Complete,
                Some(length),
                Some(sha256),
            ))),
            UploadState::Consumed { number } => Ok(Last::Opened(self.opened(
                OpenState::Consumed { number },
                None,
                None,
            ))),
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

    fn opened(&self, state: OpenState, length: Option<u64>, sha256: Option<Sha256>) -> Opened {
        let sha256 = sha256.map(|sha| sha.0);
        Opened {
            transfer: self.transfer,
            state,
            length,
            sha256,
        }
    }

    fn receive(&self, mut upload: Upload) -> Result<Last, UploadError> {
        let mut offset = upload.offset();
        let mut synced = Instant::now();
        let mut limit = offset + limits::UPLOAD_CREDIT_BYTES;
        self.state.limit.store(limit, Ordering::Release);
        self.state.next.store(offset, Ordering::Release);
        let at = OpenState::At { offset, limit };
        self.outbox
            .send(self.opened(at, self.announced.length, self.announced.sha256));
        loop {
            match self.inbox.recv_timeout(STALL_LIMIT) {
                Ok(Piece::Chunk(chunk)) => {
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
                    if synced.elapsed() >= DURABLE_EVERY {
                        let durable = upload.sync()?;
                        synced = Instant::now();
                        self.outbox.send(Durable {
                            transfer: self.transfer,
                            offset: durable,
                        });
                    }
                }
                Ok(Piece::Finish(finish)) => {
                    let sha256 = upload.finish(finish.length, Some(Sha256(finish.sha256)))?;
                    let (transfer, sha256) = (self.transfer, sha256.0);
                    return Ok(Last::Finished(Finished { transfer, sha256 }));
                }
                Ok(Piece::Abort) => {
                    drop(upload);
                    self.store.abort_upload(self.client, self.transfer)?;
                    return Ok(Last::Nothing);
                }
                // The connection is gone: the part stays, as far as it came.
                Err(RecvTimeoutError::Disconnected) => {
                    upload.sync()?;
                    return Ok(Last::Nothing);
                }
                Err(RecvTimeoutError::Timeout) => {
                    upload.sync()?;
                    self.state.over.store(true, Ordering::Release);
                    let message = format!(
                        "nothing came for {} s; open it again to go on",
                        STALL_LIMIT.as_secs()
                    );
                    self.outbox
                        .send(Abort::new(self.transfer, Code::Interrupted, &message));
                    return Ok(Last::Nothing);
                }
            }
        }
    }
}
