//! The host's own opcodes, as rows of the same table that plugins fill.
//! Not here: what they do to a session (`session`).

use pixelboy_protocol::{ArgEntry, ArgKind, OpEntry};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostOp {
    Status,
    SetReceiveTimeout,
    PassTimeOut(bool),
    CloseConnection,
}

/// The shortest and the longest receive time-out, in seconds.
pub(crate) const RECEIVE_TIMEOUT_S: (f64, f64) = (0.05, 86_400.0);

/// The rows.
pub(crate) fn rows() -> Vec<(OpEntry, HostOp)> {
    let mut seconds = ArgEntry::new(
        "seconds",
        ArgKind::Float,
        "Until an idle client gets `TimeOut`.",
    );
    (seconds.min, seconds.max) = (Some(RECEIVE_TIMEOUT_S.0), Some(RECEIVE_TIMEOUT_S.1));
    vec![
        (
            row(
                "status",
                vec![],
                "What is shown and played, the volume, plugins and versions.",
                "a map",
            ),
            HostOp::Status,
        ),
        (
            row(
                "srto",
                vec![seconds],
                "Sets the session's receive time-out.",
                "the seconds",
            ),
            HostOp::SetReceiveTimeout,
        ),
        (
            row(
                "sptt",
                vec![],
                "Sets pass-time-out: an idle client gets no `TimeOut`.",
                "nothing",
            ),
            HostOp::PassTimeOut(true),
        ),
        (
            row(
                "sptf",
                vec![],
                "Clears pass-time-out: an idle client gets `TimeOut` again.",
                "nothing",
            ),
            HostOp::PassTimeOut(false),
        ),
        (
            row(
                "cc",
                vec![],
                "Closes the connection after everything before it, and ends the session.",
                "nothing",
            ),
            HostOp::CloseConnection,
        ),
    ]
}

fn row(op: &str, args: Vec<ArgEntry>, doc: &str, returns: &str) -> OpEntry {
    OpEntry {
        op: op.to_owned(),
        plugin: "host".to_owned(),
        doc: doc.to_owned(),
        args,
        returns: returns.to_owned(),
    }
}
