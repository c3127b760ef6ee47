//! One call of a plugin's current version, in its turn: what it reads and stages, and within which limits.
//! Invariant: what a call staged is dropped with it unless `conclude` commits it.
//! Not here: the commit (`conclude`).

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use pixelboy_protocol::{Code, Failure, OpEntry, Value, match_arguments};
use pixelboy_store::{Blob as StoredBlob, ClientId, Transaction};
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};
use tokio::time::error::Elapsed;

use super::ran::Ran;
use super::{Context, Origin};
use crate::capability::Guest;
use crate::capability::blob::Data;
use crate::capability::failure;
use crate::capability::work::Work;
use crate::dispatch::board::Serving;
use crate::dispatch::operation::Operation;
use crate::plugin::contract::pixelboy::plugin::types;
use crate::plugin::health::Out;
use crate::plugin::instance::Fault;
use crate::plugin::seat::Turn;
use crate::plugin::values;

/// How often an operation is run anew because another plugin changed the same file meanwhile.
const MAX_CONFLICTS: u32 = 8;

/// How often one is tried that changes nothing of others: what it read may be taken back, where the disk is full.
const MAX_RETREATS: u32 = 2;

/// One call of a plugin's current version, in its turn.
pub(super) struct Call<'a> {
    pub(super) context: &'a Context,
    pub(super) operation: &'a Operation,
    pub(super) entry: &'a OpEntry,
    pub(super) serving: &'a Serving,
}

/// Conflicts after which an operation is to run alone.
const CONFLICTS_AMONG_OTHERS: u32 = 3;

/// How long it waits for those that run, and they that come meanwhile for it.
const ALONE_LIMIT: Duration = Duration::from_secs(1);

/// The right of way, until it is dropped.
#[expect(dead_code, reason = "held, not looked at")]
enum Way<'a> {
    WithOthers(RwLockReadGuard<'a, ()>),
    Alone(RwLockWriteGuard<'a, ()>),
}

/// Why an operation was not done in one go.
pub(super) enum Again {
    /// Another plugin changed a file that it changes, or what it read was taken back: run it anew.
    Conflict,
    /// It failed.
    Never(Failure),
}

impl From<Failure> for Again {
    fn from(failure: Failure) -> Self {
        Self::Never(failure)
    }
}

impl Call<'_> {
    pub(super) async fn run(
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

    /// Runs it anew as long as others change what it changes, or the store takes back what it read.
    pub(super) async fn until_it_holds(
        &self,
        turn: &mut Turn<'_>,
        mut args: Vec<Value>,
    ) -> Result<Ran, Failure> {
        let (tries, why) = if self.serving.version.can_conflict() {
            let why = "other plugins kept changing the same file; nothing happened, try again";
            (MAX_CONFLICTS, why)
        } else {
            let why = "what it read was taken back, since the disk does not take it; nothing happened, try again";
            (MAX_RETREATS, why)
        };
        for attempt in 1..=tries {
            let own = if attempt < tries {
                args.clone()
            } else {
                std::mem::take(&mut args)
            };
            let _way = self.right_of_way(attempt).await;
            match self.once(turn, own).await {
                Ok(ran) => return Ok(ran),
                Err(Again::Conflict) => {}
                Err(Again::Never(failure)) => return Err(failure),
            }
        }
        Err(Failure::new(Code::Busy, why))
    }

    /// Held while it runs: with others, or alone where it lost often, so that nobody can change what it changes.
    async fn right_of_way(&self, attempt: u32) -> Option<Way<'_>> {
        if !self.serving.version.can_conflict() {
            return None;
        }
        let way = &self.context.dispatch.right_of_way;
        if attempt > CONFLICTS_AMONG_OTHERS {
            // Nobody waits long for one that is slow: then it takes its chances again.
            if let Ok(alone) = tokio::time::timeout(ALONE_LIMIT, way.write()).await {
                return Some(Way::Alone(alone));
            }
        }
        Some(Way::WithOthers(way.read().await))
    }

    async fn once(&self, turn: &mut Turn<'_>, args: Vec<Value>) -> Result<Ran, Again> {
        let version = &self.serving.version;
        if let Some(out) = version.health.out(Instant::now()) {
            return Err(self.out_of_service(out).into());
        }
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
    pub(super) fn prepare(&self, transaction: &mut Transaction) -> Result<(), Failure> {
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

    fn out_of_service(&self, out: Out) -> Failure {
        let plugin = &*self.serving.seat.name;
        let crashes = self.serving.version.health.crashes();
        let (what, then) = match out {
            Out::Rests(left) => (
                format!("rests for {:.1} s", left.as_secs_f64()),
                "try again then",
            ),
            Out::Quarantined => (
                "is in quarantine".to_owned(),
                "it serves again when its file or its table in config.toml changes, or the host starts anew",
            ),
        };
        Failure::new(
            Code::PluginUnavailable,
            format!(
                "the plugin {plugin} crashed {crashes} times in a row and {what}; nothing happened, {then}"
            ),
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
