//! Which streams have something to do: so the driver looks at those alone, and not at thousands.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The streams that were woken, and their driver.
#[derive(Debug, Default)]
pub(super) struct Ready(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    streams: Vec<u64>,
    driver: Option<Waker>,
}

impl Ready {
    /// Who is to be woken from now on.
    pub(super) fn register(&self, driver: &Waker) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut list.driver {
            Some(known) => known.clone_from(driver),
            None => list.driver = Some(driver.clone()),
        }
    }

    /// Wakes the driver for something else than a stream.
    pub(super) fn wake(&self) {
        let driver = self.0.lock().unwrap_or_else(PoisonError::into_inner).driver.clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The streams that were woken since the last time; `into` is empty, and lends its room.
    pub(super) fn take(&self, into: &mut Vec<u64>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut list.streams, into);
    }
}

/// Wakes the driver for one stream.
#[derive(Debug)]
pub(super) struct StreamWaker {
    pub(super) stream: u64,
    ready: Arc<Ready>,
    /// It stands in the list already, so that the list is no longer than there are streams.
    listed: AtomicBool,
}

impl StreamWaker {
    pub(super) fn new(stream: u64, ready: Arc<Ready>) -> Self {
        Self { stream, ready, listed: AtomicBool::new(false) }
    }

    /// The driver looks at the stream now; what comes later wakes it again.
    pub(super) fn looked_at(&self) {
        self.listed.store(false, Ordering::Release);
    }

    pub(super) fn notify(&self) {
        if self.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut list = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.streams.push(self.stream);
        let driver = list.driver.clone();
        drop(list);
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}
