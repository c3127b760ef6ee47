//! What the store knows without asking the disk: the commits that are not folded, clients, uploads, space, and the line
//! of commits that wait for the next sync.
//! Invariant: everything here follows from the tables and the log; `apply` is how a commit enters, when it is made and
//! when it is redone at open. Not here: SQLite, and the plain files.

mod clients;
mod overlay;
mod space;
mod uploads;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use crate::blob::Bytes;
use crate::body::Body;
use crate::change::{Change, Redo};
use crate::disk::{Disk, Place};
use crate::plain::PlainStep;
use crate::staging::StagedFile;
use crate::view::FileState;
use crate::{ClientId, KvNamespace, MediaPath, NoSpace, OperationId, Position};

pub(crate) use clients::{Client, Clients, Kept, Known};
pub(crate) use overlay::{Overlay, RecentReply};
pub(crate) use space::Space;
pub(crate) use uploads::{Live, Slot, Stage, UploadName, Uploads};

/// A commit that waits for the next sync.
pub(crate) struct Waiting {
    pub(crate) position: Position,
    pub(crate) encoded: Vec<u8>,
    /// To be synced before the record may name them.
    pub(crate) staged: Vec<Arc<StagedFile>>,
    pub(crate) steps: Vec<PlainStep>,
}

/// All of it, behind one lock that is held for microseconds.
pub(crate) struct Memory {
    pub(crate) overlay: Overlay,
    pub(crate) clients: Clients,
    pub(crate) uploads: Uploads,
    pub(crate) space: Space,
    pub(crate) line: VecDeque<Waiting>,
    /// The newest commit.
    pub(crate) head: Position,
    /// The newest durable one.
    pub(crate) durable: Position,
    /// Writes are refused: a sync failed, or the store was closed.
    pub(crate) refused: bool,
    /// The store's uptime, over all its runs.
    pub(crate) uptime_ms: u64,
    /// Whether a record was dropped that its client did not give up. Of one who only read that is known while the host
    /// lives, as its record was.
    pub(crate) dropped_records: bool,
    bodies: HashMap<MediaPath, Weak<Body>>,
}

/// Where a change comes from.
pub(crate) enum BodySource {
    /// Its commit is being made, and this is where the file's bytes are.
    Made(Arc<Body>),
    /// Its commit is being made, and it has no bytes.
    MadeWithout,
    /// It is redone from the log.
    Redone,
}

impl Memory {
    pub(crate) fn new(space: Space) -> Self {
        Self {
            overlay: Overlay::default(),
            clients: Clients::default(),
            uploads: Uploads::default(),
            space,
            line: VecDeque::new(),
            head: Position(0),
            durable: Position(0),
            refused: false,
            uptime_ms: 0,
            dropped_records: false,
            bodies: HashMap::new(),
        }
    }

    /// Whether quota and disk have room for this much more.
    pub(crate) fn check_room(&mut self, disk: &Disk, more: u64) -> Result<(), NoSpace> {
        self.check_quota(more, 0)?;
        self.check_disk(disk, more)
    }

    /// Whether the quota has room for this much more once uploads of `freed` bytes are used.
    pub(crate) fn check_quota(&self, more: u64, freed: u64) -> Result<(), NoSpace> {
        if more == 0 {
            return Ok(());
        }
        let held: u64 = self
            .uploads
            .iter()
            .map(|(_, slot)| slot.space())
            .fold(0, u64::saturating_add);
        self.space.check_quota(more, held.saturating_sub(freed))
    }

    /// Whether the disk has room for this much more.
    pub(crate) fn check_disk(&mut self, disk: &Disk, more: u64) -> Result<(), NoSpace> {
        if more == 0 {
            return Ok(());
        }
        let outstanding = self
            .uploads
            .iter()
            .map(|(_, slot)| slot.outstanding())
            .fold(0, u64::saturating_add);
        self.space.check_disk(disk, more, outstanding)
    }

    /// The body of a file in the tables: one for all who read it.
    pub(crate) fn body(&mut self, path: &MediaPath, size: u64) -> Arc<Body> {
        if let Some(body) = self.known_body(path) {
            return body;
        }
        let body = Arc::new(Body::on_disk(Place::Media(path.clone()), size));
        self.bodies.insert(path.clone(), Arc::downgrade(&body));
        body
    }

    /// The body at a path, where somebody has it.
    pub(crate) fn known_body(&self, path: &MediaPath) -> Option<Arc<Body>> {
        self.bodies.get(path)?.upgrade()
    }

    /// Bodies that nobody has any more are forgotten.
    pub(crate) fn tidy_bodies(&mut self) {
        self.bodies.retain(|_, body| body.strong_count() > 0);
    }

    /// What never became durable is taken back, so that reads go on from what is. `for_sure`: it never will be; otherwise the
    /// replies stay, and whoever asks for one waits and learns that nobody can tell.
    pub(crate) fn take_back(&mut self, for_sure: bool) {
        for commit in self.line.drain(..) {
            commit.staged.iter().for_each(|file| file.release());
        }
        let durable = self.durable;
        self.overlay.drop_after(durable);
        if for_sure {
            self.overlay.drop_replies_after(durable);
            self.clients.take_back(durable);
            self.uploads.take_back(durable);
        }
        let Self {
            overlay, bodies, ..
        } = self;
        // Who has another body yet began before, and commits nothing any more.
        bodies.clear();
        for (path, _, state) in overlay.files() {
            if let Some(state) = state {
                state.body.cut(state.row.size);
                bodies.insert(path.clone(), Arc::downgrade(&state.body));
            }
        }
    }

    /// A change of the commit at `position` becomes visible.
    pub(crate) fn apply(&mut self, position: Position, change: Change, source: BodySource) {
        let durable = self.durable;
        match change {
            Change::File { path, row, redo } => {
                let Some(path) = Change::path(&path) else {
                    return;
                };
                let body = match source {
                    BodySource::Made(body) => body,
                    BodySource::Redone | BodySource::MadeWithout => {
                        self.redone_body(&path, row.size, redo)
                    }
                };
                body.lock().modified_ms = row.modified_ms;
                self.bodies.insert(path.clone(), Arc::downgrade(&body));
                let state = FileState {
                    row,
                    body,
                    changed_at: position,
                    suspect: false,
                };
                self.overlay
                    .set_file(path, position, Some(Arc::new(state)), durable);
            }
            Change::NoFile { path } => {
                let Some(path) = Change::path(&path) else {
                    return;
                };
                self.bodies.remove(&path);
                self.overlay.set_file(path, position, None, durable);
            }
            Change::Kv {
                namespace,
                key,
                value,
            } => {
                let value = value.map(|value| Bytes::from(value.into_vec()));
                self.overlay
                    .set_kv(KvNamespace(namespace.into()), key, position, value, durable);
            }
            Change::Ran {
                client,
                number,
                digest,
                reply,
            } => {
                let uptime_ms = self.uptime_ms;
                let row = self.clients.entry(client);
                row.executed_through = row.executed_through.max(number);
                row.kept.insert(number, Kept { digest, position });
                row.wrote = true;
                row.used_ms = uptime_ms;
                self.clients.mark(client);
                let reply = RecentReply {
                    changed_at: position,
                    reply: reply.into(),
                };
                self.overlay
                    .set_reply(OperationId { client, number }, reply);
            }
            Change::Answer {
                client,
                number,
                reply,
            } => {
                if self
                    .clients
                    .get(&client)
                    .is_some_and(|row| row.kept.contains_key(&number))
                {
                    let reply = RecentReply {
                        changed_at: position,
                        reply: reply.into(),
                    };
                    self.overlay
                        .set_reply(OperationId { client, number }, reply);
                    if let Some(kept) = self
                        .clients
                        .get_mut(&client)
                        .and_then(|row| row.kept.get_mut(&number))
                    {
                        kept.position = position;
                    }
                }
            }
            // While the store runs, an upload's slot is ahead of its row.
            Change::Upload {
                client,
                number,
                row,
            } => {
                if matches!(source, BodySource::Redone) {
                    self.uploads.insert((client, number), Slot::of(&row));
                }
            }
            Change::UploadConsumed { client, number, by } => {
                if let Some(slot) = self.uploads.get_mut(&(client, number)) {
                    slot.consume(by, position);
                }
            }
            Change::NoUpload { client, number } => {
                self.uploads.drop_at(&(client, number), position, durable);
            }
            Change::Forget { client, dropped } => {
                self.dropped_records |= dropped;
                self.forget(client, position);
            }
        }
    }

    /// A client's record and uploads go.
    fn forget(&mut self, client: ClientId, position: Position) {
        if let Some(row) = self.clients.remove(&client) {
            for number in row.kept.keys() {
                self.overlay.drop_reply(&OperationId {
                    client,
                    number: *number,
                });
            }
        }
        let names: Vec<UploadName> = self
            .uploads
            .of_client(client)
            .map(|(name, _)| *name)
            .collect();
        for name in names {
            self.uploads.drop_at(&name, position, self.durable);
        }
    }

    fn redone_body(&self, path: &MediaPath, size: u64, redo: Redo) -> Arc<Body> {
        let staged =
            |name: &str, on_disk| Arc::new(Body::on_disk(Place::Staging(name.into()), on_disk));
        match redo {
            Redo::Staged(name) => staged(&name, size),
            Redo::StagedThenTail(name, tail) => {
                let body = staged(&name, size.saturating_sub(tail.len() as u64));
                body.push(tail.into());
                body
            }
            Redo::Whole(bytes) => Arc::new(Body::in_memory(bytes.into())),
            Redo::Tail(tail) => {
                let body = match self.overlay.file(path) {
                    Some((_, Some(state))) => state.body.clone(),
                    _ => {
                        let before = size.saturating_sub(tail.len() as u64);
                        Arc::new(Body::on_disk(Place::Media(path.clone()), before))
                    }
                };
                body.push(tail.into());
                body
            }
        }
    }
}
