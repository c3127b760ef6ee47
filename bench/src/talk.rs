//! What both sides say: pixelboy's frames, and the bare echo's.
//! Invariant: every answer is checked; a wrong one ends the run, so that no number is of an error's speed.

use std::collections::BTreeSet;

use pixelboy_protocol::{
    ClientId, Code, Frame, Hello, Outcome, PREAMBLE, Pong, Reply, Split, Splitter, Value,
    encode_call, encode_request_with,
};

use crate::Fault;
use crate::link::{Link, Taken, Talk};

/// A client of the bare echo.
#[derive(Debug)]
pub(crate) struct Bare {
    frame: Vec<u8>,
}

impl Bare {
    /// Sends `payload` again and again.
    pub(crate) fn new(payload: &[u8]) -> Self {
        let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
        frame.extend_from_slice(payload);
        Self { frame }
    }
}

impl Talk for Bare {
    fn ask(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        out.extend_from_slice(&self.frame);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Result<Taken, Fault> {
        let mut taken = Taken::default();
        for answer in bytes.chunks_exact(self.frame.len()) {
            if answer != self.frame {
                return Err("the bare echo answered something else than it was sent".into());
            }
            taken.bytes += answer.len();
            taken.answers += 1;
        }
        Ok(taken)
    }
}

/// A client of `pixelboyd`, as one program after another request sees it.
#[derive(Debug)]
pub(crate) struct Client {
    splitter: Splitter,
    number: u64,
    /// Replies came for all numbers up to this one.
    answered: u64,
    /// Replies that came before one to a smaller number.
    ahead: BTreeSet<u64>,
    call: Vec<u8>,
    expected: Option<Vec<Value>>,
    /// The values of the last answer.
    last: Vec<Value>,
    is_welcome: bool,
}

impl Client {
    /// Says Hello as a client without a past, and is let in.
    pub(crate) fn join(link: &mut Link) -> Result<Self, Fault> {
        let mut client = Self {
            splitter: Splitter::new(),
            number: 0,
            answered: 0,
            ahead: BTreeSet::new(),
            call: Vec::new(),
            expected: None,
            last: Vec::new(),
            is_welcome: false,
        };
        let mut hello = PREAMBLE.to_vec();
        Hello::new(ClientId(random()), "bench").encode(&mut hello)?;
        link.send(&hello)?;
        while !client.is_welcome {
            link.exchange(&mut client)?;
        }
        // An idle client is told so; the bench is not interested.
        client.once(link, "sptt", &[])?;
        Ok(client)
    }

    /// From now on asks for this; the answer must be `expected` where that is given.
    pub(crate) fn will_ask(
        &mut self,
        op: &str,
        args: &[Value],
        expected: Option<Vec<Value>>,
    ) -> Result<(), Fault> {
        self.call.clear();
        encode_call(op, args, &[], &mut self.call)?;
        self.expected = expected;
        Ok(())
    }

    /// One request and its answer.
    pub(crate) fn once(
        &mut self,
        link: &mut Link,
        op: &str,
        args: &[Value],
    ) -> Result<Vec<Value>, Fault> {
        self.will_ask(op, args, None)?;
        link.round(self, 1, 1)?;
        Ok(std::mem::take(&mut self.last))
    }

    fn on_reply(&mut self, reply: Reply) -> Result<(), Fault> {
        // Replies may overtake each other; what is confirmed is all up to a number.
        let number = reply.number;
        if number <= self.answered || number > self.number || !self.ahead.insert(number) {
            return Err(format!("the reply to {number} was not waited for").into());
        }
        while self.ahead.remove(&(self.answered + 1)) {
            self.answered += 1;
        }
        match reply.outcome {
            Outcome::Failed(failure) => Err(format!("a request failed: {failure}").into()),
            Outcome::Done(values)
                if self
                    .expected
                    .as_ref()
                    .is_some_and(|expected| *expected != values) =>
            {
                Err(format!("expected {:?}, got {values:?}", self.expected).into())
            }
            Outcome::Done(values) => {
                self.last = values;
                Ok(())
            }
        }
    }
}

impl Talk for Client {
    fn ask(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.number += 1;
        Ok(encode_request_with(
            self.number,
            self.answered,
            None,
            &self.call,
            out,
        )?)
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Taken, Fault> {
        let mut taken = Taken::default();
        loop {
            let rest = bytes.get(taken.bytes..).unwrap_or_default();
            let (kind, body) = match self.splitter.split(rest)? {
                Split::NeedMore { .. } => return Ok(taken),
                Split::Skip { end, .. } => {
                    taken.bytes += end;
                    continue;
                }
                Split::Frame { kind, body } => (kind, body),
            };
            taken.bytes += body.end;
            match Frame::decode(kind, rest.get(body).unwrap_or_default())? {
                Frame::Reply(reply) => {
                    self.on_reply(reply)?;
                    taken.answers += 1;
                }
                Frame::Ping(ping) => Pong { token: ping.token }.encode(out)?,
                Frame::Welcome(_) => {
                    self.splitter.welcomed();
                    self.is_welcome = true;
                }
                // After the answer to `cc`.
                Frame::Close(close) if close.code == Code::Closed => {}
                Frame::Close(close) => {
                    return Err(format!("pixelboyd closed: {}", close.message).into());
                }
                _ => {}
            }
        }
    }
}

/// A client id of this run; not a secret, but none is used twice.
fn random() -> [u8; 16] {
    use std::hash::{BuildHasher, RandomState};
    let part = || {
        RandomState::new()
            .hash_one(std::process::id())
            .to_le_bytes()
    };
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(part().into_iter().chain(part())) {
        *to = from;
    }
    id
}
