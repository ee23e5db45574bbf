//! A link beside the one that there is: over QUIC while that one is on TCP, or by any way when its path
//! has gone silent. The connector moves to it, and the older link finishes what it has.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::control::Welcome;
use tokio::sync::Notify;
use tokio::time::sleep;
use transport::Kind;

use super::dial::{Relay, dial_over};
use super::error::LinkError;
use super::race::race;
use super::random_fraction;
use super::session::{Process, Session};
use super::who::Who;
use crate::config::{Transport, Way};

/// Between two attempts over QUIC: at least so long, and up to so much longer. Whoever lets UDP through
/// again has everybody back within half a minute.
const PROBE_WAIT_MIN: Duration = Duration::from_secs(12);
const PROBE_WAIT_SPREAD: Duration = Duration::from_secs(6);

/// A link that was welcomed.
pub(crate) struct Opened {
    pub(crate) session: Session,
    pub(crate) welcome: Welcome,
    pub(crate) endpoint: String,
}

/// Opens links of one process as one credential.
#[derive(Clone)]
pub(crate) struct Opener {
    pub(crate) process: Arc<Process>,
    pub(crate) who: Who,
    pub(crate) relay: Relay,
    pub(crate) way: Way,
    /// Counts the attempts of the process.
    pub(crate) attempts: Arc<AtomicU64>,
}

impl Opener {
    /// Dials over what is allowed, and answers the first link that is welcomed.
    pub(crate) async fn race(&self, allowed: Transport, attempt: u64) -> Result<Opened, LinkError> {
        race(allowed, self.relay.head_start(), |kind| self.open(kind, attempt)).await
    }

    /// Dials over one transport and says HELLO, as this attempt.
    async fn open(&self, over: Kind, attempt: u64) -> Result<Opened, LinkError> {
        let identity = self.who.certificate().map(Arc::as_ref);
        let dialed = dial_over(over, &self.relay, identity, &self.way).await?;
        let (process, who) = (Arc::clone(&self.process), self.who.clone());
        let (session, welcome, endpoint) = Session::open(dialed, process, who, attempt).await?;
        Ok(Opened { session, welcome, endpoint })
    }

    /// Resolves with a link that is better than one over `over`, once there is one. `suspected` tells that
    /// the path of that one is silent.
    pub(crate) async fn better_than(&self, over: Kind, suspected: Arc<Notify>) -> Opened {
        loop {
            let allowed = tokio::select! {
                () = suspected.notified() => self.way.transport,
                () = self.until_probe(over) => Transport::Quic,
            };
            // The relay lets a higher attempt take what is new, while the older link finishes.
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
            match self.race(allowed, attempt).await {
                Ok(opened) => return opened,
                Err(error) => tracing::debug!(%error, "there is no better link yet"),
            }
        }
    }

    /// Waits until QUIC is to be tried in place of TCP.
    async fn until_probe(&self, over: Kind) {
        if over == Kind::Quic || self.way.transport != Transport::Auto {
            return pending().await;
        }
        sleep(PROBE_WAIT_MIN + PROBE_WAIT_SPREAD.mul_f64(random_fraction())).await;
    }
}
