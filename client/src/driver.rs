//! The one task behind a client: it connects, reads, writes, keeps time, and connects again.
//! Invariant: at most one connection at a time; whatever waits ends by its deadline, connected or not.
//! Not here: what calls mean (`session`), the bytes of transfers (`upload`, `download`, which run in their callers).
//! A broken connection is made again with growing pauses; a refusal that cannot change ends the client with its reason.

mod frames;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pixelboy_protocol::{AfterClose, Close, Code, GetTable, Goodbye, Ping, Welcome};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::address::Address;
use crate::backoff::Backoff;
use crate::command::{Command, Handler};
use crate::dial::{NoLink, dial};
use crate::error::{Error, said};
use crate::event::Event;
use crate::link::{Alive, Link};
use crate::options::Options;
use crate::session::{Renewed, Session};
use crate::table::{Assembly, OpTable};
use crate::transfer::{Chunk, Epoch, Route, Told};

/// Commands taken before the socket gets its turn.
const COMMANDS_AT_ONCE: usize = 256;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(3);
/// A connection that lasted so long was of use.
const STEADY: Duration = Duration::from_secs(5);
/// Where the device has no room for another client.
const CROWDED: Duration = Duration::from_secs(2);
/// New ids in a row, after which something is wrong over there.
const RENEWALS: u32 = 3;

type Dialling = Pin<Box<dyn Future<Output = Result<(Link, Welcome), NoLink>> + Send>>;

/// The one task behind a client.
pub(crate) struct Driver {
    address: Address,
    name: String,
    connect_timeout: Duration,
    session: Session,
    commands: mpsc::UnboundedReceiver<Command>,
    /// To answer calls of the device; does not keep the client alive.
    answers: mpsc::WeakUnboundedSender<Command>,
    chunks: mpsc::Receiver<Chunk>,
    events: broadcast::Sender<Event>,
    link: Option<Link>,
    dialling: Option<Dialling>,
    dial_at: Instant,
    backoff: Backoff,
    epoch: Epoch,
    renewals: u32,
    /// Until the first connection: who waits for it.
    first: Option<oneshot::Sender<Result<String, Error>>>,
    routes: HashMap<u64, Route>,
    pings: HashMap<u64, oneshot::Sender<Result<(), Error>>>,
    next_ping: u64,
    table: Option<Arc<OpTable>>,
    table_digest: Option<[u8; 16]>,
    assembly: Assembly,
    table_wanted: Vec<oneshot::Sender<Result<Arc<OpTable>, Error>>>,
    bound: HashMap<String, Handler>,
    closing: Option<Closing>,
    has_handles: bool,
    over: Option<Error>,
}

/// The client is being closed.
struct Closing {
    closed: Vec<oneshot::Sender<()>>,
    /// Goodbye was said; the device has until then to answer.
    until: Option<Instant>,
}

enum Woken {
    Command(Option<Command>),
    Chunk(Chunk),
    Socket(std::io::Result<tokio::io::Ready>),
    Dialled(Result<(Link, Welcome), NoLink>),
    Time,
}

impl Driver {
    #[expect(clippy::too_many_arguments, reason = "one place makes it")]
    pub(crate) fn new(
        address: Address,
        options: &Options,
        session: Session,
        commands: mpsc::UnboundedReceiver<Command>,
        answers: mpsc::WeakUnboundedSender<Command>,
        chunks: mpsc::Receiver<Chunk>,
        events: broadcast::Sender<Event>,
        first: oneshot::Sender<Result<String, Error>>,
    ) -> Self {
        Self {
            address,
            name: options.name.clone(),
            connect_timeout: options.connect_timeout,
            session,
            commands,
            answers,
            chunks,
            events,
            link: None,
            dialling: None,
            dial_at: Instant::now(),
            backoff: Backoff::default(),
            epoch: 0,
            renewals: 0,
            first: Some(first),
            routes: HashMap::new(),
            pings: HashMap::new(),
            next_ping: 1,
            table: None,
            table_digest: None,
            assembly: Assembly::default(),
            table_wanted: Vec::new(),
            bound: HashMap::new(),
            closing: None,
            has_handles: true,
            over: None,
        }
    }

    pub(crate) async fn run(mut self) {
        while self.over.is_none() {
            let due = self.step();
            if self.over.is_some() {
                break;
            }
            match self.wait(due).await {
                Woken::Command(command) => self.on_commands(command),
                Woken::Chunk(chunk) => {
                    if chunk.epoch == self.epoch
                        && let Some(link) = &mut self.link
                    {
                        link.send_chunk(chunk.frame);
                    }
                }
                Woken::Socket(ready) => self.on_socket(ready),
                Woken::Dialled(dialled) => {
                    self.dialling = None;
                    self.on_dialled(dialled);
                }
                Woken::Time => {}
            }
        }
        // Whoever still asks hears why there is no answer, for as long as there are handles.
        self.link = None;
        if let Some(closing) = self.closing.take() {
            for closed in closing.closed {
                let _ = closed.send(());
            }
        }
        while let Some(command) = self.commands.recv().await {
            self.on_command(command);
        }
    }

    async fn wait(&mut self, due: Instant) -> Woken {
        let chunk_wanted = self.link.as_ref().is_some_and(Link::wants_chunk);
        let link = &self.link;
        let dialling = &mut self.dialling;
        tokio::select! {
            ready = async {
                match link {
                    Some(link) => link.ready().await,
                    None => std::future::pending().await,
                }
            } => Woken::Socket(ready),
            command = self.commands.recv(), if self.has_handles => Woken::Command(command),
            dialled = async {
                match dialling {
                    Some(dialling) => dialling.as_mut().await,
                    None => std::future::pending().await,
                }
            } => Woken::Dialled(dialled),
            Some(chunk) = self.chunks.recv(), if chunk_wanted => Woken::Chunk(chunk),
            () = tokio::time::sleep_until(due.into()) => Woken::Time,
        }
    }

    /// Does what is due; when to come again.
    fn step(&mut self) -> Instant {
        let now = Instant::now();
        let mut due = self.session.tick(now);
        if self.link.is_none() && self.dialling.is_none() {
            if now >= self.dial_at {
                let hello = self.session.hello(&self.name);
                self.dialling = Some(Box::pin(dial(
                    self.address.clone(),
                    hello,
                    self.connect_timeout,
                )));
            } else {
                due = due.min(self.dial_at);
            }
        }
        due = due.min(self.step_closing(now));
        if let Some(link) = &mut self.link {
            link.out().append(&mut self.session.out);
            let awaiting = self.session.is_awaiting()
                || !self.routes.is_empty()
                || !self.pings.is_empty()
                || !self.table_wanted.is_empty();
            let ping_ms = self.session.limits().ping_ms;
            match link.look_alive(now, ping_ms, awaiting) {
                Alive::LookAgain(at) => due = due.min(at),
                Alive::Ping(at) => {
                    due = due.min(at);
                    let _ = Ping { token: 0 }.encode(link.out());
                }
                Alive::Silent => {
                    let _ =
                        Close::new(Code::Silent, "nothing came for four pings").encode(link.out());
                    let _ = link.flush();
                    self.lost("the device fell silent");
                    return Instant::now();
                }
            }
            if let Err(error) = link.flush() {
                self.lost(&said(&error));
                return Instant::now();
            }
        }
        due
    }

    /// Ends the client once everything under way is through.
    fn step_closing(&mut self, now: Instant) -> Instant {
        let far = now + Duration::from_secs(3_600);
        let Some(closing) = &mut self.closing else {
            return far;
        };
        if let Some(until) = closing.until {
            if now >= until {
                self.end(Error::Closed);
            }
            return until;
        }
        if self.session.has_callers() {
            return far;
        }
        let Some(link) = &mut self.link else {
            self.end(Error::Closed);
            return now;
        };
        closing.until = Some(now + GOODBYE);
        self.session.confirm();
        link.out().append(&mut self.session.out);
        if self.session.identity().is_kept() {
            // The session ends, the record of the client stays for the next run.
            self.session.say_cc();
            link.out().append(&mut self.session.out);
        } else {
            let _ = Goodbye {}.encode(link.out());
        }
        now + GOODBYE
    }

    // ---- the connection ----

    fn on_dialled(&mut self, dialled: Result<(Link, Welcome), NoLink>) {
        let now = Instant::now();
        match dialled {
            Ok((link, welcome)) => match self.session.welcomed(&welcome, now) {
                Ok(Ok(())) => self.on_welcome(link, &welcome),
                Ok(Err(Renewed)) => self.renewed("it did not settle on a client id"),
                Err(error) => self.end(error),
            },
            Err(NoLink::Closed(close)) => self.on_close(close),
            Err(NoLink::Final(error)) => self.end(error),
            Err(NoLink::Unreachable(error)) => self.unreachable(error, Duration::ZERO),
        }
    }

    fn on_welcome(&mut self, link: Link, welcome: &Welcome) {
        self.link = Some(link);
        self.epoch += 1;
        self.renewals = 0;
        self.table_digest = Some(welcome.table);
        match self.first.take() {
            Some(first) => {
                let _ = first.send(Ok(welcome.host.clone()));
            }
            None => self.tell(Event::Reconnected {
                resumed: welcome.resumed,
            }),
        }
        if let Some(link) = &mut self.link {
            for op in self.bound.keys() {
                let bind = pixelboy_protocol::Bind {
                    op: op.clone(),
                    bound: true,
                };
                let _ = bind.encode(link.out());
            }
            link.out().append(&mut self.session.out);
            for token in self.pings.keys() {
                let _ = Ping { token: *token }.encode(link.out());
            }
            if !self.table_wanted.is_empty() {
                let _ = GetTable {}.encode(link.out());
            }
        }
        let (epoch, limits) = (self.epoch, *self.session.limits());
        self.routes
            .retain(|_, route| route.send(Told::Connected { epoch, limits }).is_ok());
        // Frames may have come with the greeting.
        self.take_frames();
    }

    fn on_socket(&mut self, ready: std::io::Result<tokio::io::Ready>) {
        let Some(link) = &mut self.link else { return };
        let read = ready.and_then(
            |ready| match ready.is_readable() || ready.is_read_closed() {
                true => link.read(Instant::now()),
                false => Ok(true),
            },
        );
        // What came before the end still counts.
        self.take_frames();
        match read {
            Ok(true) => {}
            Ok(false) => self.lost("the device closed the connection"),
            Err(error) => self.lost(&said(&error)),
        }
    }

    /// The connection broke.
    fn lost(&mut self, why: &str) {
        let Some(link) = self.link.take() else { return };
        if link.since.elapsed() >= STEADY {
            self.backoff.worked();
        }
        if self.session.ending
            || self
                .closing
                .as_ref()
                .is_some_and(|closing| closing.until.is_some())
        {
            return self.end(Error::Closed);
        }
        self.epoch += 1;
        self.dial_at = Instant::now() + self.backoff.next();
        self.session.lost(format!("the connection broke: {why}"));
        self.tell_routes_lost(why);
        self.assembly = Assembly::default();
        self.tell(Event::Disconnected {
            why: why.to_owned(),
        });
    }

    /// Breaks the connection because the device did what it must not.
    fn fail(&mut self, code: Code, what: &str) {
        if let Some(link) = &mut self.link {
            let _ = Close::new(code, what).encode(link.out());
            let _ = link.flush();
        }
        self.lost(&format!("the device sent what it must not: {what}"));
    }

    fn unreachable(&mut self, error: Error, least: Duration) {
        if self.first.is_some() {
            return self.end(error);
        }
        self.dial_at = Instant::now() + self.backoff.next().max(least);
        let why = match &error {
            Error::Unreachable { why, .. } => why.clone(),
            other => other.to_string(),
        };
        self.tell_routes_lost(&why);
        self.session.lost(why);
    }

    fn tell_routes_lost(&mut self, why: &str) {
        self.routes
            .retain(|_, route| route.send(Told::Lost(why.to_owned())).is_ok());
    }

    /// The device closed and said why.
    fn on_close(&mut self, close: Close) {
        let address = self.address.clone();
        match close.code.after_close() {
            AfterClose::Stop => self.end(Error::Closed),
            AfterClose::StopAndReport if close.code == Code::Fenced => {
                self.end(Error::Fenced { address })
            }
            AfterClose::StopAndReport => self.end(Error::Refused {
                address,
                code: close.code,
                message: close.message,
            }),
            AfterClose::NewId => {
                self.link = None;
                let renewed = self
                    .session
                    .renew("the device does not know this client any more");
                match renewed {
                    Ok(()) => self.renewed(&close.message),
                    Err(error) => self.end(error),
                }
            }
            AfterClose::ConnectLater | AfterClose::ConnectAgain if self.link.is_some() => {
                self.lost(&close.message);
            }
            again => {
                let least = match again {
                    AfterClose::ConnectLater => CROWDED,
                    _ => Duration::ZERO,
                };
                let why = close.message;
                self.unreachable(Error::Unreachable { address, why }, least);
            }
        }
    }

    /// Under its new id the client connects at once.
    fn renewed(&mut self, why: &str) {
        self.renewals += 1;
        if self.renewals > RENEWALS {
            return self.end(Error::Refused {
                address: self.address.clone(),
                code: Code::ClientForgotten,
                message: why.to_owned(),
            });
        }
        self.epoch += 1;
        self.tell_routes_lost(why);
        self.dial_at = Instant::now();
    }

    /// There will be no further connection.
    fn end(&mut self, error: Error) {
        if let Some(link) = &mut self.link {
            let _ = link.flush();
        }
        self.link = None;
        self.dialling = None;
        self.session.end(&error);
        if let Some(first) = self.first.take() {
            let _ = first.send(Err(error.clone()));
        }
        for (_, route) in self.routes.drain() {
            let _ = route.send(Told::Over(error.clone()));
        }
        for (_, ping) in self.pings.drain() {
            let _ = ping.send(Err(error.clone()));
        }
        for wanted in self.table_wanted.drain(..) {
            let _ = wanted.send(Err(error.clone()));
        }
        self.over = Some(error);
    }

    // ---- commands ----

    fn on_commands(&mut self, command: Option<Command>) {
        let Some(command) = command else {
            // No handle is left: nobody waits for the goodbye.
            self.has_handles = false;
            self.closing.get_or_insert(Closing {
                closed: Vec::new(),
                until: None,
            });
            return;
        };
        self.on_command(command);
        for _ in 0..COMMANDS_AT_ONCE {
            match self.commands.try_recv() {
                Ok(command) => self.on_command(command),
                Err(_) => return,
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Submit(job) => self.session.submit(job, now),
            Command::Cancel(ticket) => self.session.cancel(ticket),
            Command::Again {
                ticket,
                deadline,
                answer,
            } => self.session.again(ticket, deadline, answer),
            Command::Ping(pong) => match &self.over {
                Some(over) => drop(pong.send(Err(over.clone()))),
                None => {
                    let token = self.next_ping;
                    self.next_ping += 1;
                    self.pings.retain(|_, waiting| !waiting.is_closed());
                    self.pings.insert(token, pong);
                    if let Some(link) = &mut self.link {
                        let _ = Ping { token }.encode(link.out());
                    }
                }
            },
            Command::Table(wanted) => self.on_table_wanted(wanted),
            Command::Route { route, number } => {
                let found = match &self.over {
                    Some(over) => Err(over.clone()),
                    None => self.session.identity().transfer(),
                };
                if let Ok(transfer) = &found {
                    let (epoch, limits) = (self.epoch, *self.session.limits());
                    if self.link.is_some() {
                        let _ = route.send(Told::Connected { epoch, limits });
                    }
                    self.routes.insert(*transfer, route);
                }
                let _ = number.send(found);
            }
            Command::Frame { epoch, frame } => {
                if epoch == self.epoch
                    && let Some(link) = &mut self.link
                {
                    link.out().extend_from_slice(&frame);
                }
            }
            Command::EndTransfer { number, abort } => {
                self.routes.remove(&number);
                if abort && let Some(link) = &mut self.link {
                    let abort = pixelboy_protocol::Abort::new(
                        number,
                        Code::Cancelled,
                        "not wanted any more",
                    );
                    let _ = abort.encode(link.out());
                }
            }
            Command::Broken { epoch, code, what } => {
                if epoch == self.epoch {
                    self.fail(code, &what);
                }
            }
            Command::Bind { op, handler } => self.on_bind(op, handler),
            Command::Answered {
                epoch,
                number,
                outcome,
            } => {
                if epoch == self.epoch
                    && let Some(link) = &mut self.link
                {
                    frames::answer(number, outcome, link.out());
                }
            }
            Command::Close(closed) => {
                if self.over.is_some() {
                    let _ = closed.send(());
                    return;
                }
                let closing = self.closing.get_or_insert(Closing {
                    closed: Vec::new(),
                    until: None,
                });
                closing.closed.push(closed);
            }
        }
    }

    fn on_table_wanted(&mut self, wanted: oneshot::Sender<Result<Arc<OpTable>, Error>>) {
        if let Some(over) = &self.over {
            let _ = wanted.send(Err(over.clone()));
            return;
        }
        if let Some(table) = &self.table
            && Some(table.digest) == self.table_digest
        {
            let _ = wanted.send(Ok(table.clone()));
            return;
        }
        self.table_wanted.retain(|waiting| !waiting.is_closed());
        self.table_wanted.push(wanted);
        if self.table_wanted.len() == 1
            && let Some(link) = &mut self.link
        {
            let _ = GetTable {}.encode(link.out());
        }
    }

    fn on_bind(&mut self, op: String, handler: Option<Handler>) {
        let bind = pixelboy_protocol::Bind {
            op: op.clone(),
            bound: handler.is_some(),
        };
        if let Some(link) = &mut self.link {
            let _ = bind.encode(link.out());
        }
        match handler {
            Some(handler) => drop(self.bound.insert(op, handler)),
            None => drop(self.bound.remove(&op)),
        }
    }

    fn tell(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}
