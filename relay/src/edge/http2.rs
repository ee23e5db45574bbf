//! HTTP/2 with one caller: its streams, each a task of its own, and their limits.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::limits::HEADER_LIST_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::answer_body::{AnswerBody, Cut};
use super::connection::{BUFFER_BYTES_MAX, Host};
use super::watch::{LOOK_EVERY, Overdue, STALL_TIMEOUT, Watch, Watched};

/// Streams that one caller may have open on a connection: a page of agents, and room to spare.
const STREAMS_MAX: u32 = 250;
/// Streams that were reset before we saw them: more is a flood (CVE-2023-44487).
const RESET_UNSEEN_MAX: usize = 20;
/// Streams that we reset for what the caller did wrong in them.
const RESET_BY_US_MAX: usize = 100;
/// hyper's own limit of a header list, above ours: what is between gets a refusal with words.
const HEADER_LIST_BYTES_HARD_MAX: u32 = 2 * HEADER_LIST_BYTES_MAX as u32;
/// Bytes of one body that a caller may send ahead of us: a window of 256 KiB is 5 MB/s at 50 ms.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of all bodies of a connection that may be unread.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// A caller that is asked so often whether it is still there…
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// … has this long to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer that are offered at a time: whoever takes so many before [`STALL_TIMEOUT`]
/// goes on. hyper sends no larger frames either.
const OFFER_BYTES_MAX: usize = 16 * 1024;

tokio::task_local! {
    /// What the stream of this task has offered its caller.
    static OFFER: Arc<Offer>;
}

/// Serves HTTP/2. `begun` was read of the connection already.
pub(super) async fn serve<T>(stream: T, begun: Bytes, remote: SocketAddr, mut host: Host)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Arc::new(Watch::of_streams());
    let streams = Arc::new(Mutex::new(JoinSet::new()));
    let edge = &host.edge;
    let caller = Arc::new(edge.caller(remote.ip(), host.shard));
    let service = service_fn(|request| {
        let (edge, caller, serving) = (Arc::clone(edge), Arc::clone(&caller), watch.serve());
        async move {
            let response = edge.answer(request, &caller).await;
            let offer = OFFER.with(Arc::clone);
            let offered = |body: AnswerBody| Offered::new(body.serving(serving), offer);
            Ok::<_, Infallible>(response.map(offered))
        }
    });
    let io = TokioIo::new(Watched::new(stream, begun, Arc::clone(&watch)));
    let connection = http2::Builder::new(Streams(Arc::downgrade(&streams)))
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_UNSEEN_MAX)
        .max_local_error_reset_streams(RESET_BY_US_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_HARD_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(BUFFER_BYTES_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut overdue = pin!(watch.overdue());
    let mut leaving = host.late;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%remote, %error, "a caller's connection broke");
                }
                return;
            }
            why = &mut overdue => {
                tracing::debug!(%remote, ?why, "a caller's connection was ended");
                if why != Overdue::Idle || leaving {
                    return;
                }
                // It is told; whatever it had begun by then is still answered.
                leaving = true;
                connection.as_mut().graceful_shutdown();
                overdue.set(watch.overdue());
            }
            _ = host.stop.changed(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Runs the tasks of one connection's streams, which whoever serves the connection owns.
#[derive(Clone)]
struct Streams(Weak<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Some(tasks) = self.0.upgrade() else { return };
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        let offer = Arc::new(Offer::default());
        tasks.spawn(OFFER.scope(Arc::clone(&offer), async move {
            tokio::select! {
                () = stream => {}
                // Dropping the stream resets it.
                () = offer.left_lying() => tracing::debug!("a caller took no byte of its answer"),
            }
        }));
    }
}

/// What of an answer waits for its caller to allow more: HTTP/2 has windows per stream, so the
/// connection's own progress does not tell.
#[derive(Debug)]
struct Offer {
    start: Instant,
    /// Milliseconds after `start`, 0 while nothing waits.
    since: AtomicU64,
}

impl Default for Offer {
    fn default() -> Self {
        Self { start: Instant::now(), since: AtomicU64::new(0) }
    }
}

impl Offer {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    async fn left_lying(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            let since = self.since.load(Ordering::Relaxed);
            let lain = Duration::from_millis(self.now().saturating_sub(since));
            if since > 0 && lain > STALL_TIMEOUT {
                return;
            }
        }
    }
}

/// A body that notes whether the piece it gave last was taken: hyper asks for the next one then.
struct Offered {
    body: AnswerBody,
    /// What is left of a piece that was too large to be offered at once.
    rest: Bytes,
    offer: Arc<Offer>,
}

impl Offered {
    const fn new(body: AnswerBody, offer: Arc<Offer>) -> Self {
        Self { body, rest: Bytes::new(), offer }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if !self.rest.is_empty() {
            let now = self.rest.len().min(OFFER_BYTES_MAX);
            return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(now)))));
        }
        let mut frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut frame
            && let Some(data) = frame.data_mut()
            && data.len() > OFFER_BYTES_MAX
        {
            self.rest = data.split_off(OFFER_BYTES_MAX);
        }
        frame
    }
}

impl Body for Offered {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = self.poll_piece(cx);
        let gave = matches!(frame, Poll::Ready(Some(Ok(_))));
        let since = if gave { self.offer.now() } else { 0 };
        self.offer.since.store(since, Ordering::Relaxed);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, behind) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest + behind.lower());
        if let Some(upper) = behind.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_large_answer_is_offered_in_parts_and_ends_with_the_last_one() {
        for bytes in [0, 1, OFFER_BYTES_MAX, OFFER_BYTES_MAX + 1, 100_000] {
            let all: Vec<u8> = (0..=u8::MAX).cycle().take(bytes).collect();
            let body = AnswerBody::whole(all.clone().into());
            let mut offered = Offered::new(body, Arc::default());
            let mut came = Vec::new();
            while !offered.is_end_stream() {
                let left = (bytes - came.len()) as u64;
                assert_eq!(offered.size_hint().exact(), Some(left), "{bytes}");
                let part = offered.frame().await.unwrap().unwrap().into_data().unwrap();
                assert!((1..=OFFER_BYTES_MAX).contains(&part.len()), "{bytes}: {}", part.len());
                assert!(offered.offer.since.load(Ordering::Relaxed) > 0, "{bytes}");
                came.extend_from_slice(&part);
            }
            assert_eq!(came, all, "{bytes}");
            assert!(offered.frame().await.is_none(), "{bytes}");
        }
    }
}
