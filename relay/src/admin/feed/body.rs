//! A subscription as the body of an answer.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::Subscription;

/// A credential that was revoked reads no more within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Sends what a subscription has, as long as its reader may read it.
pub struct FeedBody {
    next: Pin<Box<dyn Future<Output = (Subscription, Bytes)> + Send>>,
    may_go_on: Box<dyn Fn() -> bool + Send>,
    look: Interval,
}

impl FeedBody {
    /// Before each event and twice a second `may_go_on` is asked; when it says no, the body ends.
    pub fn new(subscription: Subscription, may_go_on: impl Fn() -> bool + Send + 'static) -> Self {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { next: next(subscription), may_go_on: Box::new(may_go_on), look }
    }
}

fn next(
    mut subscription: Subscription,
) -> Pin<Box<dyn Future<Output = (Subscription, Bytes)> + Send>> {
    Box::pin(async move {
        let frame = subscription.next().await;
        (subscription, frame)
    })
}

impl Body for FeedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while self.look.poll_tick(cx).is_ready() {
            if !(self.may_go_on)() {
                return Poll::Ready(None);
            }
        }
        let (subscription, frame) = ready!(self.next.as_mut().poll(cx));
        self.next = next(subscription);
        Poll::Ready((self.may_go_on)().then(|| Ok(Frame::data(frame))))
    }
}

impl fmt::Debug for FeedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FeedBody(…)")
    }
}
