//! The store's own trait: what the host may ask of any durable store.
//! Invariant: `commit` fixes a place in one global order and makes the changes visible at once; only `wait` and
//! `durable` tell that they are on disk.
//! Not here: how. SQLite is one way (`sqlite/`).

/// A durable store. All calls are quick (memory, or the page cache) unless they say *blocking*.
///
/// How the host uses it:
/// 1. `admit` a request that carries (client, number, digest): run it, or answer from the record.
/// 2. `begin` a [`Transaction`]: reads see the newest committed state (durable or not) plus its own staged changes,
///    and remember the newest position they saw.
/// 3. `commit` it with the operation's record: all or nothing, in one step; the changes are visible to the next `begin`.
/// 4. `wait` for the position (its own, or the newest it saw), which returns the [`Receipt`] a reply needs.
pub trait Store: Send + Sync + 'static {
    /// Made with the data folder.
    fn id(&self) -> StoreId;

    // ---- the record of operations ----

    /// What is known of a client; none for one never seen, forgotten or aged out. (Position seen is not needed here.)
    fn client(&self, client: ClientId) -> Result<Option<ClientRecord>, StoreError>;

    /// Whether a request may run. Looks at committed operations, durable or not.
    fn admit(&self, operation: OperationId, digest: RequestDigest) -> Result<Admission, StoreError>;

    /// The client has all replies up to and including `through`; their records may go. Durable with a later commit.
    fn confirm(&self, client: ClientId, through: u64);

    /// Goodbye: drops the client's record and its uploads.
    fn forget(&self, client: ClientId) -> Result<Position, CommitError>;

    // ---- operations ----

    /// Cheap: no allocation until something is staged.
    fn begin(&self) -> Transaction;

    /// Gives the transaction its place in the order and makes it visible; not durable yet.
    ///
    /// `record`: the operation with its encoded reply; none for the host's own (timers, device state).
    /// [`CommitError::Conflict`]: a file the transaction changes was changed by another plugin since it read it;
    /// the operation is to be run again from the start. Any error: nothing was staged, nothing stays.
    fn commit(&self, transaction: Transaction, record: Option<OperationRecord>) -> Result<Position, CommitError>;

    /// The newest position that is durable, without waiting.
    fn durable(&self) -> Receipt;

    /// Ready when everything up to `position` is durable. The first to poll leads: it commits for all who wait
    /// (this blocks its thread for one sync); where recent syncs took over 2 ms a committer thread does it instead.
    fn wait(&self, position: Position) -> Wait;

    // ---- uploads, outside the order of operations ----

    /// Opens or resumes an upload; checks quota and free space where the length is known. *Blocking*.
    fn open_upload(&self, client: ClientId, number: u64, announced: Announced) -> Result<UploadState, UploadError>;

    /// A finished upload's bytes.
    fn upload(&self, client: ClientId, number: u64) -> Result<Blob, UploadError>;

    /// Drops an upload that was not consumed. *Blocking*.
    fn abort_upload(&self, client: ClientId, number: u64) -> Result<(), UploadError>;

    // ---- housekeeping ----

    /// Ages records and uploads by `uptime` since the last call, syncs plain files whose text is so far only in the record,
    /// folds. *Blocking*; called about every second by a thread of the host's.
    fn tend(&self, uptime: std::time::Duration) -> Result<(), StoreError>;

    /// Makes everything durable and closes. *Blocking*.
    fn close(&self) -> Result<(), StoreError>;
}
