//! Committed state, durable or not, as transactions read it.
//! Invariant: memory is asked first, then the tables; where commits moved from one to the other meanwhile, it is read anew.
//! Nothing here waits for a sync.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checked::Needs;
use super::{Engine, io};
use crate::blob::{Blob, Bytes, Check};
use crate::body::{BodyError, Stamp};
use crate::change::FileRow;
use crate::disk::Place;
use crate::staging::StagedFile;
use crate::view::{FileState, Found, View};
use crate::{KvNamespace, MediaPath, NoSpace, Position, StoreError};

impl Engine {
    /// Reads memory and then the tables, until no fold came between.
    fn steadily<T>(
        &self,
        mut read: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            let folds = self.folds.load(Ordering::Acquire);
            let found = read()?;
            if self.folds.load(Ordering::Acquire) == folds {
                return Ok(found);
            }
        }
    }

    /// The check of a stored file that was not read since it looks as it does.
    fn check(&self, path: &MediaPath, row: &FileRow, stamp: Stamp) -> Check {
        let (checked, path, size) = (self.checked.clone(), path.clone(), row.size);
        Check::new(row.crc32c, move |right| {
            if !right {
                tracing::error!(%path, size, "a stored file is not what was stored; it is not served: `pixelboyd verify` tells what can be done");
            }
            checked.found(&path, stamp, right);
        })
    }

    /// A new staged file, unless writes are refused.
    fn new_staged(
        &self,
        make: impl FnOnce(Arc<str>) -> std::io::Result<StagedFile>,
    ) -> Result<Arc<StagedFile>, StoreError> {
        if self.memory().refused {
            return Err(StoreError::ReadOnly);
        }
        make(self.disk.new_name())
            .map(Arc::new)
            .map_err(io("make a staged file"))
    }
}

impl View for Engine {
    fn head(&self) -> Position {
        self.memory().head
    }

    fn folds(&self) -> u64 {
        self.folds.load(Ordering::Acquire)
    }

    fn retreats(&self) -> u64 {
        self.retreats.load(Ordering::Acquire)
    }

    fn is_link(&self, folder: &MediaPath) -> bool {
        self.disk.is_link(folder)
    }

    fn file(&self, path: &MediaPath) -> Result<Found<Arc<FileState>>, StoreError> {
        loop {
            let folds = self.folds();
            let recent = |memory: &crate::memory::Memory| {
                let (changed_at, state) = memory.overlay.file(path)?;
                Some(Found {
                    value: state.cloned(),
                    changed_at,
                    recent: true,
                })
            };
            if let Some(found) = recent(&self.memory()) {
                return Ok(found);
            }
            let row = self.tables.file(path.as_str())?;
            let mut memory = self.memory();
            if let Some(found) = recent(&memory) {
                return Ok(found);
            }
            if self.folds() != folds {
                continue;
            }
            return Ok(match row {
                None => Found {
                    value: None,
                    changed_at: Position(0),
                    recent: false,
                },
                Some((changed_at, row, suspect)) => {
                    let body = memory.body(path, row.size);
                    let state = FileState {
                        row,
                        body,
                        changed_at,
                        suspect,
                    };
                    Found {
                        value: Some(Arc::new(state)),
                        changed_at,
                        recent: false,
                    }
                }
            });
        }
    }

    fn open_file(&self, path: &MediaPath, state: &FileState) -> Result<Option<Blob>, StoreError> {
        let changed = |detail: String| {
            tracing::error!(%path, %detail, "a stored file was changed by hand");
            Err(StoreError::ChangedByHand {
                path: path.clone(),
                detail,
            })
        };
        let row = &state.row;
        match state.body.open(&self.disk, row.size) {
            Ok((content, stamp)) => {
                let check = match stamp {
                    Some(stamp) => match self.checked.needs(path, row, stamp) {
                        Needs::Nothing if !state.suspect => None,
                        Needs::Nothing | Needs::Check => Some(self.check(path, row, stamp)),
                        Needs::Refusal => return changed("its checksum is wrong".into()),
                    },
                    None => None,
                };
                let (sha256, crc32c) = (row.sha256, row.crc32c);
                Ok(Some(Blob::stored(row.size, content, sha256, crc32c, check)))
            }
            Err(BodyError::Gone) => Ok(None),
            Err(BodyError::Changed(detail)) => changed(detail),
            Err(BodyError::Io(source)) => Err(StoreError::of_io("open a stored file", source)),
        }
    }

    fn paths(&self, from: &str, to: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.steadily(|| {
            let recent: Vec<(String, bool)> = {
                let memory = self.memory();
                memory
                    .overlay
                    .paths(from, to)
                    .map(|(path, live)| (path.as_str().to_owned(), live))
                    .collect()
            };
            // Removed ones take room in what the tables give.
            let removed = recent.iter().filter(|(_, live)| !live).count();
            let rows = self.tables.paths(from, to, limit + removed)?;
            Ok(merge(rows, recent, limit + removed, limit))
        })
    }

    fn kv(&self, namespace: &KvNamespace, key: &str) -> Result<Found<Bytes>, StoreError> {
        self.steadily(|| {
            if let Some((changed_at, value)) = self.memory().overlay.kv(namespace, key) {
                return Ok(Found {
                    value: value.cloned(),
                    changed_at,
                    recent: true,
                });
            }
            let row = self.tables.kv(&namespace.0, key)?;
            let changed_at = row
                .as_ref()
                .map_or(Position(0), |(changed_at, _)| *changed_at);
            Ok(Found {
                value: row.map(|(_, value)| value),
                changed_at,
                recent: false,
            })
        })
    }

    fn kv_keys(
        &self,
        namespace: &KvNamespace,
        from: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.steadily(|| {
            let recent: Vec<(String, bool)> = {
                let memory = self.memory();
                memory
                    .overlay
                    .keys(namespace, from)
                    .map(|(key, live)| (key.clone(), live))
                    .collect()
            };
            let removed = recent.iter().filter(|(_, live)| !live).count();
            let rows = self.tables.keys(&namespace.0, from, limit + removed)?;
            Ok(merge(rows, recent, limit + removed, limit))
        })
    }

    fn stage(&self) -> Result<Arc<StagedFile>, StoreError> {
        self.new_staged(|name| StagedFile::create(self.disk.clone(), name))
    }

    fn link(&self, from: &Place) -> Result<Arc<StagedFile>, StoreError> {
        self.new_staged(|name| StagedFile::link(self.disk.clone(), name, from))
    }

    fn check_room(&self, bytes: u64) -> Result<(), NoSpace> {
        self.memory().check_room(&self.disk, bytes)
    }
}

/// The first `limit` names: those of the tables with the recent changes laid over them. `asked`: how many the tables were
/// asked for; where they gave as many, what comes after the last one is not known.
fn merge(
    rows: Vec<String>,
    recent: Vec<(String, bool)>,
    asked: usize,
    limit: usize,
) -> Vec<String> {
    let end = if rows.len() == asked {
        rows.last().cloned()
    } else {
        None
    };
    let mut names: BTreeSet<String> = rows.into_iter().collect();
    for (name, live) in recent {
        if end.as_ref().is_some_and(|end| name > *end) {
            break;
        }
        if live {
            names.insert(name);
        } else {
            names.remove(&name);
        }
    }
    names.into_iter().take(limit).collect()
}
