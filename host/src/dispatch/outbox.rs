//! What is to be sent on one connection: control frames first, then one chunk of data at a time.
//! Invariant: never blocks; a frame is never split by another one; control frames wait for at most one chunk.
//! Not here: sockets (`net` gives a `Wire`).

use std::io;
use std::sync::{Mutex, PoisonError};

use pixelboy_protocol::{Code, EncodeError, Frame};
use tokio::sync::Notify;

/// Where bytes go without blocking.
pub(crate) trait Wire: Send + Sync {
    /// Sends some of `bytes`; `WouldBlock` when nothing can be sent now.
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize>;
}

/// Control frames of a client that does not read: beyond this the connection is closed.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Of them, pushes; beyond this a push is lost.
const MAX_PUSH_BYTES: usize = 256 << 10;

/// The sending side of a connection.
pub(crate) struct Outbox {
    wire: Box<dyn Wire>,
    queue: Mutex<Queue>,
    /// Something could not be sent at once.
    blocked: Notify,
    /// The last frame is queued.
    ended: Notify,
    /// The place for a chunk is free.
    room: Notify,
}

/// The place of one chunk; free again when it is dropped unused.
pub(crate) struct Room<'a>(&'a Outbox);

impl Room<'_> {
    /// Hands over an encoded data frame.
    pub(crate) fn send(self, frame: Vec<u8>) {
        self.0.queue().chunk = Some(frame);
        self.0.flush();
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.queue().reserved = false;
        self.0.room.notify_waiters();
    }
}

#[derive(Default)]
struct Queue {
    /// Being sent: whole frames, from `sent` on.
    current: Vec<u8>,
    sent: usize,
    control: Vec<u8>,
    /// For after Welcome.
    early: Vec<u8>,
    chunk: Option<Vec<u8>>,
    /// Somebody is about to hand over a chunk.
    reserved: bool,
    /// Welcome was queued: what nobody asked for may follow.
    welcomed: bool,
    /// After what is queued nothing more is taken.
    ending: bool,
    /// The wire is gone.
    broken: bool,
}

impl Outbox {
    /// Sends on this wire.
    pub(crate) fn new(wire: Box<dyn Wire>) -> Self {
        Self {
            wire,
            queue: Mutex::default(),
            blocked: Notify::new(),
            ended: Notify::new(),
            room: Notify::new(),
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what `encode` appends; it goes out with the next `flush`.
    pub(crate) fn queue_with(&self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) {
        let mut queue = self.queue();
        if queue.ending || queue.broken {
            return;
        }
        if let Err(error) = encode(&mut queue.control) {
            tracing::error!(%error, "a frame could not be encoded");
        }
        if queue.control.len() > MAX_WAITING_BYTES {
            tracing::warn!("a client does not read its replies; the connection is closed");
            queue.broken = true;
            self.blocked.notify_one();
        }
    }

    /// Queues a frame and sends what can be sent.
    pub(crate) fn send(&self, frame: impl Into<Frame<'static>>) {
        let frame = frame.into();
        self.queue_with(|out| frame.encode(out));
        self.flush();
    }

    /// Queues a frame that may be lost. False: it was.
    pub(crate) fn send_if_room(&self, frame: impl Into<Frame<'static>>) -> bool {
        {
            let queue = self.queue();
            let over = queue.broken || queue.ending || !queue.welcomed;
            if over || queue.control.len() > MAX_PUSH_BYTES {
                return false;
            }
        }
        self.send(frame);
        true
    }

    /// The last frame: what is queued goes out, then the connection closes.
    pub(crate) fn close(&self, code: Code, message: &str) {
        let frame = Frame::from(pixelboy_protocol::Close::new(code, message));
        self.queue_with(|out| frame.encode(out));
        self.end();
    }

    /// What is queued goes out, then the connection closes.
    pub(crate) fn end(&self) {
        self.queue().ending = true;
        self.ended.notify_one();
        self.flush();
        self.blocked.notify_one();
        self.room.notify_waiters();
    }

    /// Waits for the one place of a chunk; none when the connection is over.
    pub(crate) async fn room(&self) -> Option<Room<'_>> {
        loop {
            let room = self.room.notified();
            {
                let mut queue = self.queue();
                if queue.broken || queue.ending {
                    return None;
                }
                if queue.chunk.is_none() && !queue.reserved {
                    queue.reserved = true;
                    return Some(Room(self));
                }
            }
            room.await;
        }
    }

    /// Queues Welcome: from now on pushes may follow.
    pub(crate) fn welcome(&self, frame: impl Into<Frame<'static>>) {
        let frame = frame.into();
        self.queue_with(|out| frame.encode(out));
        {
            let mut queue = self.queue();
            queue.welcomed = true;
            let early = std::mem::take(&mut queue.early);
            queue.control.extend(early);
        }
        self.flush();
    }

    /// Sends a frame that nobody asked for, after Welcome where that is still to come.
    pub(crate) fn send_when_welcomed(&self, frame: impl Into<Frame<'static>>) {
        let frame = frame.into();
        {
            let mut queue = self.queue();
            if !queue.welcomed {
                if let Err(error) = frame.encode(&mut queue.early) {
                    tracing::error!(%error, "a frame could not be encoded");
                }
                return;
            }
        }
        self.send(frame);
    }

    /// Sends what can be sent now; the rest goes when the wire is writable.
    pub(crate) fn flush(&self) {
        let mut queue = self.queue();
        let queue = &mut *queue;
        loop {
            if queue.broken {
                return;
            }
            if queue.sent == queue.current.len() {
                queue.current.clear();
                queue.sent = 0;
                if !queue.control.is_empty() {
                    std::mem::swap(&mut queue.current, &mut queue.control);
                } else if let Some(chunk) = queue.chunk.take() {
                    queue.current = chunk;
                    self.room.notify_waiters();
                } else {
                    if queue.ending {
                        self.blocked.notify_one();
                    }
                    return;
                }
            }
            match self
                .wire
                .try_send(queue.current.get(queue.sent..).unwrap_or_default())
            {
                Ok(0) => queue.broken = true,
                Ok(sent) => queue.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.notify_one();
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    queue.broken = true;
                    self.blocked.notify_one();
                    self.room.notify_waiters();
                }
            }
        }
    }

    /// Waits until nothing more is taken; for one who waits.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Waits until something could not be sent, or the connection is to close.
    pub(crate) async fn blocked(&self) {
        self.blocked.notified().await;
    }

    /// Whether all that will ever be sent has been, or can't be.
    pub(crate) fn is_over(&self) -> bool {
        let queue = self.queue();
        queue.broken
            || (queue.ending && queue.sent == queue.current.len() && queue.control.is_empty())
    }

    /// Whether bytes wait for the wire.
    pub(crate) fn is_waiting(&self) -> bool {
        let queue = self.queue();
        !queue.broken
            && (queue.sent < queue.current.len()
                || !queue.control.is_empty()
                || queue.chunk.is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use std::sync::Arc;

    use pixelboy_protocol::{Data, FrameReader, Kind, Ping};

    use super::*;

    /// Takes so many bytes at a time until its budget is used up.
    struct Slow {
        sent: Mutex<Vec<u8>>,
        budget: Mutex<usize>,
    }

    struct Handle(Arc<Slow>);

    impl Wire for Handle {
        fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut budget = self.0.budget.lock().unwrap();
            let now = bytes.len().min(*budget).min(7);
            if now == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            *budget -= now;
            self.0.sent.lock().unwrap().extend_from_slice(&bytes[..now]);
            Ok(now)
        }
    }

    fn kinds(slow: &Slow) -> Vec<Kind> {
        let mut reader = FrameReader::new();
        reader.welcomed();
        reader.push(&slow.sent.lock().unwrap());
        let mut kinds = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            frame.decode().unwrap();
            kinds.push(frame.kind);
        }
        kinds
    }

    /// What a future gives that need not wait.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn the_place_of_a_chunk_is_given_to_one_at_a_time() {
        let slow = Arc::new(Slow {
            sent: Mutex::default(),
            budget: Mutex::new(usize::MAX),
        });
        let outbox = Outbox::new(Box::new(Handle(slow)));
        let first = now(outbox.room());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut second = std::pin::pin!(outbox.room());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(first);
        assert!(second.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn control_frames_pass_waiting_chunks_but_never_split_one() {
        let slow = Arc::new(Slow {
            sent: Mutex::default(),
            budget: Mutex::new(20),
        });
        let outbox = Outbox::new(Box::new(Handle(slow.clone())));
        let chunk = |offset| {
            let mut frame = Vec::new();
            Data::new(1, offset, &[9; 50]).encode(&mut frame).unwrap();
            frame
        };
        // The first is being sent, the second waits.
        let hand_over = |frame| now(outbox.room()).unwrap().send(frame);
        hand_over(chunk(0));
        hand_over(chunk(50));
        outbox.send(Ping { token: 1 });
        assert!(outbox.is_waiting());
        *slow.budget.lock().unwrap() = usize::MAX;
        outbox.flush();
        assert_eq!(kinds(&slow), [Kind::Data, Kind::Ping, Kind::Data]);
        assert!(!outbox.is_waiting());
    }

    #[test]
    fn nothing_follows_the_last_frame() {
        let slow = Arc::new(Slow {
            sent: Mutex::default(),
            budget: Mutex::new(usize::MAX),
        });
        let outbox = Outbox::new(Box::new(Handle(slow.clone())));
        outbox.close(Code::Closed, "bye");
        outbox.send(Ping { token: 1 });
        assert_eq!(kinds(&slow), [Kind::Close]);
        assert!(outbox.is_over());
    }
}
