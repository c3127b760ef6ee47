//! How much memory one guest may have, and has.
//! Invariant: the limit holds for all memories of a guest together.
//! A guest that wants more traps at once, with the limit in the message.

use wasmtime::ResourceLimiter;

/// What a component may be made of; one completed by the host has one memory, two tables and four instances.
const MAX_MEMORIES: usize = 2;
const MAX_TABLES: usize = 8;
const MAX_TABLE_ELEMENTS: usize = 64 << 10;
const MAX_INSTANCES: usize = 32;

/// One guest's memory.
pub(crate) struct Room {
    used_bytes: usize,
    most_bytes: usize,
}

/// It asked for more than it may have.
#[derive(Debug, thiserror::Error)]
enum TooMuch {
    #[error(
        "it needs {} KiB of memory, its limit is {} MiB (`memory_mib`)", .0 >> 10, .1 >> 20
    )]
    Memory(usize, usize),
    #[error("it needs a table of {0} elements, at most {MAX_TABLE_ELEMENTS} are allowed")]
    Table(usize),
}

impl Room {
    /// For a guest that may have so many MiB.
    pub(crate) fn new(memory_mib: u32) -> Self {
        Self {
            used_bytes: 0,
            most_bytes: (memory_mib as usize) << 20,
        }
    }

    /// Bytes of all its memories.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes as u64
    }
}

impl ResourceLimiter for Room {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let all = self
            .used_bytes
            .saturating_add(desired.saturating_sub(current));
        if all > self.most_bytes || maximum.is_some_and(|most| desired > most) {
            return Err(TooMuch::Memory(all, self.most_bytes).into());
        }
        self.used_bytes = all;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE_ELEMENTS || maximum.is_some_and(|most| desired > most) {
            return Err(TooMuch::Table(desired).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn two_memories_share_one_limit() {
        let mut room = Room::new(1);
        assert!(room.memory_growing(0, 600 << 10, None).unwrap());
        let error = room.memory_growing(0, 600 << 10, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it needs 1200 KiB of memory, its limit is 1 MiB (`memory_mib`)"
        );
        assert!(room.memory_growing(0, 400 << 10, None).unwrap());
        assert_eq!(room.used_bytes(), 1000 << 10);
    }
}
