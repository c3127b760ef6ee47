//! A host that does what a test says, on a real socket of this machine.
//! Invariant: every wait ends within ten seconds with a panic that says what did not come.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

use std::time::Duration;

use pixelboy_protocol::{
    ArgEntry, ArgKind, Close, Code, Failure, Frame, FrameReader, Goodbye, Hello, Kind, Limits,
    OpEntry, Outcome, PREAMBLE, Reply, Request, Table, Value, Welcome,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub const STORE: [u8; 16] = [7; 16];
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Host {
    listener: TcpListener,
    pub address: String,
}

impl Host {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { listener, address }
    }

    /// The next connection, as it comes.
    pub async fn accept_raw(&self) -> TcpStream {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("a connection should have come").unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The next connection, up to its Hello.
    pub async fn accept(&self) -> (Connection, Hello) {
        let mut stream = self.accept_raw().await;
        let mut preamble = [0; 8];
        stream.read_exact(&mut preamble).await.unwrap();
        assert_eq!(preamble, PREAMBLE);
        let mut connection = Connection {
            stream,
            reader: FrameReader::new(),
            one_by_one: false,
        };
        let hello = Hello::decode(&connection.expect(Kind::Hello).await).unwrap();
        connection.reader.welcomed();
        (connection, hello)
    }

    /// The next connection, welcomed.
    pub async fn welcome(&self) -> (Connection, Hello) {
        let (mut connection, hello) = self.accept().await;
        connection.send(welcome()).await;
        (connection, hello)
    }
}

pub fn welcome() -> Welcome {
    Welcome {
        version: 1,
        store: STORE,
        resumed: false,
        executed_through: 0,
        received_through: 0,
        limits: Limits::default().to_wire(),
        table: [1; 16],
        host: "scripted 1".to_owned(),
    }
}

pub struct Connection {
    stream: TcpStream,
    reader: FrameReader,
    /// Every byte travels alone.
    pub one_by_one: bool,
}

impl Connection {
    /// The next frame that is no ping; None at the end.
    pub async fn next(&mut self) -> Option<(Kind, Vec<u8>)> {
        loop {
            while let Some(raw) = self.reader.next_frame().unwrap() {
                let (kind, body) = (raw.kind, raw.body.to_vec());
                if kind == Kind::Ping {
                    let Frame::Ping(ping) = Frame::decode(kind, &body).unwrap() else {
                        unreachable!()
                    };
                    self.send(pixelboy_protocol::Pong { token: ping.token })
                        .await;
                    continue;
                }
                return Some((kind, body));
            }
            let mut buffer = vec![0; 65_536];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
            match read.expect("a frame should have come") {
                Ok(0) | Err(_) => return None,
                Ok(bytes) => self.reader.push(&buffer[..bytes]),
            }
        }
    }

    /// The body of the next frame, which must be of this kind.
    pub async fn expect(&mut self, kind: Kind) -> Vec<u8> {
        let (came, body) = self
            .next()
            .await
            .unwrap_or_else(|| panic!("{} should have come before the end", kind.name()));
        assert_eq!(came, kind, "{:?}", Frame::decode(came, &body));
        body
    }

    pub async fn request(&mut self) -> Request {
        Request::decode(&self.expect(Kind::Request).await).unwrap()
    }

    pub async fn send<'a>(&mut self, frame: impl Into<Frame<'a>>) {
        let mut bytes = Vec::new();
        frame.into().encode(&mut bytes).unwrap();
        self.send_bytes(&bytes).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        if self.one_by_one {
            for byte in bytes {
                self.stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        } else {
            // The client may have gone.
            let _ = self.stream.write_all(bytes).await;
        }
    }

    pub async fn done(&mut self, number: u64, values: Vec<Value>) {
        self.send(Reply {
            number,
            stored: None,
            recorded: false,
            outcome: Outcome::Done(values),
        })
        .await;
    }

    pub async fn stored(&mut self, number: u64, position: u64, values: Vec<Value>) {
        self.send(Reply {
            number,
            stored: Some(position),
            recorded: false,
            outcome: Outcome::Done(values),
        })
        .await;
    }

    pub async fn failed(&mut self, number: u64, code: Code, message: &str) {
        self.send(Reply {
            number,
            stored: None,
            recorded: false,
            outcome: Outcome::Failed(Failure::new(code, message)),
        })
        .await;
    }

    pub async fn close(mut self, code: Code, message: &str) {
        self.send(Close::new(code, message)).await;
        let _ = self.stream.shutdown().await;
    }

    /// The client says goodbye, and is let go.
    pub async fn goodbye(mut self) {
        loop {
            let (kind, body) = self.next().await.expect("a goodbye should have come");
            if kind == Kind::Confirm {
                continue;
            }
            assert_eq!(kind, Kind::Goodbye, "{:?}", Frame::decode(kind, &body));
            Goodbye::decode(&body).unwrap();
            return self.close(Code::Closed, "goodbye").await;
        }
    }

    /// Until the client has closed its end.
    pub async fn ended(mut self) {
        while self.next().await.is_some() {}
    }
}

/// A row of an opcode table.
pub fn row(op: &str, doc: &str, args: Vec<ArgEntry>) -> OpEntry {
    OpEntry {
        op: op.to_owned(),
        plugin: "scripted".to_owned(),
        doc: doc.to_owned(),
        args,
        returns: "a map".to_owned(),
    }
}

pub fn arg(name: &str, kind: ArgKind) -> ArgEntry {
    ArgEntry::new(name, kind, "")
}

/// The frames of a table.
pub fn table(rows: &[OpEntry]) -> Vec<Table> {
    Table::parts(rows.iter().map(OpEntry::to_value).collect()).unwrap()
}
