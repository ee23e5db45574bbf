//! A body that emits one server-sent event after another, evenly spaced.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Interval, interval};

/// Between two events: slow enough to be seen coming one by one.
const PACE: Duration = Duration::from_millis(100);

/// Events that are still to come.
pub(super) struct Events {
    texts: vec::IntoIter<String>,
    pace: Interval,
}

impl Events {
    /// One event for each text, none of which has a line break. The first comes at once.
    pub(super) fn new(texts: Vec<String>) -> Self {
        Self { texts: texts.into_iter(), pace: interval(PACE) }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.texts.as_slice().is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll_tick(cx));
        let text = self.texts.next();
        Poll::Ready(text.map(|text| Ok(Frame::data(format!("data: {text}\n\n").into()))))
    }
}
