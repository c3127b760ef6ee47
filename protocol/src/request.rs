//! One call of an opcode, as a client sends it.
//! Invariant: the digest is over the encoded `op, args, kwargs`, so the same call has the same digest on every connection.
//! Not here: whether the opcode exists and what its arguments must be (`arguments`).

use crate::codec::{Field, Reader, Writer, body, put_list};
use crate::error::{EncodeError, WireError};
use crate::frame::{Kind, encode_frame};
use crate::limits;
use crate::value::Value;

body! {
    /// One call of an opcode.
    #[derive(Clone, Debug, PartialEq)]
    Request {
        /// From 1, rising by one with each request of the client id.
        number: u64,
        /// The client has all replies up to and including this number.
        confirmed: u64,
        /// Milliseconds from when the host has read the request.
        deadline_ms: Option<u64>,
        /// The opcode. Not checked here: see [`opcode::valid`](crate::opcode::valid).
        op: String,
        /// By position.
        args: Vec<Value>,
        /// By name. Not checked for names given twice: see [`match_arguments`](crate::match_arguments).
        kwargs: Vec<(String, Value)>,
    }



    /// Drop the operation unless it has begun to commit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    Cancel {
        /// The request's.
        number: u64,
    }
}

/// The client has these replies; the host may forget them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// All up to and including this number.
    pub through: u64,
    /// These too: rising, at most 1,024.
    pub also: Vec<u64>,
}

impl<'a> Field<'a> for Confirm {
    const LEAST_BYTES: usize = 2;
    fn put(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.also.len() > limits::CONFIRM_ALSO {
            return Err(EncodeError::TooManyNumbers);
        }
        if !self.also.is_sorted_by(|number, next| number < next) {
            return Err(EncodeError::NotRising);
        }
        self.through.put(to)?;
        put_list(&self.also, to)
    }
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let through = Field::get(from)?;
        let also: Vec<u64> = Field::get(from)?;
        if also.len() > limits::CONFIRM_ALSO {
            return Err(WireError::TooManyNumbers);
        }
        if !also.is_sorted_by(|number, next| number < next) {
            return Err(WireError::NotRising);
        }
        Ok(Self { through, also })
    }
}

impl Request {
    /// Decodes a body, and digests `op, args, kwargs` as they were sent.
    ///
    /// # Errors
    /// When the body does not decode or its values are beyond the limits.
    pub fn decode_with_digest(body: &[u8]) -> Result<(Self, [u8; 16]), WireError> {
        let mut from = Reader::new(body);
        let number = Field::get(&mut from)?;
        let confirmed = Field::get(&mut from)?;
        let deadline_ms = Field::get(&mut from)?;
        let call = from.rest();
        let op = Field::get(&mut from)?;
        let args = Field::get(&mut from)?;
        let kwargs = Field::get(&mut from)?;
        let call_bytes = call.len() - from.rest().len();
        let digest = request_digest(call.get(..call_bytes).ok_or(WireError::Truncated)?);
        Ok((
            Self {
                number,
                confirmed,
                deadline_ms,
                op,
                args,
                kwargs,
            },
            digest,
        ))
    }

    /// The digest that the host will compute.
    ///
    /// # Errors
    /// When the values are beyond the limits.
    pub fn digest(&self) -> Result<[u8; 16], EncodeError> {
        let mut call = Vec::new();
        encode_call(&self.op, &self.args, &self.kwargs, &mut call)?;
        Ok(request_digest(&call))
    }
}

/// The digest of the encoded fields `op, args, kwargs`.
#[must_use]
pub fn request_digest(call: &[u8]) -> [u8; 16] {
    crate::short_sha256(&[call])
}

/// Appends the encoded fields `op, args, kwargs`, which a client keeps to send the same bytes again.
///
/// # Errors
/// When the values are beyond the limits; then `out` is as it was.
pub fn encode_call(
    op: &str,
    args: &[Value],
    kwargs: &[(String, Value)],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let mut to = Writer::new(out, Kind::Request.name(), limits::FRAME_BYTES);
    let done = to
        .bytes(op.as_bytes())
        .and_then(|()| put_list(args, &mut to))
        .and_then(|()| put_list(kwargs, &mut to))
        .and_then(|()| to.finish());
    if done.is_err() {
        out.truncate(start);
    }
    done
}

/// Appends a `Request` frame around what [`encode_call`] made.
///
/// # Errors
/// When the frame would be too large; then `out` is as it was.
pub fn encode_request_with(
    number: u64,
    confirmed: u64,
    deadline_ms: Option<u64>,
    call: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode_frame(Kind::Request, out, |to| {
        number.put(to)?;
        confirmed.put(to)?;
        deadline_ms.put(to)?;
        to.raw(call)
    })
}
