//! The door of our own protocol: TCP connections in, operations out.
//! Invariant: a stranger gets a sentence or silence, and no more memory than one small frame.
//! Not here: what an operation does (`dispatch`).
//! A breach of the protocol: one Close frame with the reason, then the connection ends.

mod connection;
mod download;
mod listener;
mod stranger;
mod upload;
mod wire;

pub(crate) use listener::{BindError, Door, bind};
pub(crate) use upload::UploadRoom;
