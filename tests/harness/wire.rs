//! A plain client: one TCP connection, blocking, every wait with a deadline, nothing done by itself but answering pings.
//! Invariant: frames are kept in the order they came until a test asks for them; none is lost.
//! Not here: reconnecting, resending, confirming: tests say when.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use pixelboy_protocol::{
    Abort, Blob, ClientId, Close, Code, Confirm, Data, Failure, Finish, Finished, Frame,
    FrameReader, GetTable, Hello, Kind, OpEntry, OpenDownload, OpenState, OpenUpload, Opened,
    Outcome, PREAMBLE, Pong, Reply, Request, Value, Welcome, limits, table_digest,
};
use sha2::{Digest as _, Sha256};

use crate::files::sha256;

/// How long anything may take that should take a moment: machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a client remembers between connections.
#[derive(Clone)]
pub struct Identity {
    /// Its id.
    pub client: [u8; 16],
    /// The store it used last.
    pub last_store: Option<[u8; 16]>,
    /// What it will say in `Hello`.
    pub lowest_unconfirmed: u64,
    /// The number of its next request.
    pub next_number: u64,
    /// The number of its next transfer.
    pub next_transfer: u64,
}

impl Identity {
    /// Without a past.
    #[must_use]
    pub fn new() -> Self {
        let mut client = [0; 16];
        File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut client))
            .unwrap();
        Self {
            client,
            last_store: None,
            lowest_unconfirmed: 1,
            next_number: 1,
            next_transfer: 1,
        }
    }

    /// What it says first.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello {
            last_store: self.last_store,
            lowest_unconfirmed: self.lowest_unconfirmed,
            ..Hello::new(ClientId(self.client), "end-to-end test")
        }
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

/// Why something did not come.
#[derive(Debug)]
pub enum Missing {
    /// The time was over.
    Late,
    /// The connection was closed, with these last words if any.
    Ended(Option<Close>),
}

/// One connection.
pub struct Wire {
    socket: TcpStream,
    reader: FrameReader,
    inbox: VecDeque<(Kind, Vec<u8>)>,
    buffer: Vec<u8>,
    over: bool,
    /// Pings that came and were answered.
    pub pings: u32,
    /// What is remembered between connections.
    pub id: Identity,
    /// What the host said when it let this client in.
    pub welcome: Option<Welcome>,
    /// Goes with every request.
    pub confirmed: u64,
}

impl Wire {
    /// Connects and says nothing.
    #[must_use]
    pub fn silent(address: SocketAddr, id: Identity) -> Self {
        Self::over(TcpStream::connect(address).unwrap(), id)
    }

    fn over(socket: TcpStream, id: Identity) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            reader: FrameReader::new(),
            inbox: VecDeque::new(),
            buffer: vec![0; 256 << 10],
            over: false,
            pings: 0,
            confirmed: id.lowest_unconfirmed - 1,
            id,
            welcome: None,
        }
    }

    /// Connects and says Hello; the last words of a host that does not let this client in.
    pub fn knock(address: SocketAddr, id: Identity) -> Result<Self, Close> {
        match Self::try_join(address, id, PATIENCE) {
            Ok(wire) => Ok(wire),
            Err(Missing::Ended(Some(close))) => Err(close),
            Err(missing) => panic!("no Welcome: {missing:?}"),
        }
    }

    /// Connects and says Hello over a network that may break at any byte, to a host that may not be there.
    pub fn try_join(address: SocketAddr, id: Identity, within: Duration) -> Result<Self, Missing> {
        let socket = TcpStream::connect(address).map_err(|_| Missing::Ended(None))?;
        let mut wire = Self::over(socket, id);
        let mut bytes = PREAMBLE.to_vec();
        Frame::from(wire.id.hello()).encode(&mut bytes).unwrap();
        // Where it can't be sent, that shows in what comes back.
        let _ = wire.try_send_raw(&bytes);
        let welcome = wire.try_wait(within, |frame| match frame {
            Frame::Welcome(welcome) => Some(welcome.clone()),
            _ => None,
        })?;
        wire.reader.welcomed();
        wire.id.last_store = Some(welcome.store);
        wire.welcome = Some(welcome);
        Ok(wire)
    }

    /// Connects and is let in.
    #[track_caller]
    #[must_use]
    pub fn join(address: SocketAddr, id: Identity) -> Self {
        Self::knock(address, id).unwrap_or_else(|close| panic!("not let in: {close:?}"))
    }

    /// What the host said at the beginning.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        self.welcome.as_ref().expect("not let in yet")
    }

    // ---- sending ----

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.try_send_raw(bytes).expect("the host does not read");
    }

    /// Sends bytes as they are; the host may have closed.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends a frame.
    #[track_caller]
    pub fn send<'a>(&mut self, frame: impl Into<Frame<'a>>) {
        let mut bytes = Vec::new();
        frame.into().encode(&mut bytes).unwrap();
        self.send_raw(&bytes);
    }

    /// Sends a frame; whether it went out.
    pub fn try_send<'a>(&mut self, frame: impl Into<Frame<'a>>) -> bool {
        let mut bytes = Vec::new();
        frame.into().encode(&mut bytes).unwrap();
        self.try_send_raw(&bytes).is_ok()
    }

    /// A request under the next number, not sent.
    pub fn request(&mut self, op: &str, args: Vec<Value>) -> Request {
        let number = self.id.next_number;
        self.id.next_number += 1;
        Request {
            number,
            confirmed: self.confirmed,
            deadline_ms: None,
            op: op.to_owned(),
            args,
            kwargs: Vec::new(),
        }
    }

    /// Sends a request under the next number; the number.
    #[track_caller]
    pub fn ask(&mut self, op: &str, args: Vec<Value>) -> u64 {
        let request = self.request(op, args);
        let number = request.number;
        self.send(request);
        number
    }

    /// Sends a request and waits for its reply.
    #[track_caller]
    pub fn exchange(&mut self, request: Request) -> Reply {
        let number = request.number;
        self.send(request);
        self.reply(number)
    }

    /// Calls an opcode: the whole reply.
    #[track_caller]
    pub fn call_reply(&mut self, op: &str, args: Vec<Value>) -> Reply {
        let number = self.ask(op, args);
        self.reply(number)
    }

    /// Calls an opcode that must succeed: its values.
    #[track_caller]
    pub fn call(&mut self, op: &str, args: Vec<Value>) -> Vec<Value> {
        match self.call_reply(op, args).outcome {
            Outcome::Done(values) => values,
            Outcome::Failed(failure) => panic!("{op} failed: {failure:?}"),
        }
    }

    /// Calls an opcode that must succeed with one value.
    #[track_caller]
    pub fn call_one(&mut self, op: &str, args: Vec<Value>) -> Value {
        let mut values = self.call(op, args);
        assert_eq!(values.len(), 1, "{op} gave {values:?}");
        values.remove(0)
    }

    /// Calls an opcode that must fail: why it did.
    #[track_caller]
    pub fn call_failing(&mut self, op: &str, args: Vec<Value>) -> Failure {
        match self.call_reply(op, args).outcome {
            Outcome::Failed(failure) => failure,
            Outcome::Done(values) => panic!("{op} succeeded: {values:?}"),
        }
    }

    /// Says that all replies up to a number have come.
    pub fn confirm(&mut self, through: u64) {
        self.confirmed = through;
        self.id.lowest_unconfirmed = through + 1;
        self.send(Confirm {
            through,
            also: vec![],
        });
    }

    // ---- receiving ----

    /// The reply to a request.
    #[track_caller]
    pub fn reply(&mut self, number: u64) -> Reply {
        let reply = self.try_reply(number, PATIENCE);
        reply.unwrap_or_else(|missing| panic!("no reply to request {number}: {missing:?}"))
    }

    /// The reply to a request, if it comes in time.
    pub fn try_reply(&mut self, number: u64, within: Duration) -> Result<Reply, Missing> {
        self.try_wait(within, |frame| match frame {
            Frame::Reply(reply) if reply.number == number => Some(reply.clone()),
            _ => None,
        })
    }

    /// The first frame, of those kept and those to come, that `pick` takes.
    #[track_caller]
    pub fn wait<T>(&mut self, what: &str, pick: impl FnMut(&Frame<'_>) -> Option<T>) -> T {
        self.try_wait(PATIENCE, pick).unwrap_or_else(|missing| {
            let kept: Vec<&str> = self.inbox.iter().map(|(kind, _)| kind.name()).collect();
            panic!("no {what}: {missing:?}; what came: {kept:?}")
        })
    }

    /// The first frame that `pick` takes, if it comes in time.
    pub fn try_wait<T>(
        &mut self,
        within: Duration,
        mut pick: impl FnMut(&Frame<'_>) -> Option<T>,
    ) -> Result<T, Missing> {
        let deadline = Instant::now() + within;
        let mut at = 0;
        loop {
            while let Some((kind, body)) = self.inbox.get(at) {
                let frame = Frame::decode(*kind, body).unwrap();
                if let Some(found) = pick(&frame) {
                    self.inbox.remove(at);
                    return Ok(found);
                }
                at += 1;
            }
            if self.over {
                return Err(Missing::Ended(self.last_words()));
            }
            if !self.receive(deadline) {
                return Err(Missing::Late);
            }
        }
    }

    fn last_words(&self) -> Option<Close> {
        let (kind, body) = self.inbox.back()?;
        match Frame::decode(*kind, body).unwrap() {
            Frame::Close(close) => Some(close),
            _ => None,
        }
    }

    /// Everything that comes within a time, in order.
    pub fn listen(&mut self, time: Duration) -> Vec<(Kind, Vec<u8>)> {
        let deadline = Instant::now() + time;
        while !self.over && self.receive(deadline) {}
        self.inbox.drain(..).collect()
    }

    /// Waits for the host's last words and the end of the connection.
    #[track_caller]
    pub fn closed(&mut self) -> Close {
        let deadline = Instant::now() + PATIENCE;
        while !self.over {
            assert!(self.receive(deadline), "the host did not close");
        }
        self.last_words()
            .unwrap_or_else(|| panic!("the host closed without a word"))
    }

    /// Waits for the end of the connection with this reason.
    #[track_caller]
    pub fn closed_with(&mut self, code: Code) -> Close {
        let close = self.closed();
        assert_eq!(close.code, code, "{close:?}");
        assert!(!close.message.is_empty());
        close
    }

    /// Reads once; false when the deadline has passed.
    fn receive(&mut self, deadline: Instant) -> bool {
        let Some(left) = deadline
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        else {
            return false;
        };
        self.socket.set_read_timeout(Some(left)).unwrap();
        match self.socket.read(&mut self.buffer) {
            Ok(0) => self.over = true,
            Ok(count) => {
                self.reader.push(&self.buffer[..count]);
                self.sort_out();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Reset: it was killed, or closed with bytes of ours unread.
            Err(_) => self.over = true,
        }
        true
    }

    fn sort_out(&mut self) {
        let mut pings = Vec::new();
        // `welcomed` comes with the frame after which larger ones may follow in the same read.
        while let Some(frame) = self
            .reader
            .next_frame()
            .expect("the host breaks the protocol")
        {
            let (kind, body) = (frame.kind, frame.body.to_owned());
            match kind {
                Kind::Welcome => self.reader.welcomed(),
                Kind::Ping => pings.push(pixelboy_protocol::Ping::decode(&body).unwrap().token),
                _ => {}
            }
            if kind != Kind::Ping {
                self.inbox.push_back((kind, body));
            }
        }
        for token in pings {
            self.pings += 1;
            let mut pong = Vec::new();
            Pong { token }.encode(&mut pong).unwrap();
            // It may have closed meanwhile.
            let _ = self.socket.write_all(&pong);
        }
    }

    /// Breaks the connection without a word; what is remembered.
    #[must_use]
    pub fn break_off(self) -> Identity {
        // A reset, as from a lost network: nothing waits for anything.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.id
    }

    // ---- transfers ----

    /// The number of the next transfer.
    pub fn next_transfer(&mut self) -> u64 {
        let transfer = self.id.next_transfer;
        self.id.next_transfer += 1;
        transfer
    }

    /// Opens or resumes an upload.
    #[track_caller]
    pub fn open_upload(
        &mut self,
        transfer: u64,
        length: Option<u64>,
        sha256: Option<[u8; 32]>,
    ) -> Result<Opened, Abort> {
        let mode = OpenUpload::STORED;
        self.send(OpenUpload {
            transfer,
            length,
            sha256,
            mode,
        });
        self.opened(transfer)
    }

    /// The answer to an Open.
    #[track_caller]
    pub fn opened(&mut self, transfer: u64) -> Result<Opened, Abort> {
        self.wait("Opened", |frame| match frame {
            Frame::Opened(opened) if opened.transfer == transfer => Some(Ok(opened.clone())),
            Frame::Abort(abort) if abort.transfer == transfer => Some(Err(abort.clone())),
            _ => None,
        })
    }

    /// Opens an upload that must be sent from some offset: the offset and the first limit.
    #[track_caller]
    pub fn begin_upload(
        &mut self,
        transfer: u64,
        length: Option<u64>,
        sha256: Option<[u8; 32]>,
    ) -> (u64, u64) {
        let opened = self.open_upload(transfer, length, sha256).unwrap();
        match opened.state {
            OpenState::At { offset, limit } => (offset, limit),
            other => panic!("upload {transfer} is {other:?}"),
        }
    }

    /// One chunk.
    #[track_caller]
    pub fn send_chunk(&mut self, transfer: u64, offset: u64, chunk: &[u8]) {
        self.send(Data::new(transfer, offset, chunk));
    }

    /// Sends bytes from an offset on, as far as credit allows, in chunks of `chunk_bytes`.
    #[track_caller]
    pub fn send_from(
        &mut self,
        transfer: u64,
        bytes: &[u8],
        from: u64,
        limit: u64,
        chunk_bytes: usize,
    ) {
        let read = |at: u64, into: &mut [u8]| {
            into.copy_from_slice(&bytes[at as usize..at as usize + into.len()]);
        };
        let length = bytes.len() as u64;
        self.stream(transfer, from..length, limit, chunk_bytes, read, |_, _| {})
            .unwrap_or_else(|abort| panic!("upload {transfer} was aborted: {abort:?}"));
    }

    /// Sends what `read` gives for a range; `between` is called after each chunk. Ends early where the host aborts it.
    #[track_caller]
    pub fn stream(
        &mut self,
        transfer: u64,
        range: std::ops::Range<u64>,
        mut limit: u64,
        chunk_bytes: usize,
        mut read: impl FnMut(u64, &mut [u8]),
        mut between: impl FnMut(&mut Self, u64),
    ) -> Result<(), Abort> {
        let mut at = range.start;
        let mut chunk = vec![0; chunk_bytes];
        while at < range.end {
            let size = (range.end - at).min(chunk_bytes as u64);
            while at + size > limit {
                limit = limit.max(self.credit(transfer)?);
            }
            let chunk = &mut chunk[..size as usize];
            read(at, chunk);
            self.send_chunk(transfer, at, chunk);
            at += size;
            between(self, at);
        }
        Ok(())
    }

    /// More credit for an upload.
    #[track_caller]
    pub fn credit(&mut self, transfer: u64) -> Result<u64, Abort> {
        self.wait("Credit", |frame| match frame {
            Frame::Credit(credit) if credit.transfer == transfer => Some(Ok(credit.limit)),
            Frame::Abort(abort) if abort.transfer == transfer => Some(Err(abort.clone())),
            _ => None,
        })
    }

    /// Ends an upload's data.
    #[track_caller]
    pub fn finish(
        &mut self,
        transfer: u64,
        length: u64,
        sha256: [u8; 32],
    ) -> Result<Finished, Abort> {
        self.send(Finish {
            transfer,
            length,
            sha256,
        });
        self.wait("Finished", |frame| match frame {
            Frame::Finished(finished) if finished.transfer == transfer => Some(Ok(*finished)),
            Frame::Abort(abort) if abort.transfer == transfer => Some(Err(abort.clone())),
            _ => None,
        })
    }

    /// A whole upload, to be named in a request.
    #[track_caller]
    pub fn upload(&mut self, bytes: &[u8]) -> Value {
        self.upload_in_chunks(bytes, limits::CHUNK_BYTES)
    }

    /// The same in chunks of another size.
    #[track_caller]
    pub fn upload_in_chunks(&mut self, bytes: &[u8], chunk_bytes: usize) -> Value {
        let transfer = self.next_transfer();
        let (length, digest) = (bytes.len() as u64, sha256(bytes));
        let (offset, limit) = self.begin_upload(transfer, Some(length), Some(digest));
        assert_eq!(offset, 0, "a new upload begins at its beginning");
        self.send_from(transfer, bytes, 0, limit, chunk_bytes);
        let finished = self.finish(transfer, length, digest).unwrap();
        assert_eq!(finished.sha256, digest);
        Value::Upload(transfer)
    }

    /// Bytes as a request takes them: inside it, or as an upload where they do not fit.
    #[track_caller]
    pub fn data(&mut self, bytes: &[u8]) -> Value {
        if bytes.len() <= limits::INLINE_BYTES {
            Value::Bytes(bytes.to_owned())
        } else {
            self.upload(bytes)
        }
    }

    /// The bytes of a value of a reply: those in it, or downloaded.
    #[track_caller]
    pub fn bytes(&mut self, value: &Value) -> Vec<u8> {
        match value {
            Value::Bytes(bytes) => bytes.clone(),
            Value::Text(text) => text.clone().into_bytes(),
            Value::Blob(blob) => {
                let mut bytes = Vec::new();
                self.download(blob, 0, |part| bytes.extend_from_slice(part));
                if let Some(digest) = blob.sha256 {
                    assert_eq!(sha256(&bytes), digest, "the blob has another digest");
                }
                bytes
            }
            other => panic!("no bytes: {other:?}"),
        }
    }

    /// All values of a reply: those in it, or of the blob that stands for them.
    #[track_caller]
    pub fn values(&mut self, values: Vec<Value>) -> Vec<Value> {
        match values.as_slice() {
            [Value::Blob(blob)] if blob.form == Blob::VALUES => {
                let bytes = self.bytes(&values[0]);
                pixelboy_protocol::decode_values(&bytes).unwrap()
            }
            _ => values,
        }
    }

    /// Downloads from an offset to the end, in order, and checks offsets, checksums and length; the digest it ends with.
    #[track_caller]
    pub fn download(&mut self, blob: &Blob, offset: u64, mut take: impl FnMut(&[u8])) -> [u8; 32] {
        let transfer = self.next_transfer();
        let ahead = 4 * limits::CHUNK_BYTES as u64;
        let mut limit = offset + ahead;
        self.send(OpenDownload {
            transfer,
            blob: blob.id,
            offset,
            limit,
        });
        let opened = self.opened(transfer).unwrap();
        assert_eq!(opened.length, Some(blob.length));
        match opened.state {
            OpenState::At { offset: at, .. } => assert_eq!(at, offset),
            other => panic!("a download is {other:?}"),
        }
        let mut at = offset;
        loop {
            let (chunk, end) = self.wait("Data or Finish", |frame| match frame {
                Frame::Data(data) if data.transfer == transfer => {
                    assert!(data.is_intact());
                    assert_eq!(data.offset, at, "a gap");
                    Some((data.chunk.to_owned(), None))
                }
                Frame::Finish(finish) if finish.transfer == transfer => {
                    Some((vec![], Some(*finish)))
                }
                Frame::Abort(abort) if abort.transfer == transfer => panic!("{abort:?}"),
                _ => None,
            });
            if let Some(finish) = end {
                assert_eq!(at, blob.length, "it ended early");
                assert_eq!(finish.length, blob.length);
                return finish.sha256;
            }
            at += chunk.len() as u64;
            assert!(at <= limit, "more than the credit allows");
            take(&chunk);
            if at + ahead / 2 > limit {
                limit = at + ahead;
                self.send(pixelboy_protocol::Credit { transfer, limit });
            }
        }
    }

    // ---- the table ----

    /// The whole opcode table and its digest, which is checked.
    #[track_caller]
    pub fn table(&mut self) -> (Vec<OpEntry>, [u8; 16]) {
        self.send(GetTable {});
        let mut ops: Vec<Value> = Vec::new();
        loop {
            let part = self.wait("Table", |frame| match frame {
                Frame::Table(part) => Some(part.clone()),
                _ => None,
            });
            assert_eq!(part.first as usize, ops.len());
            ops.extend(part.ops);
            if ops.len() == part.total as usize {
                assert_eq!(table_digest(&ops).unwrap(), part.digest);
                let entries = ops.iter().map(|op| OpEntry::from_value(op).unwrap());
                return (entries.collect(), part.digest);
            }
        }
    }
}

/// A digest made piece by piece.
#[derive(Default)]
pub struct Digesting(Sha256);

impl Digesting {
    /// More bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// SHA-256 of all of them.
    #[must_use]
    pub fn end(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
