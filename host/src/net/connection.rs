//! One connection, from its first byte to its last.
//! Invariant: at most one frame and one read are buffered; reading goes on while writing can't.
//! Not here: the meaning of a request (`dispatch`), the bytes of transfers (`upload`, `download`).

mod attendant;
mod reading;

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use pixelboy_protocol::{
    Code, Frame, Hello, Kind, Limits, Pong, Request, Sender, Split, Splitter, Welcome, WireError,
    limits,
};
use pixelboy_store::ClientId;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use self::attendant::{attend, drain};
use self::reading::{Introduction, Reading};
use super::Door;
use super::download::Downloads;
use super::stranger;
use super::upload::Uploads;
use super::wire::TcpWire;
use crate::dispatch::UPLOAD_PLACES;
use crate::dispatch::operation::{Operation, Packed};
use crate::dispatch::outbox::Outbox;
use crate::dispatch::presence::{Attach, Message};
use crate::dispatch::registry::Refused;
use crate::dispatch::run;
use crate::dispatch::session::Activity;

/// How long a client may take to take the last bytes and to close.
const LAST_BYTES_LIMIT: Duration = Duration::from_secs(2);

/// How long a new connection waits for the uploads of the one before it.
const REST_LIMIT: Duration = Duration::from_secs(1);

/// Why a connection ends: what to tell the client, if anything.
type End = Option<(Code, String)>;

/// Whether there is a place for a connection.
pub(super) enum Place {
    Free,
    /// All of so many: whoever says Hello is told so.
    AllTaken(usize),
}

/// Serves a client until it or the host is done.
pub(super) async fn serve(socket: TcpStream, peer: SocketAddr, door: Door, place: Place) {
    // Without it small replies wait for acknowledgements.
    let _ = socket.set_nodelay(true);
    let (reader, writer) = socket.into_split();
    let writer = Arc::new(writer);
    let outbox = Arc::new(Outbox::new(Box::new(TcpWire(writer.clone()))));
    let mut reading = Reading {
        socket: reader,
        buffer: BytesMut::new(),
        splitter: Splitter::new(),
    };

    let hello =
        tokio::time::timeout(Duration::from_millis(limits::HELLO_MS), reading.hello()).await;
    let hello = match hello {
        Ok(Ok(hello)) => hello,
        Ok(Err(Introduction::Stranger(opening))) => {
            tracing::debug!(%peer, ?opening, "a stranger knocked");
            if let Some(answer) = stranger::answer(opening) {
                let _ = writer.try_write(&answer);
            }
            return;
        }
        Ok(Err(Introduction::Gone)) | Err(_) => return,
        Ok(Err(Introduction::Wrong(code, message))) => {
            tracing::info!(%peer, code = code.name(), %message, "a client was not let in");
            outbox.close(code, &message);
            return drain(&outbox, &writer).await;
        }
    };
    let mut attendant = None;
    let joined = match place {
        Place::Free => join(&hello, &door, &mut reading, &outbox).await,
        Place::AllTaken(all) => Err(Some((
            Code::TooManyClients,
            format!("all {all} connections of this device are taken; connect again later"),
        ))),
    };
    let end = match joined {
        Ok(connection) => {
            tracing::debug!(%peer, client = %hello.name, connection = connection.number, "connected");
            reading.splitter.welcomed();
            let inbox = connection.inbox.clone();
            let number = connection.number;
            let heard = Activity::starting(Instant::now());
            let changes = connection.dispatch.board.changes();
            let attending = attend(outbox.clone(), writer.clone(), changes, heard.clone());
            let attending = attendant.insert(tokio::spawn(attending));
            let end = connection.run(&mut reading, &heard, attending).await;
            let _ = inbox.send(Message::Detach(number));
            end
        }
        Err(end) => end,
    };
    if let Some((code, message)) = end {
        tracing::info!(%peer, client = %hello.name, code = code.name(), %message, "connection closed");
        outbox.close(code, &message);
    } else {
        outbox.end();
    }
    let last_words = async {
        drain(&outbox, &writer).await;
        // A socket that is closed with unread bytes takes back what was just sent: the client ends first.
        let _ = rustix::net::shutdown(writer.as_ref().as_ref(), rustix::net::Shutdown::Write);
        while reading.more().await {
            reading.buffer.clear();
        }
    };
    let _ = tokio::time::timeout(LAST_BYTES_LIMIT, last_words).await;
    if let Some(attendant) = attendant {
        attendant.abort();
    }
}

/// Lets the client in and sends Welcome.
async fn join(
    hello: &Hello,
    door: &Door,
    reading: &mut Reading,
    outbox: &Arc<Outbox>,
) -> Result<Connection, End> {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let version = pixelboy_protocol::frame::VERSION;
    if !(hello.min_version..=hello.max_version).contains(&version) {
        return Err(Some((
            Code::Version,
            format!(
                "this host speaks protocol version {version}, you speak {} to {}; update the older one",
                hello.min_version, hello.max_version
            ),
        )));
    }
    reading.nothing_more()?;
    let dispatch = door.registry.dispatch().clone();
    let store = dispatch.services.store.id().0;
    let client = ClientId(hello.client.0);
    let has_past = hello.last_store.is_some() || hello.lowest_unconfirmed > 1;
    let same_store = hello.last_store == Some(store);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    // A presence may end between being asked and answering: then there is a new one.
    for _ in 0..3 {
        let (taken, attached) = oneshot::channel();
        let attach = Attach {
            connection: number,
            name: hello.name.as_str().into(),
            lowest_unconfirmed: hello.lowest_unconfirmed,
            outbox: outbox.clone(),
            taken,
        };
        let inbox = door
            .registry
            .attach(client, has_past, same_store, attach)
            .map_err(|error| {
                let code = match &error {
                    Refused::Forgotten => Code::ClientForgotten,
                    Refused::TooMany(_) => Code::TooManyClients,
                    Refused::Stopping => Code::ShuttingDown,
                    Refused::Store(_) => Code::StorageFailed,
                };
                Some((code, error.to_string()))
            })?;
        let Ok(attached) = attached.await else {
            continue;
        };
        // What moved on a connection that broke comes to rest first, so that it can go on here.
        let resting = attached.upload_places.acquire_many(UPLOAD_PLACES);
        let _ = tokio::time::timeout(REST_LIMIT, resting).await;
        if let Err(end) = reading.nothing_more() {
            let _ = inbox.send(Message::Detach(number));
            return Err(end);
        }
        let limits = Limits {
            receive_timeout_ms: attached.receive_timeout.as_millis() as u64,
            session_grace_ms: dispatch.settings.grace.as_millis() as u64,
            ..Limits::default()
        };
        let welcome = Welcome {
            version,
            store,
            resumed: attached.resumed,
            executed_through: attached.executed_through,
            received_through: attached.received_through,
            limits: limits.to_wire(),
            table: dispatch.board.now().digest,
            host: concat!("pixelboyd ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        outbox.welcome(welcome);
        let connection = Connection {
            number,
            inbox,
            uploads: Uploads::new(
                client,
                dispatch.services.store.clone(),
                outbox.clone(),
                attached.activity.clone(),
                door.uploads.clone(),
                attached.upload_places.clone(),
            ),
            downloads: Downloads::new(
                attached.blobs.clone(),
                outbox.clone(),
                attached.activity.clone(),
            ),
            outbox: outbox.clone(),
            dispatch,
        };
        return Ok(connection);
    }
    Err(Some((Code::ShuttingDown, Refused::Stopping.to_string())))
}

/// A client that was let in.
struct Connection {
    number: u64,
    inbox: mpsc::UnboundedSender<Message>,
    uploads: Uploads,
    downloads: Downloads,
    outbox: Arc<Outbox>,
    dispatch: Arc<crate::dispatch::Dispatch>,
}

impl Connection {
    async fn run(
        mut self,
        reading: &mut Reading,
        heard: &Activity,
        attending: &mut JoinHandle<End>,
    ) -> End {
        loop {
            if let ControlFlow::Break(end) = self.take_frames(reading) {
                return end;
            }
            // Fenced, or done: a peer that never stops sending is not served on.
            if self.outbox.is_over() {
                return None;
            }
            tokio::select! {
                biased;
                more = reading.more() => {
                    if !more {
                        return None;
                    }
                    heard.note(Instant::now());
                }
                // The presence said the last word, the wire is gone, or nothing was heard for long.
                end = &mut *attending => return end.unwrap_or(None),
            }
        }
    }

    /// Handles every complete frame in the buffer.
    fn take_frames(&mut self, reading: &mut Reading) -> ControlFlow<End> {
        loop {
            let (end, flow) = match reading.splitter.split(&reading.buffer) {
                Ok(Split::NeedMore { .. }) => return ControlFlow::Continue(()),
                Ok(Split::Skip { end, .. }) => (end, ControlFlow::Continue(())),
                Ok(Split::Frame { kind, body }) => {
                    let end = body.end;
                    (
                        end,
                        self.on_frame(kind, reading.buffer.get(body).unwrap_or_default()),
                    )
                }
                Err(error) => return broken(&error),
            };
            reading.buffer.advance(end);
            flow?;
        }
    }

    fn on_frame(&mut self, kind: Kind, body: &[u8]) -> ControlFlow<End> {
        if kind.sender() == Sender::Host {
            let message = format!("only hosts send {}", kind.name());
            return ControlFlow::Break(Some((Code::UnknownKind, message)));
        }
        if kind == Kind::Request {
            return match Request::decode_with_digest(body) {
                Ok((request, digest)) => self.on_request(request, digest, body),
                Err(error) => broken(&error),
            };
        }
        match Frame::decode(kind, body) {
            Ok(frame) => self.on_other(frame),
            Err(error) => broken(&error),
        }
    }

    fn on_request(&mut self, request: Request, digest: [u8; 16], body: &[u8]) -> ControlFlow<End> {
        let mut operation = Operation {
            number: request.number,
            digest,
            deadline: request
                .deadline_ms
                .and_then(|ms| run::deadline(Instant::now(), Some(ms))),
            op: request.op,
            args: request.args,
            kwargs: request.kwargs,
            packed: None,
            bytes: body.len(),
        };
        if operation.is_bulky() {
            (operation.args, operation.kwargs) = Default::default();
            operation.packed = Some(Packed {
                bytes: body.into(),
                unpack: |body| {
                    let request = Request::decode(body).ok()?;
                    Some((request.args, request.kwargs))
                },
            });
        }
        self.tell(Message::Operation(
            self.number,
            operation,
            request.confirmed,
        ))
    }

    fn on_other(&mut self, frame: Frame<'_>) -> ControlFlow<End> {
        match frame {
            Frame::Confirm(confirm) => {
                self.tell(Message::Confirm(self.number, confirm.through, confirm.also))
            }
            Frame::Cancel(cancel) => self.tell(Message::Cancel(self.number, cancel.number)),
            Frame::Bind(bind) => self.tell(Message::Bind(self.number, bind)),
            Frame::CallReply(reply) => self.tell(Message::CallReply(self.number, reply)),
            Frame::CallCredit(credit) => {
                self.tell(Message::CallCredit(self.number, credit.through))
            }
            Frame::Goodbye(_) => self.tell(Message::Goodbye(self.number)),
            Frame::Ping(ping) => {
                self.outbox.send(Pong { token: ping.token });
                ControlFlow::Continue(())
            }
            Frame::GetTable(_) => {
                let table = self.dispatch.board.now();
                for part in table.parts() {
                    self.outbox.queue_with(|out| part.encode(out));
                }
                self.outbox.flush();
                ControlFlow::Continue(())
            }
            Frame::OpenUpload(open) => self.refused(|own| own.uploads.open(open)),
            Frame::Data(data) => self.refused(|own| own.uploads.data(&data)),
            Frame::Finish(finish) => {
                self.uploads.finish(finish);
                ControlFlow::Continue(())
            }
            Frame::Abort(abort) => {
                self.uploads.abort(abort.transfer);
                self.downloads.abort(abort.transfer);
                ControlFlow::Continue(())
            }
            Frame::OpenDownload(open) => self.refused(|own| own.downloads.open(open)),
            Frame::Credit(credit) => {
                self.downloads.credit(credit);
                ControlFlow::Continue(())
            }
            Frame::Close(_) => ControlFlow::Break(None),
            Frame::Hello(_) => {
                ControlFlow::Break(Some((Code::HelloExpected, "Hello was said already".into())))
            }
            // A pong was heard by arriving.
            _ => ControlFlow::Continue(()),
        }
    }

    fn refused(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<(), (Code, String)>,
    ) -> ControlFlow<End> {
        match act(self) {
            Ok(()) => ControlFlow::Continue(()),
            Err(end) => ControlFlow::Break(Some(end)),
        }
    }

    fn tell(&self, message: Message) -> ControlFlow<End> {
        match self.inbox.send(message) {
            Ok(()) => ControlFlow::Continue(()),
            // The presence said the last word itself.
            Err(_) => ControlFlow::Break(None),
        }
    }
}

fn broken(error: &WireError) -> ControlFlow<End> {
    ControlFlow::Break(Some((error.code(), error.to_string())))
}
