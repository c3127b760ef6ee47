//! The log's bodies: how commits are written down between two folds.
//! Invariant: a body that decodes is what was encoded, for its own place: version, then CRC-32C over the position and
//! the rest. Each commit is its length (u32, little-endian) and its changes in postcard, one after the other. Version 2
//! begins with the position (u64, little-endian) of the commit before it: those between the two were taken back.
//! The format is a contract from version 1 on: a changed encoding takes a new version byte, and old ones stay readable.

use crate::Position;
use crate::change::Change;

/// A body that follows the commit just before it, and one that follows an earlier one. A new version goes with a new format
/// of the tables.
const VERSION: u8 = 1;
const VERSION_AFTER: u8 = 2;

/// A body that is not what was written. One of a newer version is in a database of a newer format, which is refused first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged(pub(crate) String);

/// Adds a change to a commit's encoding.
pub(crate) fn push_change(commit: &mut Vec<u8>, change: &Change) -> Result<(), postcard::Error> {
    let encoded = postcard::to_extend(change, std::mem::take(commit))?;
    *commit = encoded;
    Ok(())
}

/// The body for commits with consecutive positions from `first` on, of which the one before is `after`.
pub(crate) fn body<'a>(
    first: Position,
    after: Position,
    commits: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut body = vec![VERSION, 0, 0, 0, 0];
    if after.0 + 1 != first.0 {
        if let Some(version) = body.first_mut() {
            *version = VERSION_AFTER;
        }
        body.extend_from_slice(&after.0.to_le_bytes());
    }
    for commit in commits {
        // A commit is at most some megabytes; see the limits of what is staged inline.
        let length = u32::try_from(commit.len()).unwrap_or(u32::MAX);
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(commit);
    }
    let crc = checksum(first, body.get(5..).unwrap_or_default());
    if let Some(place) = body.get_mut(1..5) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    body
}

/// What a body holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The commit before it.
    pub(crate) after: Position,
    /// In order, from the body's position on.
    pub(crate) commits: Vec<Vec<Change>>,
}

/// What a body at this position holds.
pub(crate) fn read(first: Position, body: &[u8]) -> Result<Entry, Damaged> {
    let damaged = |what: &str| Damaged(format!("log entry {}: {what}", first.0));
    let (&version, rest) = body.split_first().ok_or_else(|| damaged("it is empty"))?;
    if !matches!(version, VERSION | VERSION_AFTER) {
        return Err(damaged("its version is unknown"));
    }
    let (crc, mut rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged("it is cut short"))?;
    if checksum(first, rest) != u32::from_le_bytes(*crc) {
        return Err(damaged("its checksum is wrong"));
    }
    let mut after = Position(first.0.saturating_sub(1));
    if version == VERSION_AFTER {
        let (before, left) = rest
            .split_first_chunk::<8>()
            .ok_or_else(|| damaged("it is cut short"))?;
        after = Position(u64::from_le_bytes(*before));
        rest = left;
    }
    let mut commits = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest
            .split_first_chunk::<4>()
            .ok_or_else(|| damaged("it is cut short"))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (mut commit, after) = after
            .split_at_checked(length)
            .ok_or_else(|| damaged("it is cut short"))?;
        let mut changes = Vec::new();
        while !commit.is_empty() {
            let (change, left) = postcard::take_from_bytes(commit)
                .map_err(|_| damaged("a change does not decode"))?;
            changes.push(change);
            commit = left;
        }
        commits.push(changes);
        rest = after;
    }
    Ok(Entry { after, commits })
}

fn checksum(first: Position, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&first.0.to_le_bytes()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut commit = Vec::new();
        push_change(
            &mut commit,
            &Change::NoFile {
                path: "a.txt".into(),
            },
        )
        .unwrap();
        push_change(
            &mut commit,
            &Change::Kv {
                namespace: "n".into(),
                key: "k".into(),
                value: Some(vec![7].into()),
            },
        )
        .unwrap();
        body(
            Position(5),
            Position(4),
            [&commit[..], &[], &commit[..]].into_iter(),
        )
    }

    #[test]
    fn commits_come_back_as_they_were_written() {
        let Entry { after, commits } = read(Position(5), &sample()).unwrap();
        assert_eq!(after, Position(4));
        assert_eq!(commits.len(), 3);
        assert_eq!(commits[0].len(), 2);
        assert!(commits[1].is_empty());
        assert_eq!(
            commits[2][0],
            Change::NoFile {
                path: "a.txt".into()
            }
        );
    }

    #[test]
    fn any_changed_byte_or_another_place_is_noticed() {
        let body = sample();
        assert!(read(Position(6), &body).is_err());
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 0x10;
            assert!(read(Position(5), &changed).is_err(), "byte {at}");
            assert!(read(Position(5), &body[..at]).is_err());
        }
    }

    /// The bytes of both versions, written down: this test changes only together with a new version.
    #[test]
    fn both_versions_are_encoded_as_ever() {
        let mut commit = Vec::new();
        push_change(&mut commit, &Change::NoFile { path: "a".into() }).unwrap();
        let plain = body(Position(1), Position(0), [&commit[..]].into_iter());
        assert_eq!(hex::encode(&plain[5..]), "03000000010161");
        assert_eq!(plain[0], 1);
        let after = body(Position(7), Position(2), [&commit[..]].into_iter());
        assert_eq!(hex::encode(&after[5..]), "020000000000000003000000010161");
        assert_eq!(after[0], 2);
        assert_eq!(read(Position(7), &after).unwrap().after, Position(2));
    }
}
