//! What the tests share: a data folder, and short words for what they do.

use std::path::PathBuf;

use crate::{
    Announced, Blob, ClientId, CommitError, KvNamespace, MediaPath, OperationId, OperationRecord,
    Position, RequestDigest, Settings, SqliteStore, Store, Transaction, Upload, UploadState,
};

/// A data folder that goes when the test ends.
pub(super) struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    /// Where syncs cost nothing.
    pub(super) fn quick() -> Self {
        Self {
            root: tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        Settings {
            reserve_bytes: 0,
            ..Settings::new(self.root.path().join("data"))
        }
    }

    /// Opens the store; the one before must be dropped.
    pub(super) fn open(&self) -> SqliteStore {
        SqliteStore::open(self.settings()).unwrap()
    }

    pub(super) fn data(&self, below: &str) -> PathBuf {
        self.root.path().join("data").join(below)
    }

    /// The plain file's bytes; none where there is none.
    pub(super) fn plain(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.data("media").join(path)).ok()
    }

    pub(super) fn staged(&self) -> usize {
        std::fs::read_dir(self.data("staging")).unwrap().count()
    }
}

pub(super) fn path(text: &str) -> MediaPath {
    text.parse().unwrap()
}

pub(super) fn blob(bytes: &[u8]) -> Blob {
    Blob::from_bytes(bytes.to_vec())
}

pub(super) fn space() -> KvNamespace {
    KvNamespace("plugin".into())
}

pub(super) fn client(n: u8) -> ClientId {
    ClientId([n; 16])
}

pub(super) fn record(n: u8, number: u64) -> OperationRecord {
    OperationRecord {
        operation: OperationId {
            client: client(n),
            number,
        },
        digest: digest(number),
        reply: format!("reply {number} of {n}").into_bytes(),
    }
}

pub(super) fn digest(number: u64) -> RequestDigest {
    RequestDigest([number as u8; 16])
}

/// Commits what `stage` stages, without waiting.
pub(super) fn commit(
    store: &dyn Store,
    record: Option<OperationRecord>,
    stage: impl FnOnce(&mut Transaction),
) -> Result<Position, CommitError> {
    let mut transaction = store.begin();
    stage(&mut transaction);
    store.commit(transaction, record)
}

/// Commits what `stage` stages, and waits.
pub(super) fn write(store: &dyn Store, stage: impl FnOnce(&mut Transaction)) -> Position {
    let position = commit(store, None, stage).unwrap();
    assert!(store.wait(position).block().unwrap().position() >= position);
    position
}

pub(super) fn put(store: &dyn Store, at: &str, bytes: &[u8]) {
    write(store, |t| {
        t.put(
            &path(at),
            &blob(bytes),
            "image",
            vec![("fps".into(), "12".into())],
        )
        .unwrap()
    });
}

pub(super) fn append(store: &dyn Store, at: &str, bytes: &[u8]) -> u64 {
    let mut offset = 0;
    write(store, |t| {
        offset = t.append(&path(at), &blob(bytes)).unwrap()
    });
    offset
}

pub(super) fn stage_append(transaction: &mut Transaction, at: &str, bytes: &[u8]) {
    transaction.append(&path(at), &blob(bytes)).unwrap();
}

/// A file's bytes as the store gives them; none where there is none.
pub(super) fn read(store: &dyn Store, at: &str) -> Option<Vec<u8>> {
    read_in(&mut store.begin(), at)
}

pub(super) fn read_in(transaction: &mut Transaction, at: &str) -> Option<Vec<u8>> {
    let (entry, blob) = transaction.open(&path(at)).unwrap()?;
    let bytes = all(&blob);
    assert_eq!(entry.size, bytes.len() as u64);
    assert_eq!(entry.crc32c, crc32c::crc32c(&bytes), "{at}");
    if let Some(sha256) = entry.sha256 {
        assert_eq!(sha256, sha256_of(&bytes), "{at}");
    }
    Some(bytes)
}

pub(super) fn all(blob: &Blob) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut blob.reader(), &mut bytes).unwrap();
    bytes
}

pub(super) fn sha256_of(bytes: &[u8]) -> crate::Sha256 {
    use sha2::Digest;
    crate::Sha256(sha2::Sha256::digest(bytes).into())
}

/// `len` bytes that differ from place to place.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len)
    .collect()
}

pub(super) fn open_upload(store: &dyn Store, number: u64, announced: Announced) -> Upload {
    match store.open_upload(client(1), number, announced).unwrap() {
        UploadState::Open(upload) => upload,
        other => panic!("{other:?}"),
    }
}

/// An upload that is finished and durable.
pub(super) fn uploaded(store: &dyn Store, number: u64, bytes: &[u8]) -> Blob {
    let mut upload = open_upload(store, number, Announced::default());
    for chunk in bytes.chunks(50_000) {
        upload.write(chunk).unwrap();
    }
    upload
        .finish(bytes.len() as u64, Some(sha256_of(bytes)))
        .unwrap();
    store.upload(client(1), number).unwrap()
}
