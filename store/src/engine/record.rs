//! The record of operations: who may run what.
//! Invariant: what is said here holds for committed operations, durable or not; who answers from the record waits for the
//! commit behind it.

use super::Engine;
use crate::change::Change;
use crate::memory::Known;
use crate::{
    Admission, ClientId, ClientRecord, CommitError, OperationId, Position, RequestDigest,
    StoreError, Transaction,
};

impl Engine {
    /// See [`crate::Store::client`].
    pub(crate) fn client(&self, client: ClientId) -> Option<ClientRecord> {
        let mut memory = self.memory();
        let now_ms = memory.uptime_ms;
        let row = memory.clients.get_mut(&client)?;
        row.used_ms = now_ms;
        let record = ClientRecord {
            executed_through: row.executed_through(),
        };
        // A session alone makes nobody known.
        (row.wrote || record.executed_through > 0).then_some(record)
    }

    /// See [`crate::Store::present`].
    pub(crate) fn present(&self, client: ClientId, present: bool) {
        let mut memory = self.memory();
        let now_ms = memory.uptime_ms;
        if present {
            let row = memory.clients.entry(client);
            row.present += 1;
            row.used_ms = now_ms;
        } else if let Some(row) = memory.clients.get_mut(&client) {
            row.present = row.present.saturating_sub(1);
            row.used_ms = now_ms;
        }
        if memory.clients.get(&client).is_some_and(|row| row.wrote) {
            memory.clients.mark(client);
        }
        self.stir.happen();
    }

    /// See [`crate::Store::admit`].
    pub(crate) fn admit(
        &self,
        operation: OperationId,
        digest: RequestDigest,
    ) -> Result<Admission, StoreError> {
        let (kept, recent) = {
            let mut memory = self.memory();
            let now_ms = memory.uptime_ms;
            let Some(client) = memory.clients.get_mut(&operation.client) else {
                return Ok(Admission::Run);
            };
            client.used_ms = now_ms;
            let kept = match client.known(operation.number, digest) {
                Known::New => return Ok(Admission::Run),
                Known::OtherDigest => return Ok(Admission::NumberReused),
                Known::Confirmed => return Ok(Admission::AlreadyConfirmed),
                Known::Lost => return Ok(Admission::ReplyLost),
                Known::Kept(kept) => kept,
            };
            (
                kept,
                memory
                    .overlay
                    .reply(&operation)
                    .map(|recent| recent.reply.to_vec()),
            )
        };
        let reply = match recent {
            Some(reply) => Some(reply),
            None => self.tables.reply(operation)?,
        };
        // Where it moved to the tables between the two looks it is found there; where it was confirmed, nowhere.
        Ok(
            reply.map_or(Admission::AlreadyConfirmed, |reply| Admission::Recorded {
                reply,
                stored: kept.position,
            }),
        )
    }

    /// See [`crate::Store::confirm`].
    pub(crate) fn confirm(&self, client: ClientId, through: u64, also: &[u64]) {
        let mut memory = self.memory();
        for number in memory.clients.confirm(client, through, also) {
            memory.overlay.drop_reply(&OperationId { client, number });
        }
        self.stir.happen();
    }

    /// See [`crate::Store::ran`].
    pub(crate) fn ran(&self, client: ClientId, number: u64, transaction: Transaction) {
        let staged = transaction.into_parts().staged;
        let mut memory = self.memory();
        let now_ms = memory.uptime_ms;
        let row = memory.clients.entry(client);
        row.executed_through = row.executed_through.max(number);
        row.used_ms = now_ms;
        let uploads: Vec<Change> = staged
            .uploads
            .iter()
            .filter(|name| {
                memory
                    .uploads
                    .get(name)
                    .is_some_and(|slot| slot.is_complete())
            })
            .map(|(of, upload)| Change::UploadConsumed {
                client: *of,
                number: *upload,
                by: number,
            })
            .collect();
        if !uploads.is_empty()
            && let Err(error) = self.commit_changes(&mut memory, uploads)
        {
            tracing::warn!(%error, "an upload that was used could not be marked");
        }
    }

    /// See [`crate::Store::forget`].
    pub(crate) fn forget(&self, client: ClientId) -> Result<Position, CommitError> {
        let mut memory = self.memory();
        let known = memory.clients.get(&client).is_some_and(|row| row.wrote);
        let has_uploads = memory.uploads.of_client(client).next().is_some();
        if !known && !has_uploads {
            memory.clients.remove(&client);
            return Ok(memory.head);
        }
        self.commit_changes(
            &mut memory,
            vec![Change::Forget {
                client,
                dropped: false,
            }],
        )
    }
}
