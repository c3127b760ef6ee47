//! A file that keeps who a client is and what has no answer yet, from run to run: `clients/STATE.md`.
//! Not here: when something is written (`identity`, `session`).

mod file;
mod format;

pub(crate) use file::{Batch, Notice, StateFile};
pub(crate) use format::{KeptCall, head_line, line, request_line, store_line};
