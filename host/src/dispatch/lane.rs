//! Releases effects in the order of the commits they came from.
//! Invariant: an effect is released after its operation's commit, and everything that saw, is durable; never twice. On
//! one station (screen, speaker, clients) the commit order holds over all plugins: the last writer owns the screen.
//! A line for each station: a speaker that is slow to start does not hold up the screen.
//! After a failed sync: nothing is released, what was asked for is taken back.

use std::sync::Arc;

use pixelboy_protocol::{Code, Failure};
use pixelboy_store::{Guard, NotDurable, Position};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::capability::Services;
use crate::capability::device::Heard;
use crate::capability::effect::{self, Effect, Station};
use crate::capability::failure;

/// The lines of all stations.
#[derive(Clone)]
pub(crate) struct Lines {
    screen: mpsc::UnboundedSender<Release>,
    speaker: mpsc::UnboundedSender<Release>,
    clients: mpsc::UnboundedSender<Release>,
}

/// A plugin's way to the stations.
#[derive(Clone)]
pub(crate) struct Lane {
    lines: Lines,
    places: Arc<Semaphore>,
}

/// Operations whose effects may wait; the next one waits with them, before its guest is entered.
const PLACES: usize = 16;

/// An operation's place in the lane.
pub(crate) struct Place(
    #[expect(dead_code, reason = "frees the place when it is dropped")] OwnedSemaphorePermit,
);

/// Tells when effects have begun, or why one did not.
pub(crate) type Begun = oneshot::Receiver<Result<(), Failure>>;

struct Release {
    after: Position,
    effects: Vec<Effect>,
    begun: oneshot::Sender<Result<(), Failure>>,
    /// Shared by what one operation has on several stations.
    place: Option<Arc<Place>>,
}

impl Lines {
    /// Starts the lines; each ends with its last handle.
    pub(crate) fn start(services: &Arc<Services>) -> Self {
        Self {
            screen: line(services.clone()),
            speaker: line(services.clone()),
            clients: line(services.clone()),
        }
    }

    /// Lines effects up; the answer comes when they have begun, or says why the first that did not did not.
    pub(crate) fn line_up(
        &self,
        after: Position,
        effects: Vec<Effect>,
        place: Option<Place>,
    ) -> Begun {
        let place = place.map(Arc::new);
        let mut parts: Vec<(Station, Vec<Effect>)> = Vec::new();
        for effect in effects {
            let station = effect.station();
            match parts.iter_mut().find(|(other, _)| *other == station) {
                Some((_, part)) => part.push(effect),
                None => parts.push((station, vec![effect])),
            }
        }
        let mut begun: Vec<Begun> = Vec::with_capacity(parts.len());
        for (station, effects) in parts {
            let line = match station {
                Station::Screen => &self.screen,
                Station::Speaker => &self.speaker,
                Station::Clients => &self.clients,
            };
            let (told, answer) = oneshot::channel();
            // A closed line drops the sender, which the receiver takes for a failure.
            let _ = line.send(Release {
                after,
                effects,
                begun: told,
                place: place.clone(),
            });
            begun.push(answer);
        }
        match begun.pop() {
            Some(only) if begun.is_empty() => only,
            last => all_of(begun.into_iter().chain(last).collect()),
        }
    }
}

/// The effects of one operation on several stations.
fn all_of(parts: Vec<Begun>) -> Begun {
    let (told, begun) = oneshot::channel();
    tokio::spawn(async move {
        let mut all = Ok(());
        for part in parts {
            let part = part.await.unwrap_or_else(|_| Err(outcome_unknown()));
            all = all.and(part);
        }
        let _ = told.send(all);
    });
    begun
}

fn line(services: Arc<Services>) -> mpsc::UnboundedSender<Release> {
    let (line, mut waiting) = mpsc::unbounded_channel::<Release>();
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
    line
}

impl Lane {
    /// A plugin's own.
    pub(crate) fn new(lines: Lines) -> Self {
        Self {
            lines,
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }

    /// Waits for a place, so that a device that is stuck holds up its plugin instead of filling the memory.
    pub(crate) async fn place(&self) -> Option<Place> {
        self.places.clone().acquire_owned().await.ok().map(Place)
    }

    /// See [`Lines::line_up`].
    pub(crate) fn line_up(
        &self,
        after: Position,
        effects: Vec<Effect>,
        place: Option<Place>,
    ) -> Begun {
        self.lines.line_up(after, effects, place)
    }
}

async fn release(
    after: Position,
    effects: Vec<Effect>,
    services: &Arc<Services>,
) -> Result<(), Failure> {
    if !Guard::Order.is_out()
        && !services.store.is_durable(after)
        && let Err(error) = services.store.wait(after).await
    {
        withdraw(&effects, after, &error, services);
        return Err(failure::of_wait(&error));
    }
    let mut first_failure = Ok(());
    for effect in effects {
        let begun = effect::release(effect, services).await;
        first_failure = first_failure.and(begun);
    }
    first_failure
}

/// Takes back what will not be released.
fn withdraw(effects: &[Effect], after: Position, error: &NotDurable, services: &Services) {
    // The store may not have what was written with them either.
    services.device.committing().forget_written();
    let heard = Heard {
        volume: services.audio.volume().into(),
        playing: services.audio.now(),
    };
    let store = &services.store;
    let settled = |position: Position| match error {
        // What others committed since then is there, or on its way.
        NotDurable::TakenBack(_) => store.if_not_taken_back(position),
        NotDurable::Unknown(_) => position.min(store.durable().position()),
    };
    services.device.withdraw(effects, after, &heard, settled);
}

/// What is said after a failed sync.
pub(crate) fn outcome_unknown() -> Failure {
    Failure::new(
        Code::OutcomeUnknown,
        "the disk failed to confirm a write, so what became of this is unknown; \
         restart pixelboyd, then send it again under the same number",
    )
}
