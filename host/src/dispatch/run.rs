//! Runs one operation in its plugin, as a transaction.
//! Invariant: the future is pending only before the commit, so dropping it (cancel, deadline) drops everything staged.
//! Not here: order and resends (`presence`), the release of effects (`lane`).
//! A failure, a trap, a limit: nothing of the operation happened.

mod call;
mod conclude;
mod ran;
mod reply;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pixelboy_protocol::{Code, Failure, OpEntry, Value, limits};
use pixelboy_store::{ClientId, Position};
use tokio::sync::mpsc;

use self::call::Call;
pub(crate) use self::ran::{PutOffUntil, Ran, encode};
use super::blobs::Blobs;
use super::board::{Handler, Row};
use super::lane::Begun;
use super::later::Answered;
use super::operation::Operation;
use super::{Dispatch, lane};
use crate::capability::timer;
use crate::capability::timer::armed::Firing;
use crate::capability::work::Caller;

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
    /// It crashed, or took too long.
    Crashed,
    /// It was not let run, or its commit was not taken.
    Hindered,
}

/// Runs an operation of a plugin's own: it is done for good when the position is durable. One that the guest refused is
/// done with that.
pub(crate) async fn run_own(
    dispatch: &Arc<Dispatch>,
    own: Own,
    args: Vec<Value>,
) -> Result<Position, NotRun> {
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
        // Timers, answers and events are bounded where they come from.
        let Ok(mut turn) = serving.seat.turn(usize::MAX).await else {
            return Err(NotRun::Hindered);
        };
        if dispatch.board.edition() != edition {
            continue;
        }
        let timers = &dispatch.services.timers;
        let firing = own.firing.as_ref();
        if firing.is_some_and(|firing| !timers.is_due(&own.plugin, firing)) {
            // It was set anew or cancelled while this waited.
            return Ok(Position::default());
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
                Ok(ran.wrote.unwrap_or_default())
            }
            Err(failure) => {
                let (plugin, op) = (&*own.plugin, &own.entry.op);
                tracing::debug!(plugin, op, why = %failure.message, "an operation of a plugin's own failed");
                Err(match failure.code {
                    Code::PluginCrashed | Code::PluginLimit => NotRun::Crashed,
                    _ => NotRun::Hindered,
                })
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
        let mut turn = match serving.seat.turn(serving.version.queue_limit()).await {
            Ok(turn) => turn,
            Err(full) => {
                let plugin = &*serving.seat.name;
                let why =
                    format!("the plugin {plugin} is busy: {full}; nothing happened, try later");
                return Ran::failed(Failure::new(Code::Busy, why));
            }
        };
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

/// The failure that a lost release means.
pub(crate) fn lost_release() -> Failure {
    lane::outcome_unknown()
}

/// The deadline that a request's milliseconds mean.
pub(crate) fn deadline(from: Instant, deadline_ms: Option<u64>) -> Option<Instant> {
    deadline_ms.and_then(|ms| from.checked_add(Duration::from_millis(ms)))
}
