//! The body that the agent gets: whole for the platform's own answers, streamed for the relay's.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use shared::headers::remove_forbidden_trailers;
use shared::wire;
use tokio::task::JoinSet;

use super::carry::NotCarried;
use super::watch::Serving;
use crate::tunnel::call::CallAnswer;

/// An answer's body. An error means that it was cut: the agent's connection then ends without the mark
/// of a complete message.
pub(super) struct AnswerBody {
    content: Content,
    /// It was cut, and what hyper holds has its chance to be flushed: then the agent is told.
    breaking: bool,
    _serving: Option<Serving>,
}

enum Content {
    Whole(Option<Bytes>),
    Streamed(Box<Streamed>),
    Over,
}

/// The relay's answer behind its head.
struct Streamed {
    answer: CallAnswer,
    /// The rest of the agent's own body, which ends with the answer at the latest.
    _carrying: JoinSet<Result<(), NotCarried>>,
}

/// The answer was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relay's answer was cut")]
pub(super) struct Cut;

impl AnswerBody {
    /// A body at hand.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::new(Content::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// A body that comes from the relay.
    pub(super) fn streamed(answer: CallAnswer, carrying: JoinSet<Result<(), NotCarried>>) -> Self {
        Self::new(Content::Streamed(Box::new(Streamed { answer, _carrying: carrying })))
    }

    const fn new(content: Content) -> Self {
        Self { content, breaking: false, _serving: None }
    }

    /// Keeps the connection marked as serving until the body is gone.
    pub(super) fn serving(self, serving: Serving) -> Self {
        Self { _serving: Some(serving), ..self }
    }
}

impl Content {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let streamed = match self {
            Self::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Streamed(streamed) => streamed,
            Self::Over => return Poll::Ready(None),
        };
        let frame = match ready!(streamed.answer.poll_frame(cx)) {
            Ok(wire::Frame::Data(bytes)) => {
                streamed.answer.consumed(bytes.len());
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Ok(wire::Frame::End { mut trailers, .. }) => {
                remove_forbidden_trailers(&mut trailers);
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            Ok(_) => Some(Err(Cut)),
            Err(error) => {
                tracing::debug!(%error, "an answer of the relay was cut");
                Some(Err(Cut))
            }
        };
        *self = Self::Over;
        Poll::Ready(frame)
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
        let frame = self.content.poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Err(Cut)))) {
            // At an error hyper drops what it has not flushed yet, the head included; it flushes when
            // its body has nothing for now.
            self.breaking = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Streamed(_) => false,
            Content::Over => !self.breaking,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Streamed(_) | Content::Over => SizeHint::default(),
        }
    }
}
