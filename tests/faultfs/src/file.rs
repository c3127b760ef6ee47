//! The bytes of one file: those every reader sees, those that are on disk, and the changes between the two.
//! Invariant: `bytes` is `durable` with all of `unsynced` done to it.
//! A power cut does each change to each sector or page, or does not; but within one of them always the older ones first,
//! since it is written as a whole. A length may have grown before the bytes came: then they read as zeros.

use std::collections::BTreeMap;

use crate::random::Random;

/// Written as a whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// What the page cache writes back at a time.
const PAGE_BYTES: u64 = 4096;

/// One change that was not synced.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bytes {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// How unsynced changes fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Writes that are there in part.
    pub(crate) torn: u64,
    /// Writes that are gone.
    pub(crate) lost: u64,
    /// Writes that are gone while a later one is there.
    pub(crate) overtaken: u64,
}

/// How a file comes out of a power cut.
enum Survival {
    Nothing,
    Everything,
    /// In order: all before this change, and of this one the units below.
    Until(u64, u64),
    /// Each unit has seen so many changes.
    Scattered(BTreeMap<u64, u64>),
}

impl Bytes {
    pub(crate) fn on_disk(bytes: Vec<u8>) -> Self {
        Self {
            now: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.now.len() as u64
    }

    pub(crate) fn all(&self) -> &[u8] {
        &self.now
    }

    pub(crate) fn read(&self, offset: u64, len: usize) -> &[u8] {
        let end = (offset + len as u64).min(self.len());
        &self.now[offset.min(end) as usize..end as usize]
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let change = Change::Write {
            offset,
            bytes: bytes.to_owned(),
        };
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    /// The part of a write that reaches the page cache when the power goes in the middle of it: whole sectors.
    pub(crate) fn write_in_part(&mut self, offset: u64, bytes: &[u8], random: &mut Random) {
        let end = offset + bytes.len() as u64;
        let sectors = end.div_ceil(SECTOR_BYTES) - offset / SECTOR_BYTES;
        let cut = (offset / SECTOR_BYTES + random.below(sectors)) * SECTOR_BYTES;
        let part = cut.saturating_sub(offset) as usize;
        if part > 0 {
            self.write(offset, &bytes[..part]);
        }
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        let change = Change::SetLen(len);
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    pub(crate) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
    }

    /// What is there after a power cut.
    pub(crate) fn after_cut(&self, random: &mut Random) -> (Vec<u8>, Fate) {
        if self.unsynced.is_empty() {
            return (self.durable.clone(), Fate::default());
        }
        let changes = self.unsynced.len() as u64;
        let unit = if random.chance(50) {
            SECTOR_BYTES
        } else {
            PAGE_BYTES
        };
        let survival = match random.below(6) {
            0 => Survival::Nothing,
            1 => Survival::Everything,
            2 | 3 => {
                let last = random.below(changes);
                let units = self.unsynced[last as usize].units(unit);
                let count = units.end - units.start;
                Survival::Until(last, units.start + random.below(count + 1))
            }
            _ => Survival::Scattered(self.scatter(unit, random)),
        };
        let len_seen = match &survival {
            Survival::Nothing => 0,
            Survival::Everything => changes,
            Survival::Until(last, _) => last + 1,
            Survival::Scattered(_) => random.below(changes + 1),
        };
        self.replay(&survival, unit, len_seen)
    }

    /// For each unit that was written: how many changes it has seen; none, all, or some.
    fn scatter(&self, unit: u64, random: &mut Random) -> BTreeMap<u64, u64> {
        let changes = self.unsynced.len() as u64;
        let mut seen = BTreeMap::new();
        for change in &self.unsynced {
            for written in change.units(unit) {
                seen.entry(written)
                    .or_insert_with(|| match random.below(3) {
                        0 => 0,
                        1 => changes,
                        _ => random.below(changes + 1),
                    });
            }
        }
        seen
    }

    fn replay(&self, survival: &Survival, unit: u64, len_seen: u64) -> (Vec<u8>, Fate) {
        let mut image = self.durable.clone();
        let mut len = image.len() as u64;
        // Where a cut of the length did not make it, blocks that were given to the file after it did not either.
        let mut void_from = u64::MAX;
        let mut fate = Fate::default();
        for (number, change) in (0..).zip(&self.unsynced) {
            match change {
                Change::SetLen(to) if number < len_seen => {
                    image.truncate(*to as usize);
                    len = *to;
                }
                Change::SetLen(to) => void_from = void_from.min(*to),
                Change::Write { offset, bytes } => {
                    let (mut there, mut gone) = (0, 0);
                    for at in change.units(unit) {
                        let start = (at * unit).max(*offset);
                        let end = ((at + 1) * unit).min(offset + bytes.len() as u64);
                        if survival.keeps(number, at) && start < void_from {
                            there += 1;
                            let piece = &bytes[(start - offset) as usize..(end - offset) as usize];
                            put(&mut image, start, piece);
                            if matches!(survival, Survival::Until(..)) {
                                len = len.max(end);
                            }
                        } else {
                            gone += 1;
                        }
                    }
                    if number < len_seen && !matches!(survival, Survival::Until(..)) {
                        len = len.max(offset + bytes.len() as u64);
                    }
                    fate.torn += u64::from(there > 0 && gone > 0);
                    if there > 0 {
                        fate.overtaken = fate.lost;
                    } else {
                        fate.lost += 1;
                    }
                }
            }
        }
        image.resize(len as usize, 0);
        (image, fate)
    }
}

impl Survival {
    fn keeps(&self, change: u64, unit: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Until(last, below) => change < *last || (change == *last && unit < *below),
            Self::Scattered(seen) => seen.get(&unit).is_some_and(|seen| change < *seen),
        }
    }
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(image, *offset, bytes),
            Self::SetLen(len) => image.resize(*len as usize, 0),
        }
    }

    /// The units that it writes.
    fn units(&self, unit: u64) -> std::ops::Range<u64> {
        match self {
            Self::Write { offset, bytes } => {
                offset / unit..(offset + bytes.len() as u64).div_ceil(unit)
            }
            Self::SetLen(_) => 0..0,
        }
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + bytes.len());
    if image.len() < end {
        image.resize(end, 0);
    }
    image[start..end].copy_from_slice(bytes);
}
