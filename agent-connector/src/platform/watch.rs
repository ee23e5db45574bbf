//! The agent's connection under watch: how long its heads take to come, and its answers to go.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// From the first byte of a head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Patience for an agent that takes no byte of its answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection without a request is kept this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a connection is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a connection waits for.
#[derive(Debug)]
pub(super) struct Watch(Mutex<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    phase: Phase,
    /// Since when its bytes are not taken.
    stalled: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Idle(Instant),
    Head(Instant),
    Serving,
}

impl State {
    fn is_overdue(&self, now: Instant) -> bool {
        let over = |since, limit| now.saturating_duration_since(since) > limit;
        let phase = match self.phase {
            Phase::Idle(since) => over(since, IDLE_TIMEOUT),
            Phase::Head(since) => over(since, HEAD_TIMEOUT),
            Phase::Serving => false,
        };
        phase || self.stalled.is_some_and(|since| over(since, STALL_TIMEOUT))
    }
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        let phase = Phase::Idle(Instant::now());
        Arc::new(Self(Mutex::new(State { phase, stalled: None })))
    }

    /// A request's head is complete; its guard says when its answer is.
    pub(super) fn serve(self: &Arc<Self>) -> Serving {
        self.lock().phase = Phase::Serving;
        Serving(Arc::clone(self))
    }

    /// Resolves once a limit is passed.
    pub(super) async fn overdue(&self) {
        while !self.lock().is_overdue(Instant::now()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a request is served.
#[derive(Debug)]
pub(super) struct Serving(Arc<Watch>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.lock().phase = Phase::Idle(Instant::now());
    }
}

/// A connection whose bytes the watch sees go by.
#[derive(Debug)]
pub(super) struct Watched<T> {
    io: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    pub(super) const fn new(io: T, watch: Arc<Watch>) -> Self {
        Self { io, watch }
    }

    pub(super) fn into_inner(self) -> T {
        self.io
    }

    fn note_write<R>(&self, written: &Poll<R>) {
        let mut state = self.watch.lock();
        state.stalled = match written {
            Poll::Ready(_) => None,
            Poll::Pending => state.stalled.or_else(|| Some(Instant::now())),
        };
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let mut state = self.watch.lock();
            if let Phase::Idle(_) = state.phase {
                state.phase = Phase::Head(Instant::now());
            }
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_limit() {
        let start = Instant::now();
        for (phase, stalled, seconds, overdue) in [
            (Phase::Idle(start), None, 119, false),
            (Phase::Idle(start), None, 121, true),
            (Phase::Head(start), None, 9, false),
            (Phase::Head(start), None, 11, true),
            (Phase::Serving, None, 86_400, false),
            (Phase::Serving, Some(start), 59, false),
            (Phase::Serving, Some(start), 61, true),
        ] {
            let state = State { phase, stalled };
            let now = start + Duration::from_secs(seconds);
            assert_eq!(state.is_overdue(now), overdue, "{state:?} after {seconds} s");
        }
    }
}
