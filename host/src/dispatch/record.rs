//! What is remembered in memory of a client's operations, until it confirms their replies.
//! Invariant: a number that was received is never run again while this lives; the store remembers what wrote for longer.
//! Not here: the record on disk (`pixelboy-store`).

use pixelboy_store::Position;

use super::numbers::Numbers;
use super::operation::EncodedOutcome;

/// How far an operation has come.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Waiting, running or becoming durable.
    UnderWay,
    /// Its reply.
    Done {
        stored: Option<Position>,
        outcome: EncodedOutcome,
    },
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) digest: [u8; 16],
    pub(crate) state: State,
}

/// The operations of one client that are not confirmed.
#[derive(Debug, Default)]
pub(crate) struct Record {
    kept: Numbers<Kept>,
    /// The highest number received.
    pub(crate) received_through: u64,
    /// The highest number run to its end.
    pub(crate) executed_through: u64,
    /// Everything up to here is confirmed.
    pub(crate) confirmed_through: u64,
    reply_bytes: usize,
}

impl Record {
    /// Of a client whose operations up to here are in the store.
    pub(crate) fn known(executed_through: u64) -> Self {
        Self {
            received_through: executed_through,
            executed_through,
            ..Self::default()
        }
    }

    /// An operation came in.
    pub(crate) fn receive(&mut self, number: u64, digest: [u8; 16]) {
        self.received_through = self.received_through.max(number);
        self.kept.insert(
            number,
            Kept {
                digest,
                state: State::UnderWay,
            },
        );
    }

    /// What is known of a number.
    pub(crate) fn find(&self, number: u64) -> Option<&Kept> {
        self.kept.get(number)
    }

    /// An operation was run to its end.
    pub(crate) fn done(&mut self, number: u64, stored: Option<Position>, outcome: EncodedOutcome) {
        self.executed_through = self.executed_through.max(number);
        if let Some(kept) = self.kept.get_mut(number) {
            self.reply_bytes += outcome.len();
            kept.state = State::Done { stored, outcome };
        }
    }

    /// The client will send this number again: what is known of it is not to be relied on.
    pub(crate) fn forget(&mut self, number: u64) {
        self.remove(number);
    }

    fn remove(&mut self, number: u64) {
        if let Some(Kept {
            state: State::Done { outcome, .. },
            ..
        }) = self.kept.remove(number)
        {
            self.reply_bytes = self.reply_bytes.saturating_sub(outcome.len());
        }
    }

    /// The client has these replies. True: one of them is in the store's record too.
    pub(crate) fn confirm(&mut self, through: u64, also: &[u64]) -> bool {
        let mut stored = false;
        while let Some((number, kept)) = self.kept.first()
            && number <= through
            && let State::Done {
                stored: position, ..
            } = &kept.state
        {
            stored |= position.is_some();
            self.remove(number);
        }
        for number in also {
            if let Some(State::Done {
                stored: position, ..
            }) = self.kept.get(*number).map(|kept| &kept.state)
            {
                stored |= position.is_some();
                self.remove(*number);
            }
        }
        self.confirmed_through = self.confirmed_through.max(through);
        stored
    }

    /// Operations that are not confirmed.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of replies that are not confirmed.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn outcome() -> EncodedOutcome {
        vec![0; 10].into()
    }

    #[test]
    fn a_confirmed_reply_is_forgotten_and_its_bytes_are_free() {
        let mut record = Record::default();
        for number in 1..=3 {
            record.receive(number, [0; 16]);
            record.done(number, None, outcome());
        }
        assert_eq!(record.reply_bytes(), 30);
        record.confirm(1, &[3]);
        assert!(record.find(1).is_none() && record.find(2).is_some() && record.find(3).is_none());
        assert_eq!((record.len(), record.reply_bytes()), (1, 10));
    }

    #[test]
    fn what_runs_is_kept_even_when_confirmed() {
        let mut record = Record::default();
        record.receive(1, [0; 16]);
        record.confirm(1, &[]);
        assert!(matches!(record.find(1).unwrap().state, State::UnderWay));
    }
}
