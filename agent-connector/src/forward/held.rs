//! What of an exchange outlives its link: the request as it comes, the answer as it was sent, and which
//! link carries them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use shared::codes::StreamCode;
use shared::ids::ExchangeId;
use shared::limits::CONTINUE_TIMEOUT;
use shared::wire::SentFrames;
use tokio::time::timeout;
use transport::{ConnectionEnd, SendStream};

use super::carrier::UnderWay;
use super::exchanges::Exchanges;
use super::request_stream::Intake;

/// Resolves when the relay wants no more of a stream, or its link is lost.
type Stopped =
    Pin<Box<dyn Future<Output = Result<Option<StreamCode>, ConnectionEnd>> + Send + Sync>>;

/// One exchange that was begun.
pub(crate) struct Held {
    /// The relay's name for it.
    pub(crate) name: ExchangeId,
    request: Mutex<Intake>,
    way: Mutex<Way>,
}

/// The answer's way to the relay.
struct Way {
    /// What may have to be sent again.
    sent: SentFrames,
    /// What carries the exchange, until it is over.
    link: Option<UnderWay>,
    /// The stream of a newer link, on which all that was sent stands.
    offered: Option<Offered>,
    /// Of that newer stream, for whoever waits for it.
    stopped: Option<Stopped>,
    waiting: Option<Waker>,
    /// No link will go on with it.
    is_final: bool,
    /// Counts the links.
    links: u64,
}

/// A stream that nobody has taken yet. Dropped, it is reset: a clean end would be a lie.
struct Offered(Option<SendStream>);

impl Offered {
    fn take(mut self) -> Option<SendStream> {
        self.0.take()
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        if let Some(mut send) = self.0.take() {
            send.reset(StreamCode::Cancelled);
        }
    }
}

/// What the relay wants to go on with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stand {
    /// Whether it has the head of the answer.
    pub(crate) has_head: bool,
    /// Bytes of the answer's body that it has.
    pub(crate) offset: u64,
}

/// CONTINUE that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// The same link carries the exchange.
    Here,
    /// The offset lies.
    Offset,
    /// It has just ended without an answer.
    Ended,
}

/// The answer on a newer link, until all that was sent stands on its stream.
pub(crate) struct Replay {
    link: u64,
    /// What has to be written first.
    pub(crate) chunks: Vec<Bytes>,
    mark: u64,
    /// Of an exchange whose answer is out, which no link carries any more.
    _link: Option<UnderWay>,
}

/// What follows on a newer stream.
pub(crate) enum Next {
    /// More was sent meanwhile.
    More(Vec<Bytes>),
    /// The exchange goes on with the stream, or a still newer one has taken its place.
    Given,
    /// All of the answer stands on it.
    Whole(SendStream),
}

impl Held {
    /// An exchange that is begun, and which link carries it.
    pub(crate) fn new(name: ExchangeId, request: Intake, link: Option<UnderWay>) -> Arc<Self> {
        let way = Way {
            sent: SentFrames::default(),
            link,
            offered: None,
            stopped: None,
            waiting: None,
            is_final: false,
            links: 0,
        };
        Arc::new(Self { name, request: Mutex::new(request), way: Mutex::new(way) })
    }

    /// The request, as far as it has come.
    pub(crate) fn request(&self) -> MutexGuard<'_, Intake> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the relay wants no answer any more, or no link goes on with the exchange. `first` is
    /// the fate of its first stream; as long as `exchanges` has a link, the relay says what becomes of it.
    pub(crate) async fn given_up<F>(self: Arc<Self>, first: F, exchanges: Arc<Exchanges>)
    where
        F: Future<Output = Result<Option<StreamCode>, ConnectionEnd>>,
    {
        if first.await.is_ok() {
            return;
        }
        // Boxed, since few links are lost under an exchange.
        Box::pin(async move {
            tracing::debug!(exchange = %self.name, "the link of an exchange is lost");
            loop {
                match timeout(CONTINUE_TIMEOUT, self.newer()).await {
                    Ok(Some(stopped)) => {
                        if stopped.await.is_ok() {
                            return;
                        }
                    }
                    Err(_) if exchanges.is_linked() => {}
                    Ok(None) | Err(_) => return,
                }
            }
        })
        .await;
    }

    /// Waits for the next link; `None`: there will be none.
    async fn newer(&self) -> Option<Stopped> {
        poll_fn(|cx| self.poll_newer(cx)).await
    }

    fn poll_newer(&self, cx: &mut Context<'_>) -> Poll<Option<Stopped>> {
        let mut way = self.way();
        if let Some(stopped) = way.stopped.take() {
            return Poll::Ready(Some(stopped));
        }
        let link = way.link.as_ref().map(UnderWay::carrier);
        if way.is_final || !link.is_some_and(|link| link.leaves_exchanges()) {
            return Poll::Ready(None);
        }
        way.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// No link goes on with it any more: if it has none, it ends now.
    pub(crate) fn finalize(&self) {
        let mut way = self.way();
        way.is_final = true;
        if let Some(waiting) = way.waiting.take() {
            waiting.wake();
        }
    }

    /// Notes what is about to be written of the answer, `body` bytes of its body among it, and answers the
    /// stream that takes the place of the present one, if there is one. `acknowledged` is asked once more
    /// than `trim_at` bytes are kept.
    pub(crate) fn note(
        &self,
        chunks: &[Bytes],
        body: u64,
        last: bool,
        trim_at: &mut usize,
        acknowledged: impl FnOnce() -> u64,
    ) -> Option<SendStream> {
        let mut way = self.way();
        if way.sent.bytes() >= *trim_at {
            way.sent.acknowledge(acknowledged());
            *trim_at = (*trim_at).max(2 * way.sent.bytes());
        }
        way.sent.push(chunks, body, last);
        way.offered.take().and_then(Offered::take)
    }

    /// The stream that takes the place of the present one, if there is one.
    pub(crate) fn newest(&self) -> Option<SendStream> {
        self.way().offered.take().and_then(Offered::take)
    }

    /// Goes on over another link, whose stream has this fate. The link before is lost.
    ///
    /// An offset that lies ends the exchange.
    pub(crate) fn go_on(
        &self,
        link: UnderWay,
        stopped: Stopped,
        stand: Stand,
    ) -> Result<Replay, NoWay> {
        let mut way = self.way();
        if way.link.as_ref().is_some_and(|present| present.is_beside(&link)) {
            return Err(NoWay::Here);
        }
        if way.link.is_none() && !way.sent.is_over() {
            return Err(NoWay::Ended);
        }
        let flow = &link.carrier().flow;
        let credit = way
            .link
            .as_ref()
            .and_then(|present| present.carrier().flow.move_sender(self.name.counter, flow));
        let acknowledged = credit.map_or(0, |credit| credit.acknowledged());
        let chunks = way.sent.after(stand.has_head, stand.offset);
        let chunks = chunks.ok().filter(|_| stand.offset >= acknowledged);
        // One whose answer is out is no link's any more.
        let beside = match &mut way.link {
            Some(present) => {
                std::mem::replace(present, link).carrier().is_lost();
                None
            }
            None => Some(link),
        };
        let Some(chunks) = chunks else {
            drop(way);
            self.finalize();
            return Err(NoWay::Offset);
        };
        way.links += 1;
        way.offered = None;
        way.stopped = Some(stopped);
        if let Some(waiting) = way.waiting.take() {
            waiting.wake();
        }
        Ok(Replay { link: way.links, chunks, mark: way.sent.mark(), _link: beside })
    }

    /// Hands a newer stream over, on which stands what `replay` says; or answers what is missing there.
    pub(crate) fn offer(&self, replay: &mut Replay, send: &mut Option<SendStream>) -> Next {
        let mut way = self.way();
        if way.links != replay.link {
            return Next::Given;
        }
        let more = way.sent.since(replay.mark);
        if !more.is_empty() {
            replay.mark = way.sent.mark();
            return Next::More(more);
        }
        match send.take() {
            Some(send) if way.sent.is_over() => Next::Whole(send),
            send => {
                way.offered = Some(Offered(send));
                Next::Given
            }
        }
    }

    /// It is over in this process. Answers the bytes that are kept of an answer that is out as a whole,
    /// and nothing where there is none; and the link that carried it.
    pub(crate) fn end(&self) -> (Option<usize>, Option<UnderWay>) {
        *self.request() = Intake::Over;
        let mut way = self.way();
        way.waiting = None;
        way.offered = None;
        (way.sent.is_over().then(|| way.sent.bytes()), way.link.take())
    }
}
