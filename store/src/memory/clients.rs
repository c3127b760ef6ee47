//! The record of operations, less the replies' bytes: who ran what, what was confirmed, who is to be forgotten.
//! Invariant: a number at or below executed-through of its client never runs again while the client is remembered.
//! Ages count the store's own uptime, since a device may have no clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{ClientId, Position, RequestDigest};

/// One client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// The highest number that ran to its end.
    pub(crate) executed_through: u64,
    /// Everything up to here is confirmed.
    pub(crate) confirmed_through: u64,
    /// What is confirmed above that.
    pub(crate) confirmed_also: BTreeSet<u64>,
    /// The operations whose replies are kept.
    pub(crate) kept: BTreeMap<u64, Kept>,
    /// The store's uptime when it was last heard of.
    pub(crate) used_ms: u64,
    /// Sessions that go on.
    pub(crate) present: u32,
    /// Whether a commit of it was made: then it has a row, or will have.
    pub(crate) wrote: bool,
}

/// A client with its name.
pub(crate) type ClientRow = (ClientId, Client);

/// An operation whose reply is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) digest: RequestDigest,
    /// Its commit.
    pub(crate) position: Position,
}

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    New,
    Kept(Kept),
    OtherDigest,
    Confirmed,
    Lost,
}

impl Client {
    pub(crate) fn executed_through(&self) -> u64 {
        self.executed_through.max(self.confirmed_through)
    }

    pub(crate) fn known(&self, number: u64, digest: RequestDigest) -> Known {
        if number <= self.confirmed_through || self.confirmed_also.contains(&number) {
            return Known::Confirmed;
        }
        match self.kept.get(&number) {
            Some(kept) if kept.digest == digest => Known::Kept(*kept),
            Some(_) => Known::OtherDigest,
            None if number <= self.executed_through => Known::Lost,
            None => Known::New,
        }
    }

    /// The client has these replies. The numbers whose replies were kept until now.
    fn confirm(&mut self, through: u64, also: &[u64]) -> Vec<(u64, Kept)> {
        self.confirmed_through = self.confirmed_through.max(through);
        let through = self.confirmed_through;
        let kept = &self.kept;
        let known = also
            .iter()
            .filter(|number| **number > through && kept.contains_key(number));
        self.confirmed_also.extend(known);
        self.confirmed_also.retain(|number| *number > through);
        let also = &self.confirmed_also;
        let is_gone = |number: &u64, _: &mut Kept| *number <= through || also.contains(number);
        let gone = self.kept.extract_if(.., is_gone).collect();
        // Of a client that never moves its `through`, the oldest are forgotten: they are `Lost` then, and never run.
        while self.confirmed_also.len() > MOST_ALSO {
            self.confirmed_also.pop_first();
        }
        gone
    }

    /// Whether the reply of this request was confirmed.
    pub(crate) fn has_confirmed(&self, number: u64) -> bool {
        number <= self.confirmed_through || self.confirmed_also.contains(&number)
    }
}

/// Numbers that are confirmed by themselves, at most.
const MOST_ALSO: usize = 4096;

/// All clients that are remembered.
#[derive(Default)]
pub(crate) struct Clients {
    all: HashMap<ClientId, Client>,
    /// Those whose row is to be written with the next fold.
    changed: BTreeSet<ClientId>,
    /// Replies that are to go with the fold of their commits, or the next one.
    confirmed: BTreeMap<(ClientId, u64), Position>,
}

impl Clients {
    pub(crate) fn get(&self, client: &ClientId) -> Option<&Client> {
        self.all.get(client)
    }

    pub(crate) fn get_mut(&mut self, client: &ClientId) -> Option<&mut Client> {
        self.all.get_mut(client)
    }

    pub(crate) fn insert(&mut self, client: ClientId, row: Client) {
        self.all.insert(client, row);
    }

    pub(crate) fn entry(&mut self, client: ClientId) -> &mut Client {
        self.all.entry(client).or_default()
    }

    pub(crate) fn remove(&mut self, client: &ClientId) -> Option<Client> {
        self.changed.remove(client);
        self.all.remove(client)
    }

    /// Those who have a row.
    pub(crate) fn writers(&self) -> usize {
        self.all.values().filter(|client| client.wrote).count()
    }

    /// Those who only read and are away: the ones longest away above `most` are forgotten. Whether one of them ran anything.
    pub(crate) fn thin_readers(&mut self, most: usize) -> bool {
        let mut readers: Vec<_> = self
            .all
            .iter()
            .filter(|(_, client)| !client.wrote && client.present == 0)
            .map(|(id, client)| (client.used_ms, *id))
            .collect();
        readers.sort_unstable();
        let mut had_run = false;
        for (_, id) in readers.iter().take(readers.len().saturating_sub(most)) {
            let gone = self.all.remove(id);
            had_run |= gone.is_some_and(|client| client.executed_through() > 0);
        }
        had_run
    }

    /// Operations whose commits were taken back ran all the same: their numbers never run again, and have no reply here.
    pub(crate) fn take_back(&mut self, durable: Position) {
        for client in self.all.values_mut() {
            client.kept.retain(|_, kept| kept.position <= durable);
        }
        self.confirmed.retain(|_, position| *position <= durable);
    }

    /// Its row is to be written.
    pub(crate) fn mark(&mut self, client: ClientId) {
        self.changed.insert(client);
    }

    /// The client has these replies; what was kept of them goes.
    pub(crate) fn confirm(&mut self, client: ClientId, through: u64, also: &[u64]) -> Vec<u64> {
        let Some(row) = self.all.get_mut(&client) else {
            return Vec::new();
        };
        let gone = row.confirm(through, also);
        for (number, kept) in &gone {
            self.confirmed.insert((client, *number), kept.position);
        }
        if !gone.is_empty() {
            self.changed.insert(client);
        }
        gone.into_iter().map(|(number, _)| number).collect()
    }

    /// What a fold of the commits up to `through` is to write: rows, and replies that go.
    pub(crate) fn marks(&self, through: Position) -> (Vec<ClientRow>, Vec<(ClientId, u64)>) {
        let row = |client: &ClientId| {
            Some((
                *client,
                self.all.get(client).filter(|row| row.wrote)?.clone(),
            ))
        };
        let confirmed = self
            .confirmed
            .iter()
            .filter(|(_, position)| **position <= through);
        (
            self.changed.iter().filter_map(row).collect(),
            confirmed.map(|(name, _)| *name).collect(),
        )
    }

    /// A fold has written these.
    pub(crate) fn unmark(&mut self, clients: &[ClientRow], replies: &[(ClientId, u64)]) {
        for (client, written) in clients {
            let now = self.all.get(client);
            if now.is_none_or(|now| {
                now.confirmed_through == written.confirmed_through && now.used_ms == written.used_ms
            }) {
                self.changed.remove(client);
            }
        }
        for name in replies {
            self.confirmed.remove(name);
        }
    }

    /// Whether a fold would have anything to write.
    pub(crate) fn has_marks(&self) -> bool {
        !(self.changed.is_empty() && self.confirmed.is_empty())
    }

    /// Whom to forget so that one more has room: the one longest away, first those with everything confirmed.
    pub(crate) fn to_make_room(&self) -> Option<ClientId> {
        self.all
            .iter()
            .filter(|(_, client)| client.present == 0 && client.wrote)
            .min_by_key(|(id, client)| (!client.kept.is_empty(), client.used_ms, **id))
            .map(|(id, _)| *id)
    }

    /// Those who are away for longer than `age_ms`.
    pub(crate) fn aged(&self, now_ms: u64, age_ms: u64) -> Vec<ClientId> {
        self.all
            .iter()
            .filter(|(_, client)| {
                client.present == 0 && client.used_ms.saturating_add(age_ms) < now_ms
            })
            .map(|(id, _)| *id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: RequestDigest = RequestDigest([1; 16]);

    fn kept(number: u64) -> (u64, Kept) {
        (
            number,
            Kept {
                digest: DIGEST,
                position: Position(number),
            },
        )
    }

    #[test]
    fn every_kind_of_number_is_told_apart() {
        let mut client = Client {
            executed_through: 9,
            ..Client::default()
        };
        client.kept.extend([kept(4), kept(7), kept(9)]);
        assert_eq!(client.confirm(5, &[7]), [kept(4), kept(7)]);
        assert_eq!(client.known(4, DIGEST), Known::Confirmed);
        assert_eq!(client.known(6, DIGEST), Known::Lost);
        assert_eq!(client.known(7, DIGEST), Known::Confirmed);
        assert_eq!(client.known(9, DIGEST), Known::Kept(kept(9).1));
        assert_eq!(client.known(9, RequestDigest([2; 16])), Known::OtherDigest);
        assert_eq!(client.known(10, DIGEST), Known::New);
    }

    #[test]
    fn confirmations_never_go_back_and_do_not_pile_up() {
        let mut client = Client {
            executed_through: 9_000,
            kept: (1..=9_000).map(kept).collect(),
            ..Client::default()
        };
        client.confirm(5, &[9, 7, 3, 9_999]);
        assert_eq!(client.confirmed_also, BTreeSet::from([7, 9]));
        client.confirm(2, &[]);
        assert_eq!(client.confirmed_through, 5);
        client.confirm(8, &[]);
        assert_eq!(client.confirmed_also, BTreeSet::from([9]));
        for number in 10..=9_000 {
            client.confirm(0, &[number]);
        }
        assert_eq!(client.confirmed_also.len(), MOST_ALSO);
        assert_eq!(client.kept.len(), 0);
        assert_eq!(client.known(10, DIGEST), Known::Lost);
        assert_eq!(client.known(9_000, DIGEST), Known::Confirmed);
    }

    #[test]
    fn room_is_made_by_the_one_longest_away_with_everything_confirmed_first() {
        let mut clients = Clients::default();
        let id = |n| ClientId([n; 16]);
        let wrote = Client {
            wrote: true,
            ..Client::default()
        };
        clients.insert(
            id(1),
            Client {
                used_ms: 1,
                kept: BTreeMap::from([kept(1)]),
                ..wrote.clone()
            },
        );
        clients.insert(
            id(2),
            Client {
                used_ms: 3,
                ..wrote.clone()
            },
        );
        clients.insert(
            id(3),
            Client {
                used_ms: 2,
                ..wrote.clone()
            },
        );
        clients.insert(
            id(4),
            Client {
                used_ms: 0,
                present: 1,
                ..wrote
            },
        );
        let mut order = Vec::new();
        while let Some(client) = clients.to_make_room() {
            clients.remove(&client);
            order.push(client);
        }
        assert_eq!(order, [id(3), id(2), id(1)]);
    }
}
