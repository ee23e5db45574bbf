//! When a caller wants its whole answer: the field `X-Timeout`. Pure but for the clock it is given.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};

use super::failure::Failure;

static X_TIMEOUT: HeaderName = HeaderName::from_static("x-timeout");

/// The longest that a caller may ask for: beyond it, nothing is meant.
const TOTAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A caller's limit for the whole exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// From the request's head.
    pub total: Duration,
    /// The moment.
    pub at: Instant,
}

impl Deadline {
    /// What the caller asks for: seconds, whole or with a fraction, `30` or `1.5`, with or without
    /// `s` behind them.
    pub fn of(fields: &HeaderMap, now: impl FnOnce() -> Instant) -> Result<Option<Self>, Failure> {
        let Some(text) = fields.get(&X_TIMEOUT) else { return Ok(None) };
        let total = text
            .to_str()
            .ok()
            .and_then(seconds)
            .filter(|total| !total.is_zero() && *total <= TOTAL_MAX)
            .ok_or(Failure::BadRequest("X-Timeout is a number of seconds, at most 86400."))?;
        Ok(Some(Self { total, at: now() + total }))
    }

    /// What is left of it.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// How long to wait where the relay itself would wait for `own`, and the time to name to the caller
/// when that has passed.
pub fn patience(deadline: Option<&Deadline>, own: Duration) -> (Duration, Duration) {
    match deadline.map(|deadline| (deadline.left(), deadline.total)) {
        Some((left, total)) if left < own => (left, total),
        _ => (own, own),
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = text.strip_suffix('s').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = digits.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_patience_holds_and_gives_its_name() {
        let seconds = Duration::from_secs;
        let deadline = |total| Deadline { total, at: Instant::now() + total };
        assert_eq!(patience(None, seconds(30)), (seconds(30), seconds(30)));
        let (left, named) = patience(Some(&deadline(seconds(20))), seconds(30));
        assert!(left <= seconds(20) && named == seconds(20), "{left:?}, {named:?}");
        let longer = patience(Some(&deadline(seconds(3_600))), seconds(30));
        assert_eq!(longer, (seconds(30), seconds(30)), "the relay's own ends it");
        let gone = Deadline { total: seconds(1), at: Instant::now() };
        assert_eq!(patience(Some(&gone), seconds(30)), (Duration::ZERO, seconds(1)));
    }

    #[test]
    fn a_timeout_is_a_number_of_seconds() {
        let now = Instant::now();
        let of = |text: &str| {
            let fields = HeaderMap::from_iter([(
                HeaderName::from_static("x-timeout"),
                http::HeaderValue::from_str(text).unwrap(),
            )]);
            Deadline::of(&fields, || now).map(|deadline| deadline.unwrap().total.as_millis())
        };
        assert_eq!(Deadline::of(&HeaderMap::new(), || now), Ok(None));
        for (text, ms) in [("30", 30_000), ("1.5", 1_500), ("0.25s", 250), ("86400", 86_400_000)] {
            assert_eq!(of(text), Ok(ms), "{text}");
        }
        for text in ["", "0", "-1", "+1", "1e9", "inf", "nan", "86401", "10 s", "soon", "."] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
