//! What a handler gives back: values, or a promise to answer later.

use crate::bindings::pixelboy::plugin::calls;
use crate::failure::FromHost as _;
use crate::{Failure, Map, Result, Value, nodes};

/// A reply: values now, or a token that a later operation completes.
#[derive(Debug)]
pub enum Reply {
    /// The values, usually none or one.
    Done(Vec<Value>),
    /// See [`later`].
    Later(u64),
}

/// Commits what this operation staged and leaves the answer to a later one, which calls
/// [`complete`] with this token (from [`Call::token`](crate::Call::token)).
///
/// It holds nobody up. A token lost in a crash answers `interrupted`.
pub fn later(token: u64) -> Reply {
    Reply::Later(token)
}

/// Answers the operation that returned [`later`] with this token; `not-found` where nobody waits for it any more.
pub fn complete<T: IntoReply>(token: u64, reply: Result<T>) -> Result<()> {
    let reply = match reply.map(IntoReply::into_reply) {
        Ok(Reply::Done(values)) => Ok(nodes::encode(values)),
        Ok(Reply::Later(_)) => {
            Err(Failure::failed("a token can't be completed with `later`").into_host())
        }
        Err(failure) => Err(failure.into_host()),
    };
    calls::complete(token, reply).or_failure()
}

/// What a handler can return in its `Ok`: nothing, a value, a tuple of values, a [`Map`], or a [`Reply`].
#[diagnostic::on_unimplemented(
    message = "a handler can't reply with `{Self}`",
    note = "reply with (), a value (bool, numbers, text, bytes, Data, Map, lists, Option), a tuple of values, or Reply"
)]
pub trait IntoReply {
    /// The reply it stands for.
    fn into_reply(self) -> Reply;
}

impl IntoReply for Reply {
    fn into_reply(self) -> Reply {
        self
    }
}

impl IntoReply for () {
    fn into_reply(self) -> Reply {
        Reply::Done(Vec::new())
    }
}

/// Types that are one value.
macro_rules! one_value {
    ($($type:ty)*) => {
        $(impl IntoReply for $type {
            fn into_reply(self) -> Reply {
                Reply::Done(vec![self.into()])
            }
        })*
    };
}

one_value! {
    bool i32 i64 u8 u16 u32 u64 usize f32 f64 &str String Vec<u8> crate::Data crate::Digest Map Value
    Vec<Value> Vec<Map> Vec<String> Vec<i64> Vec<f64>
}

impl<T: Into<Value>> IntoReply for Option<T> {
    fn into_reply(self) -> Reply {
        Reply::Done(vec![self.into()])
    }
}

/// Several values.
macro_rules! several_values {
    ($(($($name:ident)+))*) => {
        $(impl<$($name: Into<Value>),+> IntoReply for ($($name,)+) {
            #[allow(non_snake_case, reason = "one variable for each type")]
            fn into_reply(self) -> Reply {
                let ($($name,)+) = self;
                Reply::Done(vec![$($name.into()),+])
            }
        })*
    };
}

several_values! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }
