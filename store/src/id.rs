//! The names of things in the store.

/// The 128 random bits a client made for itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub [u8; 16]);

/// Made at random with the data folder; a wiped or copied folder shows by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

/// The first 16 bytes of SHA-256 over a request's opcode and arguments as sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestDigest(pub [u8; 16]);

/// SHA-256 of a file's or an upload's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

/// What names an operation for ever: the client and its own number, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId {
    /// Who asked.
    pub client: ClientId,
    /// The request's number.
    pub number: u64,
}

/// A place in the one global commit order. 0 is before the first commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position(pub u64);

/// Proof that everything up to a position is on disk. Only the store can make one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    position: Position,
}

impl Receipt {
    /// Called by the committer once the sync has returned; by nobody else.
    #[expect(dead_code, reason = "used by the committer")]
    pub(crate) fn after_sync(position: Position) -> Self {
        Self { position }
    }

    /// All commits up to here are durable.
    pub fn position(&self) -> Position {
        self.position
    }
}

/// Whose key-value data: a plugin's name, or the host's own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KvNamespace(pub std::sync::Arc<str>);
