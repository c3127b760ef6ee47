//! The device's clients. Needs the grant `client`. All of it is staged and sent after the commit.

use std::time::Duration;

use crate::argument::Arguments;
use crate::bindings::pixelboy::plugin::client as host;
use crate::failure::FromHost as _;
use crate::reply::{IntoReply, Reply};
use crate::{Failure, Result, Value, nodes};

/// The sessions present now.
pub fn sessions() -> Vec<u64> {
    host::sessions()
}

/// Sends opcode and arguments to a session, without an answer; may be lost in a crash.
///
/// [`Call::session`](crate::Call::session) is the session of the client that called.
pub fn push(session: u64, op: &str, args: Vec<Value>) -> Result<()> {
    host::push(session, op, nodes::encode(args)).or_failure()
}

/// Calls an opcode that the session's client bound. What it answers arrives at the handler under `#[answer]`, with `tag`.
pub fn call(session: u64, op: &str, args: Vec<Value>, timeout: Duration, tag: &str) -> Result<()> {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    host::call(session, op, nodes::encode(args), timeout_ms, tag).or_failure()
}

/// Answers the operation that returned [`later(token)`](crate::later).
pub fn complete<T: IntoReply>(token: u64, reply: Result<T>) -> Result<()> {
    let reply = match reply.map(IntoReply::into_reply) {
        Ok(Reply::Done(values)) => Ok(nodes::encode(values)),
        Ok(Reply::Later(_)) => {
            Err(Failure::failed("a token can't be completed with `later`").into_host())
        }
        Err(failure) => Err(failure.into_host()),
    };
    host::complete(token, reply).or_failure()
}

/// What a client answered to [`call`]: its values, or why not.
pub type Answer = Result<Vec<Value>>;

/// The arguments of `@answer` after the tag.
#[doc(hidden)]
pub fn take_answer(args: &mut Arguments) -> Result<Answer> {
    if args.take("ok")? {
        return Ok(Ok(args.rest()));
    }
    let (code, message): (String, String) = (args.take("code")?, args.take("message")?);
    Ok(Err(Failure::new(code, message)))
}
