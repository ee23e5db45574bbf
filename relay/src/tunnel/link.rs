//! One live tunnel connection, as the rest of the relay sees it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::codes::CloseCode;
use shared::control::{Status, ToConnector};
use shared::exposure::Exposure;
use shared::flow::LinkFlow;
use shared::ids::{ExchangeId, Generation, InstanceId, WorkspaceId};
use tokio::sync::mpsc;
use transport::{Connection, ConnectionEnd};

use super::live::LiveLinks;
use crate::health::is_degraded;
use crate::registry::CredentialId;
use crate::shard::Home;

/// What a connector announced of its agent; replaced whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Announced {
    /// What crosses.
    pub exposure: Exposure,
    /// The agent's origin as the connector dials it.
    pub origin: String,
    /// Further servers of the same agent, as the connector dials them.
    pub also: Vec<String>,
    /// The agent's card as read locally, or null.
    pub card: Value,
    /// Whether the agent sends heartbeats to its platform itself.
    pub beats_itself: bool,
}

impl Announced {
    /// Every origin of the agent, its own first.
    pub fn origins(&self) -> Vec<String> {
        let origins = std::iter::once(&self.origin).chain(&self.also);
        origins.filter(|origin| !origin.is_empty()).cloned().collect()
    }
}

/// One link. It is registered at most once, and ends when its connection does.
#[derive(Debug)]
pub struct Link {
    /// Whose link it is, by its credential.
    pub workspace: WorkspaceId,
    /// The token that it came with, unless it came with a certificate.
    pub token: Option<CredentialId>,
    /// Which of the relay's links it is.
    pub generation: Generation,
    /// The connector process.
    pub instance: InstanceId,
    /// That process's attempt.
    pub attempt: u64,
    /// Where it came from.
    pub remote: SocketAddr,
    /// The shard that owns it.
    pub home: Home,
    /// When it was registered.
    pub since: Instant,
    pub(super) connection: Connection,
    pub(super) flow: LinkFlow,
    pub(super) in_flight: AtomicUsize,
    pub(super) event_streams: AtomicUsize,
    /// Where the link that follows is found.
    pub(super) live: LiveLinks,
    /// Its path went silent, and a newer link of the same connector process takes its place.
    went_silent: AtomicBool,
    relay: InstanceId,
    exchanges: Arc<AtomicU64>,
    /// The counter of the last exchange that the connector took; all of them unless it drains.
    last_exchange: AtomicU64,
    control: mpsc::Sender<ToConnector>,
    announced: RwLock<Arc<Announced>>,
    status: RwLock<Reported>,
}

/// The agent's last report, and since when its port has refused.
#[derive(Debug, Clone, Default)]
pub struct Reported {
    /// The report.
    pub status: Status,
    /// When the connector first said that the local agent does not answer; cleared when it does.
    pub refusing_since: Option<Instant>,
    /// Whether the agent's errors make it degraded: from half of its tasks on, until they are few.
    pub degraded: bool,
}

/// What a [`Link`] is made of, besides its connection.
#[derive(Debug)]
pub struct Founding {
    /// See [`Link::workspace`].
    pub workspace: WorkspaceId,
    /// See [`Link::token`].
    pub token: Option<CredentialId>,
    /// See [`Link::generation`].
    pub generation: Generation,
    /// See [`Link::instance`].
    pub instance: InstanceId,
    /// See [`Link::attempt`].
    pub attempt: u64,
    /// See [`Link::home`].
    pub home: Home,
    /// Every live link of the relay.
    pub live: LiveLinks,
    /// The relay process.
    pub relay: InstanceId,
    /// Counts the exchanges of the relay process.
    pub exchanges: Arc<AtomicU64>,
    /// To the writer of the control stream.
    pub control: mpsc::Sender<ToConnector>,
    /// What HELLO announced.
    pub announced: Announced,
    /// What HELLO reported.
    pub status: Status,
}

impl Link {
    /// A link over `connection`.
    pub fn new(connection: Connection, founding: Founding) -> Self {
        let link = Self {
            workspace: founding.workspace,
            token: founding.token,
            generation: founding.generation,
            instance: founding.instance,
            attempt: founding.attempt,
            remote: connection.remote_address(),
            home: founding.home,
            since: Instant::now(),
            connection,
            flow: LinkFlow::default(),
            in_flight: AtomicUsize::new(0),
            event_streams: AtomicUsize::new(0),
            live: founding.live,
            went_silent: AtomicBool::new(false),
            relay: founding.relay,
            exchanges: founding.exchanges,
            last_exchange: AtomicU64::new(u64::MAX),
            control: founding.control,
            announced: RwLock::new(Arc::new(founding.announced)),
            status: RwLock::default(),
        };
        link.report(founding.status);
        link
    }

    /// Names the next exchange.
    pub(super) fn next_exchange(&self) -> ExchangeId {
        let counter = self.exchanges.fetch_add(1, Ordering::Relaxed) + 1;
        ExchangeId { instance: self.relay, counter }
    }

    /// What the connector announced last.
    pub fn announced(&self) -> Arc<Announced> {
        Arc::clone(&self.announced.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a new announcement, whole.
    pub fn announce(&self, change: impl FnOnce(&mut Announced)) {
        let mut announced = self.announced.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut announced));
    }

    /// The agent's last report.
    pub fn reported(&self) -> Reported {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a report, whole.
    pub fn report(&self, status: Status) {
        let mut reported = self.status.write().unwrap_or_else(PoisonError::into_inner);
        let refuses = status.local_agent == Some(false);
        reported.refusing_since =
            refuses.then(|| reported.refusing_since.unwrap_or_else(Instant::now));
        reported.degraded = is_degraded(reported.degraded, status.error_rate);
        reported.status = status;
    }

    /// Takes no new exchanges from now on; the open ones finish, and those behind `last_exchange`
    /// were never begun.
    pub fn drain(&self, last_exchange: u64) {
        // A breach could say it more than once: what was never begun once stays so.
        self.last_exchange.fetch_min(last_exchange.min(u64::MAX - 1), Ordering::Relaxed);
    }

    /// Whether the connector takes no new exchanges.
    pub fn is_draining(&self) -> bool {
        self.last_exchange.load(Ordering::Relaxed) < u64::MAX
    }

    /// Whether the connector said that it did not begin the exchange with this counter.
    pub(super) fn never_began(&self, counter: u64) -> bool {
        counter > self.last_exchange.load(Ordering::Relaxed)
    }

    /// Ends the link for good: its credential is no longer good.
    pub fn revoke(&self, message: &str) {
        self.tell(ToConnector::Revoked { message: message.to_owned() });
        self.close(CloseCode::Revoked, message);
    }

    /// Queues a control message. A connector that takes none for long loses its link elsewhere.
    pub fn tell(&self, message: ToConnector) {
        if self.control.try_send(message).is_err() {
            tracing::debug!(workspace = %self.workspace, "a control message found no room");
        }
    }

    /// Ends the link and every stream on it, at once.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(code, reason);
    }

    /// Ends the link: its path is silent, and a newer one of the same connector process takes its place.
    pub(super) fn close_silent(&self) {
        self.went_silent.store(true, Ordering::Relaxed);
        self.close(
            CloseCode::Timeout,
            "the path of the link is silent; a newer one takes its place",
        );
    }

    /// Whether what it carried may go on over another link: it was lost, and not closed for a reason.
    /// `None`: it has not ended, as far as is known.
    pub(super) fn leaves_exchanges(&self) -> Option<bool> {
        self.connection.close_reason().map(|end| match end {
            ConnectionEnd::Lost(_) => true,
            ConnectionEnd::Ours => self.went_silent.load(Ordering::Relaxed),
            ConnectionEnd::Closed { .. } => false,
        })
    }

    /// Whether the link has ended.
    pub fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Exchanges that are open.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The measured round trip.
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// The name of what carries it.
    pub fn transport(&self) -> &'static str {
        self.connection.kind().name()
    }
}
