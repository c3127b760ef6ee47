//! What is said when an operation is not run, in sentences.

use pixelboy_protocol::{Code, Failure};

use crate::dispatch::run::Ran;

pub(super) fn too_late() -> Ran {
    let why = "the request's time ran out before its turn; nothing happened";
    Ran::failed(Failure::new(Code::Deadline, why))
}

pub(super) fn reply_lost(number: u64) -> Failure {
    let what = "nothing of it is on disk; whether it ran or was refused is not known";
    Failure::new(
        Code::RanReplyLost,
        format!("the reply to request {number} is lost: {what}"),
    )
}

pub(super) fn already_confirmed(number: u64) -> Failure {
    let what = "was answered and its reply confirmed; it is not run again";
    Failure::new(Code::AlreadyConfirmed, format!("request {number} {what}"))
}

pub(super) fn number_reused(number: u64) -> Failure {
    Failure::new(
        Code::NumberReused,
        format!(
            "request {number} was another one before: two programs use one client id; \
             give each its own (its own state file)"
        ),
    )
}

pub(super) fn shutting_down() -> Failure {
    Failure::new(Code::ShuttingDown, "the host stops; nothing happened")
}
