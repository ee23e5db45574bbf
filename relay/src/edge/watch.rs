//! A caller's connection under watch: how long its head takes to come, and its answer to go.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;

/// From the first byte of a head to its last.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Patience for a caller that takes no byte of its answer.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection without a request is kept this long.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Frames that carry nothing, between two looks: a caller that pings each millisecond stays below.
const IDLE_FRAMES_MAX: u64 = 10_000;
/// How often a connection is looked at: one timer for every limit, and for a million requests.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a connection waits for.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    /// HTTP/2's frames; `None` for HTTP/1.1, where the first byte begins a head.
    frames: Option<Mutex<Frames>>,
    serving: AtomicUsize,
    /// Milliseconds after `start`, 0 for "not now".
    idle: AtomicU64,
    head_begun: AtomicU64,
    stalled: AtomicU64,
}

/// Why the watch ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// The head of a request did not come in time.
    Head,
    /// The caller took no byte of its answer in time.
    Stalled,
    /// No request was under way for so long.
    Idle,
    /// Its frames carry nothing, and are too many.
    Flood,
}

impl Watch {
    /// Watches a connection whose requests come one after the other (HTTP/1.1).
    pub fn of_requests() -> Self {
        Self::new(None)
    }

    /// Watches a connection of many streams (HTTP/2).
    pub fn of_streams() -> Self {
        Self::new(Some(Mutex::default()))
    }

    fn new(frames: Option<Mutex<Frames>>) -> Self {
        Self {
            start: Instant::now(),
            frames,
            serving: AtomicUsize::new(0),
            idle: AtomicU64::new(1),
            head_begun: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        }
    }

    /// A request's head is complete; its guard says when its answer is.
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.serving.fetch_add(1, Ordering::Relaxed);
        self.idle.store(0, Ordering::Relaxed);
        if self.frames.is_none() {
            self.head_begun.store(0, Ordering::Relaxed);
        }
        Serving(Arc::clone(self))
    }

    /// Answers once a limit is passed.
    pub async fn overdue(&self) -> Overdue {
        let mut idle_frames = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let before = std::mem::replace(&mut idle_frames, self.idle_frames());
            if idle_frames - before > IDLE_FRAMES_MAX {
                return Overdue::Flood;
            }
            if self.since(&self.head_begun) > HEAD_TIMEOUT {
                return Overdue::Head;
            }
            if self.since(&self.stalled) > STALL_TIMEOUT {
                return Overdue::Stalled;
            }
            if self.since(&self.idle) > IDLE_TIMEOUT {
                return Overdue::Idle;
            }
        }
    }

    fn idle_frames(&self) -> u64 {
        self.frames.as_ref().map_or(0, |frames| lock(frames).idle())
    }

    /// Bytes came.
    fn read(&self, bytes: &[u8]) {
        match &self.frames {
            None if self.serving.load(Ordering::Relaxed) == 0 => self.begin(&self.head_begun),
            None => {}
            Some(frames) => {
                let mut frames = lock(frames);
                frames.push(bytes);
                if frames.is_in_head() {
                    self.begin(&self.head_begun);
                } else {
                    self.head_begun.store(0, Ordering::Relaxed);
                }
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn since(&self, moment: &AtomicU64) -> Duration {
        match moment.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            then => Duration::from_millis(self.now().saturating_sub(then)),
        }
    }

    fn begin(&self, moment: &AtomicU64) {
        if moment.load(Ordering::Relaxed) == 0 {
            moment.store(self.now(), Ordering::Relaxed);
        }
    }
}

fn lock(frames: &Mutex<Frames>) -> MutexGuard<'_, Frames> {
    // Nothing panics while it holds this lock, so a poisoned one is still whole.
    frames.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Held while a request is served.
#[derive(Debug)]
pub struct Serving(Arc<Watch>);

impl Drop for Serving {
    fn drop(&mut self) {
        if self.0.serving.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.begin(&self.0.idle);
        }
    }
}

/// A connection that tells its [`Watch`] what it does.
#[derive(Debug)]
pub struct Watched<T> {
    io: T,
    /// What was read of it already.
    begun: Bytes,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    /// Puts `io` under `watch`. `begun` was read of it already, and is read again first.
    pub fn new(io: T, begun: Bytes, watch: Arc<Watch>) -> Self {
        if !begun.is_empty() {
            watch.read(&begun);
        }
        Self { io, begun, watch }
    }

    /// The connection itself.
    pub fn into_inner(self) -> T {
        self.io
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Pending => self.watch.begin(&self.watch.stalled),
            Poll::Ready(_) => self.watch.stalled.store(0, Ordering::Relaxed),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let now = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(now));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buffer);
        if let Some(bytes @ [_, ..]) = buffer.filled().get(before..) {
            self.watch.read(bytes);
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        self.wrote(&result);
        result
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_ends_and_a_caller_that_never_reads_are_overdue() {
        // The watch reads the monotonic clock itself, which does not pause: its moments are set.
        let watch = Arc::new(Watch::of_requests());
        let (here, mut there) = tokio::io::duplex(8);
        let mut io = Watched::new(here, Bytes::new(), Arc::clone(&watch));
        there.write_all(b"P").await.unwrap();
        io.read_u8().await.unwrap();
        assert!(watch.head_begun.load(Ordering::Relaxed) > 0);
        let serving = watch.serve();
        assert_eq!(watch.head_begun.load(Ordering::Relaxed), 0);
        assert_eq!(watch.idle.load(Ordering::Relaxed), 0);
        there.write_all(b"x").await.unwrap();
        io.read_u8().await.unwrap();
        assert_eq!(watch.head_begun.load(Ordering::Relaxed), 0, "a body is no head");
        drop(serving);
        assert!(watch.idle.load(Ordering::Relaxed) > 0);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut io).poll_write(&mut cx, &[0; 8]).is_ready());
        assert!(Pin::new(&mut io).poll_write(&mut cx, &[0; 8]).is_pending());
        assert!(watch.stalled.load(Ordering::Relaxed) > 0);
        let mut taken = [0; 8];
        there.read_exact(&mut taken).await.unwrap();
        assert!(Pin::new(&mut io).poll_write(&mut cx, &[0; 8]).is_ready());
        assert_eq!(watch.stalled.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_frames_that_carry_nothing_is_overdue() {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (pings, flood) in [(10_000, false), (10_001, true)] {
            let watch = Watch::of_streams();
            watch.read(&[0; 24]);
            (0..pings).for_each(|_| watch.read(&ping));
            let overdue = tokio::time::timeout(LOOK_EVERY * 3, watch.overdue()).await;
            assert_eq!(overdue == Ok(Overdue::Flood), flood, "{pings}");
        }
    }

    #[tokio::test]
    async fn what_was_read_before_is_read_first_and_begins_a_head_of_http_1_alone() {
        for (watch, begins) in [(Watch::of_requests(), true), (Watch::of_streams(), false)] {
            let watch = Arc::new(watch);
            let (here, mut there) = tokio::io::duplex(8);
            let mut io = Watched::new(here, Bytes::from_static(b"PRI"), Arc::clone(&watch));
            assert_eq!(watch.head_begun.load(Ordering::Relaxed) > 0, begins);
            there.write_all(b" *").await.unwrap();
            let mut read = [0; 5];
            io.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"PRI *");
        }
    }
}
