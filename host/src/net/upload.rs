//! Uploads of one connection: chunks in, and to the task of their upload.
//! Invariant: what waits in memory is bounded by the credit given.
//! Not here: what becomes of the chunks (`upload::task`), parts on disk, digests, resuming (`pixelboy-store`).
//! A wrong chunk closes the connection; a broken connection leaves the part on disk for resuming.

mod task;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pixelboy_protocol::{Abort, Code, Data, Finish, OpenUpload, limits};
use pixelboy_store::{Announced, ClientId, Sha256, Store};
use tokio::sync::{Semaphore, mpsc, watch};

use self::task::{Task, Threads};
use crate::dispatch::outbox::Outbox;
use crate::dispatch::session::Activity;

/// The uploads of one connection.
pub(super) struct Uploads {
    client: ClientId,
    store: Arc<dyn Store>,
    outbox: Arc<Outbox>,
    activity: Activity,
    room: UploadRoom,
    places: Arc<Semaphore>,
    moving: HashMap<u64, Moving>,
    /// A clone for each task, also of uploads that are aborted and not over yet.
    tasks: Arc<()>,
    /// Dropped with the connection, which those that wait for their turn notice.
    connected: watch::Sender<()>,
}

/// What uploads of all clients share.
#[derive(Clone)]
pub(crate) struct UploadRoom {
    threads: Threads,
    stall_limit: Duration,
    /// Each moving upload holds one; when the host stops, all of them back means that every part is on disk.
    moving: Arc<Semaphore>,
}

/// An upload that brings nothing for this long is put aside.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// More than can be open at a time on all connections.
const MOST_MOVING: u32 = 1 << 20;

impl UploadRoom {
    /// Nothing moves yet.
    pub(crate) fn new() -> Self {
        Self {
            threads: Threads::new(),
            stall_limit: STALL_LIMIT,
            moving: Arc::new(Semaphore::new(MOST_MOVING as usize)),
        }
    }

    /// Returns when nothing moves.
    pub(crate) async fn at_rest(&self) {
        let _ = self.moving.acquire_many(MOST_MOVING).await;
    }
}

/// One upload, as the connection sees it.
struct Moving {
    pieces: mpsc::UnboundedSender<Piece>,
    state: Arc<Shared>,
    /// Nothing more is taken.
    finished: bool,
}

/// What connection and task both know.
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
        room: UploadRoom,
        places: Arc<Semaphore>,
    ) -> Self {
        Self {
            client,
            store,
            outbox,
            activity,
            room,
            places,
            moving: HashMap::new(),
            tasks: Arc::new(()),
            connected: watch::Sender::new(()),
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
        let tasks = Arc::strong_count(&self.tasks) as u64 - 1;
        if self.moving.len() as u64 >= limits::UPLOADS || tasks >= 2 * limits::UPLOADS {
            let message = format!(
                "{} uploads are moving on this connection; finish one first",
                limits::UPLOADS
            );
            self.outbox.send(Abort::new(transfer, Code::Busy, &message));
            return Ok(());
        }
        let (pieces, inbox) = mpsc::unbounded_channel();
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
        let task = Task {
            transfer,
            client: self.client,
            announced: Announced {
                length: open.length,
                sha256: open.sha256.map(Sha256),
            },
            store: self.store.clone(),
            outbox: self.outbox.clone(),
            threads: self.room.threads.clone(),
            stall_limit: self.room.stall_limit,
            state,
            inbox,
        };
        let (moving, places) = (self.room.moving.clone(), self.places.clone());
        let counted = self.tasks.clone();
        let mut connected = self.connected.subscribe();
        tokio::spawn(async move {
            let _counted = counted;
            let place = async { (places.acquire_owned().await, moving.acquire_owned().await) };
            tokio::select! {
                place = place => {
                    task.run().await;
                    drop(place);
                }
                // Nothing was opened for it.
                _ = connected.changed() => {}
            }
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
        // A task that ended has said why.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::io;
    use std::sync::Mutex;

    use pixelboy_protocol::{Frame, FrameReader, OpenState, limits};
    use pixelboy_store::{Settings, SqliteStore};

    use super::*;
    use crate::dispatch::UPLOAD_PLACES;
    use crate::dispatch::outbox::Wire;

    /// What was sent to the client.
    #[derive(Clone, Default)]
    struct Sent(Arc<Mutex<Vec<u8>>>);

    impl Wire for Sent {
        fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    impl Sent {
        /// Waits for a frame that `pick` takes.
        async fn wait<T>(&self, pick: impl Fn(&Frame<'_>) -> Option<T>) -> T {
            let begun = Instant::now();
            loop {
                let mut reader = FrameReader::new();
                reader.welcomed();
                reader.push(&self.0.lock().unwrap());
                while let Some(frame) = reader.next_frame().unwrap() {
                    if let Some(found) = pick(&frame.decode().unwrap()) {
                        return found;
                    }
                }
                assert!(begun.elapsed() < Duration::from_secs(30), "it never comes");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// The uploads of a new connection, and what they send.
    fn connect(store: &Arc<dyn Store>, room: &UploadRoom) -> (Uploads, Sent) {
        let sent = Sent::default();
        let uploads = Uploads::new(
            ClientId([7; 16]),
            store.clone(),
            Arc::new(Outbox::new(Box::new(sent.clone()))),
            Activity::starting(Instant::now()),
            room.clone(),
            Arc::new(Semaphore::new(UPLOAD_PLACES as usize)),
        );
        (uploads, sent)
    }

    fn open(transfer: u64) -> OpenUpload {
        OpenUpload {
            transfer,
            length: Some(1_000),
            sha256: None,
            mode: OpenUpload::STORED,
        }
    }

    fn offset(frame: &Frame<'_>) -> Option<u64> {
        match frame {
            Frame::Opened(opened) => match opened.state {
                OpenState::At { offset, .. } => Some(offset),
                _ => None,
            },
            _ => None,
        }
    }

    #[test]
    fn what_brings_nothing_for_too_long_is_put_aside_and_goes_on_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(Settings::new(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let room = UploadRoom {
                stall_limit: Duration::from_millis(100),
                ..UploadRoom::new()
            };
            let (mut uploads, sent) = connect(&store, &room);
            uploads.open(open(1)).unwrap();
            assert_eq!(sent.wait(offset).await, 0);
            let chunk = Data::new(1, 0, &[b'x'; 600]);
            uploads.data(&chunk).unwrap();
            let code = sent
                .wait(|frame| match frame {
                    Frame::Abort(abort) => Some(abort.code),
                    _ => None,
                })
                .await;
            assert_eq!(code, Code::Interrupted);
            // Late chunks cross it; nothing is held any more.
            uploads.data(&Data::new(1, 600, &[b'x'; 100])).unwrap();
            room.at_rest().await;
            sent.0.lock().unwrap().clear();
            uploads.open(open(1)).unwrap();
            assert_eq!(sent.wait(offset).await, 600);
            drop(uploads);
            room.at_rest().await;
        });
    }

    #[test]
    fn who_opens_and_aborts_without_end_is_told_to_wait() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(Settings::new(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let room = UploadRoom::new();
            let (mut uploads, sent) = connect(&store, &room);
            for transfer in 1..=10_000 {
                uploads.open(open(transfer)).unwrap();
                uploads.abort(transfer);
            }
            let tasks = tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks();
            assert!(tasks <= 2 * limits::UPLOADS as usize, "{tasks} tasks");
            let busy = |frame: &Frame<'_>| match frame {
                Frame::Abort(abort) => (abort.code == Code::Busy).then_some(()),
                _ => None,
            };
            sent.wait(busy).await;
            // Those that were taken come to their end, and there is room again.
            room.at_rest().await;
            sent.0.lock().unwrap().clear();
            uploads.open(open(20_000)).unwrap();
            assert_eq!(sent.wait(offset).await, 0);
        });
    }

    #[test]
    fn those_that_wait_for_their_turn_go_with_their_connection() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(Settings::new(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let room = UploadRoom::new();
            let (mut uploads, sent) = connect(&store, &room);
            // Another connection of the client has all its places.
            let places = uploads.places.clone();
            let held = places.acquire_many(UPLOAD_PLACES).await.unwrap();
            for transfer in 1..=limits::UPLOADS {
                uploads.open(open(transfer)).unwrap();
            }
            let tasks = || {
                tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks()
            };
            assert_eq!(tasks(), limits::UPLOADS as usize);
            drop(uploads);
            let begun = Instant::now();
            while tasks() > 0 {
                assert!(
                    begun.elapsed() < Duration::from_secs(30),
                    "{} wait",
                    tasks()
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(sent.0.lock().unwrap().is_empty());
            drop(held);
        });
    }
}
