//! The messages between the kernel and a FUSE file system, as `linux/fuse.h` lays them out (version 7.31).
//! Not here: what they ask for (`serve`), and how they travel (`mount`).
//! A request that is too short reads as zeros and empty names: the kernel does not send such.

/// What is asked for. Numbers that are not here are answered with ENOSYS, after which the kernel does without.
pub(crate) mod op {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const READLINK: u32 = 5;
    pub(crate) const SYMLINK: u32 = 6;
    pub(crate) const MKDIR: u32 = 9;
    pub(crate) const UNLINK: u32 = 10;
    pub(crate) const RMDIR: u32 = 11;
    pub(crate) const RENAME: u32 = 12;
    pub(crate) const LINK: u32 = 13;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const OPENDIR: u32 = 27;
    pub(crate) const READDIR: u32 = 28;
    pub(crate) const RELEASEDIR: u32 = 29;
    pub(crate) const FSYNCDIR: u32 = 30;
    pub(crate) const CREATE: u32 = 35;
    pub(crate) const INTERRUPT: u32 = 36;
    pub(crate) const DESTROY: u32 = 38;
    pub(crate) const BATCH_FORGET: u32 = 42;
    pub(crate) const RENAME2: u32 = 45;
}

/// Bytes of the header before every request.
const HEADER_BYTES: usize = 40;

/// The largest write that the kernel may send.
pub(crate) const MAX_WRITE_BYTES: usize = 1 << 20;

/// Room for any request.
pub(crate) const BUFFER_BYTES: usize = MAX_WRITE_BYTES + 64 * 1024;

/// One request, read field by field.
pub(crate) struct Request<'a> {
    pub(crate) op: u32,
    pub(crate) unique: u64,
    pub(crate) node: u64,
    rest: &'a [u8],
}

impl<'a> Request<'a> {
    pub(crate) fn new(message: &'a [u8]) -> Self {
        let mut header = Self {
            op: 0,
            unique: 0,
            node: 0,
            rest: message,
        };
        let _len = header.u32();
        let op = header.u32();
        let unique = header.u64();
        let node = header.u64();
        Self {
            op,
            unique,
            node,
            rest: message.get(HEADER_BYTES..).unwrap_or_default(),
        }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.take().map_or(0, u32::from_ne_bytes)
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.take().map_or(0, u64::from_ne_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*field)
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Text up to a NUL.
    pub(crate) fn name(&mut self) -> String {
        let mut parts = self.rest.splitn(2, |byte| *byte == 0);
        let name = parts.next().unwrap_or_default();
        self.rest = parts.next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    pub(crate) fn bytes(&self, len: usize) -> &'a [u8] {
        self.rest.get(..len).unwrap_or(self.rest)
    }
}

/// One answer, written field by field.
#[derive(Default)]
pub(crate) struct Answer(pub(crate) Vec<u8>);

impl Answer {
    pub(crate) fn u16(mut self, field: u16) -> Self {
        self.0.extend_from_slice(&field.to_ne_bytes());
        self
    }

    pub(crate) fn u32(mut self, field: u32) -> Self {
        self.0.extend_from_slice(&field.to_ne_bytes());
        self
    }

    pub(crate) fn u64(mut self, field: u64) -> Self {
        self.0.extend_from_slice(&field.to_ne_bytes());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// The whole message of an answer; `error` is 0 or a number of the system's.
pub(crate) fn message(unique: u64, error: i32, body: &[u8]) -> Vec<u8> {
    let len = 16 + body.len();
    Answer(Vec::with_capacity(len))
        .u32(len as u32)
        .u32(error.wrapping_neg().cast_unsigned())
        .u64(unique)
        .bytes(body)
        .0
}
