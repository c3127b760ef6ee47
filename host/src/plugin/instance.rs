//! One running guest: a wasmtime store with its instance.
//! Invariant: after a trap, a dropped call or a leaked handle it is thrown away, never entered again.
//! Not here: which calls it gets and in what order (`seat`).

use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{Store, UpdateDeadline};

use super::contract::pixelboy::plugin::types::{Failure, Outcome, Values};
use super::contract::{Plugin, PluginPre};
use super::engine::Engine;
use super::manifest::Draft;
use super::room::Room;
use super::ticker::TICK;
use crate::capability::call::Call;
use crate::capability::work::Work;
use crate::capability::{Guest, Identity, Services};
use crate::config::Limits;

/// Handles that a guest may hold at a time; each may keep a file open.
const MAX_HANDLES: usize = 256;

/// A guest ready for a call.
pub(crate) struct Instance {
    store: Store<Guest>,
    plugin: Plugin,
    ticks_per_call: u32,
}

/// How a guest ended other than by answering.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It used up its time on the CPU.
    #[error("it ran longer than its CPU time of {0} ms")]
    CpuTime(u64),
    /// Anything else: a panic, a bad access, too much memory, a misuse of the contract.
    #[error("{0}")]
    Trap(String),
}

/// The marker by which a used-up budget is told from other traps.
#[derive(Debug, thiserror::Error)]
#[error("cpu time used up")]
struct CpuTimeUsedUp;

impl Instance {
    /// A fresh guest.
    pub(crate) async fn new(
        engine: &Engine,
        pre: &PluginPre<Guest>,
        identity: Arc<Identity>,
        services: Arc<Services>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let guest = Guest {
            table,
            room: Room::new(limits.memory_mib),
            identity,
            services,
            work: Work::default(),
            ticks_left: 0,
        };
        let mut store = Store::new(&engine.wasmtime, guest);
        store.limiter(|guest| &mut guest.room);
        store.epoch_deadline_callback(|mut context| {
            let guest = context.data_mut();
            match guest.ticks_left.checked_sub(1) {
                Some(left) => {
                    guest.ticks_left = left;
                    Ok(UpdateDeadline::Yield(1))
                }
                None => Err(CpuTimeUsedUp.into()),
            }
        });
        let mut instance = Self {
            ticks_per_call: ticks(limits.cpu_ms),
            plugin: {
                store.set_epoch_deadline(1);
                store.data_mut().ticks_left = ticks(limits.cpu_ms);
                let _running = engine.ticker.enter();
                pre.instantiate_async(&mut store)
                    .await
                    .map_err(|error| fault(&error, limits.cpu_ms))?
            },
            store,
        };
        instance.refill();
        Ok(instance)
    }

    fn refill(&mut self) {
        self.store.set_epoch_deadline(1);
        self.store.data_mut().ticks_left = self.ticks_per_call;
    }

    /// Lets the guest fill its manifest.
    pub(crate) async fn describe(&mut self, engine: &Engine) -> Result<Draft, Fault> {
        self.refill();
        let trap = |error: wasmtime::Error| Fault::Trap(format!("{error:#}"));
        let manifest = self
            .store
            .data_mut()
            .table
            .push(Draft::default())
            .map_err(|error| trap(error.into()))?;
        let rep = manifest.rep();
        let lent = Resource::new_borrow(rep);
        let cpu_ms = self.cpu_ms();
        {
            let _running = engine.ticker.enter();
            self.plugin
                .call_describe(&mut self.store, lent)
                .await
                .map_err(|error| fault(&error, cpu_ms))?;
        }
        self.store
            .data_mut()
            .table
            .delete(manifest)
            .map_err(|error| trap(error.into()))
    }

    /// Hands over what the next call works with; `args` puts its handles into the guest's table.
    pub(crate) fn begin(
        &mut self,
        work: Work,
        args: impl FnOnce(&mut Guest) -> wasmtime::Result<Values>,
    ) -> Result<Values, Fault> {
        self.refill();
        let guest = self.store.data_mut();
        guest.work = work;
        args(guest).map_err(|error| fault(&error, self.cpu_ms()))
    }

    /// Runs the operation that was begun. Small on purpose: each call moves this future about.
    pub(crate) async fn handle(
        &mut self,
        engine: &Engine,
        op: &str,
        args: &Values,
    ) -> Result<Result<Outcome, Failure>, Fault> {
        let cpu_ms = self.cpu_ms();
        let trap = |error: wasmtime::Error| fault(&error, cpu_ms);
        let table = &mut self.store.data_mut().table;
        let call = table.push(Call).map_err(|error| trap(error.into()))?;
        let lent = Resource::new_borrow(call.rep());
        let answer = {
            let _running = engine.ticker.enter();
            self.plugin
                .call_handle(&mut self.store, lent, op, args)
                .await
                .map_err(trap)?
        };
        let table = &mut self.store.data_mut().table;
        table.delete(call).map_err(|error| trap(error.into()))?;
        Ok(answer)
    }

    /// The work of the call that ended, with what it staged.
    pub(crate) fn end(&mut self) -> Work {
        std::mem::take(&mut self.store.data_mut().work)
    }

    fn cpu_ms(&self) -> u64 {
        u64::from(self.ticks_per_call) * TICK.as_millis() as u64
    }

    /// The guest's side of handles, for what an answer holds.
    pub(crate) fn guest(&mut self) -> &mut Guest {
        self.store.data_mut()
    }

    /// Bytes of its memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().room.used_bytes()
    }

    /// Whether it may be entered again: it kept no handle.
    pub(crate) fn is_clean(&self) -> bool {
        self.store.data().table.is_empty()
    }
}

fn ticks(cpu_ms: u64) -> u32 {
    u32::try_from(cpu_ms.div_ceil(TICK.as_millis() as u64))
        .unwrap_or(u32::MAX)
        .max(1)
}

fn fault(error: &wasmtime::Error, cpu_ms: u64) -> Fault {
    if error.downcast_ref::<CpuTimeUsedUp>().is_some() {
        return Fault::CpuTime(cpu_ms);
    }
    // The innermost cause says it best; wasmtime's outer texts are backtraces.
    Fault::Trap(error.root_cause().to_string())
}
