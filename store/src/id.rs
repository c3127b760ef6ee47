//! The names of things in the store.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The 128 random bits a client made for itself. Never displayed: who knows them can pose as the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientId(..)")
    }
}

/// Made at random with the data folder; a new or wiped folder shows by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({})", hex::encode(self.0))
    }
}

/// The first 16 bytes of SHA-256 over a request's opcode and arguments as sent.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestDigest(pub [u8; 16]);

impl fmt::Debug for RequestDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestDigest({})", hex::encode(self.0))
    }
}

/// SHA-256 of a file's or an upload's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({})", hex::encode(self.0))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What names an operation for ever: the client and its own number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OperationId {
    /// Who asked.
    pub client: ClientId,
    /// The request's number.
    pub number: u64,
}

/// A place in the one global commit order. 0 is before the first commit.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct Position(pub u64);

/// Proof that everything up to a position is on disk. Only the store can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    position: Position,
}

impl Receipt {
    /// Called by the committer once the sync has returned; by nobody else.
    pub(crate) fn after_sync(position: Position) -> Self {
        Self { position }
    }

    /// All commits up to here are durable.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// Whose key-value data: a plugin's name, or the host's own. Names that begin with `@` are the store's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KvNamespace(pub Arc<str>);
