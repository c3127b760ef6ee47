//! The store's own trait: what the host may ask of any durable store.
//! Invariant: `commit` fixes a place in one global order and makes the changes visible at once; only `wait` and
//! `durable` tell that they are on disk.
//! Not here: how. SQLite is one way (`sqlite/`).

use std::time::Duration;

use crate::{
    Announced, Blob, ClientId, CommitError, OperationId, Position, Receipt, RequestDigest, Stirred,
    StoreError, StoreId, Transaction, UploadError, UploadState, Wait,
};

/// What is remembered of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    /// The highest number that ran to its end; 0 for none. At least what was confirmed.
    pub executed_through: u64,
}

/// Whether a request may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It did not run yet.
    Run,
    /// It ran and wrote; this is its answer.
    Recorded {
        /// As it was given to the commit.
        reply: Vec<u8>,
        /// The commit. Wait for it before the reply goes out.
        stored: Position,
    },
    /// Another request ran under this number.
    NumberReused,
    /// The client said that it has the reply.
    AlreadyConfirmed,
    /// At or below executed-through, and no reply is kept: it wrote nothing that is on disk.
    ReplyLost,
}

/// An operation that writes, as it is remembered until its client confirms the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// Its name.
    pub operation: OperationId,
    /// Of the request.
    pub digest: RequestDigest,
    /// Its encoded reply; the store does not look inside.
    pub reply: Vec<u8>,
}

/// A durable store. All calls are quick (memory, or the page cache) unless they say *blocking*.
///
/// How the host uses it:
/// 1. `admit` a request that carries (client, number, digest): run it, or answer from the record.
/// 2. `begin` a [`Transaction`]: reads see the newest committed state (durable or not) plus its own staged changes,
///    and remember the newest position they saw.
/// 3. `commit` it with the operation's record: all or nothing, in one step; the changes are visible to the next `begin`.
///    An operation that wrote nothing is told with `ran` instead.
/// 4. `wait` for the position (its own, or the newest it saw), which returns the [`Receipt`] a reply needs.
///
/// After a failed sync reads go back to what is durable, every commit is refused, and waiting for one that is not
/// durable gives [`OutcomeUnknown`](crate::OutcomeUnknown), until the store is opened anew.
///
/// Where the disk is full or a write fails before anything is synced, all commits that are not durable are taken back:
/// reads go back to what is durable, whoever waits gets [`NotDurable::TakenBack`](crate::NotDurable), transactions that began
/// before are refused with [`CommitError::Conflict`], and new ones are taken. A position is never given twice.
pub trait Store: Send + Sync + 'static {
    /// Made with the data folder.
    fn id(&self) -> StoreId;

    // ---- the record of operations ----

    /// What is known of a client; none for one never seen, forgotten or aged out. One that only read is known while this
    /// store is open.
    ///
    /// # Errors
    /// The store's.
    fn client(&self, client: ClientId) -> Result<Option<ClientRecord>, StoreError>;

    /// Whether no record was ever dropped but by `forget`: then a client that is not known never wrote.
    fn keeps_every_record(&self) -> bool;

    /// A session of the client began (true) or ended (false). While one goes on its record neither ages nor makes room.
    fn present(&self, client: ClientId, present: bool);

    /// Whether a request may run. Looks at committed operations, durable or not, and at those that `ran`.
    ///
    /// # Errors
    /// The store's.
    fn admit(&self, operation: OperationId, digest: RequestDigest)
    -> Result<Admission, StoreError>;

    /// The client has all replies up to and including `through`, and those of the numbers in `also`; their records may go.
    /// Durable later, in one step with the removal.
    fn confirm(&self, client: ClientId, through: u64, also: &[u64]);

    /// Goodbye: drops the client's record and its uploads.
    ///
    /// # Errors
    /// [`CommitError::ReadOnly`].
    fn forget(&self, client: ClientId) -> Result<Position, CommitError>;

    // ---- operations ----

    /// Cheap: no allocation until something is read or staged.
    fn begin(&self) -> Transaction;

    /// Gives the transaction its place in the order and makes it visible; not durable yet.
    ///
    /// `record`: the operation with its encoded reply; none for the host's own (timers, device state).
    /// Sets executed-through of the client in the same step. A transaction without writes and without a record
    /// commits nothing and gives what it saw.
    ///
    /// # Errors
    /// [`CommitError::Conflict`]: a file the transaction changes was changed by another plugin since it read it;
    /// the operation is to be run again from the start. Any error: nothing stays.
    fn commit(
        &self,
        transaction: Transaction,
        record: Option<OperationRecord>,
    ) -> Result<Position, CommitError>;

    /// An operation without writes ran: executed-through rises, in memory; the next commit of the client makes it
    /// durable. The uploads that the transaction used are consumed.
    fn ran(&self, client: ClientId, number: u64, transaction: Transaction);

    /// The newest position that is durable, without waiting. One below it may have been taken back.
    fn durable(&self) -> Receipt;

    /// Whether everything up to this position is durable, without waiting.
    fn is_durable(&self, position: Position) -> bool;

    /// The position, or the first one where its commit was taken back: nothing is left of it to wait for.
    fn if_not_taken_back(&self, position: Position) -> Position;

    /// Ready when everything up to `position` is durable. The first to poll leads: it commits for all who wait
    /// (this blocks its thread for one sync); where recent syncs took over 2 ms, or staged files are to be synced too,
    /// a committer thread does it instead.
    fn wait(&self, position: Position) -> Wait;

    // ---- uploads, outside the order of operations ----

    /// Opens or resumes an upload; checks quota and free space where the length is known. *Blocking*: a part from before
    /// a restart is read and verified.
    ///
    /// # Errors
    /// [`UploadError::Busy`] where it is open now; [`UploadError::NumberReused`], [`UploadError::NoSpace`], [`UploadError::ReadOnly`]; the store's.
    fn open_upload(
        &self,
        client: ClientId,
        number: u64,
        announced: Announced,
    ) -> Result<UploadState, UploadError>;

    /// A finished upload's bytes.
    ///
    /// # Errors
    /// [`UploadError::Unknown`], [`UploadError::NotReady`], [`UploadError::Consumed`]; the store's.
    fn upload(&self, client: ClientId, number: u64) -> Result<Blob, UploadError>;

    /// Drops an upload that was not consumed. *Blocking*.
    ///
    /// # Errors
    /// [`UploadError::Unknown`], [`UploadError::Consumed`], [`UploadError::Busy`] while it is open.
    fn abort_upload(&self, client: ClientId, number: u64) -> Result<(), UploadError>;

    // ---- housekeeping ----

    /// Ages records and uploads by `uptime` since the last call, makes durable what nobody waits for, syncs plain files
    /// whose text is so far only in the record, folds. *Blocking*; called by a thread of the host's. How long nothing is to
    /// be done, unless [`Store::stirred`] is ready first: then within a second of that.
    ///
    /// # Errors
    /// The disk's or the database's; a call a second later tries again.
    fn tend(&self, uptime: Duration) -> Result<Duration, StoreError>;

    /// Ready when something was written or confirmed, or a client came or went, since the last [`Store::tend`] began. For one who waits.
    fn stirred(&self) -> Stirred;

    /// Makes everything durable and refuses writes from then on. *Blocking*.
    ///
    /// # Errors
    /// As [`Store::tend`].
    fn close(&self) -> Result<(), StoreError>;
}
