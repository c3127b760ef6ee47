//! The store on SQLite: the engine behind the trait, and (in this folder) everything that speaks SQL.
//! Invariant: SQL is written here and nowhere else.

mod apply;
pub(crate) mod fault;
mod rows;
mod salvage;
mod schema;
mod tables;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Committer, Engine, WaitFuture};
use crate::{
    Admission, Announced, Blob, ClientId, ClientRecord, CommitError, OpenError, OperationId,
    OperationRecord, Position, Receipt, RequestDigest, Settings, Stirred, Store, StoreError,
    StoreId, Transaction, UploadError, UploadState, Wait,
};

pub(crate) use salvage::{remove as remove_record, salvage};
pub(crate) use tables::{FoldMarks, Loaded, Tables, TablesError};

/// The store on SQLite. Dropped without [`Store::close`], it leaves what a crash would leave: all that is durable.
pub struct SqliteStore {
    // Before the engine: the thread ends first.
    _committer: Committer,
    engine: Arc<Engine>,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("id", &self.engine.id)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens a data folder, or makes it. *Blocking*.
    ///
    /// # Errors
    /// [`OpenError`], in words for the person at the device.
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        let folder = settings.folder.clone();
        let engine = Arc::new(Engine::open(settings)?);
        let committer = Committer::start(engine.clone()).map_err(|source| OpenError::Io {
            what: "start a thread for",
            path: folder,
            source,
        })?;
        Ok(Self {
            _committer: committer,
            engine,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl Store for SqliteStore {
    fn id(&self) -> StoreId {
        self.engine.id
    }

    fn client(&self, client: ClientId) -> Result<Option<ClientRecord>, StoreError> {
        Ok(self.engine.client(client))
    }

    fn keeps_every_record(&self) -> bool {
        !self.engine.memory().dropped_records
    }

    fn present(&self, client: ClientId, present: bool) {
        self.engine.present(client, present);
    }

    fn admit(
        &self,
        operation: OperationId,
        digest: RequestDigest,
    ) -> Result<Admission, StoreError> {
        self.engine.admit(operation, digest)
    }

    fn confirm(&self, client: ClientId, through: u64, also: &[u64]) {
        self.engine.confirm(client, through, also);
    }

    fn forget(&self, client: ClientId) -> Result<Position, CommitError> {
        self.engine.forget(client)
    }

    fn begin(&self) -> Transaction {
        Transaction::new(self.engine.clone())
    }

    fn commit(
        &self,
        transaction: Transaction,
        record: Option<OperationRecord>,
    ) -> Result<Position, CommitError> {
        self.engine.commit(transaction, record)
    }

    fn ran(&self, client: ClientId, number: u64, transaction: Transaction) {
        self.engine.ran(client, number, transaction);
    }

    fn durable(&self) -> Receipt {
        self.engine.durable()
    }

    fn is_durable(&self, position: Position) -> bool {
        self.engine.is_durable(position)
    }

    fn if_not_taken_back(&self, position: Position) -> Position {
        if self.engine.was_taken_back(position) {
            Position::default()
        } else {
            position
        }
    }

    fn wait(&self, position: Position) -> Wait {
        Wait::new(WaitFuture::new(self.engine.clone(), position))
    }

    fn open_upload(
        &self,
        client: ClientId,
        number: u64,
        announced: Announced,
    ) -> Result<UploadState, UploadError> {
        self.engine.open_upload(client, number, announced)
    }

    fn upload(&self, client: ClientId, number: u64) -> Result<Blob, UploadError> {
        self.engine.upload(client, number)
    }

    fn abort_upload(&self, client: ClientId, number: u64) -> Result<(), UploadError> {
        self.engine.abort_upload(client, number)
    }

    fn tend(&self, uptime: Duration) -> Result<Duration, StoreError> {
        self.engine.tend(uptime)
    }

    fn stirred(&self) -> Stirred {
        let engine = self.engine.clone();
        Stirred::new(std::future::poll_fn(move |context| {
            engine.stir.poll(context)
        }))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.engine.close()
    }
}
