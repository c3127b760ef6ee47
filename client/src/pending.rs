//! A call under way.
//! Invariant: it always ends, with a reply or an error, by its deadline.

use std::future::IntoFuture;
use std::pin::Pin;

use tokio::sync::oneshot;

use crate::client::Client;
use crate::command::{Answer, Command};
use crate::error::{Error, Ticket};
use crate::reply::Reply;

/// A call under way; `.await` it. Dropped, it goes on without anybody waiting.
#[must_use = "a call that nobody waits for tells no errors"]
pub struct Pending {
    pub(crate) client: Client,
    pub(crate) ticket: Ticket,
    pub(crate) op: String,
    pub(crate) answer: oneshot::Receiver<Answer>,
}

impl Pending {
    /// Names it, to ask for it again.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// The opcode.
    #[must_use]
    pub fn op(&self) -> &str {
        &self.op
    }

    /// Asks the device to drop it, where it has not begun to commit: then it ends as the failure `cancelled`.
    pub fn cancel(&self) {
        // A client that ended has settled it.
        let _ = self.client.commands().send(Command::Cancel(self.ticket));
    }

    /// Waits for the reply.
    ///
    /// # Errors
    /// What became of the call, as far as is known.
    pub async fn reply(self) -> Result<Reply, Error> {
        let mut reply = self.answer.await.map_err(|_| Error::Closed)??;
        match self.client.fetch_large(&mut reply.values).await {
            Ok(()) => Ok(reply),
            // Another error would say that nothing happened.
            Err(error) => Err(Error::OutcomeUnknown {
                op: reply.op,
                why: format!("it was done, but what it answered could not be fetched: {error}"),
                ticket: None,
            }),
        }
    }
}

impl IntoFuture for Pending {
    type Output = Result<Reply, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.reply())
    }
}
