//! The one task behind a client: it connects, reads, writes, keeps time, and connects again.
//! Invariant: at most one connection at a time; whatever waits ends by its deadline, connected or not.
//! Not here: what calls mean (`session`), the bytes of transfers (`upload`, `download`, which run in their callers).
//! Invariant: nothing that the state file must know of first leaves before it does; it is written on a thread for it.
//! A broken connection is made again with growing pauses; a refusal that cannot change ends the client with its reason.

mod commands;
mod connection;
mod frames;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pixelboy_protocol::{Close, Code, Goodbye, Ping, Welcome};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::address::Address;
use crate::backoff::Backoff;
use crate::command::{Command, Handler};
use crate::dial::{NoLink, dial};
use crate::error::{Error, said};
use crate::event::Event;
use crate::identity::Save;
use crate::link::{Alive, Link};
use crate::options::Options;
use crate::session::Session;
use crate::table::{Assembly, OpTable};
use crate::transfer::{Chunk, Epoch, Route};

/// How long a connection may take to be made again: a device that starts has much to do.
const CONNECT_AGAIN: Duration = Duration::from_secs(10);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(3);

type Saving = tokio::task::JoinHandle<(Save, Result<(), Error>)>;
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
    /// None: it was taken back.
    bound: HashMap<String, Option<Handler>>,
    /// The state file is being written.
    saving: Option<Saving>,
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
    Saved(Result<(Save, Result<(), Error>), tokio::task::JoinError>),
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
            saving: None,
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
                Woken::Saved(saved) => self.on_saved(saved),
                Woken::Time => {}
            }
        }
        self.link = None;
        self.finish_state().await;
        if let (Some(first), Some(over)) = (self.first.take(), &self.over) {
            let _ = first.send(Err(over.clone()));
        }
        // Whoever still asks hears why there is no answer, for as long as there are handles.
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
        let saving = &mut self.saving;
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
            saved = async {
                match saving {
                    Some(saving) => saving.await,
                    None => std::future::pending().await,
                }
            } => {
                self.saving = None;
                Woken::Saved(saved)
            }
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
                let within = match self.first {
                    Some(_) => self.connect_timeout,
                    None => self.connect_timeout.max(CONNECT_AGAIN),
                };
                self.dialling = Some(Box::pin(dial(self.address.clone(), hello, within)));
            } else {
                due = due.min(self.dial_at);
            }
        }
        due = due.min(self.step_closing(now));
        if self.saving.is_none() {
            self.saving = self.save();
        }
        if let Some(link) = &mut self.link {
            link.out().append(self.session.ready_frames());
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
        if self.session.identity().is_kept() {
            // The session ends, the record of the client stays for the next run.
            self.session.say_cc();
        } else {
            link.out().append(self.session.ready_frames());
            let _ = Goodbye {}.encode(link.out());
        }
        now + GOODBYE
    }

    /// Begins to write what the state file must know of before more is sent.
    fn save(&mut self) -> Option<Saving> {
        let save = self.session.begin_save()?;
        Some(tokio::task::spawn_blocking(move || save.run()))
    }

    fn on_saved(&mut self, saved: Result<(Save, Result<(), Error>), tokio::task::JoinError>) {
        match saved {
            Ok((save, Ok(()))) => self.session.end_save(save),
            Ok((_, Err(error))) => self.end(error),
            Err(_) => self.end(Error::Closed),
        }
    }

    /// The last notes, then another program may have the file.
    async fn finish_state(&mut self) {
        for saving in [self.saving.take(), None] {
            let Some(saving) = saving.or_else(|| self.save()) else {
                break;
            };
            if let Ok((save, Ok(()))) = saving.await {
                self.session.end_save(save);
            }
        }
        self.session.identity().release();
    }

    fn tell(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }
}
