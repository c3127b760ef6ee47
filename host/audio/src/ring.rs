//! Samples on their way between two threads: one pushes, one pops, neither ever waits.
//! Invariant: what was pushed comes out once, in order; a full ring takes less, an empty one gives nothing.
//! Not here: locks (the popping side may be a device's real-time callback) and any meaning of the samples.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// A fixed number of samples between exactly one producer and one consumer.
pub(crate) struct Ring {
    slots: Box<[AtomicU32]>,
    mask: usize,
    pushed: AtomicUsize,
    popped: AtomicUsize,
}

impl Ring {
    /// A ring for at least `capacity` samples.
    pub(crate) fn new(capacity: usize) -> Self {
        let size = capacity.max(2).next_power_of_two();
        Self {
            slots: (0..size).map(|_| AtomicU32::new(0)).collect(),
            mask: size - 1,
            pushed: AtomicUsize::new(0),
            popped: AtomicUsize::new(0),
        }
    }

    /// How many samples wait to be popped.
    pub(crate) fn len(&self) -> usize {
        // `popped` first: it can only grow, so the difference never goes below zero.
        let popped = self.popped.load(Ordering::Acquire);
        self.pushed.load(Ordering::Acquire).wrapping_sub(popped)
    }

    /// How many samples fit.
    pub(crate) fn free(&self) -> usize {
        self.slots.len() - self.len().min(self.slots.len())
    }

    /// How many samples it holds when full.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Producer only: takes all of `samples`, or none when they do not fit.
    pub(crate) fn push(&self, samples: &[f32]) -> bool {
        if samples.len() > self.free() {
            return false;
        }
        let mut at = self.pushed.load(Ordering::Relaxed);
        for sample in samples {
            if let Some(slot) = self.slots.get(at & self.mask) {
                slot.store(sample.to_bits(), Ordering::Relaxed);
            }
            at = at.wrapping_add(1);
        }
        self.pushed.store(at, Ordering::Release);
        true
    }

    /// Consumer only: fills all of `samples`, or none when there are not so many.
    pub(crate) fn pop(&self, samples: &mut [f32]) -> bool {
        if samples.len() > self.len() {
            return false;
        }
        let mut at = self.popped.load(Ordering::Relaxed);
        for sample in samples {
            if let Some(slot) = self.slots.get(at & self.mask) {
                *sample = f32::from_bits(slot.load(Ordering::Relaxed));
            }
            at = at.wrapping_add(1);
        }
        self.popped.store(at, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_pushed_by_one_thread_is_popped_by_another_once_and_in_order() {
        let ring = Ring::new(64);
        let total = 20_000_u32;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut next = 0;
                while next < total {
                    if ring.push(&[next as f32, (next + 1) as f32]) {
                        next += 2;
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
            let mut expected = 0;
            let mut frame = [0.0; 2];
            while expected < total {
                if ring.pop(&mut frame) {
                    assert_eq!(frame, [expected as f32, (expected + 1) as f32]);
                    expected += 2;
                } else {
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(ring.len(), 0);
    }

    #[test]
    fn a_full_ring_refuses_and_an_empty_one_gives_nothing() {
        let ring = Ring::new(4);
        let mut out = [9.0; 2];
        assert!(!ring.pop(&mut out));
        assert!(ring.push(&[1.0, 2.0, 3.0]));
        assert!(!ring.push(&[4.0, 5.0]), "two do not fit, so none is taken");
        assert!(ring.push(&[4.0]));
        assert_eq!(ring.free(), 0);
        assert!(ring.pop(&mut out));
        assert_eq!(out, [1.0, 2.0]);
        assert!(ring.push(&[5.0, 6.0]));
        assert!(ring.pop(&mut out) && ring.pop(&mut out));
        assert_eq!(out, [5.0, 6.0]);
    }
}
