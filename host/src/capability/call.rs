//! `calls`: what an operation is about.
//! Invariant: clock and seed stay the same for the whole operation.

use wasmtime::component::Resource;

use super::{Guest, failure};
use crate::plugin::contract::pixelboy::plugin::{calls, types};

/// The resource behind `call`; what it tells lies in the guest's work.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export the types behind resources"
)]
pub struct Call;

/// Who knows which operations answer later.
pub(crate) trait Waits: Send + Sync {
    /// Whether an operation that this plugin put off waits under the token.
    fn waits(&self, token: u64, plugin: &str) -> bool;
}

impl calls::Host for Guest {
    fn complete(
        &mut self,
        token: u64,
        reply: Result<types::Values, types::Failure>,
    ) -> wasmtime::Result<Result<(), types::Failure>> {
        let waits = self.services.waits.waits(token, &self.identity.name);
        if !waits || self.work.completed.iter().any(|(done, _)| *done == token) {
            return Ok(Err(failure::not_found(format!("nobody waits for {token}"))));
        }
        Ok(self.work.complete(token, reply))
    }
}

impl types::Host for Guest {}

impl calls::HostCall for Guest {
    fn client_name(&mut self, _: Resource<Call>) -> wasmtime::Result<String> {
        Ok(self.work.caller.name.to_string())
    }

    fn session(&mut self, _: Resource<Call>) -> wasmtime::Result<u64> {
        Ok(self.work.caller.session)
    }

    fn now_ms(&mut self, _: Resource<Call>) -> wasmtime::Result<u64> {
        Ok(self.work.now_ms())
    }

    fn seed(&mut self, _: Resource<Call>) -> wasmtime::Result<u64> {
        Ok(self.work.seed())
    }

    fn token(&mut self, _: Resource<Call>) -> wasmtime::Result<u64> {
        Ok(self.work.token())
    }

    fn deadline_ms(&mut self, _: Resource<Call>) -> wasmtime::Result<Option<u64>> {
        let left =
            |until: std::time::Instant| until.saturating_duration_since(std::time::Instant::now());
        Ok(self
            .work
            .deadline
            .map(|until| left(until).as_millis() as u64))
    }

    fn drop(&mut self, this: Resource<Call>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
