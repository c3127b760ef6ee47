//! SQLite behind a bare server: each frame's body becomes a row, and the frame comes back when that is on disk.
//! Invariant: as durable as `pixelboyd`: WAL, synchronous = FULL, and no answer before the commit has returned.
//! Not here: who asked, whether it asked before, any file beside the database.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{READ_BYTES, whole_frames};
use crate::Fault;

/// How rows are committed.
struct Rows {
    database: Mutex<Connection>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<(Vec<u8>, oneshot::Sender<()>)>,
    /// Somebody commits, and looks here again afterwards.
    is_led: bool,
}

/// Serves. `batched`: all rows that wait go into one transaction; otherwise each has its own.
pub(super) async fn serve(listener: TcpListener, file: &Path, batched: bool) -> Result<(), Fault> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let database = Connection::open(file)?;
    database.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    database.execute_batch(
        "PRAGMA synchronous = FULL; CREATE TABLE row (n INTEGER PRIMARY KEY, body BLOB)",
    )?;
    let rows = Arc::new(Rows {
        database: Mutex::new(database),
        line: Mutex::default(),
    });
    loop {
        let (socket, _) = listener.accept().await?;
        let rows = rows.clone();
        tokio::spawn(async move {
            let served = serve_one(socket, &rows, batched).await;
            if let Err(error) = served {
                eprintln!("pixelboy-bench: the bare SQLite server: {error}");
            }
        });
    }
}

async fn serve_one(mut socket: TcpStream, rows: &Arc<Rows>, batched: bool) -> Result<(), Fault> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let whole = whole_frames(&buffer);
        let frames = buffer.get(..whole).unwrap_or_default();
        if batched {
            rows.store_with_others(frames.to_vec()).await?;
            socket.write_all(frames).await?;
        } else {
            for frame in each_frame(frames) {
                rows.store(frame)?;
                socket.write_all(frame).await?;
            }
        }
        buffer.drain(..whole);
    }
}

impl Rows {
    fn store(&self, frames: &[u8]) -> rusqlite::Result<()> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        insert(&database, frames)
    }

    /// The first who waits commits for all; one of them goes on where more have come meanwhile.
    async fn store_with_others(self: &Arc<Self>, frames: Vec<u8>) -> Result<(), Fault> {
        let (tell, told) = oneshot::channel();
        let leads = {
            let mut line = self.line();
            line.waiting.push((frames, tell));
            !std::mem::replace(&mut line.is_led, true)
        };
        if leads {
            self.clone().lead();
        }
        told.await
            .map_err(|_| "the bare SQLite server could not commit".into())
    }

    fn lead(self: Arc<Self>) {
        let group = std::mem::take(&mut self.line().waiting);
        let committed = {
            let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
            database.transaction().and_then(|transaction| {
                for (frames, _) in &group {
                    insert(&transaction, frames)?;
                }
                transaction.commit()
            })
        };
        for (_, tell) in group {
            if committed.is_ok() {
                let _ = tell.send(());
            }
        }
        let goes_on = {
            let mut line = self.line();
            line.is_led = !line.waiting.is_empty();
            line.is_led
        };
        if goes_on {
            tokio::spawn(async move { self.lead() });
        }
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert(database: &Connection, frames: &[u8]) -> rusqlite::Result<()> {
    let mut insert = database.prepare_cached("INSERT INTO row (body) VALUES (?1)")?;
    each_frame(frames).try_for_each(|frame| {
        insert
            .execute([frame.get(4..).unwrap_or_default()])
            .map(drop)
    })
}

/// The frames that `bytes` is made of.
fn each_frame(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize;
        let (frame, rest) = bytes.split_at_checked(4 + length)?;
        bytes = rest;
        Some(frame)
    })
}
