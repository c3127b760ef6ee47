//! What a plugin is told outside of any request: it arrives as an operation of the plugin's own.
//! Invariant: handing one over never waits; a plugin that falls behind loses events, and nothing else.
//! Not here: running them (`dispatch::errands`).

use std::sync::Arc;

use pixelboy_protocol::{Failure, Value};
use tokio::sync::mpsc;

use super::timer::armed::Firing;

/// The kinds of events that there are, with the grant that a plugin needs to be told of them.
pub(crate) const EVENTS: [(&str, Option<&str>); 7] = [
    ("started", None),
    ("client-joined", Some("client")),
    ("client-left", Some("client")),
    ("display-lost", Some("display")),
    ("display-resized", Some("display")),
    ("screen-lost", Some("display")),
    ("playback-ended", Some("audio")),
];

/// Something that a plugin is told.
#[derive(Debug)]
pub(crate) struct Errand {
    /// Whom; all who asked for it where this is none.
    pub(crate) plugin: Option<Arc<str>>,
    pub(crate) what: What,
}

/// What it is told.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// `@event`.
    Event {
        kind: &'static str,
        details: Vec<(String, Value)>,
    },
    /// `@timer`.
    Timer(Firing),
    /// Nothing: a change of its timers was taken back, and they are to be as the store has them.
    Timers,
    /// `@answer` of a client.
    Answer {
        tag: String,
        outcome: Result<Vec<Value>, Failure>,
    },
}

/// Where errands are handed over.
#[derive(Clone)]
pub(crate) struct Errands(mpsc::UnboundedSender<Errand>);

impl Errands {
    /// With the end at which they come out.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Errand>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Hands one over; nobody takes it when the host stops.
    pub(crate) fn send(&self, errand: Errand) {
        let _ = self.0.send(errand);
    }

    /// Tells one plugin, or all who asked for it.
    pub(crate) fn event<'a>(
        &self,
        plugin: Option<Arc<str>>,
        kind: &'static str,
        details: impl IntoIterator<Item = (&'a str, Value)>,
    ) {
        let details = details
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let what = What::Event { kind, details };
        self.send(Errand { plugin, what });
    }
}
