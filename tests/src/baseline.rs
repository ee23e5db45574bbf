//! After a test, what the relay holds must be back where it was: nothing may leak.

use crate::{Relay, metrics};
use std::time::Duration;

/// How long the relay may take to let go.
const SETTLE: Duration = Duration::from_secs(10);

/// What the relay's gauges should say when all is quiet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// `relay_streams_in_flight`.
    pub streams_in_flight: f64,
    /// `relay_links`, over all transports.
    pub links: f64,
}

impl Baseline {
    /// No exchange, and so many links.
    #[must_use]
    pub fn links(links: u32) -> Baseline {
        Baseline { streams_in_flight: 0.0, links: links.into() }
    }

    /// What the gauges say now. A gauge that is missing is no baseline.
    pub async fn now(relay: &Relay) -> Option<Baseline> {
        Baseline::read(&relay.metrics().await)
    }

    /// Without a link the series of `relay_links` may be absent, as its labels are.
    fn read(text: &str) -> Option<Baseline> {
        let streams_in_flight = metrics::value(text, "relay_streams_in_flight", &[])?;
        let links = metrics::value(text, "relay_links", &[]).unwrap_or(0.0);
        Some(Baseline { streams_in_flight, links })
    }

    /// Waits until the gauges say this.
    ///
    /// # Panics
    /// Shows what they last said when they do not within 10 s.
    pub async fn until_back(self, relay: &Relay) {
        let end = tokio::time::Instant::now() + SETTLE;
        loop {
            let now = Baseline::now(relay).await;
            if now == Some(self) {
                return;
            }
            let late = tokio::time::Instant::now() >= end;
            assert!(!late, "not back at {self:?} within {SETTLE:?}, but at {now:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_gauge_is_no_baseline() {
        let text = "relay_streams_in_flight 0\nrelay_links{transport=\"quic\"} 2\n";
        assert_eq!(Baseline::read(text), Some(Baseline::links(2)));
        assert_eq!(Baseline::read("relay_streams_in_flight 0\n"), Some(Baseline::links(0)));
        assert_eq!(Baseline::read("relay_links{transport=\"quic\"} 2\n"), None);
    }
}
