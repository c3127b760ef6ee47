//! Runs what plugins are told outside of any request, as operations of their own.
//! Invariant: each plugin gets its errands one after the other, in the order in which they came up.
//! An errand that a plugin does not know is done with that. Events that a plugin is too slow for are dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pixelboy_protocol::{Failure, OpEntry, Value};
use tokio::sync::mpsc;

use super::Dispatch;
use super::run::{self, NotRun, Own};
use crate::capability::errand::{Errand, What};
use crate::capability::timer::armed::Firing;

/// Events that may wait for one plugin.
const MAX_EVENTS: usize = 64;

/// One plugin's errands.
struct Queue {
    sender: mpsc::UnboundedSender<What>,
    events: Arc<AtomicUsize>,
}

/// Hands errands to the plugins they are for, until the host ends.
pub(crate) async fn serve(dispatch: Arc<Dispatch>, mut errands: mpsc::UnboundedReceiver<Errand>) {
    let mut queues: HashMap<Arc<str>, Queue> = HashMap::new();
    while let Some(Errand { plugin, what }) = errands.recv().await {
        let plugins = match &what {
            What::Event { kind, .. } => {
                let mut listeners = dispatch.board.now().listeners(kind);
                listeners.retain(|name| plugin.as_ref().is_none_or(|only| only == name));
                listeners
            }
            What::Timer(_) | What::Timers | What::Answer { .. } => plugin.into_iter().collect(),
        };
        for name in plugins {
            let queue = queues
                .entry(name.clone())
                .or_insert_with(|| Queue::start(name.clone(), dispatch.clone()));
            queue.add(&name, what.clone());
        }
    }
}

impl Queue {
    fn start(plugin: Arc<str>, dispatch: Arc<Dispatch>) -> Self {
        let (sender, mut waiting) = mpsc::unbounded_channel();
        let events = Arc::new(AtomicUsize::new(0));
        let count = events.clone();
        tokio::spawn(async move {
            while let Some(what) = waiting.recv().await {
                let is_event = matches!(what, What::Event { .. });
                attend(&dispatch, plugin.clone(), what).await;
                if is_event {
                    count.fetch_sub(1, Ordering::Relaxed);
                }
            }
        });
        Self { sender, events }
    }

    fn add(&self, plugin: &str, what: What) {
        if let What::Event { kind, .. } = &what {
            if self.events.load(Ordering::Relaxed) >= MAX_EVENTS {
                return tracing::debug!(plugin, kind, "an event was dropped: the plugin is behind");
            }
            self.events.fetch_add(1, Ordering::Relaxed);
        }
        // Its task ends with this one.
        let _ = self.sender.send(what);
    }
}

async fn attend(dispatch: &Arc<Dispatch>, plugin: Arc<str>, what: What) {
    let (op, args) = match what {
        What::Event { kind, details } => ("@event", vec![kind.into(), Value::Map(details)]),
        What::Answer { tag, outcome } => ("@answer", answer(tag, outcome)),
        What::Timer(firing) => return fire(dispatch, plugin, firing).await,
        What::Timers => return reload_timers(dispatch, &plugin).await,
    };
    let own = Own {
        plugin,
        entry: entry(op),
        firing: None,
    };
    // A plugin that failed was told of in the log; it is not told twice.
    let _ = run::run_own(dispatch, own, args).await;
}

async fn fire(dispatch: &Arc<Dispatch>, plugin: Arc<str>, firing: Firing) {
    let args = vec![
        firing.id.clone().into(),
        Value::Bytes(firing.payload.to_vec()),
    ];
    let own = Own {
        plugin: plugin.clone(),
        entry: entry("@timer"),
        firing: Some(firing.clone()),
    };
    let timers = &dispatch.services.timers;
    match run::run_own(dispatch, own, args).await {
        Ok(after) => timers.done(&plugin, &firing, after),
        Err(NotRun::Gone) => timers.park(&plugin, &firing),
        Err(NotRun::Crashed) => timers.again(&plugin, &firing, true),
        Err(NotRun::Hindered) => timers.again(&plugin, &firing, false),
    }
}

/// In the plugin's turn, so that no operation of it changes them meanwhile; nor does a firing, which is an errand too.
async fn reload_timers(dispatch: &Dispatch, plugin: &Arc<str>) {
    let serving = dispatch.board.now().plugin(plugin).cloned();
    let _turn = match &serving {
        Some(serving) => serving.seat.turn(usize::MAX).await.ok(),
        None => None,
    };
    dispatch.services.timers.reload(plugin);
}

fn answer(tag: String, outcome: Result<Vec<Value>, Failure>) -> Vec<Value> {
    let mut args = vec![tag.into(), Value::Bool(outcome.is_ok())];
    match outcome {
        Ok(values) => args.extend(values),
        Err(failure) => args.extend([failure.code.name().into(), failure.message.into()]),
    }
    args
}

/// A row for an operation that is in no table.
fn entry(op: &str) -> OpEntry {
    OpEntry {
        op: op.to_owned(),
        plugin: String::new(),
        doc: String::new(),
        args: Vec::new(),
        returns: String::new(),
    }
}
