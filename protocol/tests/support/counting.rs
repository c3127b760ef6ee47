//! An allocator that counts what the current thread asks for.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe; this one hands everything to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// All that was asked for, also what was given back meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allocated {
    pub(crate) times: usize,
    pub(crate) bytes: usize,
}

thread_local! {
    static COUNTED: Cell<Allocated> = const { Cell::new(Allocated { times: 0, bytes: 0 }) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize) {
    // A thread that ends may allocate after its counter is gone.
    let _ = COUNTED.try_with(|counted| {
        let Allocated {
            times,
            bytes: before,
        } = counted.get();
        counted.set(Allocated {
            times: times + 1,
            bytes: before + bytes,
        });
    });
}

// Sound: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        unsafe { System.realloc(place, layout, bytes) }
    }
}

/// What `work` allocates on this thread.
pub(crate) fn allocated<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    COUNTED.set(Allocated::default());
    let result = work();
    (result, COUNTED.get())
}
