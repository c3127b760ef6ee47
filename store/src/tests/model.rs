//! Random operations against a model in memory, with the store dropped at random points as a kill would leave it.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::support::*;
use crate::{Admission, CommitError, Position, SqliteStore, Store, Transaction};

#[derive(Clone, Debug)]
enum Change {
    Put(usize, usize),
    Append(usize, usize),
    Overwrite(usize, usize),
    Remove(usize),
    Rename(usize, usize),
    Set(usize, usize),
    Delete(usize),
}

#[derive(Clone, Debug)]
enum Step {
    /// Changes in one commit, with a client's record, waited for or not.
    Commit(Vec<Change>, u8, bool),
    /// A transaction that is dropped.
    Drop(Vec<Change>),
    Wait,
    Confirm(u8),
    Tend,
    Close,
    Reopen,
}

/// Names that are each other's folders.
const NAMES: [&str; 6] = ["a", "a/b", "a/b/c", "b", "b/x", "c"];

/// From nothing to more than what travels in the record.
const SIZES: [usize; 5] = [0, 1, 700, 66_000, 280_000];

fn change() -> impl Strategy<Value = Change> {
    let name = 0..NAMES.len();
    let size = prop_oneof![8 => 0..3usize, 2 => 3..SIZES.len()];
    prop_oneof![
        4 => (name.clone(), size.clone()).prop_map(|(at, size)| Change::Put(at, size)),
        6 => (name.clone(), size.clone()).prop_map(|(at, size)| Change::Append(at, size)),
        2 => (name.clone(), size.clone()).prop_map(|(at, size)| Change::Overwrite(at, size)),
        2 => name.clone().prop_map(Change::Remove),
        4 => (name.clone(), name.clone()).prop_map(|(from, to)| Change::Rename(from, to)),
        2 => (name.clone(), 0..3usize).prop_map(|(key, size)| Change::Set(key, size)),
        1 => name.prop_map(Change::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let changes = || prop::collection::vec(change(), 1..5);
    prop_oneof![
        12 => (changes(), 0..3u8, any::<bool>()).prop_map(|(changes, of, wait)| Step::Commit(changes, of, wait)),
        1 => changes().prop_map(Step::Drop),
        1 => Just(Step::Wait),
        1 => (1..3u8).prop_map(Step::Confirm),
        2 => Just(Step::Tend),
        1 => Just(Step::Close),
        3 => Just(Step::Reopen),
    ]
}

/// What is expected of the store.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    files: BTreeMap<String, Vec<u8>>,
    kv: BTreeMap<String, Vec<u8>>,
    /// The last number of each client.
    ran: BTreeMap<u8, u64>,
}

impl Model {
    /// Whether a file may lie there.
    fn is_free(&self, at: &str) -> bool {
        let is_in = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        self.files
            .keys()
            .all(|other| !is_in(other, at) && !is_in(at, other))
    }

    /// Does the change on both sides; they must agree whether it is possible.
    fn change(&mut self, change: &Change, serial: u64, t: &mut Transaction) {
        let bytes = |size: usize| noise(serial, SIZES[size]);
        match *change {
            Change::Put(at, size) => {
                let at = NAMES[at];
                let put = t.put(&path(at), &blob(&bytes(size)), "image", vec![]);
                assert_eq!(put.is_ok(), self.is_free(at), "put {at}: {put:?}");
                if put.is_ok() {
                    self.files.insert(at.into(), bytes(size));
                }
            }
            Change::Append(at, size) => {
                let at = NAMES[at];
                let append = t.append(&path(at), &blob(&bytes(size)));
                assert_eq!(append.is_ok(), self.is_free(at), "append {at}: {append:?}");
                if let Ok(offset) = append {
                    let file = self.files.entry(at.into()).or_default();
                    assert_eq!(offset, file.len() as u64);
                    file.extend(bytes(size));
                }
            }
            Change::Overwrite(at, size) => {
                let overwritten = t.overwrite(&path(NAMES[at]), &blob(&bytes(size)));
                assert_eq!(overwritten.is_ok(), self.files.contains_key(NAMES[at]));
                if let Some(file) = self.files.get_mut(NAMES[at]) {
                    let new = bytes(size);
                    let kept = file.get(new.len()..).unwrap_or_default().to_vec();
                    *file = [new, kept].concat();
                }
            }
            Change::Remove(at) => {
                let removed = self.files.remove(NAMES[at]).is_some();
                assert_eq!(t.remove(&path(NAMES[at])).is_ok(), removed);
            }
            Change::Rename(from, to) => {
                let (from, to) = (NAMES[from], NAMES[to]);
                let mut without = self.clone();
                let file = without.files.remove(from);
                let possible = file.is_some() && without.is_free(to);
                let renamed = t.rename(&path(from), &path(to));
                assert_eq!(renamed.is_ok(), possible, "{from} to {to}: {renamed:?}");
                if possible {
                    without.files.insert(to.into(), file.unwrap());
                    *self = without;
                }
            }
            Change::Set(key, size) => {
                t.kv_set(&space(), NAMES[key], bytes(size)).unwrap();
                self.kv.insert(NAMES[key].into(), bytes(size));
            }
            Change::Delete(key) => {
                t.kv_delete(&space(), NAMES[key]).unwrap();
                self.kv.remove(NAMES[key]);
            }
        }
    }

    fn check(&self, t: &mut Transaction) {
        for name in NAMES {
            assert_eq!(read_in(t, name).as_ref(), self.files.get(name), "{name}");
            assert_eq!(
                t.kv_get(&space(), name).unwrap().as_ref(),
                self.kv.get(name),
                "key {name}"
            );
        }
        let mut top: Vec<String> = self
            .files
            .keys()
            .map(|name| name.split_inclusive('/').next().unwrap().to_owned())
            .collect();
        top.sort();
        top.dedup();
        assert_eq!(t.names(None, None, 100).unwrap(), top);
        assert_eq!(
            t.kv_keys(&space(), "", None, 100).unwrap(),
            self.kv.keys().cloned().collect::<Vec<_>>()
        );
    }

    fn check_plain(&self, folder: &Folder) {
        for name in NAMES {
            let is_folder = folder.data("media").join(name).is_dir();
            assert_eq!(
                is_folder,
                self.files
                    .keys()
                    .any(|file| file.starts_with(&format!("{name}/"))),
                "{name}/"
            );
            assert_eq!(folder.plain(name).as_ref(), self.files.get(name), "{name}");
        }
    }
}

/// The model after each commit, and what must not be lost.
struct Run {
    folder: Folder,
    store: Option<SqliteStore>,
    now: Model,
    after: BTreeMap<Position, Model>,
    acknowledged: Position,
    confirmed: BTreeMap<u8, u64>,
    serial: u64,
}

impl Run {
    fn new() -> Self {
        let folder = Folder::new();
        let store = Some(folder.open());
        let after = BTreeMap::from([(Position(0), Model::default())]);
        Self {
            folder,
            store,
            now: Model::default(),
            after,
            acknowledged: Position(0),
            confirmed: BTreeMap::new(),
            serial: 0,
        }
    }

    fn store(&self) -> &SqliteStore {
        self.store.as_ref().unwrap()
    }

    fn head(&self) -> Position {
        *self.after.last_key_value().unwrap().0
    }

    fn wait(&mut self, position: Position) {
        self.acknowledged = self
            .acknowledged
            .max(self.store().wait(position).block().unwrap().position());
    }

    fn reopen(&mut self) {
        self.store = None;
        let store = self.folder.open();
        let durable = store.durable().position();
        assert!(
            durable >= self.acknowledged,
            "{durable:?} is before {:?}",
            self.acknowledged
        );
        self.store = Some(store);
        self.after.retain(|position, _| *position <= durable);
        self.now = self.after.last_key_value().unwrap().1.clone();
        assert_eq!(self.head(), durable);
        self.acknowledged = durable;
        self.now.check_plain(&self.folder);
        assert_eq!(self.folder.staged(), 0);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Commit(changes, of, wait) => {
                let mut t = self.store().begin();
                let mut next = self.now.clone();
                for change in changes {
                    self.serial += 1;
                    next.change(change, self.serial, &mut t);
                }
                next.check(&mut t);
                let number = next
                    .ran
                    .get(of)
                    .copied()
                    .unwrap_or(0)
                    .max(self.confirmed.get(of).copied().unwrap_or(0))
                    + 1;
                let record = (*of > 0).then(|| record(*of, number));
                if record.is_some() {
                    next.ran.insert(*of, number);
                }
                let position = self.store().commit(t, record).unwrap();
                if position > self.head() {
                    self.now = next;
                    self.after.insert(position, self.now.clone());
                    if *wait {
                        self.wait(position);
                        self.now.check_plain(&self.folder);
                    }
                }
            }
            Step::Drop(changes) => {
                let mut t = self.store().begin();
                let mut next = self.now.clone();
                for change in changes {
                    self.serial += 1;
                    next.change(change, self.serial, &mut t);
                }
            }
            Step::Wait => self.wait(self.head()),
            Step::Confirm(of) => {
                let through = self.now.ran.get(of).copied().unwrap_or(0);
                self.wait(self.head());
                self.store().confirm(client(*of), through, &[]);
                self.confirmed.insert(*of, through);
            }
            Step::Tend => {
                self.store().tend(Duration::from_secs(60)).unwrap();
                self.acknowledged = self.store().durable().position();
                assert_eq!(self.acknowledged, self.head());
            }
            Step::Close => {
                self.store().close().unwrap();
                let refused = commit(self.store(), None, |t| {
                    t.kv_set(&space(), "k", vec![]).unwrap()
                });
                assert!(matches!(refused, Err(CommitError::ReadOnly)));
                self.acknowledged = self.head();
                self.reopen();
            }
            Step::Reopen => self.reopen(),
        }
        self.now.check(&mut self.store().begin());
        for (of, last) in &self.now.ran {
            let operation = record(*of, *last).operation;
            let known = self.store().admit(operation, digest(*last)).unwrap();
            match known {
                Admission::Recorded { reply, .. } => assert_eq!(reply, record(*of, *last).reply),
                Admission::AlreadyConfirmed => assert!(self.confirmed[of] >= *last),
                other => panic!("{other:?}"),
            }
            let next = record(*of, *last + 1);
            let confirmed = self.confirmed.get(of).copied().unwrap_or(0);
            if *last + 1 > confirmed {
                assert_eq!(
                    self.store().admit(next.operation, next.digest).unwrap(),
                    Admission::Run
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_what_the_model_is_also_after_it_was_killed(steps in prop::collection::vec(step(), 1..40)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.wait(run.head());
        run.reopen();
        run.now.check(&mut run.store().begin());
    }
}
