//! What of an exchange outlives its link: the request as it was sent, and what the next link brings.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use shared::codes::StreamCode;
use shared::wire::SentFrames;
use tokio::task::JoinSet;
use transport::SendStream;

use super::further::Further;
use super::upload::UploadEnd;

/// What both halves of one exchange share.
#[derive(Debug)]
pub(super) struct Line {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What of the request may have to be sent again.
    sent: SentFrames,
    request: Request,
    /// Waits for `request`.
    upload: Option<Waker>,
    /// What the next link brought for the answer.
    further: Option<Further>,
    /// Waits for that.
    answer: Option<Waker>,
    /// Looks for the next link.
    search: Option<JoinSet<()>>,
}

/// How the request's half stands.
#[derive(Debug)]
enum Request {
    /// On the stream that the upload has, or on none.
    Here,
    /// On this stream of a newer link, on which all that was sent stands.
    Offered(Stream),
    /// The connector wants no more of it.
    Unwanted,
    /// It was given up.
    Abandoned(StreamCode),
    /// No link goes on with it.
    Lost,
}

/// A stream that nobody has taken yet. Dropped, it is reset: a clean end would be a lie.
#[derive(Debug)]
pub(super) struct Stream(Option<SendStream>);

impl Stream {
    pub(super) const fn new(send: SendStream) -> Self {
        Self(Some(send))
    }

    /// The stream, to write to.
    pub(super) const fn get(&mut self) -> Option<&mut SendStream> {
        self.0.as_mut()
    }

    /// Hands it over.
    pub(super) const fn take(&mut self) -> Option<SendStream> {
        self.0.take()
    }

    /// Resets it.
    pub(super) fn abandon(&mut self, code: StreamCode) {
        if let Some(mut send) = self.0.take() {
            send.reset(code);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.abandon(StreamCode::Cancelled);
    }
}

/// What follows for an upload whose link is lost.
#[derive(Debug)]
pub(super) enum Next {
    /// It goes on with this stream.
    Stream(SendStream),
    /// The connector wants no more of it.
    Unwanted,
    /// No link goes on with it.
    None,
}

impl Line {
    /// An exchange whose first write is `chunks`, with `body` bytes of the request's body.
    pub(super) fn open(chunks: &[Bytes], body: u64, complete: bool) -> Arc<Self> {
        let mut sent = SentFrames::default();
        sent.push(chunks, body, complete);
        let state = State {
            sent,
            request: Request::Here,
            upload: None,
            further: None,
            answer: None,
            search: None,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is about to be written of the request, and answers the stream that takes the place of the
    /// present one, if there is one. `acknowledged` is asked once more than `trim_at` bytes are kept.
    pub(super) fn note(
        &self,
        chunks: &[Bytes],
        body: u64,
        last: bool,
        trim_at: &mut usize,
        acknowledged: impl FnOnce() -> u64,
    ) -> Result<Option<SendStream>, UploadEnd> {
        let mut state = self.state();
        if state.sent.bytes() >= *trim_at {
            state.sent.acknowledge(acknowledged());
            *trim_at = (*trim_at).max(2 * state.sent.bytes());
        }
        state.sent.push(chunks, body, last);
        match &mut state.request {
            Request::Here | Request::Abandoned(_) => Ok(None),
            Request::Offered(_) => Ok(state.take_offered()),
            Request::Unwanted => Err(UploadEnd::Stopped),
            Request::Lost => Err(UploadEnd::Lost),
        }
    }

    /// The stream that takes the place of the present one, if there is one.
    pub(super) fn newest(&self) -> Option<SendStream> {
        self.state().take_offered()
    }

    /// Waits for what follows. Cancel safe.
    pub(super) async fn next_stream(&self) -> Next {
        poll_fn(|cx| {
            let mut state = self.state();
            if let Some(send) = state.take_offered() {
                return Poll::Ready(Next::Stream(send));
            }
            match &state.request {
                Request::Unwanted => return Poll::Ready(Next::Unwanted),
                Request::Lost | Request::Abandoned(_) => return Poll::Ready(Next::None),
                Request::Here | Request::Offered(_) => {}
            }
            state.upload = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The request is given up: no link goes on with it.
    pub(super) fn abandon(&self, code: StreamCode) {
        let mut state = self.state();
        if !state.sent.is_over() {
            if let Request::Offered(stream) = &mut state.request {
                stream.abandon(code);
            }
            state.request = Request::Abandoned(code);
        }
    }

    /// The head of the answer is here: a request that went up whole, with its own head, is kept no more.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        if state.sent.is_over() && state.upload.is_none() {
            state.sent.forget();
        }
    }

    /// Begins to look for the next link.
    pub(super) fn search(&self, search: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = JoinSet::new();
        tasks.spawn(search);
        self.state().search = Some(tasks);
    }

    /// What the next link brought for the answer, once there is one.
    pub(super) fn poll_further(&self, cx: &mut Context<'_>) -> Poll<Further> {
        let mut state = self.state();
        match state.further.take() {
            Some(further) => Poll::Ready(further),
            None => {
                state.answer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The answer goes on with this, or ends. Unless it goes on, so does the request.
    pub(super) fn answer_goes_on(&self, further: Further) {
        let mut state = self.state();
        if !matches!(further, Further::Goes(_)) {
            state.request = Request::Lost;
            state.wake_upload();
        }
        state.further = Some(further);
        if let Some(answer) = state.answer.take() {
            answer.wake();
        }
    }

    /// The request as it stands: what is to be sent behind `offset`, of which `acknowledged` bytes may not
    /// be asked for again; and a mark for what comes later. `None`: the connector lies.
    pub(super) fn request_after(
        &self,
        offset: u64,
        acknowledged: u64,
    ) -> Option<(Vec<Bytes>, u64)> {
        let state = self.state();
        let chunks = state.sent.after(true, offset).ok().filter(|_| offset >= acknowledged)?;
        Some((chunks, state.sent.mark()))
    }

    /// The connector wants no more of the request, and `stream` has nothing more to carry.
    pub(super) fn request_is_unwanted(&self, stream: Stream) {
        self.finish(stream);
        let mut state = self.state();
        if !matches!(state.request, Request::Abandoned(_)) {
            state.request = Request::Unwanted;
        }
        state.wake_upload();
    }

    /// Ends a stream that carries nothing more.
    pub(super) fn finish(&self, mut stream: Stream) {
        if let Some(mut send) = stream.take() {
            send.finish();
        }
    }

    /// Nobody wants the answer any more: no link is looked for.
    pub(super) fn end_search(&self) {
        let mut state = self.state();
        let search = state.search.take();
        state.further = None;
        if matches!(state.request, Request::Here) {
            state.request = Request::Lost;
        }
        state.wake_upload();
        drop(state);
        drop(search);
    }

    /// Hands the request's newer stream over once all that was sent stands on it; answers what has to be
    /// written before.
    pub(super) fn request_goes_on(
        &self,
        mut stream: Stream,
        mark: &mut u64,
    ) -> Option<(Stream, Vec<Bytes>)> {
        let mut state = self.state();
        if let Request::Abandoned(code) = state.request {
            stream.abandon(code);
            return None;
        }
        let more = state.sent.since(*mark);
        if !more.is_empty() {
            *mark = state.sent.mark();
            return Some((stream, more));
        }
        if state.sent.is_over() {
            if let Some(mut send) = stream.take() {
                send.finish();
            }
            return None;
        }
        state.request = Request::Offered(stream);
        state.wake_upload();
        None
    }
}

impl State {
    fn take_offered(&mut self) -> Option<SendStream> {
        let Request::Offered(stream) = &mut self.request else { return None };
        let send = stream.take();
        self.request = Request::Here;
        send
    }

    fn wake_upload(&mut self) {
        if let Some(upload) = self.upload.take() {
            upload.wake();
        }
    }
}
