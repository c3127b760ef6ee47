//! Runs what plugins are told outside of any request, as operations of their own.
//! Invariant: each plugin gets its errands one after the other, in the order in which they came up.
//! An errand that a plugin does not know is done with that. Events that a plugin is too slow for are dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pixelboy_protocol::{OpEntry, Value};
use tokio::sync::mpsc;

use super::Dispatch;
use super::run::{self, Own};
use crate::capability::errand::{Errand, What};

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
        let What::Event { kind, .. } = &what;
        for name in dispatch.board.now().listeners(kind) {
            if plugin.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            let queue = queues
                .entry(name.clone())
                .or_insert_with(|| queue(name.clone(), dispatch.clone()));
            if queue.events.load(Ordering::Relaxed) >= MAX_EVENTS {
                tracing::debug!(plugin = %name, kind, "an event was dropped: the plugin is behind");
                continue;
            }
            queue.events.fetch_add(1, Ordering::Relaxed);
            // Its task ends with this one.
            let _ = queue.sender.send(what.clone());
        }
    }
}

fn queue(plugin: Arc<str>, dispatch: Arc<Dispatch>) -> Queue {
    let (sender, mut waiting) = mpsc::unbounded_channel();
    let events = Arc::new(AtomicUsize::new(0));
    let queue = Queue {
        sender,
        events: events.clone(),
    };
    tokio::spawn(async move {
        while let Some(what) = waiting.recv().await {
            let What::Event { kind, details } = what;
            let args = vec![kind.to_owned().into(), Value::Map(details)];
            let own = Own {
                plugin: plugin.clone(),
                entry: entry("@event"),
                fired: None,
            };
            // A plugin that failed was told of in the log; an event is not told twice.
            let _ = run::run_own(&dispatch, own, args).await;
            events.fetch_sub(1, Ordering::Relaxed);
        }
    });
    queue
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
