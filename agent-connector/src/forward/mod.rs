//! The local agent: what is known of it, and how requests reach it.
//!
//! Nothing that comes over the link chooses a host, a port, or a path that is not let through.

pub(crate) mod answer;
pub mod card;
pub(crate) mod carrier;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod exchanges;
pub mod exposure;
pub(crate) mod failure;
mod further;
mod held;
pub(crate) mod http2;
pub mod origin;
mod patient;
pub(crate) mod pool;
pub(crate) mod reply;
pub(crate) mod request_body;
mod request_stream;
pub(crate) mod server;
pub mod target;
pub mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use serde_json::Value;
use shared::wire::Binding;
use tokio::sync::{Notify, watch as channel};
use tokio::time::Instant;

use exposure::Policy;
use origin::Origin;
use server::Server;
use target::Description;

/// An agent that refuses is dialled again for this long: a restart takes about as long.
const RESTART_PATIENCE: Duration = Duration::from_secs(2);

/// The local agent. One for the process; links come and go.
pub struct Agent {
    server: Server,
    /// Its further ports, in the order of the policy's.
    also: Vec<Server>,
    policy: Policy,
    answers: channel::Sender<Option<bool>>,
    health: Mutex<Health>,
    description: channel::Sender<Arc<Description>>,
    public_urls: Mutex<Vec<String>>,
    refresh: Notify,
    told_of_no_http1: AtomicBool,
}

/// When the agent was last seen, and since when it refuses.
#[derive(Debug, Clone, Copy)]
struct Health {
    seen: Instant,
    refusing_since: Option<Instant>,
}

/// The origin cannot stand in a `Host` field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the local agent's address {0} cannot stand in a request; give another name or port")]
pub struct UnusableOrigin(String);

impl Agent {
    /// The agent at `origin`. Nothing is known of it yet.
    pub fn new(origin: Origin, policy: Policy) -> Result<Self, UnusableOrigin> {
        let crosses = exposure::derive(&policy, &origin, None, &[]);
        let description = Description { crosses, ..Description::default() };
        let also = policy.also.iter().map(|also| Server::new(origin.at(also.port)));
        Ok(Self {
            also: also.collect::<Result<_, _>>()?,
            server: Server::new(origin)?,
            policy,
            answers: channel::Sender::new(None),
            health: Mutex::new(Health { seen: Instant::now(), refusing_since: None }),
            description: channel::Sender::new(Arc::new(description)),
            public_urls: Mutex::default(),
            refresh: Notify::new(),
            told_of_no_http1: AtomicBool::new(false),
        })
    }

    /// Where it listens.
    pub const fn origin(&self) -> &Origin {
        &self.server.origin
    }

    /// Whether each request has a connection of its own.
    pub(crate) const fn closes_connections(&self) -> bool {
        self.policy.close_connections
    }

    /// Whether it sends its heartbeats itself.
    pub const fn beats_itself(&self) -> bool {
        self.policy.beats_itself
    }

    /// Where else it listens, as URLs.
    pub fn also(&self) -> Vec<String> {
        self.also.iter().map(|server| server.origin.url()).collect()
    }

    /// The server of a further port, or the agent's first.
    pub(crate) fn server(&self, also: Option<usize>) -> &Server {
        also.and_then(|also| self.also.get(also)).unwrap_or(&self.server)
    }

    /// Closes the connections that have waited for too long.
    pub(crate) fn prune(&self) {
        for server in std::iter::once(&self.server).chain(&self.also) {
            server.pool.prune();
            server.http2.prune();
        }
    }

    /// Its `host:port`, for sentences.
    pub fn name(&self) -> &str {
        &self.server.name
    }

    pub(crate) fn authority(&self) -> HeaderValue {
        self.server.authority.clone()
    }

    /// What is known of it now.
    pub fn description(&self) -> Arc<Description> {
        Arc::clone(&self.description.borrow())
    }

    /// What is known of it, and each change.
    pub fn watch_description(&self) -> channel::Receiver<Arc<Description>> {
        self.description.subscribe()
    }

    /// Whether it answers, and each change; `None` while nobody knows.
    pub fn watch_answers(&self) -> channel::Receiver<Option<bool>> {
        self.answers.subscribe()
    }

    /// Whether it answers; `None` while nobody knows.
    pub fn answers(&self) -> Option<bool> {
        *self.answers.borrow()
    }

    /// Notes that it answered.
    pub(crate) fn answered(&self) {
        *self.lock_health() = Health { seen: Instant::now(), refusing_since: None };
        let came_back =
            self.answers.send_if_modified(|answers| answers.replace(true) != Some(true));
        if came_back {
            tracing::info!(agent = %self.name(), "the local agent answers");
        }
    }

    /// Notes that its first port speaks no HTTP/1.1; once is told what to do about it.
    pub(crate) fn speaks_no_http1(&self) {
        self.answered();
        let first = &self.server.origin;
        let named = self.policy.also.iter().any(|also| {
            also.binding == Binding::Grpc && first.at(also.port).to_string() == first.to_string()
        });
        if !named && !self.told_of_no_http1.swap(true, Ordering::Relaxed) {
            tracing::warn!(agent = %self.name(), "the local agent does not speak HTTP/1.1, and no card \
                of it can be read; if it serves gRPC alone, name this port with `--also grpc=PORT`, and \
                as the target the port that serves its card, or this one if none does");
        }
    }

    /// Notes that it refused a connection; answers until when it is worth another try.
    pub(crate) fn refused(&self) -> Instant {
        let since = {
            let mut health = self.lock_health();
            *health.refusing_since.get_or_insert_with(Instant::now)
        };
        let went_away =
            self.answers.send_if_modified(|answers| answers.replace(false) != Some(false));
        if went_away {
            tracing::warn!(agent = %self.name(), "the local agent refuses connections; start it, or \
                check the port");
        }
        since + RESTART_PATIENCE
    }

    /// For how long nothing was seen of it.
    pub(crate) fn unseen_for(&self) -> Duration {
        self.lock_health().seen.elapsed()
    }

    /// Notes the public bases, by which a card may name the agent's own paths.
    pub fn set_public_urls<'u>(&self, public_urls: impl IntoIterator<Item = &'u str>) {
        *self.lock_public_urls() = public_urls.into_iter().map(str::to_owned).collect();
        let known = self.description();
        self.describe(known.card.clone(), known.card_path.clone());
    }

    /// Notes what the agent says of itself.
    pub(crate) fn describe(&self, card: Value, card_path: Option<String>) {
        let public = self.lock_public_urls().clone();
        let known = Some(&card).filter(|card| !card.is_null());
        let (policy, origin) = (&self.policy, self.origin());
        let crosses = exposure::derive(policy, origin, known, &public);
        let description = Description { crosses, card, card_path };
        if let Some(card) = known_anew(&self.description(), &description) {
            for note in exposure::left_out(policy, origin, card, &public) {
                tracing::warn!("{note}");
            }
        }
        self.description.send_if_modified(|before| {
            let changed = **before != description;
            if changed {
                *before = Arc::new(description);
            }
            changed
        });
    }

    /// Its card went by, or a link came up: a good moment to look at the card again.
    pub fn card_crossed(&self) {
        self.refresh.notify_one();
    }

    fn lock_health(&self) -> std::sync::MutexGuard<'_, Health> {
        // Nothing panics while it holds these locks, so a poisoned one is still whole.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_public_urls(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.public_urls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The card, where it is another one than before.
fn known_anew<'d>(before: &Description, now: &'d Description) -> Option<&'d Value> {
    (before.card != now.card).then_some(&now.card).filter(|card| !card.is_null())
}
