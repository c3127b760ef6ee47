//! The handle that a program holds: calls, transfers, the opcode table, and what the device sends by itself.
//! Invariant: clones are one client; the last one that goes says goodbye.
//! Not here: anything that outlives a call (`driver`, `session`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pixelboy_protocol::{Blob, Call, Outcome, Value, decode_values, encode_call, limits, opcode};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

use crate::address::Address;
use crate::command::{Answer, Command};
use crate::download::Download;
use crate::driver::Driver;
use crate::error::{Error, Ticket};
use crate::event::Event;
use crate::identity::Identity;
use crate::options::Options;
use crate::pending::Pending;
use crate::reply::Reply;
use crate::session::{Job, Session};
use crate::source::Source;
use crate::state::Notice;
use crate::table::OpTable;
use crate::transfer::Chunk;
use crate::upload::{self, Upload};

/// Told how many bytes are through, and of how many.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// Room for calls under way, in KiB: 4 MiB, and as each takes at least 4, 1,024 calls.
const ROOM_KIB: usize = 4_096;
const LEAST_KIB: u32 = 4;
/// Chunks that wait for the socket.
const CHUNKS: usize = 4;
const UPLOADS_AT_ONCE: usize = 4;
const DOWNLOADS_AT_ONCE: usize = 8;
/// Events that wait for a slow listener.
const EVENTS: usize = 1_024;
/// Of text and lists that came as a transfer: they are fetched whole.
const LARGEST_VALUE_BYTES: u64 = 64 << 20;

/// A client of one device. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    address: Address,
    host: String,
    options: Options,
    commands: mpsc::UnboundedSender<Command>,
    chunks: mpsc::Sender<Chunk>,
    events: broadcast::Sender<Event>,
    room: Arc<Semaphore>,
    uploads: Semaphore,
    downloads: Semaphore,
    tickets: AtomicU64,
    notice: Notice,
    /// Calls of an earlier run, until somebody asks for them.
    carried_over: Mutex<Vec<(Ticket, String, oneshot::Receiver<Answer>)>>,
}

impl Client {
    /// Connects to `HOST` or `HOST:PORT`. Later breaks are mended without being asked.
    ///
    /// # Errors
    /// When the address is none, nothing answers there, the device refuses, or the state file cannot be used.
    pub async fn connect(address: &str, options: Options) -> Result<Self, Error> {
        let address: Address = address.parse()?;
        let (identity, unanswered, notice) = match options.state.clone() {
            None => (Identity::fresh()?, BTreeMap::new(), None),
            Some(path) => tokio::task::spawn_blocking(move || Identity::kept(&path))
                .await
                .map_err(|_| Error::Closed)??,
        };
        let mut session = Session::new(identity, Instant::now());
        let mut carried_over = Vec::new();
        for (ticket, (number, call)) in (1..).map(Ticket).zip(unanswered) {
            let (answer, answered) = oneshot::channel();
            carried_over.push((ticket, call.op.clone(), answered));
            session.take_over(number, Job::kept(ticket, call, options.deadline, answer));
        }
        let tickets = 1 + carried_over.len() as u64;
        let (commands, asked) = mpsc::unbounded_channel();
        let (chunks, chunks_out) = mpsc::channel(CHUNKS);
        let (events, _) = broadcast::channel(EVENTS);
        let (first, connected) = oneshot::channel();
        let driver = Driver::new(
            address.clone(),
            &options,
            session,
            asked,
            commands.downgrade(),
            chunks_out,
            events.clone(),
            first,
        );
        tokio::spawn(driver.run());
        let host = connected.await.map_err(|_| Error::Closed)??;
        Ok(Self {
            shared: Arc::new(Shared {
                address,
                host,
                options,
                commands,
                chunks,
                events,
                room: Arc::new(Semaphore::new(ROOM_KIB)),
                uploads: Semaphore::new(UPLOADS_AT_ONCE),
                downloads: Semaphore::new(DOWNLOADS_AT_ONCE),
                tickets: AtomicU64::new(tickets),
                notice,
                carried_over: Mutex::new(carried_over),
            }),
        })
    }

    /// With a state file: calls of an earlier run that got no answer. They were sent again as far as their time allows, and go on in
    /// this run; what becomes of them is told once, to whoever asks here first.
    #[must_use]
    pub fn carried_over(&self) -> Vec<Pending> {
        let mut kept = self
            .shared
            .carried_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        kept.drain(..)
            .map(|(ticket, op, answer)| Pending {
                client: self.clone(),
                ticket,
                op,
                answer,
            })
            .collect()
    }

    /// A sentence for a person, where the state file was damaged and this client is a new one.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.shared.notice.as_deref()
    }

    /// Where the device is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Name and version of the host that greeted first.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.shared.host
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn commands(&self) -> &mpsc::UnboundedSender<Command> {
        &self.shared.commands
    }

    pub(crate) fn chunks(&self) -> &mpsc::Sender<Chunk> {
        &self.shared.chunks
    }

    pub(crate) fn protocol_error(&self, what: String) -> Error {
        Error::Protocol {
            address: self.shared.address.clone(),
            what,
        }
    }

    // ---- calls ----

    /// Calls an opcode and waits for its reply, at most for `deadline` ([`Options::deadline`] where there is none).
    ///
    /// # Errors
    /// [`Error::Failed`] where the device said no; [`Error::OutcomeUnknown`] where it may have happened; of all others nothing
    /// happened.
    pub async fn call(
        &self,
        op: &str,
        args: impl IntoIterator<Item = Value>,
        kwargs: impl IntoIterator<Item = (String, Value)>,
        deadline: Option<Duration>,
    ) -> Result<Reply, Error> {
        self.submit(op, args, kwargs, deadline).await?.reply().await
    }

    /// Sends a call without waiting for its reply. Calls take effect in the order in which they were submitted. Waits for room
    /// where very many are under way.
    ///
    /// # Errors
    /// When the arguments cannot be sent, or there is no room within the deadline.
    pub async fn submit(
        &self,
        op: &str,
        args: impl IntoIterator<Item = Value>,
        kwargs: impl IntoIterator<Item = (String, Value)>,
        deadline: Option<Duration>,
    ) -> Result<Pending, Error> {
        let not_sendable = |why: String| Error::NotSendable {
            op: op.to_owned(),
            why,
        };
        if !opcode::valid(op) {
            return Err(not_sendable(
                "an opcode is 1 to 32 of a-z, 0-9, _ and -".to_owned(),
            ));
        }
        let args: Vec<Value> = args.into_iter().collect();
        let kwargs: Vec<(String, Value)> = kwargs.into_iter().collect();
        let mut call = Vec::new();
        encode_call(op, &args, &kwargs, &mut call)
            .map_err(|error| not_sendable(error.to_string()))?;
        if call.len() + 48 > limits::FRAME_BYTES {
            return Err(not_sendable(format!(
                "the arguments take {} bytes, at most {} travel in a call; upload what is large",
                call.len(),
                limits::FRAME_BYTES
            )));
        }
        let patience = deadline.unwrap_or(self.shared.options.deadline);
        let deadline = Instant::now() + patience;
        let kib = u32::try_from(call.len() / 1_024 + 1)
            .unwrap_or(LEAST_KIB)
            .max(LEAST_KIB);
        let room = self.shared.room.clone().acquire_many_owned(kib);
        let room = tokio::time::timeout_at(deadline.into(), room)
            .await
            .map_err(|_| Error::TimedOut {
                what: format!("{op} was not sent"),
                after: patience,
                why: " (too many calls before it did not end); nothing happened".to_owned(),
            })?
            .map_err(|_| Error::Closed)?;
        let ticket = Ticket(self.shared.tickets.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let job = Job::new(
            ticket,
            op.to_owned(),
            call,
            deadline,
            patience,
            answer,
            room,
        );
        self.send(Command::Submit(job))?;
        Ok(Pending {
            client: self.clone(),
            ticket,
            op: op.to_owned(),
            answer: answered,
        })
    }

    /// Waits on for a call whose outcome was unknown; it keeps its number, so it never runs twice.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn again(&self, ticket: Ticket, deadline: Option<Duration>) -> Result<Reply, Error> {
        let patience = deadline.unwrap_or(self.shared.options.deadline);
        let (answer, answered) = oneshot::channel();
        self.send(Command::Again {
            ticket,
            deadline: Instant::now() + patience,
            answer,
        })?;
        let pending = Pending {
            client: self.clone(),
            ticket,
            op: String::new(),
            answer: answered,
        };
        pending.reply().await
    }

    // ---- transfers ----

    /// Uploads bytes, to be named in one call. `progress` hears how far it is.
    ///
    /// # Errors
    /// When the source cannot be read, the device has no room, or nothing moves for as long as [`Options::deadline`].
    pub async fn upload(&self, source: &Source, progress: Progress<'_>) -> Result<Upload, Error> {
        let _turn = self
            .shared
            .uploads
            .acquire()
            .await
            .map_err(|_| Error::Closed)?;
        upload::upload(self, source, progress).await
    }

    /// As an argument: few bytes go along with the call, many are uploaded first.
    ///
    /// # Errors
    /// As [`Client::upload`].
    pub async fn data(&self, source: &Source, progress: Progress<'_>) -> Result<Value, Error> {
        if source.len() > limits::INLINE_BYTES as u64 {
            return self.upload(source, progress).await.map(Value::from);
        }
        let small = source.clone();
        let bytes = upload::blocking(source, move || small.head(limits::INLINE_BYTES)).await?;
        Ok(Value::Bytes(bytes))
    }

    /// Fetches what a reply names; nothing moves before it is read.
    #[must_use]
    pub fn download(&self, blob: Blob) -> Download<'_> {
        Download::new(self, blob)
    }

    /// Puts text and lists that were too large for the reply in their place.
    pub(crate) async fn fetch_large(&self, values: &mut Vec<Value>) -> Result<(), Error> {
        if let [Value::Blob(blob)] = values.as_slice()
            && blob.form == Blob::VALUES
        {
            let bytes = self.fetch_whole(*blob).await?;
            *values = decode_values(&bytes).map_err(|error| {
                self.protocol_error(format!("values that do not decode: {error}"))
            })?;
        }
        let mut texts = Vec::new();
        values
            .iter_mut()
            .for_each(|value| find_texts(value, &mut texts));
        for value in texts {
            if let Value::Blob(blob) = *value {
                let bytes = self.fetch_whole(blob).await?;
                *value = Value::Text(
                    String::from_utf8(bytes)
                        .map_err(|_| self.protocol_error("text that is no UTF-8".to_owned()))?,
                );
            }
        }
        Ok(())
    }

    async fn fetch_whole(&self, blob: Blob) -> Result<Vec<u8>, Error> {
        if blob.length > LARGEST_VALUE_BYTES {
            return Err(self.protocol_error(format!(
                "{} bytes of text or values in a reply",
                blob.length
            )));
        }
        let _turn = self
            .shared
            .downloads
            .acquire()
            .await
            .map_err(|_| Error::Closed)?;
        self.download(blob).bytes().await
    }

    // ---- the device ----

    /// The opcode table; fetched when it has changed.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn table(&self) -> Result<Arc<OpTable>, Error> {
        let (wanted, table) = oneshot::channel();
        self.send(Command::Table(wanted))?;
        self.within(table, self.shared.options.deadline, "the opcode table")
            .await
    }

    /// How long it takes to the device and back.
    ///
    /// # Errors
    /// When no answer comes in time.
    pub async fn ping(&self, within: Duration) -> Result<Duration, Error> {
        let began = Instant::now();
        let (pong, answered) = oneshot::channel();
        self.send(Command::Ping(pong))?;
        self.within(answered, within, "an answer to a ping").await?;
        Ok(began.elapsed())
    }

    async fn within<T>(
        &self,
        answer: oneshot::Receiver<Result<T, Error>>,
        within: Duration,
        what: &str,
    ) -> Result<T, Error> {
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(Error::TimedOut {
                what: format!("{what} did not come"),
                after: within,
                why: String::new(),
            }),
        }
    }

    // ---- from the device to here ----

    /// What happens without being asked for, from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// `hears(op, args)` is called for everything that plugins push to this client, on a task of its own.
    pub fn on_push(&self, mut hears: impl FnMut(&str, &[Value]) + Send + 'static) {
        let mut events = self.events();
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(Event::Push { op, args }) => hears(&op, &args),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }

    /// Offers an opcode to the device's plugins; `handler` answers its calls, several at a time.
    ///
    /// # Errors
    /// When the name is none, or the client was closed.
    pub fn bind<F, R>(&self, op: &str, handler: F) -> Result<(), Error>
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        if !opcode::valid(op) {
            return Err(Error::NotSendable {
                op: op.to_owned(),
                why: "an opcode is 1 to 32 of a-z, 0-9, _ and -".to_owned(),
            });
        }
        self.send(Command::Bind {
            op: op.to_owned(),
            handler: Some(Arc::new(move |call| Box::pin(handler(call)))),
        })
    }

    /// Takes an offer back.
    ///
    /// # Errors
    /// When the client was closed.
    pub fn unbind(&self, op: &str) -> Result<(), Error> {
        self.send(Command::Bind {
            op: op.to_owned(),
            handler: None,
        })
    }

    /// Waits for calls under way, then says goodbye. All clones are closed by it.
    pub async fn close(self) {
        let (closed, done) = oneshot::channel();
        if self.send(Command::Close(closed)).is_ok() {
            // It ends by the deadlines of the calls.
            let _ = done.await;
        }
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.shared
            .commands
            .send(command)
            .map_err(|_| Error::Closed)
    }
}

fn find_texts<'v>(value: &'v mut Value, found: &mut Vec<&'v mut Value>) {
    match value {
        Value::Blob(blob) if blob.form == Blob::TEXT => found.push(value),
        Value::List(list) => list.iter_mut().for_each(|inner| find_texts(inner, found)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, inner)| find_texts(inner, found)),
        _ => {}
    }
}
