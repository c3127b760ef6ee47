//! Releases a plugin's effects in the order its operations committed.
//! Invariant: an effect is released after its operation's commit, and everything that saw, is durable; never twice.
//! A lane each plugin: a speaker that is slow to start does not hold up the screen.

use std::sync::Arc;

use pixelboy_protocol::{Code, Failure};
use pixelboy_store::Position;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::capability::Services;
use crate::capability::effect::{self, Effect};

/// Where a plugin's effects line up.
#[derive(Clone)]
pub(crate) struct Lane {
    releases: mpsc::UnboundedSender<Release>,
    places: Arc<Semaphore>,
}

/// Operations whose effects may wait; the next one waits with them, before its guest is entered.
const PLACES: usize = 16;

/// An operation's place in the lane.
pub(crate) struct Place(
    #[expect(dead_code, reason = "frees the place when it is dropped")] OwnedSemaphorePermit,
);

struct Release {
    after: Position,
    effects: Vec<Effect>,
    begun: oneshot::Sender<Result<(), Failure>>,
    place: Option<Place>,
}

impl Lane {
    /// Starts a lane; it ends with its last handle.
    pub(crate) fn start(services: Arc<Services>) -> Self {
        let (lane, mut waiting) = mpsc::unbounded_channel::<Release>();
        tokio::spawn(async move {
            while let Some(Release {
                after,
                effects,
                begun,
                place,
            }) = waiting.recv().await
            {
                // Nobody may be waiting any more; the effect is released all the same.
                let _ = begun.send(release(after, effects, &services).await);
                drop(place);
            }
        });
        Self {
            releases: lane,
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }

    /// Waits for a place, so that a device that is stuck holds up its plugin instead of filling the memory.
    pub(crate) async fn place(&self) -> Option<Place> {
        self.places.clone().acquire_owned().await.ok().map(Place)
    }

    /// Lines effects up; the answer comes when they have begun, or says why one did not.
    pub(crate) fn line_up(
        &self,
        after: Position,
        effects: Vec<Effect>,
        place: Option<Place>,
    ) -> oneshot::Receiver<Result<(), Failure>> {
        let (begun, answer) = oneshot::channel();
        // A closed lane drops the sender, which the receiver takes for a failure.
        let _ = self.releases.send(Release {
            after,
            effects,
            begun,
            place,
        });
        answer
    }
}

async fn release(
    after: Position,
    effects: Vec<Effect>,
    services: &Services,
) -> Result<(), Failure> {
    if services.store.durable().position() < after && services.store.wait(after).await.is_err() {
        return Err(outcome_unknown());
    }
    let mut first_failure = Ok(());
    for effect in effects {
        let begun = effect::release(effect, services).await;
        first_failure = first_failure.and(begun);
    }
    first_failure
}

/// What is said after a failed sync.
pub(crate) fn outcome_unknown() -> Failure {
    Failure::new(
        Code::OutcomeUnknown,
        "the disk failed to confirm a write, so what became of this is unknown; \
         restart pixelboyd, then send it again under the same number",
    )
}
