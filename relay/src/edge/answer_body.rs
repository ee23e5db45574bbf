//! The body that a caller gets: whole for the relay's own answers, streamed for an agent's.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use shared::headers::remove_forbidden_trailers;
use shared::limits::IDLE_EXCHANGE_TIMEOUT;
use shared::wire;
use tokio::time::{Instant, Sleep};

use super::answer_source::AnswerSource;
use super::direct::DirectAnswer;
use super::grpc;
use super::handed::Handed;
use super::keep_alive::KeepAlive;
use super::last_event::{CREDENTIAL_ENDED, DEADLINE, LastEvents, STREAM_LOST};
use super::record::Record;
use super::sse::EventBoundary;
use super::upload::Carrying;
use super::watch::Serving;
use crate::admin::feed::body::FeedBody;
use crate::registry::Ended;
use crate::tunnel::{Answer, AnswerCut};

/// An answer's body. An error means that it was cut: the caller's connection then ends without the
/// mark of a complete message.
#[derive(Debug)]
pub struct AnswerBody {
    content: Content,
    /// It was cut, and what hyper holds has its chance to be flushed: then the caller is told.
    breaking: bool,
    _serving: Option<Serving>,
}

#[derive(Debug)]
enum Content {
    Whole(Option<Bytes>),
    Ended(Option<Bytes>, Option<HeaderMap>),
    Streamed(Box<Streamed>),
    Direct(Box<Streamed<DirectAnswer>>),
    Handed(Handed),
    Events(Box<FeedBody>),
}

/// The answer was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent's answer was cut")]
pub struct Cut;

impl AnswerBody {
    /// A body at hand.
    pub fn whole(bytes: Bytes) -> Self {
        Self::new(Content::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// A body at hand, and trailers behind it.
    pub fn with_trailers(bytes: Bytes, trailers: HeaderMap) -> Self {
        let trailers = (!trailers.is_empty()).then_some(trailers);
        Self::new(Content::Ended((!bytes.is_empty()).then_some(bytes), trailers))
    }

    /// A body that streams.
    pub fn streamed(streamed: Streamed) -> Self {
        Self::new(Content::Streamed(Box::new(streamed)))
    }

    /// A body that streams from an agent's own server.
    pub fn direct(streamed: Streamed<DirectAnswer>) -> Self {
        Self::new(Content::Direct(Box::new(streamed)))
    }

    /// A body that streams from another shard.
    pub fn handed(handed: Handed) -> Self {
        Self::new(Content::Handed(handed))
    }

    /// Live changes, which end when their reader may not read them any more.
    pub fn events(events: FeedBody) -> Self {
        Self::new(Content::Events(Box::new(events)))
    }

    const fn new(content: Content) -> Self {
        Self { content, breaking: false, _serving: None }
    }

    /// Keeps the caller's connection marked as serving until the body is gone.
    pub fn serving(self, serving: Serving) -> Self {
        Self { _serving: Some(serving), ..self }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.breaking {
            return Poll::Ready(Some(Err(Cut)));
        }
        let frame = match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Ended(bytes, trailers) => {
                let data = bytes.take().map(Frame::data);
                let next = data.or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(next.map(Ok))
            }
            Content::Streamed(streamed) => streamed.poll_frame(cx),
            Content::Direct(streamed) => streamed.poll_frame(cx),
            Content::Handed(handed) => handed.poll_frame(cx),
            Content::Events(events) => {
                Pin::new(events).poll_frame(cx).map_err(|never| match never {})
            }
        };
        if matches!(frame, Poll::Ready(Some(Err(Cut)))) {
            // At an error hyper drops what it has not flushed yet, the head and the last event
            // included; it flushes when its body has nothing for now.
            self.breaking = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Ended(bytes, trailers) => bytes.is_none() && trailers.is_none(),
            Content::Streamed(streamed) => streamed.is_over(),
            Content::Direct(streamed) => streamed.is_over(),
            Content::Handed(handed) => handed.is_over(),
            Content::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Content::Ended(..)
            | Content::Streamed(_)
            | Content::Direct(_)
            | Content::Handed(_)
            | Content::Events(_) => SizeHint::default(),
        }
    }
}

/// An agent's answer behind its head.
#[derive(Debug)]
pub struct Streamed<S: AnswerSource = Answer> {
    answer: S,
    record: Box<Record>,
    /// Bytes that the agent announced, for an answer that may not end before them.
    expected: Option<u64>,
    events: Option<Events>,
    /// It is an answer of gRPC, whose trailers tell why it broke.
    grpc: bool,
    idle: Option<Pin<Box<Sleep>>>,
    /// When the caller wants all of it.
    deadline: Option<Pin<Box<Sleep>>>,
    /// When the caller may no longer have it.
    ended: Option<Ended>,
    state: State,
    /// The rest of the caller's own body, which ends with the answer at the latest.
    _carrying: Carrying,
}

impl<S: AnswerSource> Drop for Streamed<S> {
    fn drop(&mut self) {
        self.record.continued(self.answer.continued());
        if self.state == State::Running && self.is_whole() {
            // The caller has all that was announced; only the end is not here yet.
            self.record.complete();
            self.answer.release();
        }
    }
}

/// What an event stream needs for what the relay puts between its events.
#[derive(Debug)]
struct Events {
    boundary: EventBoundary,
    last: LastEvents,
    keep_alive: Option<KeepAlive>,
}

impl Events {
    /// These bytes of it go to the caller.
    fn pass(&mut self, bytes: &[u8]) {
        self.boundary.push(bytes);
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.heard();
        }
    }

    /// A comment, when it is time for one.
    fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        match &mut self.keep_alive {
            Some(keep_alive) if self.boundary.is_between_events() => keep_alive.poll_comment(cx),
            _ => Poll::Pending,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Running,
    /// Every byte was passed on, and these came with the end.
    Trailers(HeaderMap),
    /// The last event is out: the break follows.
    Explained,
    Over,
}

impl<S: AnswerSource> Streamed<S> {
    /// The body of `answer`, whose head announced `expected` bytes, if any.
    pub fn new(answer: S, record: Box<Record>, expected: Option<u64>, carrying: Carrying) -> Self {
        let state = State::Running;
        let (events, idle, deadline, ended) = (None, None, None, None);
        let grpc = false;
        Self {
            answer,
            record,
            expected,
            events,
            grpc,
            idle,
            deadline,
            ended,
            state,
            _carrying: carrying,
        }
    }

    /// The relay's name for the request.
    pub fn request(&self) -> &str {
        self.record.request_id.to_str().unwrap_or_default()
    }

    /// It is cut where it stands at this moment.
    pub fn until(mut self, deadline: std::time::Instant) -> Self {
        self.deadline = Some(Box::pin(tokio::time::sleep_until(deadline.into())));
        self
    }

    /// It is cut where it stands when the caller's credential is no longer good.
    pub fn as_long_as(mut self, ended: Ended) -> Self {
        self.ended = Some(ended);
        self
    }

    /// For a `text/event-stream`: `last` has the events that explain a break, and with `keep_alive`
    /// comments break its silences.
    pub fn of_events(mut self, last: LastEvents, keep_alive: bool) -> Self {
        let keep_alive = keep_alive.then(KeepAlive::begin);
        self.record.streams_events();
        self.events = Some(Events { boundary: EventBoundary::default(), last, keep_alive });
        self
    }

    /// For gRPC: trailers explain a break.
    pub fn of_grpc(mut self) -> Self {
        self.grpc = true;
        self
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.state {
            State::Running => {}
            State::Trailers(trailers) => {
                let trailers = std::mem::take(trailers);
                self.state = State::Over;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            State::Explained => {
                self.state = State::Over;
                return Poll::Ready(Some(Err(Cut)));
            }
            State::Over => return Poll::Ready(None),
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            let code = if self.grpc { DEADLINE } else { STREAM_LOST };
            return self.cut_because(code, |last| Some(last.lost));
        }
        if let Some(ended) = &mut self.ended
            && Pin::new(ended).poll(cx).is_ready()
        {
            return self.cut_because(CREDENTIAL_ENDED, |last| last.ended);
        }
        let frame = match self.answer.poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if !self.answer.is_paused() && self.poll_idle(cx).is_ready() => {
                return self.cut();
            }
            Poll::Pending => {
                if self.answer.is_paused() {
                    // The agent's time begins anew once it can be heard again.
                    self.idle = None;
                }
                let Some(events) = &mut self.events else { return Poll::Pending };
                return events.poll_comment(cx).map(|comment| Some(Ok(Frame::data(comment))));
            }
        };
        match frame {
            // More than was announced is no less a lie than less: hyper would drop it in silence.
            Ok(wire::Frame::Data(bytes)) if self.exceeds(bytes.len()) => self.cut(),
            Ok(wire::Frame::Data(bytes)) => {
                self.idle = None;
                self.answer.consumed(bytes.len());
                self.record.passed(bytes.len());
                if let Some(events) = &mut self.events {
                    events.pass(&bytes);
                    self.record.passed_events(events.boundary.events());
                }
                // hyper asks for no more than was announced, so END is looked for now.
                if self.is_whole() && !self.settle(cx) {
                    return self.cut();
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Ok(wire::Frame::End { total, trailers }) => {
                if self.expected.is_some_and(|expected| expected != total) {
                    return self.cut();
                }
                self.end(trailers);
                self.poll_frame(cx)
            }
            // A late ACCEPTED says nothing new.
            Ok(wire::Frame::Accepted) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(_) | Err(_) => self.cut(),
        }
    }

    /// Whether every announced byte was passed on.
    fn is_whole(&self) -> bool {
        self.expected == Some(self.record.answer_bytes)
    }

    /// Whether nothing comes any more. Behind the last announced byte there may be trailers.
    fn is_over(&self) -> bool {
        self.state == State::Over || self.expected == Some(0)
    }

    /// The answer is complete.
    fn end(&mut self, mut trailers: HeaderMap) {
        self.record.complete();
        remove_forbidden_trailers(&mut trailers);
        self.state = if trailers.is_empty() { State::Over } else { State::Trailers(trailers) };
    }

    fn exceeds(&self, bytes: usize) -> bool {
        self.expected.is_some_and(|expected| self.record.answer_bytes + bytes as u64 > expected)
    }

    /// Looks for END behind the last announced byte; false when something else stands there.
    fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        match self.answer.poll_frame(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(wire::Frame::End { trailers, .. })) => self.end(trailers),
            // Only a link that is lost takes nothing from an answer that is all here.
            Poll::Ready(Err(AnswerCut::LinkLost)) => {}
            Poll::Ready(_) => return false,
        }
        true
    }

    fn cut(&mut self) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.cut_because(STREAM_LOST, |last| Some(last.lost))
    }

    /// Ends the body visibly; an event stream between two events is told why.
    fn cut_because(
        &mut self,
        code: &'static str,
        event: impl FnOnce(LastEvents) -> Option<Bytes>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.record.cut();
        if self.grpc {
            self.record.metrics().refusal(code);
            self.state = State::Over;
            return Poll::Ready(Some(Ok(Frame::trailers(grpc::broken(code)))));
        }
        let events = self.events.take().filter(|events| events.boundary.is_between_events());
        match events.and_then(|events| event(events.last)) {
            Some(event) => {
                self.record.metrics().refusal(code);
                self.state = State::Explained;
                Poll::Ready(Some(Ok(Frame::data(event))))
            }
            None => {
                self.state = State::Over;
                Poll::Ready(Some(Err(Cut)))
            }
        }
    }

    /// Ready when the agent has sent nothing for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(Instant::now() + IDLE_EXCHANGE_TIMEOUT))
        });
        idle.as_mut().poll(cx)
    }
}
