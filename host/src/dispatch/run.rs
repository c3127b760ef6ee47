//! Runs one operation in its plugin, as a transaction.
//! Invariant: the future is pending only before the commit, so dropping it (cancel, deadline) drops everything staged.
//! Not here: order and resends (`presence`), the release of effects (`lane`).
//! A failure, a trap, a limit: nothing of the operation happened.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use pixelboy_protocol::{
    Code, EncodeError, Failure, OpEntry, Outcome, Value, encode_values, limits, match_arguments,
};
use pixelboy_store::{
    Blob as StoredBlob, ClientId, CommitError, Guard, OperationId, OperationRecord, Position,
    RequestDigest, Transaction,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::error::Elapsed;
use wasmtime::component::Resource;

use super::blobs::Blobs;
use super::board::{Handler, Row, Serving};
use super::lane::{Begun, Place};
use super::later::{self, Answered, Later};
use super::operation::{EncodedOutcome, Operation};
use super::{Dispatch, lane};
use crate::capability::Guest;
use crate::capability::blob::{self, Data};
use crate::capability::effect::Effect;
use crate::capability::timer::armed::Firing;
use crate::capability::work::{Caller, Work};
use crate::capability::{failure, keeper, timer};
use crate::plugin::contract::pixelboy::plugin::types::{self, Node};
use crate::plugin::instance::{Fault, Instance};
use crate::plugin::seat::Turn;
use crate::plugin::values;

/// What became of an operation, and what its reply waits for.
pub(crate) struct Ran {
    pub(crate) outcome: EncodedOutcome,
    /// Its place in the commit order, when it wrote.
    pub(crate) wrote: Option<Position>,
    /// What must be durable before anybody hears of it.
    pub(crate) after: Position,
    /// Tells when its effects have begun, where it had any.
    pub(crate) begun: Option<oneshot::Receiver<Result<(), Failure>>>,
    /// Its plugin answers later; `outcome` is what the record says until then.
    pub(crate) later: Option<PutOffUntil>,
}

/// Under which name an answer is put off, and until when its client waits.
pub(crate) struct PutOffUntil {
    pub(crate) token: u64,
    pub(crate) deadline: Option<Instant>,
}

/// Where the values of a reply go.
struct Addressee<'a> {
    blobs: &'a Blobs,
    number: u64,
    /// The reply is recorded: it names no blob, as it may be asked for after a restart, when the bytes may have changed.
    recorded: bool,
}

/// What an operation's commit does besides its transaction.
struct Conclusion {
    effects: Vec<Effect>,
    timers: Vec<timer::Change>,
    /// Its own answer is put off under this token.
    later: Option<u64>,
    /// Those of others that it answers.
    answers: Vec<(u64, EncodedOutcome)>,
    place: Option<Place>,
}

/// How often an operation is run anew because another plugin changed the same file meanwhile.
const MAX_CONFLICTS: u32 = 8;

impl Ran {
    /// Nothing happened.
    pub(crate) fn failed(failure: Failure) -> Self {
        Self::answered(Outcome::Failed(bounded(failure)))
    }

    /// Nothing was written or staged.
    pub(crate) fn answered(outcome: Outcome) -> Self {
        Self {
            outcome: encode(&outcome),
            wrote: None,
            after: Position::default(),
            begun: None,
            later: None,
        }
    }
}

/// The outcome's bytes; one that does not fit becomes a failure that does.
pub(crate) fn encode(outcome: &Outcome) -> EncodedOutcome {
    let mut bytes = Vec::with_capacity(128);
    if let Err(error) = outcome.encode(&mut bytes) {
        let failure = Failure::new(Code::TooLarge, format!("the reply can't be sent: {error}"));
        bytes.clear();
        if Outcome::Failed(failure).encode(&mut bytes).is_err() {
            bytes.clear();
        }
    }
    bytes.into()
}

/// A failure as the wire takes it.
fn bounded(mut failure: Failure) -> Failure {
    let cut = |text: &mut String| {
        let end = text.floor_char_boundary(limits::MESSAGE_BYTES);
        text.truncate(end);
    };
    cut(&mut failure.message);
    failure.details.truncate(limits::DETAILS);
    for (name, value) in &mut failure.details {
        cut(name);
        cut(value);
    }
    failure
}

/// Everything an operation runs with.
pub(crate) struct Context {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) origin: Origin,
    pub(crate) caller: Caller,
    pub(crate) blobs: Arc<Blobs>,
    /// Who answered when the operation's turn at its client came, and the edition of the table that said so.
    pub(crate) found: (Option<Arc<Row>>, u64),
}

/// Whose operation it is.
pub(crate) enum Origin {
    /// A client's: it has a record, and may name the client's uploads.
    Client {
        client: ClientId,
        /// Where answers come in that were put off.
        answers: mpsc::UnboundedSender<Answered>,
    },
    /// The plugin's own; with the timer that fired, which is done when the operation is.
    Plugin { fired: Option<String> },
}

/// An operation of a plugin's own.
pub(crate) struct Own {
    pub(crate) plugin: Arc<str>,
    /// Its name, which begins with `@`.
    pub(crate) entry: OpEntry,
    /// The timer that fired.
    pub(crate) firing: Option<Firing>,
}

/// Why an operation of a plugin's own did not happen.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// The plugin does not serve now.
    Gone,
    /// It crashed, took too long, or the commit failed.
    Failed,
}

/// Runs an operation of a plugin's own. One that the guest refused is done with that.
pub(crate) async fn run_own(
    dispatch: &Arc<Dispatch>,
    own: Own,
    args: Vec<Value>,
) -> Result<(), NotRun> {
    let operation = Operation {
        number: 0,
        digest: [0; 16],
        op: own.entry.op.clone(),
        args: Vec::new(),
        kwargs: Vec::new(),
        packed: None,
        deadline: None,
        bytes: 0,
    };
    let durable = own.firing.as_ref().filter(|firing| firing.durable);
    let fired = durable.map(|firing| timer::key(&own.plugin, &firing.id));
    let context = Context {
        dispatch: dispatch.clone(),
        origin: Origin::Plugin { fired },
        caller: Caller {
            own: true,
            ..Caller::default()
        },
        blobs: Arc::default(),
        found: (None, 0),
    };
    loop {
        let edition = dispatch.board.edition();
        let serving = dispatch.board.now().plugin(&own.plugin).cloned();
        let Some(serving) = serving else {
            return Err(NotRun::Gone);
        };
        let mut turn = serving.seat.turn().await;
        if dispatch.board.edition() != edition {
            continue;
        }
        let timers = &dispatch.services.timers;
        let firing = own.firing.as_ref();
        if firing.is_some_and(|firing| !timers.is_due(&own.plugin, firing)) {
            // It was set anew or cancelled while this waited.
            return Ok(());
        }
        let call = Call {
            context: &context,
            operation: &operation,
            entry: &own.entry,
            serving: &serving,
        };
        return match call.until_it_holds(&mut turn, args).await {
            Ok(ran) => {
                if let Some(begun) = ran.begun {
                    tokio::spawn(tell_refused(own, begun));
                }
                Ok(())
            }
            Err(failure) => {
                let (plugin, op) = (&*own.plugin, &own.entry.op);
                tracing::debug!(plugin, op, why = %failure.message, "an operation of a plugin's own failed");
                Err(NotRun::Failed)
            }
        };
    }
}

/// No reply says that an effect of a plugin's own operation did not begin.
async fn tell_refused(own: Own, begun: Begun) {
    if let Ok(Err(failure)) = begun.await {
        let (plugin, op) = (&*own.plugin, &own.entry.op);
        tracing::warn!(plugin, op, why = %failure.message, "an effect of a plugin's own operation did not begin");
    }
}

/// Runs `operation`, whose opcode a plugin offers.
pub(crate) async fn run(context: Context, operation: Operation) -> Ran {
    let Some(deadline) = operation.deadline else {
        return in_turn(&context, operation).await;
    };
    let ran = tokio::time::timeout_at(deadline.into(), in_turn(&context, operation)).await;
    ran.unwrap_or_else(|_| {
        Ran::failed(Failure::new(
            Code::Deadline,
            "the request's time ran out before it was done; nothing happened",
        ))
    })
}

async fn in_turn(context: &Context, mut operation: Operation) -> Ran {
    let args = std::mem::take(&mut operation.args);
    let kwargs = std::mem::take(&mut operation.kwargs);
    let board = &context.dispatch.board;
    let (mut row, mut edition) = context.found.clone();
    loop {
        let Some(found) = row.as_deref() else {
            return Ran::failed(unknown_op(&operation.op, board.now().ops()));
        };
        let Handler::Plugin(serving) = &found.handler else {
            let failure = format!("{} is the host's own", operation.op);
            return Ran::failed(Failure::new(Code::Unsupported, failure));
        };
        let mut turn = serving.seat.turn().await;
        // The version is chosen now: while this waited, the plugin may have been swapped.
        if board.edition() != edition {
            drop(turn);
            (row, edition) = board.find(&operation.op);
            continue;
        }
        let call = Call {
            context,
            operation: &operation,
            entry: &found.entry,
            serving,
        };
        return call.run(&mut turn, args, kwargs).await;
    }
}

/// Says what there is instead.
fn unknown_op<'a>(op: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    Failure::new(
        Code::UnknownOp,
        format!(
            "no plugin offers {:?}; this device knows: {}",
            op.chars().take(limits::OPCODE_BYTES).collect::<String>(),
            known.join(" ")
        ),
    )
}

/// One call of a plugin's current version, in its turn.
struct Call<'a> {
    context: &'a Context,
    operation: &'a Operation,
    entry: &'a OpEntry,
    serving: &'a Serving,
}

impl Call<'_> {
    async fn run(
        &self,
        turn: &mut Turn<'_>,
        args: Vec<Value>,
        kwargs: Vec<(String, Value)>,
    ) -> Ran {
        let args = match match_arguments(self.entry, args, kwargs) {
            Ok(args) => args,
            Err(error) => return Ran::failed(Failure::new(Code::BadArguments, error.to_string())),
        };
        let ran = self.until_it_holds(turn, args).await;
        ran.unwrap_or_else(Ran::failed)
    }

    /// Runs it anew as long as others change what it changes.
    async fn until_it_holds(
        &self,
        turn: &mut Turn<'_>,
        mut args: Vec<Value>,
    ) -> Result<Ran, Failure> {
        let tries = if self.serving.version.can_conflict() {
            MAX_CONFLICTS
        } else {
            1
        };
        for attempt in 1..=tries {
            let own = if attempt < tries {
                args.clone()
            } else {
                std::mem::take(&mut args)
            };
            match self.once(turn, own).await {
                Ok(ran) => return Ok(ran),
                Err(Again::Conflict) => {}
                Err(Again::Never(failure)) => return Err(failure),
            }
        }
        Err(Failure::new(
            Code::Busy,
            "other plugins kept changing the same file; nothing happened, try again",
        ))
    }

    async fn once(&self, turn: &mut Turn<'_>, args: Vec<Value>) -> Result<Ran, Again> {
        let version = &self.serving.version;
        let place = if version.has_effects() {
            self.serving.lane.place().await
        } else {
            None
        };
        let store = &self.context.dispatch.services.store;
        let mut transaction = store.begin();
        self.prepare(&mut transaction)?;
        let mut work = Work::begin(
            transaction,
            self.context.caller.clone(),
            self.operation.deadline,
        );
        let uploads = match self.context.origin {
            Origin::Client { client, .. } => self.uploads(client, &mut work, &args)?,
            Origin::Plugin { .. } => Vec::new(),
        };
        let mut instance = turn
            .instance(version)
            .await
            .map_err(|fault| self.fault(turn, &fault))?;
        let entry = self.entry;
        let args = instance
            .begin(work, |guest| lower(guest, entry, args, &uploads))
            .map_err(|fault| self.fault(turn, &fault))?;
        let limit = version.wall_limit();
        let answer = {
            let handling = pin!(instance.handle(version.engine(), &entry.op, &args));
            match within(limit, handling).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(fault)) => return Err(self.fault(turn, &fault).into()),
                Err(_) => return Err(self.too_slow(turn, limit).into()),
            }
        };
        let work = instance.end();
        let ran = self.conclude(&mut instance, work, answer, place).await;
        turn.give_back(version, instance);
        ran
    }

    /// What the operation changes whatever its guest does.
    fn prepare(&self, transaction: &mut Transaction) -> Result<(), Failure> {
        if let Origin::Plugin { fired: Some(timer) } = &self.context.origin {
            let cleared = transaction.clear_state(timer);
            cleared.map_err(|error| failure::of_commit(&error.into()))?;
        }
        Ok(())
    }

    /// The uploads that the arguments name, with their bytes; the operation uses them.
    fn uploads(
        &self,
        client: ClientId,
        work: &mut Work,
        args: &[Value],
    ) -> Result<Vec<(u64, StoredBlob)>, Failure> {
        fn collect(value: &Value, numbers: &mut Vec<u64>) {
            match value {
                Value::Upload(number) if !numbers.contains(number) => numbers.push(*number),
                Value::List(items) => items.iter().for_each(|item| collect(item, numbers)),
                Value::Map(items) => items.iter().for_each(|(_, item)| collect(item, numbers)),
                _ => {}
            }
        }
        let mut numbers = Vec::new();
        args.iter().for_each(|value| collect(value, &mut numbers));
        let store = &self.context.dispatch.services.store;
        for number in &numbers {
            if let Some(transaction) = &mut work.transaction {
                transaction.consume_upload(client, *number);
            }
        }
        numbers
            .into_iter()
            .map(|number| match store.upload(client, number) {
                Ok(blob) => Ok((number, blob)),
                Err(error) => Err(failure::of_upload(&error)),
            })
            .collect()
    }

    fn fault(&self, turn: &Turn<'_>, fault: &Fault) -> Failure {
        turn.failed();
        self.serving.version.note_crash();
        let plugin = &*self.serving.seat.name;
        tracing::warn!(plugin, op = %self.operation.op, %fault, "a plugin failed; the operation was dropped");
        let code = match fault {
            Fault::CpuTime(_) => Code::PluginLimit,
            Fault::Trap(_) => Code::PluginCrashed,
        };
        Failure::new(
            code,
            format!("the plugin {plugin} failed: {fault}; nothing happened"),
        )
    }

    fn too_slow(&self, turn: &Turn<'_>, limit: Duration) -> Failure {
        turn.failed();
        let plugin = &*self.serving.seat.name;
        tracing::warn!(plugin, op = %self.operation.op, ?limit, "a plugin took too long; the operation was dropped");
        Failure::new(
            Code::PluginLimit,
            format!("the plugin {plugin} took longer than {limit:?}; nothing happened"),
        )
    }

    /// Turns the answer into a reply and commits.
    async fn conclude(
        &self,
        instance: &mut Instance,
        mut work: Work,
        answer: Result<types::Outcome, types::Failure>,
        place: Option<Place>,
    ) -> Result<Ran, Again> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.refused(&work, failure::from_guest(failure)),
        };
        let answers = if work.completed.is_empty() {
            Vec::new()
        } else {
            Box::pin(self.answers(instance.guest(), &mut work)).await?
        };
        let put_off = &self.context.dispatch.put_off;
        let answers_recorded = answers.iter().any(|(token, _)| {
            let later = put_off.find(*token, &self.serving.seat.name);
            later.is_some_and(|later| later.wrote)
        });
        let wrote = answers_recorded
            || work
                .transaction
                .as_ref()
                .is_some_and(|own| own.has_writes());
        let (outcome, later) = match answer {
            types::Outcome::Done(values) => {
                let to = Addressee {
                    blobs: &self.context.blobs,
                    number: self.operation.number,
                    recorded: wrote,
                };
                let values = self.raise(instance.guest(), values, &to).await?;
                (reply(values, &to)?, None)
            }
            types::Outcome::Later(token) => {
                self.may_put_off(&mut work, token)?;
                (later::interrupted(), Some(token))
            }
        };
        let Some(transaction) = work.transaction.take() else {
            return Err(Failure::new(Code::BadState, "the operation lost its transaction").into());
        };
        let conclusion = Conclusion {
            effects: work.effects,
            timers: work.timers,
            later,
            answers,
            place,
        };
        self.commit(transaction, outcome, conclusion)
    }

    /// Whether the answer can be put off under this token.
    fn may_put_off(&self, work: &mut Work, token: u64) -> Result<(), Failure> {
        if !matches!(self.context.origin, Origin::Client { .. }) {
            let why = "nobody waits for the answer of a timer, an answer or an event";
            return Err(Failure::new(Code::BadState, why));
        }
        if token != work.token() {
            let why =
                "an answer can be put off under the operation's own token only, see `call.token`";
            return Err(Failure::new(Code::BadState, why));
        }
        Ok(())
    }

    /// The answers to others that the operation staged, encoded.
    async fn answers(
        &self,
        guest: &mut Guest,
        work: &mut Work,
    ) -> Result<Vec<(u64, EncodedOutcome)>, Failure> {
        let mut answers = Vec::new();
        for (token, answer) in std::mem::take(&mut work.completed) {
            let put_off = &self.context.dispatch.put_off;
            let Some(later) = put_off.find(token, &self.serving.seat.name) else {
                // Its time ran out meanwhile.
                continue;
            };
            let outcome = match answer {
                Ok(values) => {
                    let to = Addressee {
                        blobs: &later.blobs,
                        number: later.operation.number,
                        recorded: later.wrote,
                    };
                    let values = self.raise(guest, values, &to).await?;
                    reply(values, &to)?
                }
                Err(failure) => encode(&Outcome::Failed(bounded(failure::from_guest(failure)))),
            };
            answers.push((token, outcome));
        }
        Ok(answers)
    }

    /// Takes what is to be answered, and stages the answers of which there is a record.
    fn take_put_off(
        &self,
        transaction: &mut Transaction,
        answers: Vec<(u64, EncodedOutcome)>,
    ) -> Vec<(u64, Later, EncodedOutcome)> {
        let mut taken = Vec::with_capacity(answers.len());
        for (token, outcome) in answers {
            // Else its time ran out meanwhile.
            if let Some(later) = self.context.dispatch.put_off.take(token) {
                if later.wrote {
                    transaction.answer(later.operation, outcome.to_vec());
                }
                taken.push((token, later, outcome));
            }
        }
        taken
    }

    /// Commits, and lines the effects up in the same order.
    fn commit(
        &self,
        mut transaction: Transaction,
        outcome: EncodedOutcome,
        conclusion: Conclusion,
    ) -> Result<Ran, Again> {
        let Conclusion {
            effects,
            timers,
            later,
            answers,
            place,
        } = conclusion;
        let answers = self.take_put_off(&mut transaction, answers);
        let committed = self.commit_in_order(transaction, outcome, effects, place);
        let put_off = &self.context.dispatch.put_off;
        let ran = match committed {
            Ok(ran) => ran,
            Err(again) => {
                for (token, later, _) in answers {
                    put_off.add(token, later);
                }
                return Err(again);
            }
        };
        for (_, later, outcome) in answers {
            later.answer(outcome, ran.after);
        }
        let services = &self.context.dispatch.services;
        let plugin = &self.serving.seat.name;
        services.timers.apply(plugin, timers, ran.after);
        let later = later.map(|token| {
            if let Origin::Client { client, answers } = &self.context.origin {
                let operation = OperationId {
                    client: *client,
                    number: self.operation.number,
                };
                let later = Later {
                    plugin: self.serving.seat.name.clone(),
                    operation,
                    wrote: ran.wrote.is_some(),
                    blobs: self.context.blobs.clone(),
                    answers: answers.clone(),
                };
                put_off.add(token, later);
            }
            PutOffUntil {
                token,
                deadline: self.operation.deadline,
            }
        });
        Ok(Ran { later, ..ran })
    }

    fn commit_in_order(
        &self,
        mut transaction: Transaction,
        outcome: EncodedOutcome,
        effects: Vec<Effect>,
        place: Option<Place>,
    ) -> Result<Ran, Again> {
        let services = &self.context.dispatch.services;
        let saw = if Guard::Seen.is_out() {
            Position::default()
        } else {
            transaction.seen()
        };
        // Held over the commit, so that nobody's effects come between.
        let mut device = (!effects.is_empty()).then(|| services.device.committing());
        let mut written = None;
        if let Some(device) = &device
            && transaction.has_writes()
        {
            let state = device.state_after(&effects);
            let staged = keeper::stage(&mut transaction, &state, &services.audio, device.written());
            written = Some(staged.map_err(|error| failure::of_commit(&error.into()))?);
        }
        let number = self.operation.number;
        let wrote = if transaction.has_writes() {
            let record = match self.context.origin {
                Origin::Client { .. } if Guard::Record.is_out() => None,
                Origin::Client { client, .. } => Some(OperationRecord {
                    operation: OperationId { client, number },
                    digest: RequestDigest(self.operation.digest),
                    reply: outcome.to_vec(),
                }),
                Origin::Plugin { .. } => None,
            };
            match services.store.commit(transaction, record) {
                Ok(position) => Some(position),
                Err(CommitError::Conflict) => return Err(Again::Conflict),
                Err(error) => return Err(failure::of_commit(&error).into()),
            }
        } else {
            // Of an operation without writes the presence knows that it ran; the store is told when that ends.
            if let Origin::Client { client, .. } = self.context.origin
                && transaction.uses_uploads()
            {
                services.store.ran(client, number, transaction);
            }
            None
        };
        self.serving.version.prove();
        let mut after = wrote.unwrap_or(saw).max(saw);
        if self.serving.version.sees_device() {
            let seen = match &device {
                Some(device) => device.position(),
                None => services.device.position(),
            };
            after = after.max(services.store.if_not_taken_back(seen));
        }
        let begun = device.as_mut().map(|device| {
            if let Some(written) = written {
                device.note_written(written);
            }
            let present = |session| services.audience.has(session);
            for play in device.done(&effects, after, present) {
                services.audio.stop_play(play);
            }
            self.serving.lane.line_up(after, effects, place)
        });
        drop(device);
        Ok(Ran {
            outcome,
            wrote,
            after,
            begun,
            later: None,
        })
    }

    /// The guest said no: nothing was written, but what it saw must be durable before that is said. A timer has fired
    /// all the same.
    fn refused(&self, work: &Work, failure: Failure) -> Result<Ran, Again> {
        let store = &self.context.dispatch.services.store;
        if let Origin::Plugin { .. } = self.context.origin {
            let mut transaction = store.begin();
            self.prepare(&mut transaction)?;
            let done = store.commit(transaction, None);
            done.map_err(|error| failure::of_commit(&error))?;
            // What a guest does not know it need not.
            if failure.code != Code::Unsupported {
                let (plugin, op) = (&*self.serving.seat.name, &self.entry.op);
                tracing::debug!(plugin, op, why = %failure.message, "refused");
            }
        }
        let saw = work
            .transaction
            .as_ref()
            .map(Transaction::seen)
            .unwrap_or_default();
        Ok(Ran {
            after: saw,
            ..Ran::failed(failure)
        })
    }

    /// The guest's values as the reply's: handles become bytes where they fit, else blobs to be fetched.
    async fn raise(
        &self,
        guest: &mut Guest,
        values: types::Values,
        to: &Addressee<'_>,
    ) -> Result<Vec<Value>, Failure> {
        let has_handles = values
            .nodes
            .iter()
            .any(|node| matches!(node, Node::Data(_)));
        let mut held = if has_handles {
            Box::pin(self.fetch(guest, &values, to)).await?
        } else {
            Vec::new()
        };
        values::from_guest(values, |handle: Resource<Data>| {
            let found = held.iter().position(|(rep, _)| *rep == handle.rep());
            found.map_or(Value::Null, |at| held.swap_remove(at).1)
        })
        .map_err(|error| wrong_reply(&error))
    }

    /// What the handles among the guest's values become.
    async fn fetch(
        &self,
        guest: &mut Guest,
        values: &types::Values,
        to: &Addressee<'_>,
    ) -> Result<Vec<(u32, Value)>, Failure> {
        let mut held = Vec::new();
        let mut room = limits::INLINE_BYTES;
        for node in &values.nodes {
            match node {
                Node::Text(text) => room = room.saturating_sub(text.len()),
                Node::Bytes(bytes) => room = room.saturating_sub(bytes.len()),
                _ => {}
            }
        }
        for node in &values.nodes {
            let Node::Data(handle) = node else { continue };
            let rep = handle.rep();
            let Data(blob) = guest
                .table
                .delete(Resource::new_own(rep))
                .map_err(|error| wrong_reply(&error))?;
            let length = blob.len();
            let value = if length <= room as u64 {
                room -= length as usize;
                let bytes = blob::read(blob, 0, length as u32)
                    .await
                    .map_err(unreadable)?;
                Value::Bytes(bytes)
            } else if to.recorded {
                return Err(Failure::new(
                    Code::TooLarge,
                    format!(
                        "the plugin {} wrote, so its reply must fit {} bytes, and {length} bytes of stored data do not; \
                         fetch them with a request that only reads; nothing happened",
                        self.serving.seat.name,
                        limits::INLINE_BYTES
                    ),
                ));
            } else {
                let own = blob.clone();
                blob::blocking(move || own.check())
                    .await
                    .map_err(unreadable)?;
                let sha256 = blob.known_sha256().map(|sha| sha.0);
                let id = to.blobs.name(to.number, blob);
                Value::Blob(pixelboy_protocol::Blob {
                    id,
                    length,
                    sha256,
                    form: 0,
                })
            };
            held.push((rep, value));
        }
        Ok(held)
    }
}

fn wrong_reply(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Code::PluginCrashed,
        format!("the plugin's reply is wrong: {error}; nothing happened"),
    )
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure::new(
        Code::StorageFailed,
        format!("failed to read stored bytes: {error}"),
    )
}

/// The values encoded; many of an operation that wrote nothing travel as a blob.
fn reply(values: Vec<Value>, to: &Addressee<'_>) -> Result<EncodedOutcome, Failure> {
    let mut encoded = Vec::with_capacity(128);
    let outcome = Outcome::Done(values);
    let Err(error) = outcome.encode(&mut encoded) else {
        return Ok(encoded.into());
    };
    let too_large = |error: EncodeError| {
        Failure::new(
            Code::TooLarge,
            format!("the reply can't be sent: {error}; nothing happened"),
        )
    };
    let Outcome::Done(values) = outcome else {
        return Err(too_large(error));
    };
    // A recorded reply outlives the blobs that it would name.
    if to.recorded {
        return Err(too_large(error));
    }
    encode_values(&values, &mut encoded).map_err(too_large)?;
    let length = encoded.len() as u64;
    let id = to.blobs.name(to.number, StoredBlob::from_bytes(encoded));
    let form = pixelboy_protocol::Blob::VALUES;
    let blob = Value::Blob(pixelboy_protocol::Blob {
        id,
        length,
        sha256: None,
        form,
    });
    Ok(encode(&Outcome::Done(vec![blob])))
}

/// As `tokio::time::timeout`, but a future that is ready at once costs no timer.
async fn within<T>(
    limit: Duration,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Elapsed> {
    match std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => tokio::time::timeout(limit, future).await,
    }
}

/// Why an operation was not done in one go.
enum Again {
    /// Another plugin changed a file that it changes: run it anew.
    Conflict,
    /// It failed.
    Never(Failure),
}

impl From<Failure> for Again {
    fn from(failure: Failure) -> Self {
        Self::Never(failure)
    }
}

/// The arguments as the guest gets them: what is asked for as `data`, and uploads anywhere, become handles.
fn lower(
    guest: &mut Guest,
    entry: &pixelboy_protocol::OpEntry,
    args: Vec<Value>,
    uploads: &[(u64, StoredBlob)],
) -> wasmtime::Result<types::Values> {
    use pixelboy_protocol::ArgKind;
    values::to_guest(args, |root, value, top| {
        let is_data = top
            && entry
                .args
                .get(root)
                .is_some_and(|arg| arg.kind == ArgKind::Data);
        let blob = match value {
            Value::Upload(number) => uploads
                .iter()
                .find(|(other, _)| other == number)
                .map(|(_, blob)| blob.clone()),
            Value::Text(text) if is_data => Some(StoredBlob::from_bytes(text.clone().into_bytes())),
            Value::Bytes(bytes) if is_data => Some(StoredBlob::from_bytes(bytes.clone())),
            _ => None,
        };
        blob.map(|blob| Ok(guest.table.push(Data(blob))?))
            .transpose()
    })
}

/// The failure that a lost release means.
pub(crate) fn lost_release() -> Failure {
    lane::outcome_unknown()
}

/// The deadline that a request's milliseconds mean.
pub(crate) fn deadline(from: Instant, deadline_ms: Option<u64>) -> Option<Instant> {
    deadline_ms.and_then(|ms| from.checked_add(Duration::from_millis(ms)))
}
