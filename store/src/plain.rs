//! The plain files follow the record: what a durable commit means for `media/` and `staging/`.
//! Invariant: commits are followed in order, each only once it is durable, and `done` tells up to where; what fails is kept
//! and tried again, and everything after it waits. Not here: syncing (the fold does it before the record forgets).
//! The redo after a crash does not repeat these steps; it goes by where each file ends up (`engine/recovery`).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use crate::blob::Bytes;
use crate::body::{Body, Inner};
use crate::disk::{Disk, Folder, Place};
use crate::engine::READ_BYTES;
use crate::{MediaPath, Position};

/// One step.
pub(crate) enum PlainStep {
    /// The next waiting bytes become a new file.
    Create {
        path: MediaPath,
        body: Arc<Body>,
        replaced: Option<Arc<Body>>,
    },
    /// The next waiting bytes, of so many commits, go to the end of the file.
    Write { body: Arc<Body>, pieces: usize },
    /// Into `staging/`, before its path goes or another file takes it. `name`: it has this second name there already.
    Park {
        body: Arc<Body>,
        name: Option<Arc<str>>,
    },
    /// From `staging/` to its path.
    Adopt {
        path: MediaPath,
        body: Arc<Body>,
        replaced: Option<Arc<Body>>,
    },
    /// The file goes.
    Remove {
        path: MediaPath,
        replaced: Option<Arc<Body>>,
    },
    /// A staged file goes.
    Discard { name: Arc<str> },
}

/// How far the plain files have followed.
pub(crate) struct Plain {
    done: Position,
    /// The commits from the first one that failed on.
    stuck: VecDeque<(Position, VecDeque<PlainStep>)>,
    /// Why the first of them failed.
    why: Option<Stuck>,
    /// What is to be synced before the record forgets it.
    dirty: Dirty,
}

/// Why plain files can't follow.
#[derive(Clone, Debug)]
pub(crate) struct Stuck {
    pub(crate) kind: io::ErrorKind,
    /// What is in the way, and what to do.
    pub(crate) why: String,
}

/// Files and folders that changed since they were last synced.
#[derive(Default)]
pub(crate) struct Dirty {
    pub(crate) bodies: Vec<Arc<Body>>,
    pub(crate) folders: BTreeSet<Folder>,
    /// Staged names of files that were adopted: to be removed once that is synced.
    pub(crate) adopted: Vec<Arc<str>>,
}

impl Dirty {
    pub(crate) fn body(&mut self, body: &Arc<Body>) {
        if !self
            .bodies
            .iter()
            .rev()
            .take(64)
            .any(|known| Arc::ptr_eq(known, body))
        {
            self.bodies.push(body.clone());
        }
    }

    /// The folders that a file at this path lies in.
    pub(crate) fn path(&mut self, path: &MediaPath) {
        self.folders.insert(Folder::Media);
        self.folders.extend(path.folders().map(Folder::Under));
    }

    /// Syncs all of it. *Blocking*.
    pub(crate) fn sync(&self, disk: &Disk) -> io::Result<()> {
        for body in &self.bodies {
            let file = match &body.lock().place {
                Some(place) => disk.open(place),
                None => continue,
            };
            match file {
                Ok(file) => disk.sync(&file)?,
                // Removed meanwhile, by a commit that stands in the record.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.folders
            .iter()
            .try_for_each(|folder| disk.sync_folder(folder))?;
        // Where this fails they are cleared at the next open.
        self.adopted
            .iter()
            .for_each(|name| drop(disk.remove(&Place::Staging(name.clone()))));
        Ok(())
    }
}

/// Appends to one file, in commits that follow each other, become one write, with the first of them. All these commits are
/// durable, so that they need not be told apart.
pub(crate) fn gather_writes<'a>(commits: impl Iterator<Item = &'a mut Vec<PlainStep>>) {
    let mut writes: HashMap<*const Body, &mut usize> = HashMap::new();
    for steps in commits {
        let own = std::mem::take(steps);
        let is_write = |step: &PlainStep| matches!(step, PlainStep::Write { .. });
        if !own.iter().all(is_write) {
            // Files come, go or change places: what comes after stays after.
            writes.clear();
            *steps = own;
            continue;
        }
        let alone = |step: &PlainStep| match step {
            PlainStep::Write { body, pieces } => match writes.get_mut(&Arc::as_ptr(body)) {
                Some(gathered) => {
                    **gathered += pieces;
                    false
                }
                None => true,
            },
            _ => true,
        };
        *steps = own.into_iter().filter(alone).collect();
        for step in steps {
            if let PlainStep::Write { body, pieces } = step {
                writes.insert(Arc::as_ptr(body), pieces);
            }
        }
    }
}

impl Plain {
    pub(crate) fn new(done: Position) -> Self {
        Self {
            done,
            stuck: VecDeque::new(),
            why: None,
            dirty: Dirty::default(),
        }
    }

    /// Why the record is ahead, where it is.
    pub(crate) fn stuck(&self) -> Option<&Stuck> {
        self.why.as_ref()
    }

    /// What is to be synced, and up to which commit that is all.
    pub(crate) fn take_dirty(&mut self) -> (Position, Dirty) {
        (self.done, std::mem::take(&mut self.dirty))
    }

    /// Follows a durable commit.
    pub(crate) fn follow(&mut self, disk: &Disk, position: Position, steps: Vec<PlainStep>) {
        self.stuck.push_back((position, steps.into()));
        if self.stuck.len() == 1 {
            self.retry(disk);
        }
    }

    /// Goes on where it failed; what keeps it is told once.
    pub(crate) fn retry(&mut self, disk: &Disk) {
        while let Some((position, steps)) = self.stuck.front_mut() {
            while let Some(step) = steps.front() {
                let mut ran = step.run(disk, &mut self.dirty);
                if ran.as_ref().is_err_and(is_full) {
                    disk.drop_ballast();
                    ran = step.run(disk, &mut self.dirty);
                }
                if let Err(error) = ran {
                    let stuck = step.stuck(disk, &error);
                    if self.why.as_ref().is_none_or(|told| told.why != stuck.why) {
                        tracing::error!(
                            why = stuck.why,
                            position = position.0,
                            "files can't follow the record; it is tried again"
                        );
                    }
                    self.why = Some(stuck);
                    return;
                }
                steps.pop_front();
            }
            self.done = *position;
            self.stuck.pop_front();
        }
        self.why = None;
    }
}

impl PlainStep {
    /// Where the file is to be, or is.
    fn media(&self) -> Option<MediaPath> {
        match self {
            Self::Create { path, .. } | Self::Adopt { path, .. } | Self::Remove { path, .. } => {
                Some(path.clone())
            }
            Self::Write { body, .. } | Self::Park { body, .. } => match &body.lock().place {
                Some(Place::Media(path)) => Some(path.clone()),
                _ => None,
            },
            Self::Discard { .. } => None,
        }
    }

    /// Why it failed, for people.
    fn stuck(&self, disk: &Disk, error: &io::Error) -> Stuck {
        let kind = error.kind();
        let Some(path) = self.media() else {
            let why = format!("the staging folder can't be written: {error}");
            return Stuck { kind, why };
        };
        let why = match disk.in_the_way(&path) {
            Some(way) => format!(
                "`media/{way}` in the data folder was put there by hand, where `{path}` is to be stored; move it away"
            ),
            None => format!("`media/{path}` in the data folder can't be written: {error}"),
        };
        Stuck { kind, why }
    }

    fn run(&self, disk: &Disk, dirty: &mut Dirty) -> io::Result<()> {
        match self {
            Self::Create {
                path,
                body,
                replaced,
            } => {
                create(disk, path, &mut body.lock(), replaced.as_deref())?;
                dirty.body(body);
                dirty.path(path);
            }
            Self::Write { body, pieces } => {
                write(disk, &mut body.lock(), *pieces)?;
                dirty.body(body);
            }
            Self::Park { body, name } => park(disk, body, name.as_ref(), dirty)?,
            Self::Adopt {
                path,
                body,
                replaced,
            } => {
                let mut inner = body.lock();
                if let Some(from) = inner.place.clone()
                    && take_path(
                        disk,
                        &from,
                        path,
                        &mut inner,
                        replaced.as_deref(),
                        |disk, from, to| disk.adopt(from, to).map(|()| true),
                    )?
                    && let Place::Staging(name) = from
                {
                    dirty.adopted.push(name);
                }
                if inner.on_disk > READ_BYTES
                    && let Ok(file) = disk.open(&Place::Media(path.clone()))
                {
                    disk.set_modified(&file, inner.modified_ms);
                }
                dirty.path(path);
            }
            Self::Remove { path, replaced } => {
                let mut replaced = replaced.as_ref().map(|body| body.lock());
                disk.remove(&Place::Media(path.clone()))?;
                if let Some(replaced) = &mut replaced {
                    replaced.leave(path);
                }
                dirty.path(path);
            }
            Self::Discard { name } => disk.remove(&Place::Staging(name.clone()))?,
        }
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A file leaves its path for `staging/`, where it can still be read.
fn park(
    disk: &Disk,
    body: &Arc<Body>,
    name: Option<&Arc<str>>,
    dirty: &mut Dirty,
) -> io::Result<()> {
    let mut inner = body.lock();
    if let Some(name) = name {
        inner.place = Some(Place::Staging(name.clone()));
    } else if let Some(Place::Media(path)) = inner.place.clone() {
        let parked = Place::Staging(disk.new_name());
        disk.rename(&Place::Media(path.clone()), &parked)?;
        inner.place = Some(parked);
        dirty.path(&path);
        dirty.body(body);
    }
    Ok(())
}

/// The first waiting bytes become a new file at `path`.
fn create(
    disk: &Disk,
    path: &MediaPath,
    body: &mut Inner,
    replaced: Option<&Body>,
) -> io::Result<()> {
    let Some(bytes) = body.waiting.front() else {
        return Ok(());
    };
    let staged = Place::Staging(disk.new_name());
    let file = disk.create(&staged)?;
    let len = bytes.len() as u64;
    if let Err(error) = disk.write_at(&file, bytes, 0) {
        let _ = disk.remove(&staged);
        return Err(error);
    }
    take_path(disk, &staged, path, body, replaced, |disk, from, to| {
        disk.rename(from, to).map(|()| false)
    })?;
    body.waiting.pop_front();
    body.on_disk = len;
    Ok(())
}

/// A file moves to `path`; who has the one that was there learns that it is gone. Whether its old name is still there.
fn take_path(
    disk: &Disk,
    from: &Place,
    path: &MediaPath,
    body: &mut Inner,
    replaced: Option<&Body>,
    go: impl FnOnce(&Disk, &Place, &Place) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut replaced = replaced.map(Body::lock);
    let to = Place::Media(path.clone());
    let stays = go(disk, from, &to)?;
    if let Some(replaced) = &mut replaced {
        replaced.leave(path);
    }
    body.place = Some(to);
    Ok(stays)
}

/// The first waiting bytes go to the end of the file.
fn write(disk: &Disk, body: &mut Inner, pieces: usize) -> io::Result<()> {
    let pieces = pieces.min(body.waiting.len());
    let (Some(first), Some(place)) = (body.waiting.front(), &body.place) else {
        return Ok(());
    };
    let joined: Bytes = if pieces == 1 {
        first.clone()
    } else {
        let all: Vec<&[u8]> = body
            .waiting
            .range(..pieces)
            .map(|piece| &piece[..])
            .collect();
        all.concat().into()
    };
    let len = joined.len() as u64;
    let file = disk.open_to_write(place)?;
    disk.write_at(&file, &joined, body.on_disk)
        .inspect_err(|_| {
            let _ = disk.set_len(&file, body.on_disk);
        })?;
    body.waiting.drain(..pieces);
    body.on_disk += len;
    if body.on_disk > READ_BYTES {
        disk.set_modified(&file, body.modified_ms);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_appends_with_nothing_else_between_them_are_gathered() {
        let body = Arc::new(Body::in_memory(Bytes::from([])));
        let append = || PlainStep::Write {
            body: body.clone(),
            pieces: 1,
        };
        let goes = PlainStep::Discard { name: "x".into() };
        let mut commits = [
            vec![append()],
            vec![append()],
            vec![goes],
            vec![append()],
            vec![append()],
        ];
        gather_writes(commits.iter_mut());
        let pieces = commits.map(|steps| match steps.first() {
            Some(PlainStep::Write { pieces, .. }) => *pieces,
            _ => 0,
        });
        assert_eq!(pieces, [2, 0, 0, 2, 0]);
    }
}
