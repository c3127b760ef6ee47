//! Answers the kernel's requests from a [`Disk`], as far as the [`Faults`] let it.
//! Invariant: the kernel is the only one to change the disk, so what it remembers of names and attributes is right.
//! Writes pass at once (no write-back cache), so every write and sync of a process is seen here in its order; pages
//! written through a shared mapping come when the kernel writes them back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use crate::disk::{Disk, Node, What};
use crate::faults::{Call, Faults, Verdict};
use crate::file::Bytes;
use crate::folder::Names;
use crate::wire::{Answer, MAX_WRITE_BYTES, Request, op};

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Seconds for which the kernel may remember: longer than any test.
const REMEMBER: u64 = 86_400;

/// What the threads of a mount share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) disk: Disk,
    pub(crate) faults: Faults,
    /// What `df` tells.
    pub(crate) free_bytes: u64,
    /// Folders that are being read: a list made when it was opened.
    listings: BTreeMap<u64, Vec<(String, u64)>>,
    next_handle: u64,
    born: SystemTime,
}

/// An answer's body; none where there is to be no answer.
pub(crate) type Reply = Result<Option<Answer>, Errno>;

impl Shared {
    pub(crate) fn new(disk: Disk, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                disk,
                faults: Faults::new(seed),
                free_bytes: 8 << 30,
                listings: BTreeMap::new(),
                next_handle: 1,
                born: SystemTime::now(),
            }),
        })
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn serve(&self, request: Request<'_>) -> Reply {
        if matches!(request.op, op::FSYNC | op::FSYNCDIR) {
            let slow = self.with(|state| state.faults.slow_syncs);
            if !slow.is_zero() {
                std::thread::sleep(slow);
            }
        }
        self.with(|state| state.serve(request))
    }
}

impl State {
    fn serve(&mut self, mut request: Request<'_>) -> Reply {
        match request.op {
            op::INIT => return Ok(Some(init(&mut request))),
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return Ok(None),
            op::DESTROY | op::RELEASE => return Ok(Some(Answer::default())),
            op::RELEASEDIR => {
                self.listings.remove(&request.u64());
                return Ok(Some(Answer::default()));
            }
            _ if self.faults.is_off() => return Err(Errno::IO),
            _ => {}
        }
        self.answer(&mut request).map(Some)
    }

    fn answer(&mut self, request: &mut Request<'_>) -> Result<Answer, Errno> {
        let node = request.node;
        match request.op {
            op::LOOKUP => {
                let found = self.disk.find(node, &request.name())?;
                self.entry(found)
            }
            op::GETATTR => self.attributes(node),
            op::SETATTR => self.set_attributes(request),
            op::READLINK => match &self.disk.node(node)?.what {
                What::Link(target) => Ok(Answer::default().bytes(target.as_bytes())),
                _ => Err(Errno::INVAL),
            },
            op::SYMLINK => {
                let (name, target) = (request.name(), request.name());
                self.make(node, &name, What::Link(target), LINK | 0o777)
            }
            op::MKDIR => {
                let (mode, umask) = (request.u32(), request.u32());
                let name = request.name();
                let mode = FOLDER | (mode & !umask & 0o7777);
                self.make(node, &name, What::Folder(Names::default()), mode)
            }
            op::CREATE => {
                let (_flags, mode) = (request.u32(), request.u32());
                let (umask, _) = (request.u32(), request.u32());
                let name = request.name();
                let mode = FILE | (mode & !umask & 0o7777);
                let entry = self.make(node, &name, What::File(Bytes::default()), mode)?;
                Ok(opened(entry, 0))
            }
            op::UNLINK => self.remove(node, &request.name(), false),
            op::RMDIR => self.remove(node, &request.name(), true),
            op::RENAME | op::RENAME2 => self.rename(request),
            op::LINK => self.link(request),
            op::OPEN => {
                self.disk.bytes(node)?;
                Ok(opened(Answer::default(), 0))
            }
            op::READ => {
                let (_handle, offset, len) = (request.u64(), request.u64(), request.u32());
                let bytes = self.disk.bytes(node)?.read(offset, len as usize);
                Ok(Answer::default().bytes(bytes))
            }
            op::WRITE => self.write(request),
            op::STATFS => Ok(self.space()),
            op::FSYNC => self.sync(node, Call::Sync),
            op::FSYNCDIR => self.sync(node, Call::SyncFolder),
            op::OPENDIR => {
                let names = self.disk.names(node)?.all().iter();
                let listing = names.map(|(name, number)| (name.clone(), *number));
                let handle = self.next_handle;
                self.next_handle += 1;
                self.listings.insert(handle, listing.collect());
                Ok(opened(Answer::default(), handle))
            }
            op::READDIR => self.list(request),
            _ => Err(Errno::NOSYS),
        }
    }

    /// Does a change, unless a fault says otherwise.
    fn change<T>(
        &mut self,
        call: Call,
        paths: &[&str],
        change: impl FnOnce(&mut Disk) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match self.faults.judge(call, paths) {
            Verdict::Fail(error) => Err(error),
            Verdict::Do | Verdict::LastAnswered => change(&mut self.disk),
            Verdict::Last => {
                change(&mut self.disk)?;
                Err(Errno::IO)
            }
        }
    }

    fn make(&mut self, folder: u64, name: &str, what: What, mode: u32) -> Result<Answer, Errno> {
        let path = self.disk.path(folder, name);
        let made = self.change(Call::Create, &[&path], |disk| {
            disk.make(folder, name, what, mode)
        })?;
        self.entry(made)
    }

    fn remove(&mut self, folder: u64, name: &str, is_folder: bool) -> Result<Answer, Errno> {
        let path = self.disk.path(folder, name);
        // What can't be done is no change, and no point to cut at.
        let number = self.disk.find(folder, name)?;
        self.disk.check_removal(number, is_folder)?;
        self.change(Call::Unlink, &[&path], |disk| {
            disk.remove(folder, name, is_folder)
        })?;
        Ok(Answer::default())
    }

    fn rename(&mut self, request: &mut Request<'_>) -> Result<Answer, Errno> {
        let to = request.u64();
        if request.op == op::RENAME2 {
            let flags = request.u32();
            request.skip(4);
            if flags != 0 {
                return Err(Errno::INVAL);
            }
        }
        let (old, new) = (request.name(), request.name());
        let from = request.node;
        let paths = [self.disk.path(from, &old), self.disk.path(to, &new)];
        self.change(Call::Rename, &[&paths[0], &paths[1]], |disk| {
            disk.rename((from, &old), (to, &new))
        })?;
        Ok(Answer::default())
    }

    fn link(&mut self, request: &mut Request<'_>) -> Result<Answer, Errno> {
        let (folder, number) = (request.node, request.u64());
        let name = request.name();
        let path = self.disk.path(folder, &name);
        self.change(Call::Link, &[&path], |disk| {
            disk.link(number, folder, &name)
        })?;
        self.entry(number)
    }

    fn write(&mut self, request: &mut Request<'_>) -> Result<Answer, Errno> {
        let (_handle, offset, len) = (request.u64(), request.u64(), request.u32());
        request.skip(20);
        let bytes = request.bytes(len as usize);
        let path = self.disk.node(request.node)?.path.clone();
        let file = self.disk.bytes_mut(request.node)?;
        match self.faults.judge(Call::Write, &[&path]) {
            Verdict::Fail(error) => Err(error),
            Verdict::Last => {
                file.write_in_part(offset, bytes, &mut self.faults.random);
                Err(Errno::IO)
            }
            Verdict::Do | Verdict::LastAnswered => {
                file.write(offset, bytes);
                Ok(Answer::default().u32(len).u32(0))
            }
        }
    }

    fn sync(&mut self, number: u64, call: Call) -> Result<Answer, Errno> {
        let path = self.disk.node(number)?.path.clone();
        self.change(call, &[&path], |disk| disk.sync(number))?;
        Ok(Answer::default())
    }

    fn set_attributes(&mut self, request: &mut Request<'_>) -> Result<Answer, Errno> {
        const MODE: u32 = 1 << 0;
        const SIZE: u32 = 1 << 3;
        let number = request.node;
        let valid = request.u32();
        request.skip(12);
        let size = request.u64();
        request.skip(44);
        let mode = request.u32();
        if valid & MODE != 0 {
            let node = self.disk.node_mut(number)?;
            node.mode = (node.mode & !0o7777) | (mode & 0o7777);
        }
        if valid & SIZE != 0 {
            let path = self.disk.node(number)?.path.clone();
            self.change(Call::SetLen, &[&path], |disk| {
                disk.bytes_mut(number).map(|bytes| bytes.set_len(size))
            })?;
        }
        self.attributes(number)
    }

    fn list(&mut self, request: &mut Request<'_>) -> Result<Answer, Errno> {
        let (handle, offset, room) = (request.u64(), request.u64(), request.u32() as usize);
        let listing = self.listings.get(&handle).ok_or(Errno::BADF)?;
        let mut answer = Answer::default();
        for (place, (name, number)) in listing.iter().enumerate().skip(offset as usize) {
            let padded = name.len().next_multiple_of(8);
            if answer.0.len() + 24 + padded > room {
                break;
            }
            let kind = self.disk.node(*number)?.kind() >> 12;
            answer = answer
                .u64(*number)
                .u64(place as u64 + 1)
                .u32(name.len() as u32)
                .u32(kind)
                .bytes(name.as_bytes());
            answer.0.resize(answer.0.len() + padded - name.len(), 0);
        }
        Ok(answer)
    }

    fn entry(&self, number: u64) -> Result<Answer, Errno> {
        let head = Answer::default()
            .u64(number)
            .u64(0)
            .u64(REMEMBER)
            .u64(REMEMBER)
            .u32(0)
            .u32(0);
        Ok(self.attribute(head, number, self.disk.node(number)?))
    }

    fn attributes(&self, number: u64) -> Result<Answer, Errno> {
        let head = Answer::default().u64(REMEMBER).u32(0).u32(0);
        Ok(self.attribute(head, number, self.disk.node(number)?))
    }

    fn attribute(&self, head: Answer, number: u64, node: &Node) -> Answer {
        let size = match &node.what {
            What::File(bytes) => bytes.len(),
            What::Folder(_) => 4096,
            What::Link(target) => target.len() as u64,
        };
        let time = self.born.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        head.u64(number)
            .u64(size)
            .u64(size.div_ceil(512))
            .u64(seconds)
            .u64(seconds)
            .u64(seconds)
            .u32(nanos)
            .u32(nanos)
            .u32(nanos)
            .u32(node.kind() | (node.mode & 0o7777))
            .u32(node.links)
            .u32(uid.as_raw())
            .u32(gid.as_raw())
            .u32(0)
            .u32(4096)
            .u32(0)
    }

    fn space(&self) -> Answer {
        let free = self.free_bytes / 4096;
        let answer = Answer::default()
            .u64(free + (1 << 20))
            .u64(free)
            .u64(free)
            .u64(1 << 20)
            .u64(1 << 20)
            .u32(4096)
            .u32(255)
            .u32(4096)
            .u32(0);
        answer.bytes(&[0; 24])
    }
}

impl Node {
    fn kind(&self) -> u32 {
        match self.what {
            What::File(_) => FILE,
            What::Folder(_) => FOLDER,
            What::Link(_) => LINK,
        }
    }
}

fn opened(before: Answer, handle: u64) -> Answer {
    before.u64(handle).u32(0).u32(0)
}

fn init(request: &mut Request<'_>) -> Answer {
    const ASYNC_READ: u32 = 1;
    const BIG_WRITES: u32 = 1 << 5;
    const MAX_PAGES: u32 = 1 << 22;
    let (major, _minor, read_ahead) = (request.u32(), request.u32(), request.u32());
    let offered = request.u32();
    let answer = Answer::default()
        .u32(major.min(7))
        .u32(31)
        .u32(read_ahead)
        .u32(offered & (ASYNC_READ | BIG_WRITES | MAX_PAGES))
        .u16(16)
        .u16(12)
        .u32(MAX_WRITE_BYTES as u32)
        .u32(1)
        .u16((MAX_WRITE_BYTES / 4096) as u16)
        .u16(0);
    answer.bytes(&[0; 32])
}
