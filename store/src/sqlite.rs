//! The store on SQLite.

use std::time::Duration;

use crate::{
    Admission, Announced, Blob, ClientId, ClientRecord, CommitError, OpenError, OperationId, OperationRecord, Position,
    Receipt, RequestDigest, Settings, Store, StoreError, StoreId, Transaction, UploadError, UploadState, Wait,
};

/// The store on SQLite.
#[derive(Debug)]
pub struct SqliteStore {}

impl SqliteStore {
    /// Opens a data folder, or makes it. *Blocking*.
    ///
    /// # Errors
    /// [`OpenError`], in words for the person at the device.
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        let _ = settings;
        todo!()
    }
}

#[allow(unused_variables)]
impl Store for SqliteStore {
    fn id(&self) -> StoreId { todo!() }
    fn client(&self, client: ClientId) -> Result<Option<ClientRecord>, StoreError> { todo!() }
    fn keeps_every_record(&self) -> bool { todo!() }
    fn present(&self, client: ClientId, present: bool) { todo!() }
    fn admit(&self, operation: OperationId, digest: RequestDigest) -> Result<Admission, StoreError> { todo!() }
    fn confirm(&self, client: ClientId, through: u64, also: &[u64]) { todo!() }
    fn forget(&self, client: ClientId) -> Result<Position, CommitError> { todo!() }
    fn begin(&self) -> Transaction { todo!() }
    fn commit(&self, transaction: Transaction, record: Option<OperationRecord>) -> Result<Position, CommitError> { todo!() }
    fn ran(&self, client: ClientId, number: u64, transaction: Transaction) { todo!() }
    fn durable(&self) -> Receipt { todo!() }
    fn wait(&self, position: Position) -> Wait { todo!() }
    fn open_upload(&self, client: ClientId, number: u64, announced: Announced) -> Result<UploadState, UploadError> { todo!() }
    fn upload(&self, client: ClientId, number: u64) -> Result<Blob, UploadError> { todo!() }
    fn abort_upload(&self, client: ClientId, number: u64) -> Result<(), UploadError> { todo!() }
    fn tend(&self, uptime: Duration) -> Result<(), StoreError> { todo!() }
    fn close(&self) -> Result<(), StoreError> { todo!() }
}
