//! Uploads as they stand: under way, complete, or used.
//! Invariant: what a slot says is durable has been synced, and its runs prove it byte for byte after a restart.
//! Not here: the bytes (`upload`) and their space (`space`).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::change::UploadRow;
use crate::{Announced, ClientId, Position, Sha256};

/// An upload's name.
pub(crate) type UploadName = (ClientId, u64);

/// What is known of the bytes that came so far. Their file is open only while somebody sends.
pub(crate) struct Live {
    pub(crate) sha256: sha2::Sha256,
    /// Of all bytes.
    pub(crate) crc32c: u32,
    /// Of the bytes since the last run.
    pub(crate) run_crc32c: u32,
    pub(crate) written: u64,
    pub(crate) durable: u64,
    pub(crate) runs: Vec<(u64, u32)>,
    /// Whether the part's name is on disk.
    pub(crate) named: bool,
    /// Up to where write-back was asked for.
    pub(crate) written_back: u64,
}

/// How far an upload is.
pub(crate) enum Stage {
    /// Somebody sends it.
    Busy,
    /// It rests; what is known of the bytes, unless they are from before a restart.
    Resting(Option<Box<Live>>),
    /// All came, and is on disk with this commit.
    Complete {
        at: Position,
        length: u64,
        sha256: Sha256,
        crc32c: u32,
    },
    /// An operation used it, in this commit; and what it was, in case that is taken back.
    Consumed {
        by: u64,
        at: Position,
        was: Option<Box<Stage>>,
    },
}

/// One upload.
pub(crate) struct Slot {
    /// The name in `staging/`.
    pub(crate) part: Arc<str>,
    pub(crate) announced: Announced,
    /// Bytes that are there.
    pub(crate) written: u64,
    /// As they are in the record, for an unfinished one.
    pub(crate) durable: u64,
    pub(crate) runs: Vec<(u64, u32)>,
    /// The store's uptime when it was last moved.
    pub(crate) moved_ms: u64,
    /// It was finished by an earlier run, so that its bytes are what the disk gives, not what came.
    pub(crate) is_old: bool,
    pub(crate) stage: Stage,
}

impl Slot {
    /// As a row of the record says.
    pub(crate) fn of(row: &UploadRow) -> Self {
        let stage = match (row.complete, row.sha256) {
            (Some(crc32c), Some(sha256)) => Stage::Complete {
                at: Position(0),
                length: row.durable,
                sha256,
                crc32c,
            },
            _ => Stage::Resting(None),
        };
        Self {
            part: row.part.as_str().into(),
            announced: Announced {
                length: row.length,
                sha256: row.sha256,
            },
            written: row.durable,
            durable: row.durable,
            runs: row.runs.clone(),
            moved_ms: row.moved_ms,
            is_old: true,
            stage,
        }
    }

    /// The space it holds, announced bytes included.
    pub(crate) fn space(&self) -> u64 {
        match self.stage {
            Stage::Consumed { .. } => 0,
            _ => self.written.max(self.announced.length.unwrap_or(0)),
        }
    }

    /// Announced bytes that did not come yet.
    pub(crate) fn outstanding(&self) -> u64 {
        self.space().saturating_sub(self.written)
    }

    /// An operation uses it in this commit.
    pub(crate) fn consume(&mut self, by: u64, at: Position) {
        let was = std::mem::replace(&mut self.stage, Stage::Consumed { by, at, was: None });
        if let Stage::Consumed { was: kept, .. } = &mut self.stage
            && matches!(was, Stage::Complete { .. })
        {
            *kept = Some(Box::new(was));
        }
    }

    /// Commits after `durable` never were.
    pub(crate) fn take_back(&mut self, durable: Position) {
        if let Stage::Consumed { at, was, .. } = &mut self.stage
            && *at > durable
            && let Some(was) = was.take()
        {
            self.stage = *was;
        }
        // The bytes are on disk all the same; their sender says again that they are all.
        if let Stage::Complete { at, .. } = self.stage
            && at > durable
        {
            self.stage = Stage::Resting(None);
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Complete { .. })
    }

    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self.stage, Stage::Busy | Stage::Resting(_))
    }
}

/// All uploads.
#[derive(Default)]
pub(crate) struct Uploads {
    all: BTreeMap<UploadName, Slot>,
    /// Those that were dropped by commits which may yet be taken back.
    dropped: Vec<(Position, UploadName, Slot)>,
}

impl Uploads {
    pub(crate) fn get(&self, name: &UploadName) -> Option<&Slot> {
        self.all.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &UploadName) -> Option<&mut Slot> {
        self.all.get_mut(name)
    }

    pub(crate) fn insert(&mut self, name: UploadName, slot: Slot) {
        self.all.insert(name, slot);
    }

    pub(crate) fn remove(&mut self, name: &UploadName) -> Option<Slot> {
        self.all.remove(name)
    }

    /// The commit at this position drops it.
    pub(crate) fn drop_at(&mut self, name: &UploadName, at: Position, durable: Position) {
        self.dropped.retain(|(at, ..)| *at > durable);
        let gone = self.all.remove(name);
        self.dropped.extend(gone.map(|slot| (at, *name, slot)));
    }

    /// The slot of somebody who sends, also where it was dropped meanwhile.
    pub(crate) fn sent_by(&mut self, name: &UploadName, part: &str) -> Option<&mut Slot> {
        let dropped = self.dropped.iter_mut();
        let dropped = dropped.filter(|(_, of, _)| of == name);
        self.all
            .get_mut(name)
            .into_iter()
            .chain(dropped.map(|(.., slot)| slot))
            .find(|slot| *slot.part == *part && matches!(slot.stage, Stage::Busy))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&UploadName, &Slot)> {
        self.all.iter()
    }

    /// Commits after `durable` never were.
    pub(crate) fn take_back(&mut self, durable: Position) {
        for (at, name, slot) in std::mem::take(&mut self.dropped) {
            if at > durable {
                self.all.entry(name).or_insert(slot);
            }
        }
        self.all
            .values_mut()
            .for_each(|slot| slot.take_back(durable));
    }

    pub(crate) fn of_client(&self, client: ClientId) -> impl Iterator<Item = (&UploadName, &Slot)> {
        self.all.range((
            Bound::Included((client, 0)),
            Bound::Included((client, u64::MAX)),
        ))
    }

    /// An unfinished upload of the client that rests and has the same bytes to come.
    pub(crate) fn same_bytes(&self, client: ClientId, announced: Announced) -> Option<UploadName> {
        announced.length.zip(announced.sha256)?;
        self.of_client(client)
            .find(|(_, slot)| {
                matches!(slot.stage, Stage::Resting(_)) && slot.announced == announced
            })
            .map(|(name, _)| *name)
    }

    /// The client's unfinished upload that rested longest, and how many unfinished ones there are.
    pub(crate) fn oldest_resting(&self, client: ClientId) -> (Option<UploadName>, usize) {
        let unfinished = self
            .of_client(client)
            .filter(|(_, slot)| slot.is_unfinished());
        let resting = self
            .of_client(client)
            .filter(|(_, slot)| matches!(slot.stage, Stage::Resting(_)));
        let oldest = resting
            .min_by_key(|(name, slot)| (slot.moved_ms, name.1))
            .map(|(name, _)| *name);
        (oldest, unfinished.count())
    }

    /// Those that nobody finished or used for longer than `age_ms`.
    pub(crate) fn aged(&self, now_ms: u64, age_ms: u64) -> Vec<UploadName> {
        self.all
            .iter()
            .filter(|(_, slot)| matches!(slot.stage, Stage::Resting(_) | Stage::Complete { .. }))
            .filter(|(_, slot)| slot.moved_ms.saturating_add(age_ms) < now_ms)
            .map(|(name, _)| *name)
            .collect()
    }
}
