//! One client id at this host: its operations one after the other, its replies until they are confirmed, its session.
//! Invariant: operations take effect in the order of their numbers; none is run twice while this lives.
//! Not here: frames and sockets (`net`), other clients (`registry`).
//! A broken connection changes nothing but where replies go; without one the session ends after its grace.

mod later;
mod message;
mod perform;
mod receive;
mod refusal;
mod sitting;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pixelboy_protocol::{Code, Failure};
use pixelboy_store::{ClientId, Position};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub(crate) use self::message::{Attach, Attached, Message};
use super::blobs::Blobs;
use super::later::Answered;
use super::numbers::Numbers;
use super::operation::{EncodedOutcome, Operation};
use super::outbox::Outbox;
use super::record::Record;
use super::registry::Stays;
use super::run::{self, Ran};
use super::session::Session;
use super::{Dispatch, UPLOAD_PLACES};

/// The connection that the session has now.
struct Link {
    connection: u64,
    outbox: Arc<Outbox>,
    /// The highest number requested on it.
    last_number: u64,
    /// Numbers requested on it that have no reply yet.
    asked: Numbers<()>,
}

/// An operation that has run and waits until it may be told.
struct Settling {
    number: u64,
    wrote: Option<Position>,
    outcome: EncodedOutcome,
    /// The answer comes from the record on disk.
    recorded: bool,
    until: Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>,
}

/// The task of one client id.
pub(crate) struct Presence {
    dispatch: Arc<Dispatch>,
    client: ClientId,
    name: Arc<str>,
    inbox: mpsc::UnboundedReceiver<Message>,
    record: Record,
    /// It used its id before this began to know it.
    has_past: bool,
    queue: VecDeque<Operation>,
    queue_bytes: usize,
    /// The number of the operation that runs; `serve` holds the run itself.
    running: Option<u64>,
    /// Wait for the disk, in commit order.
    to_be_durable: VecDeque<Settling>,
    /// Wait for a device to begin, which may take longer.
    to_begin: VecDeque<Settling>,
    /// Answered later, by number, and where their answers come in.
    later: BTreeMap<u64, later::Pending>,
    answers: (
        mpsc::UnboundedSender<Answered>,
        mpsc::UnboundedReceiver<Answered>,
    ),
    /// `cc`, answered after everything before it: its number, and the connection that asked.
    closing: Option<(u64, u64)>,
    /// The store was told what this connection confirmed at first: it may be of an earlier run of the host.
    was_told: bool,
    link: Option<Link>,
    session: Option<Session>,
    blobs: Arc<Blobs>,
    upload_places: Arc<Semaphore>,
    /// When a session without a connection ends.
    grace: Option<Instant>,
    /// When the idle clock is to be looked at.
    alarm: Pin<Box<tokio::time::Sleep>>,
    alarm_set: bool,
    leaving: bool,
    stopping: Vec<oneshot::Sender<()>>,
    /// There is a session, or something of one is under way; counted in what keeps this in the registry.
    present: bool,
    stays: Arc<Stays>,
}

/// What is known of a request that was received long ago.
enum Past {
    /// It ran and wrote.
    Recorded { reply: Vec<u8>, stored: Position },
    /// It can't be answered; nothing of this is remembered, the next one may be the right one.
    Refused(Failure),
}

/// What woke the task.
enum Event {
    Message(Option<Message>),
    Ran(Ran),
    Durable(Result<(), Failure>),
    Begun(Result<(), Failure>),
    Answered(Answered),
    Alarm,
}

impl Presence {
    /// A client that the store knows through `executed_through`, 0 for a new one. `has_past`: it used its id before.
    pub(crate) fn new(
        dispatch: Arc<Dispatch>,
        client: ClientId,
        executed_through: u64,
        has_past: bool,
        inbox: mpsc::UnboundedReceiver<Message>,
        stays: Arc<Stays>,
    ) -> Self {
        Self {
            dispatch,
            client,
            name: "".into(),
            inbox,
            record: Record::known(executed_through),
            has_past,
            queue: VecDeque::new(),
            queue_bytes: 0,
            running: None,
            to_be_durable: VecDeque::new(),
            to_begin: VecDeque::new(),
            later: BTreeMap::new(),
            answers: mpsc::unbounded_channel(),
            closing: None,
            was_told: false,
            link: None,
            session: None,
            blobs: Arc::default(),
            upload_places: Arc::new(Semaphore::new(UPLOAD_PLACES as usize)),
            grace: None,
            alarm: Box::pin(tokio::time::sleep(Duration::ZERO)),
            alarm_set: false,
            leaving: false,
            stopping: Vec::new(),
            present: false,
            stays,
        }
    }

    /// Serves the client until it says Goodbye, is dropped from the registry, or the host stops.
    pub(crate) async fn serve(mut self) {
        // In the task's own memory: an allocation for each would cost as much as half a call.
        let mut run = std::pin::pin!(None);
        loop {
            if self.running.is_none() {
                // Done or cancelled. Pending, it has not committed: dropping it drops all that it staged.
                run.set(None);
                if let Some((context, operation)) = self.start_next() {
                    run.set(Some(run::run(context, operation)));
                }
            }
            self.close_when_done();
            // One that waits for nothing but answers that are put off is away: it may never come back for them.
            if self.session.is_none() && !self.is_busy() {
                self.set_present(false);
            }
            if self.inbox.is_empty() && self.is_finished() {
                return;
            }
            match self.next_event(run.as_mut()).await {
                Event::Message(Some(message)) => self.on_message(message),
                Event::Message(None) => {
                    self.forget_later();
                    return self.end_session();
                }
                Event::Ran(ran) => self.on_ran(ran),
                Event::Durable(result) => {
                    let settling = self.to_be_durable.pop_front();
                    self.on_settled(settling, result);
                }
                Event::Begun(result) => {
                    let settling = self.to_begin.pop_front();
                    self.on_settled(settling, result);
                }
                Event::Answered(answered) => self.on_answered(answered),
                Event::Alarm => self.on_alarm(),
            }
        }
    }

    /// Messages first, then what runs; replies go out before the wait that may lead a commit, so that one sync serves all
    /// and nobody waits for it needlessly.
    async fn next_event<R: Future<Output = Ran>>(&mut self, run: Pin<&mut Option<R>>) -> Event {
        tokio::select! {
            biased;
            message = self.inbox.recv() => Event::Message(message),
            ran = async {
                match run.as_pin_mut() {
                    Some(run) => run.await,
                    None => std::future::pending().await,
                }
            } => Event::Ran(ran),
            settled = front(&mut self.to_begin) => Event::Begun(settled),
            // There is a sender in here, so it never ends.
            Some(answered) = self.answers.1.recv() => Event::Answered(answered),
            never = flush(self.link.as_ref()) => match never {},
            settled = front(&mut self.to_be_durable) => Event::Durable(settled),
            () = self.alarm.as_mut(), if self.alarm_set => Event::Alarm,
        }
    }

    fn is_busy(&self) -> bool {
        self.running.is_some()
            || !self.queue.is_empty()
            || !self.to_be_durable.is_empty()
            || !self.to_begin.is_empty()
    }

    fn is_finished(&mut self) -> bool {
        if self.is_busy() || (!self.leaving && self.stopping.is_empty()) {
            return false;
        }
        self.forget_later();
        if self.leaving {
            self.stays.leave();
            if let Err(error) = self.dispatch.services.store.forget(self.client) {
                tracing::warn!(%error, "a client's record could not be dropped");
            }
            self.close_link(Code::Closed, "goodbye");
        } else {
            self.close_link(Code::ShuttingDown, "the host stops; connect again later");
        }
        for stopped in self.stopping.drain(..) {
            let _ = stopped.send(());
        }
        self.end_session();
        true
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Attach(attach) => {
                self.attach(attach);
                self.stays.end();
            }
            Message::Detach(connection) => {
                if self.is_linked(connection) {
                    self.link = None;
                    self.detach_calls();
                    self.start_grace();
                }
            }
            Message::Operation(connection, operation, confirmed) => {
                // What follows `cc` is not read.
                let closing = self.closing.is_some_and(|(_, asked)| asked == connection);
                if self.is_linked(connection) && !closing {
                    self.confirm(confirmed, &[]);
                    self.receive(operation);
                }
            }
            Message::Confirm(connection, through, also) => {
                if self.is_linked(connection) {
                    self.confirm(through, &also);
                }
            }
            Message::Cancel(connection, number) => {
                if self.is_linked(connection) {
                    self.cancel(number);
                }
            }
            Message::Bind(connection, bind) => {
                if self.is_linked(connection)
                    && let Some(session) = &self.session
                    && let Err(message) = session.calls.bind(bind)
                {
                    self.close_link(Code::LimitExceeded, &message);
                }
            }
            Message::CallReply(connection, reply) => {
                if self.is_linked(connection)
                    && let Some(session) = &self.session
                {
                    session.calls.reply(reply);
                }
            }
            Message::CallCredit(connection, through) => {
                if self.is_linked(connection)
                    && let Some(session) = &self.session
                {
                    session.calls.credit(through);
                }
            }
            Message::Goodbye(connection) => {
                if self.is_linked(connection) {
                    self.drop_waiting();
                    self.leaving = true;
                }
            }
            Message::Stop(stopped) => {
                self.refuse_waiting();
                self.interrupt_later(None);
                self.stopping.push(stopped);
            }
        }
    }

    fn is_linked(&self, connection: u64) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.connection == connection)
    }
}

/// Sends what is queued, whenever there is nothing better to do.
async fn flush(link: Option<&Link>) -> std::convert::Infallible {
    if let Some(link) = link {
        link.outbox.flush();
    }
    std::future::pending().await
}

/// What the first in line waits for.
async fn front(line: &mut VecDeque<Settling>) -> Result<(), Failure> {
    match line.front_mut() {
        Some(settling) => settling.until.as_mut().await,
        None => std::future::pending().await,
    }
}
