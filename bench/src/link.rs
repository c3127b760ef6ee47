//! A blocking connection that keeps so many requests in flight; the same loop for both sides.
//! Invariant: one write for all requests that may go out, one read for all answers that are there.
//! Not here: what requests and answers look like (`talk`).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Fault;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// One side's requests and answers.
pub(crate) trait Talk {
    /// Appends the next request to `out`.
    fn ask(&mut self, out: &mut Vec<u8>) -> Result<(), Fault>;

    /// Checks the complete answers that `bytes` begins with. What must be said to anything else goes to `out`.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Taken, Fault>;
}

/// What was taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    pub(crate) answers: usize,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    socket: TcpStream,
    out: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that wait to be taken.
    filled: usize,
}

impl Link {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Fault> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            out: Vec::new(),
            buffer: vec![0; READ_BYTES * 4],
            filled: 0,
        })
    }

    /// The socket alone; what was read and not taken is gone.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        Ok(self.socket.write_all(bytes)?)
    }

    /// Sends `requests`, at most `in_flight` at a time, and takes their answers: how long that took.
    pub(crate) fn round(
        &mut self,
        talk: &mut dyn Talk,
        requests: usize,
        in_flight: usize,
    ) -> Result<Duration, Fault> {
        let began = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        while answered < requests {
            while sent < requests && sent - answered < in_flight {
                talk.ask(&mut self.out)?;
                sent += 1;
            }
            answered += self.exchange(talk)?;
        }
        Ok(began.elapsed())
    }

    /// Sends what there is to send, then reads and takes answers: how many.
    pub(crate) fn exchange(&mut self, talk: &mut dyn Talk) -> Result<usize, Fault> {
        if !self.out.is_empty() {
            self.socket.write_all(&self.out)?;
            self.out.clear();
        }
        let read = match self
            .socket
            .read(self.buffer.get_mut(self.filled..).unwrap_or_default())
        {
            Ok(0) => return Err("the connection was closed before the answer".into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(format!("no answer came within {PATIENCE:?}").into());
            }
            read => read?,
        };
        self.filled += read;
        let Taken { bytes, answers } = talk.take(
            self.buffer.get(..self.filled).unwrap_or_default(),
            &mut self.out,
        )?;
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
        Ok(answers)
    }
}
