//! `store`: the device's media files.
//! Invariant: reads see what is committed plus what this operation staged; writes are staged.

use pixelboy_store::{Blob, Entry, MediaPath, StagedWriter};
use wasmtime::component::Resource;

use super::blob::Data;
use super::work::CHANGE_BYTES;
use super::{Guest, failure};
use crate::plugin::contract::pixelboy::plugin::store::{Host, HostFile, HostWriter};
use crate::plugin::contract::pixelboy::plugin::types::Failure;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// The resource behind `file`: the entry and the bytes as they were when it was opened.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct OpenFile {
    entry: Entry,
    blob: Blob,
}

/// The resource behind `writer`; empty after `finish`.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct Writer(Option<StagedWriter>);

/// The most names of one `names`.
const MAX_NAMES: u32 = 1000;

/// Checks a path against the store's rules.
pub(crate) fn path(text: &str) -> Result<MediaPath, Failure> {
    text.parse().map_err(failure::of_path)
}

/// What a staged file takes in memory: its row, its name on the disk, its place in the order.
const FILE_BYTES: usize = 4 * CHANGE_BYTES;

impl Guest {
    /// Checks the path of a file that is to be changed, and counts the change.
    fn change(&mut self, at: &str, more_bytes: usize) -> Result<MediaPath, Failure> {
        let checked = path(at)?;
        self.work.hold(FILE_BYTES + at.len() + more_bytes)?;
        Ok(checked)
    }
}

/// From this size on staging copies enough to be felt by others on the same worker.
const LARGE_BYTES: u64 = 64 << 10;

/// Runs what copies on a worker that others have left.
fn copying<T>(bytes: u64, stage: impl FnOnce() -> T) -> T {
    if bytes > LARGE_BYTES {
        tokio::task::block_in_place(stage)
    } else {
        stage()
    }
}

impl Host for Guest {
    fn open(&mut self, at: String) -> Answer<Option<Resource<OpenFile>>> {
        let opened = match path(&at) {
            Ok(at) => self
                .work
                .transaction()?
                .open(&at)
                .map_err(failure::of_store),
            Err(failure) => Err(failure),
        };
        Ok(match opened {
            Ok(Some((entry, blob))) => Ok(Some(self.table.push(OpenFile { entry, blob })?)),
            Ok(None) => Ok(None),
            Err(failure) => Err(failure),
        })
    }

    fn names(&mut self, folder: String, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        let limit = limit.min(MAX_NAMES) as usize;
        let folder = folder.trim_end_matches('/');
        let folder = if folder.is_empty() {
            Ok(None)
        } else {
            path(folder).map(Some)
        };
        Ok(match folder {
            Ok(folder) => self
                .work
                .transaction()?
                .names(folder.as_ref(), after.as_deref(), limit)
                .map_err(failure::of_store),
            Err(failure) => Err(failure),
        })
    }

    fn put(
        &mut self,
        at: String,
        bytes: Resource<Data>,
        kind: String,
        properties: Vec<(String, String)>,
    ) -> Answer<()> {
        let blob = self.blob(&bytes)?;
        let words = properties
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let held = kind.len() + words.sum::<usize>();
        Ok(match self.change(&at, held) {
            // Mostly adopted as it is; a file that is stored already is copied.
            Ok(at) => {
                let transaction = self.work.transaction()?;
                copying(blob.len(), || {
                    transaction.put(&at, &blob, &kind, properties)
                })
                .map_err(failure::of_store)
            }
            Err(failure) => Err(failure),
        })
    }

    fn append(&mut self, at: String, bytes: Resource<Data>) -> Answer<u64> {
        let blob = self.blob(&bytes)?;
        Ok(match self.change(&at, 0) {
            Ok(at) => {
                let transaction = self.work.transaction()?;
                copying(blob.len(), || transaction.append(&at, &blob)).map_err(failure::of_store)
            }
            Err(failure) => Err(failure),
        })
    }

    fn overwrite(&mut self, at: String, bytes: Resource<Data>) -> Answer<()> {
        let blob = self.blob(&bytes)?;
        Ok(match self.change(&at, 0) {
            // The whole file is copied, however little is written over it.
            Ok(at) => {
                let transaction = self.work.transaction()?;
                copying(u64::MAX, || transaction.overwrite(&at, &blob)).map_err(failure::of_store)
            }
            Err(failure) => Err(failure),
        })
    }

    fn remove(&mut self, at: String) -> Answer<()> {
        Ok(match self.change(&at, 0) {
            Ok(at) => self
                .work
                .transaction()?
                .remove(&at)
                .map_err(failure::of_store),
            Err(failure) => Err(failure),
        })
    }

    fn rename(&mut self, from: String, to: String) -> Answer<()> {
        let paths = path(&from).and_then(|from| Ok((from, self.change(&to, 0)?)));
        Ok(match paths {
            Ok((from, to)) => self
                .work
                .transaction()?
                .rename(&from, &to)
                .map_err(failure::of_store),
            Err(failure) => Err(failure),
        })
    }
}

impl HostFile for Guest {
    fn size(&mut self, this: Resource<OpenFile>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.entry.size)
    }

    fn kind(&mut self, this: Resource<OpenFile>) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.entry.kind.clone())
    }

    fn property(
        &mut self,
        this: Resource<OpenFile>,
        name: String,
    ) -> wasmtime::Result<Option<String>> {
        let properties = &self.table.get(&this)?.entry.properties;
        Ok(properties
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.clone()))
    }

    fn modified_ms(&mut self, this: Resource<OpenFile>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&this)?.entry.modified_ms)
    }

    fn data(&mut self, this: Resource<OpenFile>) -> wasmtime::Result<Resource<Data>> {
        let blob = self.table.get(&this)?.blob.clone();
        Ok(self.table.push(Data(blob))?)
    }

    fn drop(&mut self, this: Resource<OpenFile>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostWriter for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<Writer>> {
        let writer = self.work.transaction()?.writer();
        Ok(self.table.push(Writer(Some(writer)))?)
    }

    fn write(&mut self, this: Resource<Writer>, bytes: Vec<u8>) -> Answer<()> {
        Ok(match &mut self.table.get_mut(&this)?.0 {
            Some(writer) => writer.write(&bytes).map_err(failure::of_store),
            None => Err(failure::bad_state("the writer is finished")),
        })
    }

    fn finish(&mut self, this: Resource<Writer>) -> Answer<Resource<Data>> {
        Ok(
            match self
                .table
                .get_mut(&this)?
                .0
                .take()
                .map(StagedWriter::finish)
            {
                Some(Ok(blob)) => Ok(self.table.push(Data(blob))?),
                Some(Err(error)) => Err(failure::of_store(error)),
                None => Err(failure::bad_state("the writer is finished")),
            },
        )
    }

    fn drop(&mut self, this: Resource<Writer>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
