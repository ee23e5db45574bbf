//! A caller's connection under watch: how long its head takes to come, and its answer to go.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// From the first byte of a head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Patience for a caller that takes no byte of its answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a connection is looked at: one timer for both limits, and for a million requests.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a connection waits for.
#[derive(Debug)]
pub struct Watch {
    start: Instant,
    serving: AtomicBool,
    /// Milliseconds after `start`, 0 for "not now".
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
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            serving: AtomicBool::new(false),
            head_begun: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        }
    }
}

impl Watch {
    /// A request's head is complete; its guard says when its answer is.
    pub fn serve(self: &Arc<Self>) -> Serving {
        self.serving.store(true, Ordering::Relaxed);
        self.head_begun.store(0, Ordering::Relaxed);
        Serving(Arc::clone(self))
    }

    /// Answers once a limit is passed.
    pub async fn overdue(&self) -> Overdue {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.since(&self.head_begun) > HEAD_TIMEOUT {
                return Overdue::Head;
            }
            if self.since(&self.stalled) > STALL_TIMEOUT {
                return Overdue::Stalled;
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

/// Held while a request is served.
#[derive(Debug)]
pub struct Serving(Arc<Watch>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.serving.store(false, Ordering::Relaxed);
    }
}

/// A connection that tells its [`Watch`] what it does.
#[derive(Debug)]
pub struct Watched<T> {
    io: T,
    watch: Arc<Watch>,
}

impl<T> Watched<T> {
    /// Puts `io` under `watch`.
    pub fn new(io: T, watch: Arc<Watch>) -> Self {
        Self { io, watch }
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
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before && !self.watch.serving.load(Ordering::Relaxed) {
            self.watch.begin(&self.watch.head_begun);
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
        let watch = Arc::new(Watch::default());
        let (here, mut there) = tokio::io::duplex(8);
        let mut io = Watched::new(here, Arc::clone(&watch));
        there.write_all(b"P").await.unwrap();
        io.read_u8().await.unwrap();
        assert!(watch.head_begun.load(Ordering::Relaxed) > 0);
        let serving = watch.serve();
        assert_eq!(watch.head_begun.load(Ordering::Relaxed), 0);
        there.write_all(b"x").await.unwrap();
        io.read_u8().await.unwrap();
        assert_eq!(watch.head_begun.load(Ordering::Relaxed), 0, "a body is no head");
        drop(serving);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut io).poll_write(&mut cx, &[0; 8]).is_ready());
        assert!(Pin::new(&mut io).poll_write(&mut cx, &[0; 8]).is_pending());
        assert!(watch.stalled.load(Ordering::Relaxed) > 0);
        let mut taken = [0; 8];
        there.read_exact(&mut taken).await.unwrap();
        assert!(Pin::new(&mut io).poll_write(&mut cx, &[0; 8]).is_ready());
        assert_eq!(watch.stalled.load(Ordering::Relaxed), 0);
    }
}
