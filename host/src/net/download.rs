//! Downloads of one connection: stored bytes out, as far as credit goes.
//! Invariant: one chunk at a time waits to be sent; control frames pass it.
//! Not here: what a blob is (`dispatch::blobs`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use pixelboy_protocol::{
    Abort, Code, Credit, Data, Finish, OpenDownload, OpenState, Opened, limits,
};
use pixelboy_store::Blob;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::capability::blob;
use crate::dispatch::blobs::Blobs;
use crate::dispatch::outbox::Outbox;
use crate::dispatch::session::Activity;

/// Downloads that move at a time on one connection.
const MAX_MOVING: usize = 16;

/// The downloads of one connection; they end with it.
pub(super) struct Downloads {
    blobs: Arc<Blobs>,
    outbox: Arc<Outbox>,
    activity: Activity,
    moving: HashMap<u64, Moving>,
}

struct Moving {
    credit: watch::Sender<u64>,
    task: AbortHandle,
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Downloads {
    pub(super) fn new(blobs: Arc<Blobs>, outbox: Arc<Outbox>, activity: Activity) -> Self {
        Self {
            blobs,
            outbox,
            activity,
            moving: HashMap::new(),
        }
    }

    /// Begins or resumes one.
    pub(super) fn open(&mut self, open: OpenDownload) -> Result<(), (Code, String)> {
        self.moving.retain(|_, moving| !moving.task.is_finished());
        self.activity.note(Instant::now());
        let transfer = open.transfer;
        let refuse = |code, message: &str| {
            self.outbox.send(Abort::new(transfer, code, message));
            Ok(())
        };
        if self.moving.contains_key(&transfer) {
            return Err((
                Code::BadNumber,
                format!("download {transfer} is open already on this connection"),
            ));
        }
        if self.moving.len() >= MAX_MOVING {
            return refuse(
                Code::Busy,
                "too many downloads are moving on this connection; finish one first",
            );
        }
        let Some(blob) = self.blobs.find(open.blob) else {
            return refuse(
                Code::BlobGone,
                "these bytes are no longer held; send the request that gave them again",
            );
        };
        if open.offset > blob.len() {
            let message = format!(
                "there are {} bytes, the offset is {}",
                blob.len(),
                open.offset
            );
            return refuse(Code::BadArguments, &message);
        }
        let (credit, allowed) = watch::channel(open.limit);
        let sending = Sending {
            transfer,
            blob,
            offset: open.offset,
            allowed,
            outbox: self.outbox.clone(),
            activity: self.activity.clone(),
        };
        let task = tokio::spawn(sending.run()).abort_handle();
        self.moving.insert(transfer, Moving { credit, task });
        Ok(())
    }

    /// More may be sent.
    pub(super) fn credit(&mut self, credit: Credit) {
        self.activity.note(Instant::now());
        if let Some(moving) = self.moving.get(&credit.transfer) {
            moving.credit.send_if_modified(|limit| {
                let more = credit.limit > *limit;
                *limit = credit.limit.max(*limit);
                more
            });
        }
    }

    /// The client wants no more of it.
    pub(super) fn abort(&mut self, transfer: u64) {
        self.moving.remove(&transfer);
    }
}

struct Sending {
    transfer: u64,
    blob: Blob,
    offset: u64,
    allowed: watch::Receiver<u64>,
    outbox: Arc<Outbox>,
    activity: Activity,
}

impl Sending {
    async fn run(mut self) {
        if let Err(error) = self.send().await {
            tracing::warn!(%error, "a download failed");
            let message = format!("failed to read stored bytes: {error}");
            self.outbox
                .send(Abort::new(self.transfer, Code::StorageFailed, &message));
        }
    }

    async fn send(&mut self) -> std::io::Result<()> {
        let length = self.blob.len();
        let sha256 = self.blob.known_sha256().map(|sha| sha.0);
        let state = OpenState::At {
            offset: self.offset,
            limit: *self.allowed.borrow(),
        };
        self.outbox.send(Opened {
            transfer: self.transfer,
            state,
            length: Some(length),
            sha256,
        });
        while self.offset < length {
            let Ok(allowed) = self
                .allowed
                .wait_for(|limit| *limit > self.offset)
                .await
                .map(|limit| *limit)
            else {
                return Ok(());
            };
            let most = (allowed - self.offset).min(limits::CHUNK_BYTES as u64) as u32;
            let chunk = blob::read(self.blob.clone(), self.offset, most).await?;
            if chunk.is_empty() {
                return Err(std::io::Error::other(
                    "the file is shorter than it should be",
                ));
            }
            let mut frame = Vec::with_capacity(chunk.len() + 32);
            Data::new(self.transfer, self.offset, &chunk)
                .encode(&mut frame)
                .map_err(std::io::Error::other)?;
            let Some(room) = self.outbox.room().await else {
                return Ok(());
            };
            room.send(frame);
            self.offset += chunk.len() as u64;
            self.activity.note(Instant::now());
        }
        let blob = self.blob.clone();
        let sha256 = match sha256 {
            Some(sha256) => sha256,
            None => blob::blocking(move || blob.sha256()).await?.0,
        };
        // Behind the last chunk.
        if self.outbox.room().await.is_some() {
            self.outbox.send(Finish {
                transfer: self.transfer,
                length,
                sha256,
            });
        }
        Ok(())
    }
}
