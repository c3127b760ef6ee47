//! The device's media files. Needs the grant `store`.
//!
//! Paths are relative and `/`-separated, at most 8 parts; none is empty, `.` or `..`. Reads see what is committed and
//! what this operation staged. What is written here is durable before the reply leaves.

use crate::bindings::pixelboy::plugin::store as host;
use crate::failure::FromHost as _;
use crate::{Data, Failure, Result, pages};

/// A stored file as it was when opened.
#[derive(Debug)]
pub struct File(host::File);

impl File {
    /// In bytes.
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// What it was stored as: `image`, `animation`, `audio`, `text`, or what the plugin that stored it said.
    pub fn kind(&self) -> String {
        self.0.kind()
    }

    /// A property that was put with it.
    pub fn property(&self, name: &str) -> Option<String> {
        self.0.property(name)
    }

    /// Milliseconds since 1970-01-01 UTC of the last change.
    pub fn modified_ms(&self) -> u64 {
        self.0.modified_ms()
    }

    /// Its bytes. They stay as they are when the file is replaced or removed later.
    pub fn data(&self) -> Data {
        Data::from_handle(self.0.data())
    }
}

/// The file, or none where there is none.
pub fn find(path: &str) -> Result<Option<File>> {
    Ok(host::open(path).or_failure()?.map(File))
}

/// The file; `not-found` where there is none.
pub fn open(path: &str) -> Result<File> {
    find(path)?.ok_or_else(|| Failure::not_found(format!("there is no file {path:?}")))
}

/// All names in a folder (`""` is the top) after `after`, in byte order; a folder's name ends in `/`.
pub fn names(folder: &str, after: Option<String>) -> impl Iterator<Item = Result<String>> {
    pages::all(after, |after| {
        host::names(folder, after, pages::NAMES_AT_ONCE).or_failure()
    })
}

/// Stores bytes as `path`, in place of what is there, in one step. Folders come into being by themselves.
///
/// `kind` is what [`File::kind`] tells later, `properties` what [`File::property`] does.
pub fn put(path: &str, bytes: &Data, kind: &str, properties: &[(String, String)]) -> Result<()> {
    host::put(path, bytes.handle(), kind, properties).or_failure()
}

/// Adds bytes at the end of a file, made if it is not there. The offset at which they lie.
pub fn append(path: &str, bytes: &Data) -> Result<u64> {
    host::append(path, bytes.handle()).or_failure()
}

/// Writes bytes over the start of a file, keeping what is longer; `not-found` where there is none.
pub fn overwrite(path: &str, bytes: &Data) -> Result<()> {
    host::overwrite(path, bytes.handle()).or_failure()
}

/// Removes a file; `not-found` where there is none.
pub fn remove(path: &str) -> Result<()> {
    host::remove(path).or_failure()
}

/// Gives a file another path, in place of what is there; `not-found` where there is no `from`.
pub fn rename(from: &str, to: &str) -> Result<()> {
    host::rename(from, to).or_failure()
}

/// Bytes made by the plugin, written piece by piece. Dropped without [`finish`](Self::finish), nothing remains.
#[derive(Debug)]
pub struct Writer(host::Writer);

impl Writer {
    /// An empty one.
    #[expect(
        clippy::new_without_default,
        reason = "it asks the host for a file, which nobody expects of a default"
    )]
    pub fn new() -> Self {
        Self(host::Writer::new())
    }

    /// Adds bytes; fails when the device is full or the plugin's budget of staged bytes is used up.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes).or_failure()
    }

    /// What was written, for [`put`], [`append`] or a reply.
    pub fn finish(self) -> Result<Data> {
        Ok(Data::from_handle(self.0.finish().or_failure()?))
    }
}
