//! A file system in memory that knows what of it is on disk.
//! Invariant: what was synced is there after a power cut, byte for byte; of all else, what the seed says.
//! Not here: FUSE (`mount`), and when the power goes or a call fails (`faults`).

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::file::Bytes;
use crate::folder::{Names, Survival};
use crate::random::Random;

/// The folder on top.
pub(crate) const ROOT: u64 = 1;

type Done<T> = Result<T, Errno>;

/// A disk: files, folders, symbolic links.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: BTreeMap<u64, Node>,
    /// Counts changes of names.
    steps: u64,
    next: u64,
}

/// One inode.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) what: What,
    pub(crate) mode: u32,
    pub(crate) links: u32,
    /// Where it was seen last, below the root.
    pub(crate) path: String,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    File(Bytes),
    Folder(Names),
    Link(String),
}

/// What a power cut did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Writes that are there in part.
    pub torn_writes: u64,
    /// Writes of which nothing is there.
    pub lost_writes: u64,
    /// Lost writes after which a later one to the same file is there.
    pub overtaken_writes: u64,
    /// Names that were made, changed or removed, and are not.
    pub lost_names: u64,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let root = Node {
            what: What::Folder(Names::default()),
            mode: 0o755,
            links: 2,
            path: String::new(),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            steps: 0,
            next: ROOT + 1,
        }
    }

    /// The disk as it is after a power cut now. The seed decides what survives of what was not synced; the same disk can be
    /// asked for many seeds.
    #[must_use]
    pub fn after_cut(&self, seed: u64) -> (Self, Damage) {
        let mut random = Random::new(seed);
        let mut damage = Damage::default();
        let survival = match random.below(4) {
            0 | 1 => Survival::Until(random.below(self.steps + 2)),
            2 => Survival::EachUntil,
            _ => Survival::Scattered,
        };
        let mut after = Self {
            nodes: BTreeMap::new(),
            steps: self.steps,
            next: self.next,
        };
        let mut found = vec![(ROOT, String::new())];
        while let Some((number, path)) = found.pop() {
            if let Some(again) = after.nodes.get_mut(&number) {
                again.links += 1;
                continue;
            }
            let node = &self.nodes[&number];
            let what = match &node.what {
                What::File(bytes) => {
                    let (image, fate) = bytes.after_cut(&mut random);
                    damage.torn_writes += fate.torn;
                    damage.lost_writes += fate.lost;
                    damage.overtaken_writes += fate.overtaken;
                    What::File(Bytes::on_disk(image))
                }
                What::Folder(names) => {
                    let (entries, lost) = names.after_cut(survival, &mut random);
                    damage.lost_names += lost;
                    for (name, inside) in &entries {
                        found.push((*inside, join(&path, name)));
                    }
                    What::Folder(Names::on_disk(entries))
                }
                What::Link(target) => What::Link(target.clone()),
            };
            let links = if matches!(what, What::Folder(_)) {
                2
            } else {
                1
            };
            let node = Node {
                what,
                mode: node.mode,
                links,
                path,
            };
            after.nodes.insert(number, node);
        }
        (after, damage)
    }

    /// The disk when all was written back, as after a quiet while.
    #[must_use]
    pub fn settled(mut self) -> Self {
        for node in self.nodes.values_mut() {
            match &mut node.what {
                What::File(bytes) => bytes.sync(),
                What::Folder(names) => names.sync(),
                What::Link(_) => {}
            }
        }
        self
    }

    /// The bytes of every file, by its path below the root.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![(ROOT, String::new())];
        while let Some((number, path)) = folders.pop() {
            match &self.nodes[&number].what {
                What::Folder(names) => {
                    let inside = names.all().iter();
                    folders.extend(inside.map(|(name, number)| (*number, join(&path, name))));
                }
                What::File(bytes) => {
                    files.insert(path, bytes.all().to_owned());
                }
                What::Link(_) => {}
            }
        }
        files
    }

    pub(crate) fn node(&self, number: u64) -> Done<&Node> {
        self.nodes.get(&number).ok_or(Errno::STALE)
    }

    pub(crate) fn node_mut(&mut self, number: u64) -> Done<&mut Node> {
        self.nodes.get_mut(&number).ok_or(Errno::STALE)
    }

    pub(crate) fn names(&self, folder: u64) -> Done<&Names> {
        match &self.node(folder)?.what {
            What::Folder(names) => Ok(names),
            _ => Err(Errno::NOTDIR),
        }
    }

    pub(crate) fn bytes(&self, file: u64) -> Done<&Bytes> {
        match &self.node(file)?.what {
            What::File(bytes) => Ok(bytes),
            What::Folder(_) => Err(Errno::ISDIR),
            What::Link(_) => Err(Errno::INVAL),
        }
    }

    pub(crate) fn bytes_mut(&mut self, file: u64) -> Done<&mut Bytes> {
        match &mut self.node_mut(file)?.what {
            What::File(bytes) => Ok(bytes),
            What::Folder(_) => Err(Errno::ISDIR),
            What::Link(_) => Err(Errno::INVAL),
        }
    }

    fn change(&mut self, folder: u64, step: u64, names: Vec<(String, Option<u64>)>) -> Done<()> {
        match &mut self.node_mut(folder)?.what {
            What::Folder(inside) => inside.change(step, names),
            _ => return Err(Errno::NOTDIR),
        }
        Ok(())
    }

    fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    /// The path of a name in a folder.
    pub(crate) fn path(&self, folder: u64, name: &str) -> String {
        let above = self.nodes.get(&folder).map_or("", |node| &node.path);
        join(above, name)
    }

    pub(crate) fn find(&self, folder: u64, name: &str) -> Done<u64> {
        self.names(folder)?.get(name).ok_or(Errno::NOENT)
    }

    pub(crate) fn make(&mut self, folder: u64, name: &str, what: What, mode: u32) -> Done<u64> {
        if self.names(folder)?.get(name).is_some() {
            return Err(Errno::EXIST);
        }
        let number = self.next;
        self.next += 1;
        let node = Node {
            links: if matches!(what, What::Folder(_)) {
                2
            } else {
                1
            },
            what,
            mode,
            path: self.path(folder, name),
        };
        self.nodes.insert(number, node);
        let step = self.step();
        self.change(folder, step, vec![(name.to_owned(), Some(number))])?;
        Ok(number)
    }

    pub(crate) fn remove(&mut self, folder: u64, name: &str, is_folder: bool) -> Done<()> {
        let number = self.find(folder, name)?;
        self.check_removal(number, is_folder)?;
        let step = self.step();
        self.change(folder, step, vec![(name.to_owned(), None)])?;
        self.unlinked(number)
    }

    pub(crate) fn check_removal(&self, number: u64, as_folder: bool) -> Done<()> {
        match (&self.node(number)?.what, as_folder) {
            (What::Folder(names), true) if names.all().is_empty() => Ok(()),
            (What::Folder(_), true) => Err(Errno::NOTEMPTY),
            (What::Folder(_), false) => Err(Errno::ISDIR),
            (_, true) => Err(Errno::NOTDIR),
            (_, false) => Ok(()),
        }
    }

    /// The node itself stays: it may be open, and a power cut may bring its name back.
    fn unlinked(&mut self, number: u64) -> Done<()> {
        let node = self.node_mut(number)?;
        node.links = node.links.saturating_sub(1);
        Ok(())
    }

    pub(crate) fn link(&mut self, number: u64, folder: u64, name: &str) -> Done<()> {
        if matches!(self.node(number)?.what, What::Folder(_)) {
            return Err(Errno::PERM);
        }
        if self.names(folder)?.get(name).is_some() {
            return Err(Errno::EXIST);
        }
        let step = self.step();
        self.change(folder, step, vec![(name.to_owned(), Some(number))])?;
        let path = self.path(folder, name);
        let node = self.node_mut(number)?;
        node.links += 1;
        node.path = path;
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Done<()> {
        let number = self.find(from.0, from.1)?;
        let is_folder = matches!(self.node(number)?.what, What::Folder(_));
        if is_folder && from.0 != to.0 {
            // What two halves of it would leave is no tree.
            return Err(Errno::XDEV);
        }
        let replaced = self.names(to.0)?.get(to.1);
        if replaced == Some(number) {
            return Ok(());
        }
        if let Some(replaced) = replaced {
            self.check_removal(replaced, is_folder)?;
            self.unlinked(replaced)?;
        }
        let step = self.step();
        let gone = (from.1.to_owned(), None);
        let here = (to.1.to_owned(), Some(number));
        if from.0 == to.0 {
            self.change(from.0, step, vec![gone, here])?;
        } else {
            self.change(to.0, step, vec![here])?;
            self.change(from.0, step, vec![gone])?;
        }
        let path = self.path(to.0, to.1);
        self.node_mut(number)?.path = path;
        Ok(())
    }

    /// Makes a file's bytes durable, or a folder's names.
    pub(crate) fn sync(&mut self, number: u64) -> Done<()> {
        match &mut self.node_mut(number)?.what {
            What::File(bytes) => bytes.sync(),
            What::Folder(names) => names.sync(),
            What::Link(_) => {}
        }
        Ok(())
    }

    /// Paths of files and folders that have something that is not synced.
    #[must_use]
    pub fn unsynced(&self) -> Vec<String> {
        let dirty = self.nodes.values().filter(|node| match &node.what {
            What::File(bytes) => !bytes.is_synced(),
            What::Folder(names) => !names.is_synced(),
            What::Link(_) => false,
        });
        dirty.map(|node| node.path.clone()).collect()
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}
