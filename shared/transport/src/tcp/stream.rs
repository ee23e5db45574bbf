//! One stream: what both its user and the driver know of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use shared::codes::StreamCode;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::ready::StreamWaker;
use super::unread::Unread;
use crate::{ReadError, WriteError};

/// Bytes of one stream that wait for the multiplexer, from which on its writer waits as well. What is
/// written at once is bounded by the credit of its body.
const QUEUED_MAX: usize = 256 * 1024;

/// A stream. Its two halves and the driver share it.
#[derive(Debug)]
pub(super) struct Stream {
    state: Mutex<State>,
    /// Wakes who waits for [`State::stopped`] and the like.
    pub(super) fate: Notify,
    pub(super) waker: Arc<StreamWaker>,
    /// Bytes that came on all streams of the connection and were not read yet.
    pub(super) unread_total: Arc<AtomicUsize>,
    /// Of a stream that this end opened: its place among those that may be open.
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

/// How the sending half goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// More may be written.
    Open,
    /// All was written.
    Finished,
    /// It was abandoned.
    Reset(StreamCode),
}

#[derive(Debug)]
pub(super) struct State {
    /// Whole frames, as they were written together.
    pub(super) writes: VecDeque<VecDeque<Bytes>>,
    /// Their bytes, and those of the write that is under way.
    pub(super) queued: usize,
    pub(super) ending: Ending,
    /// All that was written is on its way, and so would be whatever came behind it.
    pub(super) delivered: bool,
    /// The other end wants no more.
    pub(super) stopped: Option<StreamCode>,
    room: Option<Waker>,
    pub(super) unread: Unread,
    /// The other end has finished.
    pub(super) ended: bool,
    /// This end wants no more.
    pub(super) stop: Option<StreamCode>,
    reader: Option<Waker>,
    /// The connection is over.
    lost: bool,
}

impl Stream {
    pub(super) fn new(
        waker: Arc<StreamWaker>,
        unread_total: Arc<AtomicUsize>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let state = State {
            writes: VecDeque::new(),
            queued: 0,
            ending: Ending::Open,
            delivered: false,
            stopped: None,
            room: None,
            unread: Unread::default(),
            ended: false,
            stop: None,
            reader: None,
            lost: false,
        };
        Self { state: Mutex::new(state), fate: Notify::new(), waker, unread_total, _place: place }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room, and says whether more may be written.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), WriteError>> {
        let mut state = self.lock();
        if let Some(code) = state.stopped {
            return Poll::Ready(Err(WriteError::Stopped(code)));
        }
        if state.lost || state.ending != Ending::Open {
            return Poll::Ready(Err(WriteError::Lost));
        }
        if state.queued >= QUEUED_MAX {
            state.room = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes whole frames, for which there was room.
    pub(super) fn write(&self, chunks: VecDeque<Bytes>) {
        let mut state = self.lock();
        state.queued += chunks.iter().map(Bytes::len).sum::<usize>();
        state.writes.push_back(chunks);
        drop(state);
        self.waker.notify();
    }

    /// Ends the sending half, unless it is over. What is abandoned and has not begun stays here.
    pub(super) fn end(&self, ending: Ending) {
        let mut state = self.lock();
        if state.ending != Ending::Open {
            return;
        }
        state.ending = ending;
        if ending != Ending::Finished {
            let unsent: usize = state.writes.iter().flatten().map(Bytes::len).sum();
            state.queued -= unsent;
            state.writes.clear();
        }
        drop(state);
        self.waker.notify();
    }

    /// Wants no more of the other end's half.
    pub(super) fn stop(&self, code: StreamCode) {
        let mut state = self.lock();
        if state.stop.is_some() {
            return;
        }
        state.stop = Some(code);
        self.unread_total.fetch_sub(state.unread.clear(), Ordering::Relaxed);
        drop(state);
        self.waker.notify();
    }

    pub(super) fn poll_read(
        &self,
        cx: &Context<'_>,
        most: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        let mut state = self.lock();
        if let Some(bytes) = state.unread.take(most) {
            self.unread_total.fetch_sub(bytes.len(), Ordering::Relaxed);
            return Poll::Ready(Ok(Some(bytes)));
        }
        if state.ended {
            return Poll::Ready(Ok(None));
        }
        if state.lost || state.stop.is_some() {
            return Poll::Ready(Err(ReadError::Lost));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The connection is over: what came of the stream can still be read.
    pub(super) fn lose(&self) {
        self.lock().lost = true;
        self.wake_all();
    }

    /// Wakes whoever reads, writes or waits, to look again.
    pub(super) fn wake_all(&self) {
        let mut state = self.lock();
        let (reader, room) = (state.reader.take(), state.room.take());
        drop(state);
        for waker in [reader, room].into_iter().flatten() {
            waker.wake();
        }
        self.fate.notify_waiters();
    }
}

impl State {
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Notes that so many bytes have left; answers whom to tell that there is room.
    pub(super) fn sent(&mut self, bytes: usize) -> Option<Waker> {
        self.queued = self.queued.saturating_sub(bytes);
        if self.queued < QUEUED_MAX { self.room.take() } else { None }
    }

    /// Takes bytes that came; answers whom to tell.
    pub(super) fn receive(&mut self, bytes: Bytes) -> Option<Waker> {
        self.unread.push(bytes);
        self.reader.take()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let left = self.lock().unread.clear();
        self.unread_total.fetch_sub(left, Ordering::Relaxed);
    }
}
