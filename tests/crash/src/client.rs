//! A client that remembers what it asked for and what was answered, over any number of cuts.
//! Invariant: what has no answer keeps its number, its bytes and its upload, and is sent again, in order, on the next
//! connection. Not here: whether the answers are right (`run`).
//! A connection that ends is no failure; the next life goes on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use faultfs::Random;
use harness::wire::Missing;
use harness::{Identity, PATIENCE, Wire, files};
use pixelboy_protocol::{
    Abort, Code, Confirm, Data, Finish, Frame, OpenState, OpenUpload, Opened, Outcome, Reply,
    Request, limits,
};

use crate::Tally;
use crate::model::{self, Act};

/// Above this a payload travels as an upload.
const INLINE_BYTES: usize = limits::INLINE_BYTES - 1_024;

/// What became of an operation, as far as its client knows.
#[derive(Clone, Debug)]
pub enum Fate {
    /// No answer.
    Pending,
    /// Its first answer.
    Answered(Reply),
    /// The host said for good that it did not happen, since the disk had failed.
    Void,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub act: Act,
    /// As it is sent, each time.
    pub request: Request,
    /// Its bytes travel on their own under this number.
    pub upload: Option<u64>,
    /// What is known.
    pub fate: Fate,
    /// Later answers to the same number.
    pub again: Vec<Reply>,
    /// It was committed when it was sent again without an answer; none where it was not sent again.
    pub sent_again: bool,
}

/// What a client is to do in one life of the daemon.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// New operations.
    pub operations: u64,
    /// Unanswered at a time.
    pub window: usize,
    /// Begin with an upload that takes a second and a half.
    pub slow_upload: bool,
}

/// See the module.
pub struct Client {
    /// Which one.
    pub index: u8,
    /// By number, from 1.
    pub steps: Vec<Step>,
    /// All up to this number are confirmed.
    pub confirmed: u64,
    id: Identity,
    random: Random,
    next_upload: u64,
    /// Uploads under way: bytes sent so far, and those told to be durable.
    under_way: BTreeMap<u64, (u64, u64)>,
}

/// Why a life ended early.
enum End {
    /// The connection is gone, or the disk failed.
    Gone,
    /// It broke its word.
    Wrong(String),
}

impl From<Missing> for End {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Late => Self::Wrong("no answer in time".into()),
            Missing::Ended(Some(close)) if close.code != Code::ShuttingDown => {
                Self::Wrong(format!("the connection was closed with {close:?}"))
            }
            Missing::Ended(_) => Self::Gone,
        }
    }
}

impl Client {
    /// Without a past.
    #[must_use]
    pub fn new(index: u8, seed: u64) -> Self {
        let mut random = Random::new(seed ^ (u64::from(index) + 1).wrapping_mul(0xD6E8_FEB8));
        let mut id = Identity::new();
        id.client[..8].copy_from_slice(&random.any().to_le_bytes());
        Self {
            index,
            steps: Vec::new(),
            confirmed: 0,
            id,
            random,
            next_upload: 1,
            under_way: BTreeMap::new(),
        }
    }

    /// Connects, sends again what is open, works, until all is done or the connection ends. What happened; or what the
    /// host did that it must not.
    ///
    /// # Errors
    /// In words.
    pub fn live(&mut self, address: SocketAddr, work: Work) -> Result<Tally, String> {
        let mut tally = Tally::default();
        match self.try_live(address, work, &mut tally) {
            Ok(()) | Err(End::Gone) => Ok(tally),
            Err(End::Wrong(words)) => Err(format!("client {}: {words}", self.index)),
        }
    }

    /// After a life: where an operation without an answer was taken back, later ones were refused for want of it; that is
    /// their answer for good.
    pub fn settle(&mut self) {
        let open = |step: &Step| matches!(step.fate, Fate::Pending);
        let Some(first) = self.steps.iter().position(open) else {
            return;
        };
        for step in &mut self.steps[first..] {
            if let Fate::Answered(reply) = &step.fate
                && matches!(reply.outcome, Outcome::Failed(_))
            {
                step.fate = Fate::Void;
            }
        }
    }

    fn try_live(&mut self, address: SocketAddr, work: Work, tally: &mut Tally) -> Result<(), End> {
        let mut wire = Wire::try_join(address, self.id.clone(), PATIENCE)?;
        self.id = wire.id.clone();
        wire.confirmed = self.confirmed;
        self.send_again(&mut wire, tally)?;
        for number in 0..work.operations {
            let slow = work.slow_upload && number == 0;
            self.begin(&mut wire, slow, tally)?;
            let window = if slow { 0 } else { work.window };
            self.collect(&mut wire, window)?;
            if self.random.chance(12) {
                self.confirm(&mut wire)?;
            }
        }
        self.collect(&mut wire, 0)
    }

    /// Everything without an answer, in order; sometimes also what was answered and not confirmed.
    fn send_again(&mut self, wire: &mut Wire, tally: &mut Tally) -> Result<(), End> {
        let answered_too = self.random.chance(50);
        let open: Vec<usize> = (self.confirmed as usize..self.steps.len())
            .filter(|at| match self.steps[*at].fate {
                Fate::Pending => true,
                Fate::Answered(_) => answered_too,
                Fate::Void => false,
            })
            .collect();
        for at in &open {
            if let (Some(upload), Fate::Pending) = (self.steps[*at].upload, &self.steps[*at].fate) {
                let bytes = self.steps[*at].act.payload().unwrap_or_default().to_owned();
                self.upload(wire, upload, &bytes, Duration::ZERO, tally)?;
            }
        }
        for at in &open {
            self.send(wire, *at)?;
        }
        let (mut left, mut unknown) = (open.len(), false);
        while left > 0 {
            let reply = next_reply(wire)?;
            unknown |= is_unknown(&reply);
            let step = self.step(reply.number)?;
            match &step.fate {
                Fate::Answered(_) => {
                    tally.answered_sent_again += 1;
                    if !is_unknown(&reply) {
                        step.again.push(reply);
                    }
                }
                _ => {
                    step.sent_again = true;
                    if is_unknown(&reply) {
                        step.sent_again = false;
                    } else if reply.recorded {
                        tally.unanswered_sent_again += 1;
                    } else {
                        tally.lost_sent_again += 1;
                    }
                    note(step, reply);
                }
            }
            left -= 1;
        }
        // Their numbers stay open, and nothing that follows will be stored.
        if unknown { Err(End::Gone) } else { Ok(()) }
    }

    fn step(&mut self, number: u64) -> Result<&mut Step, End> {
        let at = (number as usize).checked_sub(1);
        at.and_then(|at| self.steps.get_mut(at))
            .ok_or_else(|| End::Wrong(format!("a reply to {number}, which was never sent")))
    }

    fn send(&mut self, wire: &mut Wire, at: usize) -> Result<(), End> {
        let mut request = self.steps[at].request.clone();
        request.confirmed = self.confirmed;
        if wire.try_send(request) {
            Ok(())
        } else {
            Err(End::Gone)
        }
    }

    /// A new operation.
    fn begin(&mut self, wire: &mut Wire, slow: bool, tally: &mut Tally) -> Result<(), End> {
        let number = self.steps.len() as u64 + 1;
        let large = slow || self.random.chance(4);
        let act = match self.steps.last().map(|step| &step.act) {
            // What is shown right behind its storing must wait for it.
            Some(Act::Put("si", path, _)) if path.contains("picture") && self.random.chance(60) => {
                Act::Show(path.clone())
            }
            _ => model::next(&mut self.random, self.index, number, large),
        };
        let payload = act.payload().unwrap_or_default().to_owned();
        let upload = (payload.len() > INLINE_BYTES).then(|| {
            self.next_upload += 1;
            self.next_upload - 1
        });
        self.steps.push(Step {
            request: act.request(number, upload),
            act,
            upload,
            fate: Fate::Pending,
            again: Vec::new(),
            sent_again: false,
        });
        tally.operations += 1;
        if let Some(upload) = upload {
            let pause = if slow {
                Duration::from_millis(1_500) * 16_384 / payload.len() as u32
            } else {
                Duration::ZERO
            };
            self.upload(wire, upload, &payload, pause, tally)?;
        }
        self.send(wire, number as usize - 1)
    }

    /// Waits until at most so many are unanswered.
    fn collect(&mut self, wire: &mut Wire, window: usize) -> Result<(), End> {
        loop {
            let open = self.steps.iter().skip(self.confirmed as usize);
            let open = open.filter(|step| matches!(step.fate, Fate::Pending));
            if open.count() <= window {
                return Ok(());
            }
            let reply = next_reply(wire)?;
            let unknown = is_unknown(&reply);
            note(self.step(reply.number)?, reply);
            if unknown {
                // Its number stays open, and nothing that follows will be stored.
                return Err(End::Gone);
            }
        }
    }

    fn confirm(&mut self, wire: &mut Wire) -> Result<(), End> {
        let done = self.steps.iter();
        let done = done.take_while(|step| !matches!(step.fate, Fate::Pending));
        let through = done.count() as u64;
        if through <= self.confirmed {
            return Ok(());
        }
        // From here on it must not be asked for again, whether this arrives or not.
        self.confirmed = through;
        self.id.lowest_unconfirmed = through + 1;
        let also = Vec::new();
        if wire.try_send(Confirm { through, also }) {
            Ok(())
        } else {
            Err(End::Gone)
        }
    }

    /// Brings an upload to its end from where the host says it is.
    fn upload(
        &mut self,
        wire: &mut Wire,
        transfer: u64,
        bytes: &[u8],
        pause: Duration,
        tally: &mut Tally,
    ) -> Result<(), End> {
        let (length, sha256) = (bytes.len() as u64, files::sha256(bytes));
        let open = OpenUpload {
            transfer,
            length: Some(length),
            sha256: Some(sha256),
            mode: OpenUpload::STORED,
        };
        if !wire.try_send(open) {
            return Err(End::Gone);
        }
        let opened: Result<Opened, Abort> = wire.try_wait(PATIENCE, |frame| match frame {
            Frame::Opened(opened) if opened.transfer == transfer => Some(Ok(opened.clone())),
            Frame::Abort(abort) if abort.transfer == transfer => Some(Err(abort.clone())),
            _ => None,
        })?;
        let (sent, durable) = self.under_way.get(&transfer).copied().unwrap_or_default();
        let (mut at, mut limit) = match opened.map_err(end_of_upload)?.state {
            OpenState::At { offset, limit } => {
                if offset < durable || offset > sent {
                    let words = format!(
                        "upload {transfer} goes on from {offset}; {sent} bytes were sent, {durable} told to be durable"
                    );
                    return Err(End::Wrong(words));
                }
                tally.uploads_resumed += u64::from(offset > 0);
                (offset, limit)
            }
            OpenState::Complete | OpenState::Consumed { .. } if sent == length => return Ok(()),
            other => {
                return Err(End::Wrong(format!(
                    "upload {transfer} is {other:?} after {sent} of {length} bytes"
                )));
            }
        };
        // A part may be cut off in the socket; what the host may have is what was ever sent.
        while at < length {
            while limit < length.min(at + 16_384) {
                limit = self.credit(wire, transfer)?;
            }
            let end = length.min(at + 16_384);
            let chunk = &bytes[at as usize..end as usize];
            let (sent, _) = self.under_way.entry(transfer).or_default();
            *sent = (*sent).max(end);
            if !wire.try_send(Data::new(transfer, at, chunk)) {
                return Err(End::Gone);
            }
            at = end;
            if !pause.is_zero() {
                std::thread::sleep(pause);
                self.note_durable(wire, transfer);
            }
        }
        self.under_way.entry(transfer).or_default().0 = length;
        let finish = Finish {
            transfer,
            length,
            sha256,
        };
        if !wire.try_send(finish) {
            return Err(End::Gone);
        }
        let finished: Result<(), Abort> = wire.try_wait(PATIENCE, |frame| match frame {
            Frame::Finished(finished) if finished.transfer == transfer => Some(Ok(())),
            Frame::Abort(abort) if abort.transfer == transfer => Some(Err(abort.clone())),
            _ => None,
        })?;
        finished.map_err(end_of_upload)?;
        self.under_way.insert(transfer, (length, length));
        Ok(())
    }

    fn credit(&mut self, wire: &mut Wire, transfer: u64) -> Result<u64, End> {
        let credit: Result<u64, Abort> = wire.try_wait(PATIENCE, |frame| match frame {
            Frame::Credit(credit) if credit.transfer == transfer => Some(Ok(credit.limit)),
            Frame::Abort(abort) if abort.transfer == transfer => Some(Err(abort.clone())),
            _ => None,
        })?;
        credit.map_err(end_of_upload)
    }

    fn note_durable(&mut self, wire: &mut Wire, transfer: u64) {
        let told = wire.try_wait(Duration::from_micros(100), |frame| match frame {
            Frame::Durable(durable) if durable.transfer == transfer => Some(durable.offset),
            _ => None,
        });
        if let Ok(offset) = told {
            self.under_way.entry(transfer).or_default().1 = offset;
        }
    }
}

/// Keeps a first answer.
fn note(step: &mut Step, reply: Reply) {
    let code = match &reply.outcome {
        // Bytes that a guest could not read.
        Outcome::Failed(failure) if failure.message.contains("(os error 5)") => {
            Some(Code::StorageFailed)
        }
        Outcome::Failed(failure) => Some(failure.code),
        Outcome::Done(_) => None,
    };
    match code {
        Some(Code::OutcomeUnknown) => {}
        Some(Code::ReadOnly | Code::StorageFailed | Code::NoSpace | Code::ShuttingDown) => {
            step.fate = Fate::Void;
        }
        _ => step.fate = Fate::Answered(reply),
    }
}

fn is_unknown(reply: &Reply) -> bool {
    matches!(&reply.outcome, Outcome::Failed(failure) if failure.code == Code::OutcomeUnknown)
}

fn end_of_upload(abort: Abort) -> End {
    match abort.code {
        Code::StorageFailed | Code::ReadOnly | Code::NoSpace | Code::ShuttingDown => End::Gone,
        _ => End::Wrong(format!("an upload was aborted: {abort:?}")),
    }
}

fn next_reply(wire: &mut Wire) -> Result<Reply, End> {
    let reply = wire.try_wait(PATIENCE, |frame| match frame {
        Frame::Reply(reply) => Some(reply.clone()),
        _ => None,
    });
    Ok(reply?)
}
