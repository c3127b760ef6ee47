//! One client id at this host: its operations one after the other, its replies until they are confirmed, its session.
//! Invariant: operations take effect in the order of their numbers; none is run twice while this lives.
//! Not here: frames and sockets (`net`), other clients (`registry`).
//! A broken connection changes nothing but where replies go; without one the session ends after its grace.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pixelboy_protocol::{
    Code, Failure, Frame, Outcome, Push, TimeOut, Value, encode_reply_with, limits, match_arguments,
};
use pixelboy_store::{Admission, ClientId, OperationId, Position, RequestDigest};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::blobs::Blobs;
use super::board::Handler;
use super::host_ops::HostOp;
use super::operation::{EncodedOutcome, Operation};
use super::outbox::Outbox;
use super::record::{Record, State};
use super::run::{self, Context, Ran};
use super::session::{Activity, Idle, Session};
use super::{Dispatch, UPLOAD_PLACES};
use crate::capability::work::Caller;

/// What a door tells a presence.
pub(crate) enum Message {
    /// A connection said Hello; it takes the session over.
    Attach(Attach),
    /// That connection is gone.
    Detach(u64),
    /// From that connection.
    Operation(u64, Operation, u64),
    /// Replies up to a number, and these, have arrived.
    Confirm(u64, u64, Vec<u64>),
    /// Drop an operation unless it has begun to commit.
    Cancel(u64, u64),
    /// The client will not come back.
    Goodbye(u64),
    /// The host stops: finish what runs, then close.
    Stop(oneshot::Sender<()>),
}

/// A connection that takes the session over.
pub(crate) struct Attach {
    pub(crate) connection: u64,
    pub(crate) name: Arc<str>,
    pub(crate) lowest_unconfirmed: u64,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) taken: oneshot::Sender<Attached>,
}

/// What `Welcome` needs to know.
pub(crate) struct Attached {
    pub(crate) resumed: bool,
    pub(crate) executed_through: u64,
    pub(crate) received_through: u64,
    pub(crate) receive_timeout: Duration,
    pub(crate) activity: Activity,
    pub(crate) blobs: Arc<Blobs>,
    /// Each upload of the client that moves holds one.
    pub(crate) upload_places: Arc<Semaphore>,
}

/// The connection that the session has now.
struct Link {
    connection: u64,
    outbox: Arc<Outbox>,
    /// The highest number requested on it.
    last_number: u64,
    /// Numbers requested on it that have no reply yet.
    asked: BTreeSet<u64>,
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

struct Running {
    number: u64,
    ran: Pin<Box<dyn Future<Output = Ran> + Send>>,
}

/// The task of one client id.
pub(crate) struct Presence {
    dispatch: Arc<Dispatch>,
    client: ClientId,
    name: Arc<str>,
    inbox: mpsc::UnboundedReceiver<Message>,
    record: Record,
    queue: VecDeque<Operation>,
    queue_bytes: usize,
    running: Option<Running>,
    /// Wait for the disk, in commit order.
    to_be_durable: VecDeque<Settling>,
    /// Wait for a device to begin, which may take longer.
    to_begin: VecDeque<Settling>,
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
    /// Whether there is a session, for the registry.
    present: Arc<AtomicBool>,
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
    Alarm,
}

impl Presence {
    /// A client that the store knows through `executed_through`, 0 for a new one.
    pub(crate) fn new(
        dispatch: Arc<Dispatch>,
        client: ClientId,
        executed_through: u64,
        inbox: mpsc::UnboundedReceiver<Message>,
        present: Arc<AtomicBool>,
    ) -> Self {
        Self {
            dispatch,
            client,
            name: "".into(),
            inbox,
            record: Record::known(executed_through),
            queue: VecDeque::new(),
            queue_bytes: 0,
            running: None,
            to_be_durable: VecDeque::new(),
            to_begin: VecDeque::new(),
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
            present,
        }
    }

    /// Serves the client until it says Goodbye, is dropped from the registry, or the host stops.
    pub(crate) async fn serve(mut self) {
        loop {
            self.start_next();
            self.close_when_done();
            if self.session.is_none() && !self.is_busy() && self.present.load(Ordering::Acquire) {
                self.set_present(false);
            }
            if self.inbox.is_empty() && self.is_finished() {
                return;
            }
            match self.next_event().await {
                Event::Message(Some(message)) => self.on_message(message),
                Event::Message(None) => return self.end_session(),
                Event::Ran(ran) => self.on_ran(ran),
                Event::Durable(result) => {
                    let settling = self.to_be_durable.pop_front();
                    self.on_settled(settling, result);
                }
                Event::Begun(result) => {
                    let settling = self.to_begin.pop_front();
                    self.on_settled(settling, result);
                }
                Event::Alarm => self.on_alarm(),
            }
        }
    }

    /// Messages first, then what runs; replies go out before the wait that may lead a commit, so that one sync serves all
    /// and nobody waits for it needlessly.
    async fn next_event(&mut self) -> Event {
        tokio::select! {
            biased;
            message = self.inbox.recv() => Event::Message(message),
            ran = async {
                match &mut self.running {
                    Some(running) => running.ran.as_mut().await,
                    None => std::future::pending().await,
                }
            } => Event::Ran(ran),
            settled = front(&mut self.to_begin) => Event::Begun(settled),
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
        if self.leaving {
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

    // ---- messages ----

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Attach(attach) => self.attach(attach),
            Message::Detach(connection) => {
                if self.is_linked(connection) {
                    self.link = None;
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
            Message::Goodbye(connection) => {
                if self.is_linked(connection) {
                    self.drop_waiting();
                    self.leaving = true;
                }
            }
            Message::Stop(stopped) => {
                self.refuse_waiting();
                self.stopping.push(stopped);
            }
        }
    }

    fn is_linked(&self, connection: u64) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.connection == connection)
    }

    fn attach(&mut self, attach: Attach) {
        let Attach {
            connection,
            name,
            lowest_unconfirmed,
            outbox,
            taken,
        } = attach;
        self.close_link(Code::Fenced, "the same client id connected again");
        let now = Instant::now();
        self.name = name;
        let resumed = self.session.is_some();
        if !resumed {
            let session = Session::new(
                self.session_number(),
                self.dispatch.settings.receive_timeout,
                now,
            );
            self.session = Some(session);
            self.set_present(true);
        }
        if let Some(session) = &self.session {
            // Pushes go to the connection of now.
            let seat = outbox.clone();
            let seat = Arc::new(move |push: Push| seat.send_if_room(push));
            self.dispatch.services.audience.join(session.number, seat);
        }
        self.grace = None;
        let confirmed = lowest_unconfirmed.saturating_sub(1);
        self.record.received_through = self.record.received_through.max(confirmed);
        self.link = Some(Link {
            connection,
            outbox,
            last_number: 0,
            asked: BTreeSet::new(),
        });
        self.was_told = false;
        self.confirm(confirmed, &[]);
        if let Some(session) = &self.session {
            session.activity.note(now);
            let attached = Attached {
                resumed,
                executed_through: self.record.executed_through,
                received_through: self.record.received_through,
                receive_timeout: session.receive_timeout,
                activity: session.activity.clone(),
                blobs: self.blobs.clone(),
                upload_places: self.upload_places.clone(),
            };
            // A connection that broke meanwhile sends Detach.
            let _ = taken.send(attached);
        }
        self.set_alarm();
    }

    /// A client that is present is neither dropped from the registry nor aged out of the store.
    fn set_present(&self, present: bool) {
        self.present.store(present, Ordering::Release);
        self.dispatch.services.store.present(self.client, present);
    }

    fn session_number(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        // The time of the start in the upper bits keeps numbers of earlier runs apart.
        static RUN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        let run = RUN.get_or_init(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |now| now.as_millis() as u64)
        });
        (run << 20) + NEXT.fetch_add(1, Ordering::Relaxed)
    }

    fn confirm(&mut self, through: u64, also: &[u64]) {
        let received = self.record.received_through;
        if through > received {
            return self.close_link(
                Code::BadNumber,
                &format!("a reply was confirmed that was never asked for; the highest number is {received}"),
            );
        }
        // Only what is known of: the store keeps what it is told.
        let answered = |number: &u64| {
            let kept = self.record.find(*number);
            *number > through && kept.is_some_and(|kept| matches!(kept.state, State::Done { .. }))
        };
        let also: Vec<u64> = also.iter().copied().filter(answered).collect();
        // The store need not hear of operations that it never heard of.
        if self.record.confirm(through, &also) || !self.was_told {
            self.was_told = true;
            self.dispatch
                .services
                .store
                .confirm(self.client, through, &also);
        }
    }

    /// A request has arrived: run it later, or say what is known of it.
    fn receive(&mut self, operation: Operation) {
        let number = operation.number;
        let Some(link) = &mut self.link else { return };
        if number <= link.last_number {
            let last = link.last_number;
            return self.close_link(
                Code::BadNumber,
                &format!("request numbers must rise: {number} came after {last}"),
            );
        }
        link.last_number = number;
        link.asked.insert(number);
        if let Some(kept) = self.record.find(number) {
            if kept.digest != operation.digest {
                return self.answer_failure(number, number_reused(number));
            }
            if let State::Done { stored, outcome } = &kept.state {
                let (stored, outcome) = (*stored, outcome.clone());
                self.reply(number, stored, true, &outcome);
            }
            return;
        }
        if number <= self.record.received_through
            && let Some(past) = self.past(&operation)
        {
            return match past {
                Past::Recorded { reply, stored } => {
                    self.record.receive(number, operation.digest);
                    self.when_durable(number, Some(stored), reply.into(), stored, true);
                }
                Past::Refused(failure) => self.answer_failure(number, failure),
            };
        }
        if self.record.len() as u64 >= limits::WINDOW_OPERATIONS {
            return self.close_link(
                Code::LimitExceeded,
                &format!(
                    "{} requests are not confirmed; confirm replies first",
                    limits::WINDOW_OPERATIONS
                ),
            );
        }
        self.queue_bytes += operation.bytes;
        if self.queue_bytes as u64 > limits::WINDOW_BYTES {
            return self.close_link(
                Code::LimitExceeded,
                &format!(
                    "requests of more than {} bytes are waiting",
                    limits::WINDOW_BYTES
                ),
            );
        }
        self.record.receive(number, operation.digest);
        if self.leaving || !self.stopping.is_empty() {
            return self.finish(number, Ran::failed(shutting_down()));
        }
        let has_deadline = operation.deadline.is_some();
        self.queue.push_back(operation);
        // It may have to wait: then it is answered in time all the same.
        if has_deadline && self.running.is_some() {
            self.set_alarm();
        }
    }

    /// What the store knows of a number that is not in memory. None: it may run.
    fn past(&self, operation: &Operation) -> Option<Past> {
        let number = operation.number;
        if number <= self.record.confirmed_through {
            return Some(Past::Refused(already_confirmed(number)));
        }
        let store = &self.dispatch.services.store;
        let id = OperationId {
            client: self.client,
            number,
        };
        let failure = match store.admit(id, RequestDigest(operation.digest)) {
            Ok(Admission::Run) if number > self.record.executed_through => return None,
            Ok(Admission::Recorded { reply, stored }) => {
                return Some(Past::Recorded { reply, stored });
            }
            Ok(Admission::AlreadyConfirmed) => already_confirmed(number),
            Ok(Admission::NumberReused) => number_reused(number),
            Ok(Admission::Run | Admission::ReplyLost) => reply_lost(number),
            Err(error) => Failure::new(Code::StorageFailed, error.to_string()),
        };
        Some(Past::Refused(failure))
    }

    fn cancel(&mut self, number: u64) {
        let cancelled =
            || Ran::failed(Failure::new(Code::Cancelled, "cancelled; nothing happened"));
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.number == number)
        {
            // Pending, so not committed: dropping it drops all that it staged.
            self.running = None;
            self.finish(number, cancelled());
        } else if let Some(at) = self
            .queue
            .iter()
            .position(|operation| operation.number == number)
        {
            self.unqueue(at);
            self.finish(number, cancelled());
        }
    }

    fn unqueue(&mut self, at: usize) -> Option<Operation> {
        let operation = self.queue.remove(at)?;
        self.queue_bytes = self.queue_bytes.saturating_sub(operation.bytes);
        Some(operation)
    }

    /// Goodbye: what has not begun never will, and nobody waits for an answer.
    fn drop_waiting(&mut self) {
        if let Some(running) = self.running.take() {
            self.record.forget(running.number);
        }
        while let Some(operation) = self.unqueue(0) {
            self.record.forget(operation.number);
        }
    }

    /// The host stops: what runs goes on, what waits is refused.
    fn refuse_waiting(&mut self) {
        while let Some(operation) = self.unqueue(0) {
            self.finish(operation.number, Ran::failed(shutting_down()));
        }
    }

    // ---- operations ----

    /// Starts operations until one has to be waited for.
    fn start_next(&mut self) {
        while self.running.is_none()
            && self.closing.is_none()
            && (self.record.reply_bytes() as u64) < limits::WINDOW_REPLIES_BYTES
            && let Some(operation) = self.unqueue(0)
        {
            let number = operation.number;
            if operation
                .deadline
                .is_some_and(|deadline| deadline <= Instant::now())
            {
                self.finish(number, too_late());
                continue;
            }
            let (row, edition) = self.dispatch.board.find(&operation.op);
            let host_op = row.as_ref().and_then(|row| match row.handler {
                Handler::Host(op) => Some((op, row.clone())),
                Handler::Plugin(_) => None,
            });
            match host_op {
                Some((op, row)) => {
                    match match_arguments(&row.entry, operation.args, operation.kwargs) {
                        Ok(args) => self.run_host_op(number, op, &args),
                        Err(error) => {
                            let failure = Failure::new(Code::BadArguments, error.to_string());
                            self.finish(number, Ran::failed(failure));
                        }
                    }
                }
                None => {
                    let context = Context {
                        dispatch: self.dispatch.clone(),
                        client: self.client,
                        caller: Caller {
                            session: self.session.as_ref().map_or(0, |session| session.number),
                            name: self.name.clone(),
                        },
                        blobs: self.blobs.clone(),
                        found: (row, edition),
                    };
                    self.running = Some(Running {
                        number,
                        ran: Box::pin(run::run(context, operation)),
                    });
                }
            }
        }
    }

    fn run_host_op(&mut self, number: u64, op: HostOp, args: &[Value]) {
        let values = match op {
            HostOp::Status => {
                // What it tells must be as durable as what it tells of.
                let after = self.dispatch.services.device.position();
                let status = super::status::of(&self.dispatch, self.session.as_ref());
                let outcome = run::encode(&Outcome::Done(vec![status]));
                return self.when_durable(number, None, outcome, after, false);
            }
            HostOp::SetReceiveTimeout => {
                let seconds = match args.first() {
                    Some(Value::Float(seconds)) => *seconds,
                    _ => self.dispatch.settings.receive_timeout.as_secs_f64(),
                };
                if let Some(session) = &mut self.session {
                    session.receive_timeout = Duration::from_secs_f64(seconds);
                }
                vec![Value::Float(seconds)]
            }
            HostOp::PassTimeOut(pass) => {
                if let Some(session) = &mut self.session {
                    session.pass_time_out = pass;
                }
                vec![]
            }
            HostOp::CloseConnection => {
                self.drop_waiting();
                let connection = self.link.as_ref().map_or(0, |link| link.connection);
                self.closing = Some((number, connection));
                return;
            }
        };
        self.note_activity();
        self.set_alarm();
        self.finish(number, Ran::answered(Outcome::Done(values)));
    }

    fn on_ran(&mut self, ran: Ran) {
        if let Some(Running { number, .. }) = self.running.take() {
            self.finish(number, ran);
        }
    }

    /// An operation has run; its reply follows when it may be told.
    fn finish(&mut self, number: u64, ran: Ran) {
        let Ran {
            outcome,
            wrote,
            after,
            begun,
        } = ran;
        match begun {
            // The lane waits for the commit.
            Some(begun) => {
                let until =
                    Box::pin(async { begun.await.unwrap_or_else(|_| Err(run::lost_release())) });
                self.to_begin.push_back(Settling {
                    number,
                    wrote,
                    outcome,
                    recorded: false,
                    until,
                });
            }
            None => self.when_durable(number, wrote, outcome, after, false),
        }
    }

    /// Tells an outcome when everything up to `after` is on disk.
    fn when_durable(
        &mut self,
        number: u64,
        wrote: Option<Position>,
        outcome: EncodedOutcome,
        after: Position,
        recorded: bool,
    ) {
        let store = &self.dispatch.services.store;
        if after <= store.durable().position() {
            return self.tell(number, wrote, outcome, recorded);
        }
        let wait = store.wait(after);
        let until = Box::pin(async { wait.await.map(drop).map_err(|_| run::lost_release()) });
        self.to_be_durable.push_back(Settling {
            number,
            wrote,
            outcome,
            recorded,
            until,
        });
    }

    fn on_settled(&mut self, settling: Option<Settling>, result: Result<(), Failure>) {
        let Some(Settling {
            number,
            wrote,
            outcome,
            recorded,
            ..
        }) = settling
        else {
            return;
        };
        match result {
            Ok(()) => self.tell(number, wrote, outcome, recorded),
            Err(failure) if failure.code == Code::OutcomeUnknown => {
                // Not final: the number stays pending at the client.
                self.record.forget(number);
                self.answer_failure(number, failure);
            }
            // What was written stays written: the reply is the record's, now and when it is sent again.
            Err(failure) if wrote.is_some() => {
                tracing::warn!(why = %failure.message, "an operation was stored, but its effect did not begin");
                self.tell(number, wrote, outcome, recorded);
            }
            Err(failure) => {
                self.tell(
                    number,
                    None,
                    run::encode(&Outcome::Failed(failure)),
                    recorded,
                );
            }
        }
    }

    /// The reply is due.
    fn tell(
        &mut self,
        number: u64,
        wrote: Option<Position>,
        outcome: EncodedOutcome,
        recorded: bool,
    ) {
        self.note_activity();
        self.record.done(number, wrote, outcome.clone());
        self.reply(number, wrote, recorded, &outcome);
    }

    /// `cc` is due when nothing before it is under way.
    fn close_when_done(&mut self) {
        if self.is_busy() {
            return;
        }
        if let Some((number, connection)) = self.closing.take() {
            self.tell(number, None, run::encode(&Outcome::Done(vec![])), false);
            // One that connected meanwhile did not ask.
            if self.link.is_none() || self.is_linked(connection) {
                self.close_link(Code::Closed, "closed as asked");
                self.end_session();
            }
        }
    }

    fn answer_failure(&mut self, number: u64, failure: Failure) {
        self.reply(number, None, false, &run::encode(&Outcome::Failed(failure)));
    }

    fn reply(&mut self, number: u64, stored: Option<Position>, recorded: bool, outcome: &[u8]) {
        if let Some(link) = &mut self.link
            && link.asked.remove(&number)
        {
            let stored = stored.map(|position| position.0);
            link.outbox
                .queue_with(|out| encode_reply_with(number, stored, recorded, outcome, out));
        }
    }

    // ---- the session ----

    fn note_activity(&self) {
        if let Some(session) = &self.session {
            session.activity.note(Instant::now());
        }
    }

    fn close_link(&mut self, code: Code, message: &str) {
        if let Some(link) = self.link.take() {
            link.outbox.close(code, message);
            self.start_grace();
        }
    }

    fn start_grace(&mut self) {
        if self.session.is_some() {
            self.grace = Some(Instant::now() + self.dispatch.settings.grace);
            self.set_alarm();
        }
    }

    fn set_alarm(&mut self) {
        let now = Instant::now();
        let clock = match (self.grace, &self.session) {
            (Some(grace), _) => Some(grace),
            (None, Some(session)) if self.link.is_some() => session.idle_deadline(now),
            _ => None,
        };
        let waiting = self
            .queue
            .iter()
            .filter_map(|operation| operation.deadline)
            .min();
        let due = clock.into_iter().chain(waiting).min();
        self.alarm_set = due.is_some();
        if let Some(due) = due {
            self.alarm.as_mut().reset(due.into());
        }
    }

    fn on_alarm(&mut self) {
        let now = Instant::now();
        self.expire_waiting(now);
        if self.grace.is_some_and(|grace| now >= grace) {
            self.end_session();
        }
        let busy = self.is_busy();
        if self.grace.is_none()
            && let (Some(session), Some(link)) = (&mut self.session, &self.link)
            && let Idle::TimeOut(idle) = session.idle(now, busy)
        {
            let idle_ms = idle.as_millis() as u64;
            link.outbox
                .queue_with(|out| Frame::from(TimeOut { idle_ms }).encode(out));
        }
        self.set_alarm();
    }

    /// Operations whose time ran out before their turn.
    fn expire_waiting(&mut self, now: Instant) {
        let is_due = |operation: &Operation| operation.deadline.is_some_and(|due| due <= now);
        while let Some(at) = self.queue.iter().position(is_due) {
            if let Some(operation) = self.unqueue(at) {
                self.finish(operation.number, too_late());
            }
        }
    }

    fn end_session(&mut self) {
        self.grace = None;
        if let Some(session) = self.session.take() {
            let services = &self.dispatch.services;
            services.audience.leave(session.number);
            // What a reply named that is not confirmed may still be asked for.
            let record = &self.record;
            self.blobs.keep(|number| record.find(number).is_some());
            if services.device.end_session(session.number) {
                // It may have ended by itself meanwhile.
                let _ = services.audio.stop();
            }
            tracing::debug!(client = %self.name, "session ended");
        }
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

fn too_late() -> Ran {
    let why = "the request's time ran out before its turn; nothing happened";
    Ran::failed(Failure::new(Code::Deadline, why))
}

fn reply_lost(number: u64) -> Failure {
    let what = "nothing of it is on disk; whether it ran or was refused is not known";
    Failure::new(
        Code::RanReplyLost,
        format!("the reply to request {number} is lost: {what}"),
    )
}

fn already_confirmed(number: u64) -> Failure {
    let what = "was answered and its reply confirmed; it is not run again";
    Failure::new(Code::AlreadyConfirmed, format!("request {number} {what}"))
}

fn number_reused(number: u64) -> Failure {
    Failure::new(
        Code::NumberReused,
        format!(
            "request {number} was another one before: two programs use one client id; \
             give each its own (its own state file)"
        ),
    )
}

fn shutting_down() -> Failure {
    Failure::new(Code::ShuttingDown, "the host stops; nothing happened")
}
