//! What happens without being asked for.

use pixelboy_protocol::Value;

/// What happens without being asked for. Whoever listens too slowly misses the oldest.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Nothing was sent for as long as the receive time-out; the connection stays.
    TimeOut {
        /// Milliseconds of idleness.
        idle_ms: u64,
    },
    /// A plugin tells something.
    Push {
        /// What it is about.
        op: String,
        /// With it.
        args: Vec<Value>,
    },
    /// The connection broke; it is being made again.
    Disconnected {
        /// How.
        why: String,
    },
    /// The connection is there again.
    Reconnected {
        /// The session went on: music, time-outs and bound opcodes are as they were.
        resumed: bool,
    },
    /// The device offers other opcodes now; [`Client::table`](crate::Client::table) fetches them.
    TableChanged,
}
