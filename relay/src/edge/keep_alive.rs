//! Comments in a silent event stream: some clients give up on one that says nothing for five seconds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use tokio::time::{Instant, Sleep, sleep_until};

static X_RELAY_KEEP_ALIVE: HeaderName = HeaderName::from_static("x-relay-keep-alive");

/// A silence of this length is broken.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A line that every reader of events ignores, and an empty one (WHATWG HTML, 9.2.5).
const COMMENT: &[u8] = b":\n\n";

/// Whether a caller takes comments: `X-Relay-Keep-Alive: off` says that it does not.
pub fn is_wanted(fields: &HeaderMap) -> bool {
    fields.get(&X_RELAY_KEEP_ALIVE).is_none_or(|word| !word.as_bytes().eq_ignore_ascii_case(b"off"))
}

/// Tells when an event stream has been silent for too long. Its owner knows whether it stands
/// between two events.
#[derive(Debug)]
pub struct KeepAlive {
    heard: Instant,
    /// Made at the first silence, and set anew only when it is over: an event costs no timer.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl KeepAlive {
    /// Begins with the stream.
    pub fn begin() -> Self {
        Self { heard: Instant::now(), alarm: None }
    }

    /// Bytes went to the caller.
    pub fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// A comment, when it is time for one.
    pub fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Self { heard, alarm } = self;
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(*heard + SILENCE_MAX)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            let is_due = *heard + SILENCE_MAX <= now;
            if is_due {
                *heard = now;
            }
            alarm.as_mut().reset(*heard + SILENCE_MAX);
            if is_due {
                return Poll::Ready(Bytes::from_static(COMMENT));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::HeaderValue;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_three_seconds_of_silence_are_broken_once() {
        let (start, mut stream) = (Instant::now(), KeepAlive::begin());
        for second in [3, 6] {
            assert_eq!(poll_fn(|cx| stream.poll_comment(cx)).await, COMMENT);
            assert_eq!(start.elapsed().as_secs(), second);
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        stream.heard();
        poll_fn(|cx| stream.poll_comment(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 11, "an event begins the silence anew");
    }

    #[test]
    fn a_caller_may_do_without() {
        let says = |word| HeaderMap::from_iter([(X_RELAY_KEEP_ALIVE.clone(), word)]);
        assert!(is_wanted(&HeaderMap::new()));
        assert!(is_wanted(&says(HeaderValue::from_static("on"))));
        assert!(!is_wanted(&says(HeaderValue::from_static("Off"))));
    }
}
