//! Which CPUs a thread may use, and so those of every process it starts.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Fault;

/// The CPUs that this program was given, in order.
pub(crate) fn given() -> Result<Vec<usize>, Fault> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// Runs `work` with this thread, and what it starts, on these CPUs only.
pub(crate) fn on<T>(cpus: &[usize], work: impl FnOnce() -> T) -> Result<T, Fault> {
    let before = sched_getaffinity(None)?;
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    sched_setaffinity(None, &set)?;
    let done = work();
    sched_setaffinity(None, &before)?;
    Ok(done)
}
