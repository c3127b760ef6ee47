//! Frames from the host to a client: time-out, pushes, and calls of opcodes that the client bound.
//! Invariant: a `Call` is never sent twice; its numbers are the host's own, from 1 in each session.
//! Not here: who is called, and how long anyone waits.

use crate::codec::body;
use crate::reply::Outcome;
use crate::value::Value;

body! {
    /// The receive time-out ran out; the connection stays open.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    TimeOut {
        /// How long the session has been idle, in milliseconds.
        idle_ms: u64,
    }

    /// Something from the host that needs no answer.
    #[derive(Clone, Debug, PartialEq)]
    Push {
        /// What.
        op: String,
        /// By position.
        args: Vec<Value>,
    }

    /// The client offers an opcode, or withdraws it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Bind {
        /// The opcode.
        op: String,
        /// False: withdrawn.
        bound: bool,
    }

    /// The host calls an opcode that the client bound.
    #[derive(Clone, Debug, PartialEq)]
    Call {
        /// The host's own numbers, from 1 in each session.
        number: u64,
        /// The opcode.
        op: String,
        /// By position.
        args: Vec<Value>,
        /// By name.
        kwargs: Vec<(String, Value)>,
        /// Milliseconds from when the client has read it.
        deadline_ms: Option<u64>,
    }

    /// The client's answer to a [`Call`].
    #[derive(Clone, Debug, PartialEq)]
    CallReply {
        /// The call's.
        number: u64,
        /// What became of it.
        outcome: Outcome,
    }

    /// Nobody waits for this call any more; the client may still answer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    CallCancel {
        /// The call's.
        number: u64,
    }

    /// Calls up to this number may be sent.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    CallCredit {
        /// Up to and including this number.
        through: u64,
    }
}
