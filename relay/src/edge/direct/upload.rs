//! A caller's body on its way to an agent's own URL, as hyper takes it; it comes back when it is not
//! wanted any more.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use shared::headers::remove_forbidden_trailers;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::edge::caller_body::{BodyBroken, CallerBody, Piece};
use crate::edge::exchange::upload_failure;
use crate::edge::failure::Failure;
use crate::edge::upload::{Carried, IDLE_TIMEOUT};
use crate::metrics::Metrics;

/// The body of a request.
#[derive(Debug)]
pub(super) enum Upload {
    /// The relay's own, or an agent's that is here whole; nothing, once it is taken.
    Whole(Bytes),
    /// A caller's.
    Lent(Box<OnItsWay>),
}

/// A body that hyper holds. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct OnItsWay {
    body: Option<Box<CallerBody>>,
    idle: Option<Pin<Box<Sleep>>>,
    metrics: Arc<Metrics>,
    back: Option<oneshot::Sender<Box<CallerBody>>>,
    broken: Option<oneshot::Sender<Carried>>,
}

/// The other end of a body that is on its way.
#[derive(Debug)]
pub(super) struct Lent {
    back: oneshot::Receiver<Box<CallerBody>>,
    broken: Broken,
}

#[derive(Debug)]
enum Broken {
    /// It may break yet.
    NotYet(oneshot::Receiver<Carried>),
    /// It was told.
    Told(Carried),
    /// It went up whole, or as far as was wanted.
    Never,
}

/// What ended an upload, for hyper, which ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller's body broke off")]
pub(super) struct Unfinished;

impl Upload {
    /// No body.
    pub(super) const fn none() -> Self {
        Self::Whole(Bytes::new())
    }

    /// A body that is here.
    pub(super) const fn whole(body: Bytes) -> Self {
        Self::Whole(body)
    }

    /// Lends a body to a connection.
    pub(super) fn lend(body: Box<CallerBody>, metrics: Arc<Metrics>) -> (Self, Lent) {
        let (give, back) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let way = OnItsWay {
            body: Some(body),
            idle: None,
            metrics,
            back: Some(give),
            broken: Some(tell),
        };
        (Self::Lent(Box::new(way)), Lent { back, broken: Broken::NotYet(told) })
    }
}

impl Lent {
    /// What the caller did wrong with its body. Waits for ever when it does nothing wrong. Cancel
    /// safe.
    pub(super) async fn broken(&mut self) -> Failure {
        if let Broken::NotYet(told) = &mut self.broken {
            self.broken = told.await.map_or(Broken::Never, Broken::Told);
        }
        match &self.broken {
            Broken::Told(carried) => match upload_failure(*carried) {
                Some(failure) => failure,
                None => std::future::pending().await,
            },
            Broken::NotYet(_) | Broken::Never => std::future::pending().await,
        }
    }

    /// The body, if the connection has given it back, and how it broke, if it did.
    pub(super) fn take(mut self) -> (Option<Box<CallerBody>>, Option<Carried>) {
        let broken = match self.broken {
            Broken::NotYet(mut told) => told.try_recv().ok(),
            Broken::Told(carried) => Some(carried),
            Broken::Never => None,
        };
        (self.back.try_recv().ok(), broken)
    }
}

impl OnItsWay {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        // The future keeps no state of its own: a new one each time is the same as the old one.
        let next = pin!(body.next()).poll(cx);
        let carried = match next {
            Poll::Ready(Ok(Piece::Data(bytes))) => {
                self.idle = None;
                self.metrics.bytes_to_agents.inc_by(bytes.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            Poll::Ready(Ok(Piece::End(mut trailers))) => {
                remove_forbidden_trailers(&mut trailers);
                let some = (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)));
                return Poll::Ready(some);
            }
            Poll::Ready(Err(BodyBroken::TooLarge(limit))) => Carried::TooLarge(limit),
            Poll::Ready(Err(BodyBroken::Cut)) => Carried::Cut,
            Poll::Ready(Err(BodyBroken::Doubtful(doubt))) => Carried::Doubtful(doubt),
            Poll::Pending => {
                let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(IDLE_TIMEOUT)));
                std::task::ready!(idle.as_mut().poll(cx));
                Carried::Stalled
            }
        };
        if let Some(tell) = self.broken.take() {
            // An error means that nobody asks any more: the answer is under way.
            let _ = tell.send(carried);
        }
        Poll::Ready(Some(Err(Unfinished)))
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // An error means that nobody waits for it: then it ends here.
            let _ = back.send(body);
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Unfinished;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        match &mut *self {
            Self::Lent(way) => way.poll_frame(cx),
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Lent(way) => {
                way.body.as_ref().is_none_or(|body| body.is_over() && !body.has_trailers())
            }
        }
    }
}
