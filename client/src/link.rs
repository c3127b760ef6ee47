//! One connection to the device: frames out in order, frames in, and whether it is alive.
//! Invariant: a frame that is partly sent is finished before another begins; chunks wait until no other frame does.
//! Reading goes on while writing cannot. Not here: what frames mean (`driver`, `session`).
//! Every error ends the connection, never the client.

use std::io;
use std::time::{Duration, Instant};

use pixelboy_protocol::{FrameReader, limits};
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

/// While an answer is awaited, a dead peer should be noticed before the caller gives up.
const IMPATIENT_PING: Duration = Duration::from_secs(5);
const READ_BYTES: usize = limits::CHUNK_BYTES + 64;
/// After so much was read others get their turn.
const READS_AT_ONCE: usize = 8;

/// One connection.
pub(crate) struct Link {
    stream: TcpStream,
    pub(crate) frames: FrameReader,
    buffer: Box<[u8]>,
    writing: Vec<u8>,
    written: usize,
    /// Frames that go next; chunks wait for them.
    next: Vec<u8>,
    pub(crate) since: Instant,
    heard: Instant,
    pinged: Instant,
    pings: u32,
}

impl Link {
    pub(crate) fn new(stream: TcpStream, now: Instant) -> Self {
        // Without it small requests wait for acknowledgements.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            frames: FrameReader::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            writing: Vec::new(),
            written: 0,
            next: Vec::new(),
            since: now,
            heard: now,
            pinged: now,
            pings: 0,
        }
    }

    /// Where frames are appended that are to be sent.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.next
    }

    /// Whether a chunk may be sent now.
    pub(crate) fn wants_chunk(&self) -> bool {
        self.written == self.writing.len() && self.next.is_empty()
    }

    /// Sends a chunk; only where [`Link::wants_chunk`].
    pub(crate) fn send_chunk(&mut self, frame: Vec<u8>) {
        self.writing = frame;
        self.written = 0;
    }

    /// Waits until something can be read, or written where something waits.
    pub(crate) async fn ready(&self) -> io::Result<Ready> {
        let interest = if self.wants_chunk() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        self.stream.ready(interest).await
    }

    /// Sends as much as the socket takes now.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        loop {
            if self.written == self.writing.len() {
                self.writing.clear();
                self.written = 0;
                if self.next.is_empty() {
                    return Ok(());
                }
                std::mem::swap(&mut self.writing, &mut self.next);
            }
            let rest = self.writing.get(self.written..).unwrap_or_default();
            match self.stream.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there into [`Link::frames`]; false at the end of the stream.
    pub(crate) fn read(&mut self, now: Instant) -> io::Result<bool> {
        for _ in 0..READS_AT_ONCE {
            match self.stream.try_read(&mut self.buffer) {
                Ok(0) => return Ok(false),
                Ok(bytes) => {
                    self.frames
                        .push(self.buffer.get(..bytes).unwrap_or_default());
                    self.heard = now;
                    self.pings = 0;
                    if bytes < self.buffer.len() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether the device still lives: when to look again, or that it does not.
    pub(crate) fn look_alive(&mut self, now: Instant, ping_ms: u64, awaiting: bool) -> Alive {
        let mut every = Duration::from_millis(ping_ms.max(1));
        if awaiting {
            every = every.min(IMPATIENT_PING);
        }
        let since = if self.pings == 0 {
            self.heard
        } else {
            self.pinged
        };
        if now < since + every {
            return Alive::LookAgain(since + every);
        }
        if self.pings >= limits::SILENT_PINGS {
            return Alive::Silent;
        }
        self.pings += 1;
        self.pinged = now;
        Alive::Ping(now + every)
    }
}

/// Whether the other side lives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Alive {
    LookAgain(Instant),
    /// Send one, and look again then.
    Ping(Instant),
    Silent,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Alive, Link};

    #[tokio::test]
    async fn four_pings_without_an_answer_are_silence() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut now = Instant::now();
        let mut link = Link::new(stream, now);
        for _ in 0..4 {
            assert!(matches!(
                link.look_alive(now, 15_000, false),
                Alive::LookAgain(_)
            ));
            now += Duration::from_secs(15);
            assert!(matches!(
                link.look_alive(now, 15_000, false),
                Alive::Ping(_)
            ));
        }
        now += Duration::from_secs(15);
        assert_eq!(link.look_alive(now, 15_000, false), Alive::Silent);
    }

    #[tokio::test]
    async fn while_an_answer_is_awaited_silence_is_noticed_earlier() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let now = Instant::now();
        let mut link = Link::new(stream, now);
        let later = now + Duration::from_secs(6);
        assert!(matches!(
            link.look_alive(later, 15_000, true),
            Alive::Ping(_)
        ));
    }
}
