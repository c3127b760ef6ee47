//! What became of a request.
//! Invariant: the text and bytes of one outcome fit `limits::INLINE_BYTES`, on both sides.
//! Not here: whether it is durable; the host fills `stored` from the store's receipt.

use crate::code::Code;
use crate::codec::{Field, Reader, Writer, body, put_list};
use crate::connection::cut;
use crate::error::{EncodeError, WireError};
use crate::frame::{Kind, encode_frame};
use crate::limits;
use crate::value::Value;

body! {
/// The answer to a request; final for its number.
#[derive(Clone, Debug, PartialEq)]
Reply {
    /// The request's.
    number: u64,
    /// The position in the store's commit order, when the operation wrote.
    stored: Option<u64>,
    /// The answer comes from the record; the operation was not run again.
    recorded: bool,
    /// What became of it.
    outcome: Outcome,
}

}

/// Why an operation did not happen. What is over the limits of message and details is cut when it is encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// A sentence a person can act on; at most 1,024 bytes.
    pub message: String,
    /// More, for programs: (name, value); at most 16 of 1,024 bytes each.
    pub details: Vec<(String, String)>,
}

impl<'a> Field<'a> for Failure {
    const LEAST_BYTES: usize = 3;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.code.put(to)?;
        to.bytes(cut(&self.message, limits::MESSAGE_BYTES).as_bytes())?;
        to.varint(self.details.len().min(limits::DETAILS) as u64);
        for (name, value) in self.details.iter().take(limits::DETAILS) {
            let name = cut(name, limits::DETAIL_BYTES);
            to.bytes(name.as_bytes())?;
            to.bytes(cut(value, limits::DETAIL_BYTES - name.len()).as_bytes())?;
        }
        Ok(())
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let code = Field::get(from)?;
        let message = from.text()?;
        let count = from.count(2)?;
        if message.len() > limits::MESSAGE_BYTES || count > limits::DETAILS {
            return Err(WireError::FailureTooLong);
        }
        let mut details = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, value) = (from.text()?, from.text()?);
            if name.len() + value.len() > limits::DETAIL_BYTES {
                return Err(WireError::FailureTooLong);
            }
            details.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self {
            code,
            message: message.to_owned(),
            details,
        })
    }
}

impl Failure {
    /// Without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// With one more detail.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.details.push((name.into(), value.into()));
        self
    }
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It happened, and gave these values.
    Done(Vec<Value>),
    /// It did not happen.
    Failed(Failure),
}

impl Outcome {
    /// Appends the encoding that [`Outcome::decode`] reads and [`encode_reply_with`] takes, for the host's record.
    ///
    /// # Errors
    /// When the values are beyond the limits of a reply; then `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let mut to = Writer::new(out, Kind::Reply.name(), limits::FRAME_BYTES);
        let done = self.put(&mut to).and_then(|()| to.finish());
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// Reads what [`Outcome::encode`] wrote.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        Self::get(&mut Reader::new(bytes))
    }

    /// The values, or the failure.
    ///
    /// # Errors
    /// The failure, where it failed.
    pub fn into_result(self) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Done(values) => Ok(values),
            Self::Failed(failure) => Err(failure),
        }
    }
}

impl From<Result<Vec<Value>, Failure>> for Outcome {
    fn from(result: Result<Vec<Value>, Failure>) -> Self {
        match result {
            Ok(values) => Self::Done(values),
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl<'a> Field<'a> for Outcome {
    const LEAST_BYTES: usize = 2;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Done(values) => {
                to.byte(0);
                to.inline_bytes_left = limits::INLINE_BYTES;
                put_list(values, to)
            }
            Self::Failed(failure) => {
                to.byte(1);
                failure.put(to)
            }
        }
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        match from.varint(32)? {
            0 => {
                from.inline_bytes_left = limits::INLINE_BYTES;
                Field::get(from).map(Self::Done)
            }
            1 => Field::get(from).map(Self::Failed),
            variant => Err(WireError::BadVariant {
                of: "outcome",
                variant,
            }),
        }
    }
}

/// Appends a `Reply` frame around what [`Outcome::encode`] made, so that a recorded outcome is not decoded first.
///
/// # Errors
/// When the frame would be too large; then `out` is as it was.
pub fn encode_reply_with(
    number: u64,
    stored: Option<u64>,
    recorded: bool,
    outcome: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode_frame(Kind::Reply, out, |to| {
        number.put(to)?;
        stored.put(to)?;
        recorded.put(to)?;
        to.raw(outcome)
    })
}
