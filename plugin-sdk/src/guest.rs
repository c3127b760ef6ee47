//! How a plugin meets the host: its two exports, on top of what the [`plugin`](crate::plugin) macro writes.
//! A panic is logged with its place, then traps; the host drops what the operation staged.

pub use crate::argument::Arguments;
use crate::reply::{IntoReply, Reply};
use crate::table::Table;
use crate::{Call, Failure, Result};

/// What the macro writes for an `impl` block.
pub trait Plugin {
    /// What it offers.
    const TABLE: Table;

    /// Hands an operation to its handler.
    fn dispatch(call: &Call, op: &str, args: &mut Arguments) -> Result<Reply>;
}

/// What a handler returned, as a reply.
pub fn reply<T: IntoReply>(result: Result<T>) -> Result<Reply> {
    result.map(IntoReply::into_reply)
}

/// The answer to an operation that no handler takes.
pub fn unknown(op: &str) -> Result<Reply> {
    Err(Failure::unsupported(format!("this plugin has no {op}")))
}

#[cfg(target_family = "wasm")]
mod exports {
    use std::sync::Once;

    use super::{Arguments, Plugin, Reply};
    use crate::bindings::Guest;
    use crate::bindings::pixelboy::plugin::calls::{Call, Manifest};
    use crate::bindings::pixelboy::plugin::types;
    use crate::{log, nodes};

    impl<P: Plugin> Guest for P {
        fn describe(manifest: &Manifest) {
            log_panics();
            P::TABLE.fill(manifest);
        }

        fn handle(
            call: &Call,
            op: String,
            args: types::Values,
        ) -> Result<types::Outcome, types::Failure> {
            log_panics();
            match P::dispatch(call, &op, &mut Arguments::new(nodes::decode(args))) {
                Ok(Reply::Done(values)) => Ok(types::Outcome::Done(nodes::encode(values))),
                Ok(Reply::Later(token)) => Ok(types::Outcome::Later(token)),
                Err(failure) => Err(failure.into_host()),
            }
        }
    }

    fn log_panics() {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string()))));
    }
}
