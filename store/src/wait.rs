//! Waiting for a commit to be on disk.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::{NotDurable, Receipt};

/// Ready when everything up to a position is on disk, when it never will be, or when nobody can tell any more. Fine to drop.
#[must_use = "a commit is on disk only once this is ready"]
pub struct Wait(Pin<Box<dyn Future<Output = Result<Receipt, NotDurable>> + Send>>);

impl Wait {
    /// From a future.
    pub fn new(future: impl Future<Output = Result<Receipt, NotDurable>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Waits on this thread. *Blocking*; not for a network worker.
    ///
    /// # Errors
    /// [`NotDurable`]: a sync failed, the store closed first, or nothing could be written.
    pub fn block(self) -> Result<Receipt, NotDurable> {
        block_on(self)
    }
}

impl Future for Wait {
    type Output = Result<Receipt, NotDurable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wait(..)")
    }
}

/// Ready when there is something to tend. Fine to drop.
#[must_use = "it tells only the one who waits for it"]
pub struct Stirred(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Stirred {
    /// From a future.
    pub fn new(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

impl Future for Stirred {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Stirred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stirred(..)")
    }
}

/// Whether something happened, and who is to be woken then.
#[derive(Default)]
pub(crate) struct Stir {
    happened: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Stir {
    /// Something happened.
    pub(crate) fn happen(&self) {
        if !self.happened.swap(true, Ordering::AcqRel) {
            let waiting = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }

    /// What happened until now is being seen to.
    pub(crate) fn clear(&self) {
        self.happened.store(false, Ordering::Release);
    }

    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(context.waker().clone());
        if self.happened.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
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
