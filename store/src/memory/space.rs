//! Quota and free space.
//! Invariant: announced uploads have their space from the moment they are opened. The disk is asked at most twice a second
//! while there is plenty; what was written since counts against the last answer.

use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::{NoSpace, SpaceLimit};

/// What is used and what is left.
pub(crate) struct Space {
    quota: Option<u64>,
    reserve: u64,
    /// Bytes of all files in the index.
    pub(crate) media: u64,
    /// The last answer of the disk.
    free: Option<(Instant, u64)>,
}

const ANSWER_AGE: Duration = Duration::from_millis(500);

impl Space {
    pub(crate) fn new(quota: Option<u64>, reserve: u64) -> Self {
        Self {
            quota,
            reserve,
            media: 0,
            free: None,
        }
    }

    /// The disk is asked anew next time.
    pub(crate) fn forget_answer(&mut self) {
        self.free = None;
    }

    /// Whether the quota has room for `more` bytes beside what uploads hold.
    pub(crate) fn check_quota(&self, more: u64, held: u64) -> Result<(), NoSpace> {
        let Some(quota) = self.quota else {
            return Ok(());
        };
        let available = quota.saturating_sub(self.media.saturating_add(held));
        if more > available {
            return Err(NoSpace {
                needed: more,
                available,
                limit: SpaceLimit::Quota,
            });
        }
        Ok(())
    }

    /// Whether the disk has room for `more` bytes beside those that uploads have still to bring.
    pub(crate) fn check_disk(
        &mut self,
        disk: &Disk,
        more: u64,
        outstanding: u64,
    ) -> Result<(), NoSpace> {
        let needed = more.saturating_add(outstanding);
        // While the ballast is in use, its place is for what frees space.
        let missing = disk.missing_ballast();
        let reserve = self.reserve.saturating_add(missing);
        let left = |free: u64| free.saturating_sub(reserve);
        let known = self
            .free
            .filter(|(at, free)| at.elapsed() < ANSWER_AGE && left(*free) / 2 > needed)
            .filter(|_| missing == 0);
        if let Some((at, free)) = known {
            self.free = Some((at, free - more));
            return Ok(());
        }
        // A disk that does not answer is not a full one; the write itself will tell.
        let free = disk.free_bytes().unwrap_or(u64::MAX);
        let available = left(free).saturating_sub(outstanding);
        if more > available {
            return Err(NoSpace {
                needed: more,
                available,
                limit: SpaceLimit::Disk,
            });
        }
        self.free = Some((Instant::now(), free - more));
        Ok(())
    }
}
