//! The names in one folder: those everybody sees, those that are on disk, and the changes between the two.
//! Invariant: `entries` is `durable` with all of `unsynced` done to it.
//! Only a sync of the folder itself makes a change durable. A rename inside one folder happens whole; one between two
//! folders is two changes, of which either may be lost alone: POSIX promises no more.

use std::collections::BTreeMap;

use crate::random::Random;

/// One change that was not synced: names, and what they stand for afterwards.
#[derive(Clone, Debug)]
struct Change {
    /// Its place among all changes of names on the disk.
    step: u64,
    names: Vec<(String, Option<u64>)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    entries: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    unsynced: Vec<Change>,
}

/// Which unsynced changes of names outlast a power cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survival {
    /// Those before this step, as a journal would have it.
    Until(u64),
    /// In each folder those before a step of its own.
    EachUntil,
    /// Any.
    Scattered,
}

impl Names {
    pub(crate) fn on_disk(entries: BTreeMap<String, u64>) -> Self {
        Self {
            durable: entries.clone(),
            entries,
            unsynced: Vec::new(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.entries.get(name).copied()
    }

    pub(crate) fn all(&self) -> &BTreeMap<String, u64> {
        &self.entries
    }

    pub(crate) fn change(&mut self, step: u64, names: Vec<(String, Option<u64>)>) {
        let change = Change { step, names };
        change.apply(&mut self.entries);
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

    /// The names that are there after a power cut, and how many changes are lost.
    pub(crate) fn after_cut(
        &self,
        survival: Survival,
        random: &mut Random,
    ) -> (BTreeMap<String, u64>, u64) {
        let own = match survival {
            Survival::Until(step) => step,
            Survival::EachUntil | Survival::Scattered => {
                let place = random.below(self.unsynced.len() as u64 + 1) as usize;
                self.unsynced
                    .get(place)
                    .map_or(u64::MAX, |change| change.step)
            }
        };
        let mut image = self.durable.clone();
        let mut lost = 0;
        for change in &self.unsynced {
            let kept = match survival {
                Survival::Scattered => random.chance(50),
                _ => change.step < own,
            };
            if kept {
                change.apply(&mut image);
            } else {
                lost += 1;
            }
        }
        (image, lost)
    }
}

impl Change {
    fn apply(&self, image: &mut BTreeMap<String, u64>) {
        for (name, target) in &self.names {
            match target {
                Some(node) => image.insert(name.clone(), *node),
                None => image.remove(name),
            };
        }
    }
}
