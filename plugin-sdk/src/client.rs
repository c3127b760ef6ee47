//! The device's clients. Needs the grant `client`. All of it is staged and sent after the commit.

use std::time::Duration;

use crate::argument::Arguments;
use crate::bindings::pixelboy::plugin::client as host;
use crate::failure::FromHost as _;
use crate::{Failure, Result, Value, nodes};

/// The sessions present now. A session's number is never used again, also after a restart.
pub fn sessions() -> Vec<u64> {
    host::sessions()
}

/// Sends opcode and arguments to a session, without an answer; may be lost in a crash.
///
/// [`Call::session`](crate::Call::session) is the session of the client that called.
pub fn push(session: u64, op: &str, args: Vec<Value>) -> Result<()> {
    host::push(session, op, nodes::encode(args)).or_failure()
}

/// Calls an opcode that the session's client bound. What it answers arrives at the handler under `#[answer]`, with `tag`;
/// a crash between gives no answer: set a durable timer where that matters.
pub fn call(session: u64, op: &str, args: Vec<Value>, timeout: Duration, tag: &str) -> Result<()> {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    host::call(session, op, nodes::encode(args), timeout_ms, tag).or_failure()
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
