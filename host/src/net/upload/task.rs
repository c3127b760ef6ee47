//! One upload's own task: chunks to the store; credit, durable offsets and the end back to the client.
//! Invariant: a thread is held only while bytes come or the disk works, so that those who stall hold nobody up.
//! Not here: whether a chunk is right (`upload`), parts on disk, digests, resuming (`pixelboy-store`).
//! Whatever ends it early leaves the part on disk, but for wrong bytes and the client's own Abort.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pixelboy_protocol::{Abort, Code, Credit, Durable, Finished, OpenState, Opened, limits};
use pixelboy_store::{
    Announced, ClientId, Sha256, Store, StoreError, Upload, UploadError, UploadState,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{timeout, timeout_at};

use super::{Piece, Shared};
use crate::capability::failure;
use crate::dispatch::outbox::Outbox;

/// How often what came is made durable: a crash costs no more than this.
const DURABLE_EVERY: Duration = Duration::from_secs(1);

/// An upload that a broken connection held is free again soon.
const BUSY_RETRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Uploads that are worked on at a time; a disk is not faster with more.
const THREADS: usize = 64;

/// How long a thread waits for the next chunk before it does something else: chunks that follow each other cost no hop.
const LINGER: Duration = Duration::from_millis(2);

/// How long an upload may keep a thread that others wait for.
const BURST: Duration = Duration::from_millis(50);

/// The threads that uploads share, first come, first served.
#[derive(Clone)]
pub(super) struct Threads(Arc<Semaphore>);

impl Threads {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(THREADS)))
    }

    /// Runs what waits for the disk.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, UploadError> + Send + 'static,
    ) -> Result<T, UploadError> {
        let place = self.0.clone().acquire_owned().await;
        let worked = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        worked.await.unwrap_or_else(|error| {
            Err(UploadError::Failed(StoreError::Io {
                what: "work on an upload",
                source: std::io::Error::other(error),
            }))
        })
    }

    fn are_wanted(&self) -> bool {
        self.0.available_permits() == 0
    }
}

/// One upload, before it is open.
pub(super) struct Task {
    pub(super) transfer: u64,
    pub(super) client: ClientId,
    pub(super) announced: Announced,
    pub(super) store: Arc<dyn Store>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) threads: Threads,
    /// Bringing nothing for longer, it is put aside; the part stays.
    pub(super) stall_limit: Duration,
    pub(super) state: Arc<Shared>,
    pub(super) inbox: mpsc::UnboundedReceiver<Piece>,
}

/// The last frame of an upload, sent when it may be opened again.
enum Last {
    Opened(Opened),
    Finished(Finished),
    Aborted(Abort),
    Nothing,
}

impl Task {
    /// Ends with the upload, or the connection.
    pub(super) async fn run(self) {
        let (transfer, outbox, state) = (self.transfer, self.outbox.clone(), self.state.clone());
        let last = self.open_and_receive().await;
        state.over.store(true, Ordering::Release);
        match last {
            Ok(Last::Opened(opened)) => outbox.send(opened),
            Ok(Last::Finished(finished)) => outbox.send(finished),
            Ok(Last::Aborted(abort)) => outbox.send(abort),
            Ok(Last::Nothing) => {}
            Err(error) => {
                let failure = failure::of_upload(&error);
                outbox.send(Abort::new(transfer, failure.code, &failure.message));
            }
        }
    }

    async fn open_and_receive(self) -> Result<Last, UploadError> {
        match self.open().await? {
            UploadState::Open(upload) => Receiving::begin(self, upload).run().await,
            UploadState::Complete { length, sha256 } => {
                let is = Announced {
                    length: Some(length),
                    sha256: Some(sha256),
                };
                Ok(Last::Opened(self.opened(OpenState::Complete, is)))
            }
            UploadState::Consumed { number } => {
                let state = OpenState::Consumed { number };
                Ok(Last::Opened(self.opened(state, Announced::default())))
            }
        }
    }

    async fn open(&self) -> Result<UploadState, UploadError> {
        let mut retries = 0;
        loop {
            let (client, transfer, announced) = (self.client, self.transfer, self.announced);
            let store = self.store.clone();
            let open = move || store.open_upload(client, transfer, announced);
            match self.threads.run(open).await {
                Err(UploadError::Busy { .. }) if retries < BUSY_RETRIES => {
                    retries += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    fn opened(&self, state: OpenState, is: Announced) -> Opened {
        Opened {
            transfer: self.transfer,
            state,
            length: is.length,
            sha256: is.sha256.map(|sha256| sha256.0),
        }
    }
}

/// An open upload, between threads or on one.
struct Receiving {
    task: Task,
    upload: Upload,
    offset: u64,
    limit: u64,
    /// When what came was last made durable, and up to where.
    synced: Instant,
    durable: u64,
}

/// What an upload needs a thread for.
enum Work {
    Take(Piece),
    /// Nothing came for a while.
    Sync,
    Stalled,
    /// The connection is gone.
    Gone,
}

impl Receiving {
    fn begin(task: Task, upload: Upload) -> Self {
        let offset = upload.offset();
        let limit = offset + limits::UPLOAD_CREDIT_BYTES;
        task.state.limit.store(limit, Ordering::Release);
        task.state.next.store(offset, Ordering::Release);
        let at = OpenState::At { offset, limit };
        task.outbox.send(task.opened(at, task.announced));
        Self {
            task,
            upload,
            offset,
            limit,
            synced: Instant::now(),
            durable: offset,
        }
    }

    async fn run(mut self) -> Result<Last, UploadError> {
        let threads = self.task.threads.clone();
        loop {
            let work = self.next().await;
            let on_thread = threads.run(move || self.work(work)).await?;
            match on_thread {
                ControlFlow::Continue(rests) => self = rests,
                ControlFlow::Break(last) => return Ok(last),
            }
        }
    }

    /// Waits without a thread.
    async fn next(&mut self) -> Work {
        let is_durable = self.durable == self.offset;
        let due = if is_durable {
            Instant::now() + self.task.stall_limit
        } else {
            self.synced + DURABLE_EVERY
        };
        match timeout_at(due.into(), self.task.inbox.recv()).await {
            Ok(Some(piece)) => Work::Take(piece),
            Ok(None) => Work::Gone,
            Err(_) if is_durable => Work::Stalled,
            Err(_) => Work::Sync,
        }
    }

    /// *Blocking*: works until nothing more comes, or others wait for the thread.
    fn work(mut self, work: Work) -> Result<ControlFlow<Last, Self>, UploadError> {
        let begun = Instant::now();
        let mut next = Some(work);
        while let Some(work) = next {
            match work {
                Work::Take(Piece::Chunk(chunk)) => self.take(&chunk)?,
                Work::Take(Piece::Finish(finish)) => {
                    let transfer = self.task.transfer;
                    let said = Some(Sha256(finish.sha256));
                    let sha256 = self.upload.finish(finish.length, said)?.0;
                    let finished = Finished { transfer, sha256 };
                    return Ok(ControlFlow::Break(Last::Finished(finished)));
                }
                Work::Take(Piece::Abort) => {
                    self.upload.abort();
                    return Ok(ControlFlow::Break(Last::Nothing));
                }
                Work::Sync => self.sync()?,
                Work::Stalled => return Ok(ControlFlow::Break(self.put_aside())),
                // The part stays, as far as it came.
                Work::Gone => {
                    self.upload.sync()?;
                    return Ok(ControlFlow::Break(Last::Nothing));
                }
            }
            let others_wait = begun.elapsed() > BURST && self.task.threads.are_wanted();
            next = if others_wait { None } else { self.linger() };
        }
        Ok(ControlFlow::Continue(self))
    }

    /// What comes next, if it comes soon.
    fn linger(&mut self) -> Option<Work> {
        let inbox = &mut self.task.inbox;
        let came = match inbox.try_recv() {
            Ok(piece) => Ok(Some(piece)),
            Err(TryRecvError::Disconnected) => Ok(None),
            Err(TryRecvError::Empty) => {
                let soon = async { timeout(LINGER, inbox.recv()).await };
                Handle::current().block_on(soon)
            }
        };
        match came {
            Ok(Some(piece)) => Some(Work::Take(piece)),
            Ok(None) => Some(Work::Gone),
            Err(_) => None,
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), UploadError> {
        self.upload.write(chunk)?;
        self.offset += chunk.len() as u64;
        let limit = self.offset + limits::UPLOAD_CREDIT_BYTES;
        if limit >= self.limit + limits::CHUNK_BYTES as u64 {
            self.limit = limit;
            self.task.state.limit.store(limit, Ordering::Release);
            let transfer = self.task.transfer;
            self.task.outbox.send(Credit { transfer, limit });
        }
        if self.synced.elapsed() >= DURABLE_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), UploadError> {
        self.durable = self.upload.sync()?;
        self.synced = Instant::now();
        self.task.outbox.send(Durable {
            transfer: self.task.transfer,
            offset: self.durable,
        });
        Ok(())
    }

    /// It brought nothing for long, and what it brought is durable.
    fn put_aside(self) -> Last {
        let message = format!(
            "nothing came for {} s; open it again to go on",
            self.task.stall_limit.as_secs_f64()
        );
        Last::Aborted(Abort::new(self.task.transfer, Code::Interrupted, &message))
    }
}
