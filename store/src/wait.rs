//! Waiting for a commit to be on disk.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::{OutcomeUnknown, Receipt};

/// Ready when everything up to a position is on disk, or when nobody can tell any more. Fine to drop.
#[must_use = "a commit is on disk only once this is ready"]
pub struct Wait(Pin<Box<dyn Future<Output = Result<Receipt, OutcomeUnknown>> + Send>>);

impl Wait {
    /// From a future.
    pub fn new(
        future: impl Future<Output = Result<Receipt, OutcomeUnknown>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(future))
    }

    /// Waits on this thread. *Blocking*; not for a network worker.
    ///
    /// # Errors
    /// [`OutcomeUnknown`] when a sync failed or the store closed first.
    pub fn block(self) -> Result<Receipt, OutcomeUnknown> {
        block_on(self)
    }
}

impl Future for Wait {
    type Output = Result<Receipt, OutcomeUnknown>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wait(..)")
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls until ready, asleep in between.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}
