//! Frames about the connection and the session: `Hello` to `Welcome`, `Close`, pings.
//! Invariant: `Hello` never changes its layout.
//! Not here: who may connect, and when a session ends.

use std::fmt;

use crate::code::Code;
use crate::codec::{Field, Reader, Writer, body};
use crate::error::{EncodeError, WireError};
use crate::limits;

/// 128 random bits that a client made once and keeps to itself: who knows them can pose as the client,
/// so they are not shown, not even by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub [u8; 16]);

impl fmt::Debug for ClientId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("ClientId(secret)")
    }
}

impl<'a> Field<'a> for ClientId {
    const LEAST_BYTES: usize = 16;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.0.put(to)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        <[u8; 16]>::get(from).map(Self)
    }
}

/// Introduces a client; its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The lowest protocol version the client speaks.
    pub min_version: u16,
    /// The highest one.
    pub max_version: u16,
    /// Who it is.
    pub client: ClientId,
    /// Shown in logs; at most 64 bytes.
    pub name: String,
    /// The store id of the host that the client last used with this id.
    pub last_store: Option<[u8; 16]>,
    /// The smallest request number whose reply the client has not got, or the next one it will use.
    pub lowest_unconfirmed: u64,
    /// 0; unknown bits are ignored.
    pub flags: u64,
}

impl Hello {
    /// Of a client without a past, for this version; a name that is too long is cut.
    #[must_use]
    pub fn new(client: ClientId, name: &str) -> Self {
        Self {
            min_version: crate::frame::VERSION,
            max_version: crate::frame::VERSION,
            client,
            name: cut(name, limits::CLIENT_NAME_BYTES).to_owned(),
            last_store: None,
            lowest_unconfirmed: 1,
            flags: 0,
        }
    }
}

impl<'a> Field<'a> for Hello {
    const LEAST_BYTES: usize = 22;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.name.len() > limits::CLIENT_NAME_BYTES {
            return Err(EncodeError::NameTooLong);
        }
        self.min_version.put(to)?;
        self.max_version.put(to)?;
        self.client.put(to)?;
        self.name.put(to)?;
        self.last_store.put(to)?;
        self.lowest_unconfirmed.put(to)?;
        self.flags.put(to)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let (min_version, max_version) = Field::get(from)?;
        let client = Field::get(from)?;
        let name = from.text()?;
        if name.len() > limits::CLIENT_NAME_BYTES {
            return Err(WireError::NameTooLong);
        }
        Ok(Self {
            min_version,
            max_version,
            client,
            name: name.to_owned(),
            last_store: Field::get(from)?,
            lowest_unconfirmed: Field::get(from)?,
            flags: Field::get(from)?,
        })
    }
}

body! {
    /// The host takes the client in.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Welcome {
        /// The version that both speak from here on.
        version: u16,
        /// The store's id: random, made with the data folder.
        store: [u8; 16],
        /// The session goes on that an earlier connection began.
        resumed: bool,
        /// The highest number of this client that was run to its end; 0 for none.
        executed_through: u64,
        /// The highest number received from this client id, at least `executed_through`.
        received_through: u64,
        /// See [`Limits`](crate::Limits): `Limits::default().to_wire()`.
        limits: Vec<(u8, u64)>,
        /// The digest of the opcode table.
        table: [u8; 16],
        /// Name and version of the host.
        host: String,
    }

    /// The host asks the client to prove itself.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Challenge {
        /// How.
        method: String,
        /// What the method needs.
        data: Vec<u8>,
    }

    /// The answer to a [`Challenge`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    Auth {
        /// The challenge's.
        method: String,
        /// What the method needs.
        data: Vec<u8>,
    }

    /// The last frame of a side; it closes after it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Close {
        /// Why.
        code: Code,
        /// A sentence a person can act on.
        message: String,
    }

    /// The client will never come back under this id.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Goodbye {}

    /// Is anyone there?
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Ping {
        /// Comes back in the [`Pong`].
        token: u64,
    }

    /// Yes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Pong {
        /// The ping's.
        token: u64,
    }
}

impl Close {
    /// With a message cut to [`limits::MESSAGE_BYTES`].
    #[must_use]
    pub fn new(code: Code, message: &str) -> Self {
        Self {
            code,
            message: cut(message, limits::MESSAGE_BYTES).to_owned(),
        }
    }
}

impl From<WireError> for Close {
    fn from(error: WireError) -> Self {
        Self::new(error.code(), &error.to_string())
    }
}

/// The longest beginning of `text` of at most `bytes` that ends between two characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes))
        .unwrap_or_default()
}
