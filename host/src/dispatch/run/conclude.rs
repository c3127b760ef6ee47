//! The end of a call: its answer becomes a reply, and everything it staged is committed in one step.
//! Invariant: effects line up in the order of the commits; a later answer is recorded with what it answers.
//! A failure leaves nothing behind, but for a timer that has fired.

use pixelboy_protocol::{Code, Failure, Outcome};
use pixelboy_store::{
    CommitError, Guard, OperationId, OperationRecord, Position, RequestDigest, Transaction,
};

use super::Origin;
use super::call::{Again, Call};
use super::ran::{PutOffUntil, Ran, bounded, encode};
use super::reply::{Addressee, raise, reply};
use crate::capability::effect::{Effect, Station};
use crate::capability::work::Work;
use crate::capability::{Guest, failure, keeper, timer};
use crate::dispatch::lane::Place;
use crate::dispatch::later::{self, Later};
use crate::dispatch::operation::EncodedOutcome;
use crate::plugin::contract::pixelboy::plugin::types;
use crate::plugin::instance::Instance;

/// What an operation's commit does besides its transaction.
struct Conclusion {
    effects: Vec<Effect>,
    timers: Vec<timer::Change>,
    /// Its own answer is put off under this token.
    later: Option<u64>,
    /// Those of others that it answers.
    answers: Vec<(u64, EncodedOutcome)>,
    place: Option<Place>,
}

impl Call<'_> {
    /// Turns the answer into a reply and commits.
    pub(super) async fn conclude(
        &self,
        instance: &mut Instance,
        mut work: Work,
        answer: Result<types::Outcome, types::Failure>,
        place: Option<Place>,
    ) -> Result<Ran, Again> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.refused(&work, failure::from_guest(failure)),
        };
        let answers = if work.completed.is_empty() {
            Vec::new()
        } else {
            Box::pin(self.answers(instance.guest(), &mut work)).await?
        };
        let put_off = &self.context.dispatch.put_off;
        let answers_recorded = answers.iter().any(|(token, _)| {
            let later = put_off.find(*token, &self.serving.seat.name);
            later.is_some_and(|later| later.wrote)
        });
        let wrote = answers_recorded
            || work
                .transaction
                .as_ref()
                .is_some_and(|own| own.has_writes());
        let (outcome, later) = match answer {
            types::Outcome::Done(values) => {
                let to = Addressee {
                    plugin: &self.serving.seat.name,
                    blobs: &self.context.blobs,
                    number: self.operation.number,
                    recorded: wrote,
                };
                let values = raise(instance.guest(), values, &to).await?;
                (reply(values, &to)?, None)
            }
            types::Outcome::Later(token) => {
                self.may_put_off(&mut work, token)?;
                (later::interrupted(), Some(token))
            }
        };
        for effect in &work.effects {
            if effect.station() == Station::Clients {
                Box::pin(effect.make_ready()).await;
            }
        }
        let Some(transaction) = work.transaction.take() else {
            return Err(Failure::new(Code::BadState, "the operation lost its transaction").into());
        };
        let conclusion = Conclusion {
            effects: work.effects,
            timers: work.timers,
            later,
            answers,
            place,
        };
        self.commit(transaction, outcome, conclusion)
    }

    /// Whether the answer can be put off under this token.
    fn may_put_off(&self, work: &mut Work, token: u64) -> Result<(), Failure> {
        if !matches!(self.context.origin, Origin::Client { .. }) {
            let why = "nobody waits for the answer of a timer, an answer or an event";
            return Err(Failure::new(Code::BadState, why));
        }
        if token != work.token() {
            let why =
                "an answer can be put off under the operation's own token only, see `call.token`";
            return Err(Failure::new(Code::BadState, why));
        }
        Ok(())
    }

    /// The answers to others that the operation staged, encoded.
    async fn answers(
        &self,
        guest: &mut Guest,
        work: &mut Work,
    ) -> Result<Vec<(u64, EncodedOutcome)>, Failure> {
        let mut answers = Vec::new();
        for (token, answer) in std::mem::take(&mut work.completed) {
            let put_off = &self.context.dispatch.put_off;
            let Some(later) = put_off.find(token, &self.serving.seat.name) else {
                // Its time ran out meanwhile.
                continue;
            };
            let outcome = match answer {
                Ok(values) => {
                    let to = Addressee {
                        plugin: &self.serving.seat.name,
                        blobs: &later.blobs,
                        number: later.operation.number,
                        recorded: later.wrote,
                    };
                    let values = raise(guest, values, &to).await?;
                    reply(values, &to)?
                }
                Err(failure) => encode(&Outcome::Failed(bounded(failure::from_guest(failure)))),
            };
            answers.push((token, outcome));
        }
        Ok(answers)
    }

    /// Takes what is to be answered, and stages the answers of which there is a record.
    fn take_put_off(
        &self,
        transaction: &mut Transaction,
        answers: Vec<(u64, EncodedOutcome)>,
    ) -> Vec<(u64, Later, EncodedOutcome)> {
        let mut taken = Vec::with_capacity(answers.len());
        for (token, outcome) in answers {
            // Else its time ran out meanwhile.
            if let Some(later) = self.context.dispatch.put_off.take(token) {
                if later.wrote {
                    transaction.answer(later.operation, outcome.to_vec());
                }
                taken.push((token, later, outcome));
            }
        }
        taken
    }

    /// Commits, and lines the effects up in the same order.
    fn commit(
        &self,
        mut transaction: Transaction,
        outcome: EncodedOutcome,
        conclusion: Conclusion,
    ) -> Result<Ran, Again> {
        let Conclusion {
            effects,
            timers,
            later,
            answers,
            place,
        } = conclusion;
        let answers = self.take_put_off(&mut transaction, answers);
        let committed = self.commit_in_order(transaction, outcome, effects, place);
        let put_off = &self.context.dispatch.put_off;
        let ran = match committed {
            Ok(ran) => ran,
            Err(again) => {
                for (token, later, _) in answers {
                    put_off.add(token, later);
                }
                return Err(again);
            }
        };
        for (_, later, outcome) in answers {
            later.answer(outcome, ran.after);
        }
        let services = &self.context.dispatch.services;
        let plugin = &self.serving.seat.name;
        services.timers.apply(plugin, timers, ran.after);
        let later = later.map(|token| {
            if let Origin::Client { client, answers } = &self.context.origin {
                let operation = OperationId {
                    client: *client,
                    number: self.operation.number,
                };
                let later = Later {
                    plugin: self.serving.seat.name.clone(),
                    operation,
                    wrote: ran.wrote.is_some(),
                    blobs: self.context.blobs.clone(),
                    answers: answers.clone(),
                };
                put_off.add(token, later);
            }
            PutOffUntil {
                token,
                deadline: self.operation.deadline,
            }
        });
        Ok(Ran { later, ..ran })
    }

    fn commit_in_order(
        &self,
        mut transaction: Transaction,
        outcome: EncodedOutcome,
        effects: Vec<Effect>,
        place: Option<Place>,
    ) -> Result<Ran, Again> {
        let services = &self.context.dispatch.services;
        let saw = if Guard::Seen.is_out() {
            Position::default()
        } else {
            transaction.seen()
        };
        // Held over the commit, so that nobody's effects come between.
        let mut device = (!effects.is_empty()).then(|| services.device.committing());
        let mut written = None;
        if let Some(device) = &device
            && transaction.has_writes()
        {
            let state = device.state_after(&effects);
            let staged = keeper::stage(&mut transaction, &state, &services.audio, device.written());
            written = Some(staged.map_err(|error| failure::of_commit(&error.into()))?);
        }
        let number = self.operation.number;
        let wrote = if transaction.has_writes() {
            let record = match self.context.origin {
                Origin::Client { .. } if Guard::Record.is_out() => None,
                Origin::Client { client, .. } => Some(OperationRecord {
                    operation: OperationId { client, number },
                    digest: RequestDigest(self.operation.digest),
                    reply: outcome.to_vec(),
                }),
                Origin::Plugin { .. } => None,
            };
            match services.store.commit(transaction, record) {
                Ok(position) => Some(position),
                Err(CommitError::Conflict) => return Err(Again::Conflict),
                Err(error) => return Err(failure::of_commit(&error).into()),
            }
        } else {
            // Of an operation without writes the presence knows that it ran; the store is told when that ends.
            if let Origin::Client { client, .. } = self.context.origin
                && transaction.uses_uploads()
            {
                services.store.ran(client, number, transaction);
            }
            None
        };
        self.serving.version.health.done();
        let mut after = wrote.unwrap_or(saw).max(saw);
        if self.serving.version.sees_device() {
            let seen = match &device {
                Some(device) => device.position(),
                None => services.device.position(),
            };
            after = after.max(services.store.if_not_taken_back(seen));
        }
        let begun = device.as_mut().map(|device| {
            if let Some(written) = written {
                device.note_written(written);
            }
            let present = |session| services.audience.has(session);
            for play in device.done(&effects, after, present) {
                services.audio.stop_play(play);
            }
            self.serving.lane.line_up(after, effects, place)
        });
        drop(device);
        Ok(Ran {
            outcome,
            wrote,
            after,
            begun,
            later: None,
        })
    }

    /// The guest said no: nothing was written, but what it saw must be durable before that is said. A timer has fired
    /// all the same.
    fn refused(&self, work: &Work, failure: Failure) -> Result<Ran, Again> {
        // Saying no is work too; a guest that knows nothing has shown nothing.
        if failure.code != Code::Unsupported {
            self.serving.version.health.done();
        }
        let store = &self.context.dispatch.services.store;
        let mut wrote = None;
        if let Origin::Plugin { .. } = self.context.origin {
            let mut transaction = store.begin();
            self.prepare(&mut transaction)?;
            let done = store.commit(transaction, None);
            wrote = Some(done.map_err(|error| failure::of_commit(&error))?);
            // What a guest does not know it need not.
            if failure.code != Code::Unsupported {
                let (plugin, op) = (&*self.serving.seat.name, &self.entry.op);
                tracing::debug!(plugin, op, why = %failure.message, "refused");
            }
        }
        let saw = work
            .transaction
            .as_ref()
            .map(Transaction::seen)
            .unwrap_or_default();
        Ok(Ran {
            wrote,
            after: saw,
            ..Ran::failed(failure)
        })
    }
}
