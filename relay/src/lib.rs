//! The relay: where connectors dial in and callers find their agents.
//!
//! This file builds the parts in their order, runs them, and drains them. `registry` knows who there
//! is, `tunnel` who is connected, `edge` takes callers' requests, `admin` serves the operator.

pub mod access_log;
pub mod addresses;
pub mod admin;
pub mod card;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demo;
pub mod direct_url;
pub mod edge;
pub mod guesses;
pub mod health;
pub mod housekeeping;
pub mod logging;
pub mod methods;
pub mod metrics;
pub mod networks;
pub mod platform;
pub mod principal;
pub mod protobuf;
pub mod public;
pub mod push_egress;
pub mod registry;
pub mod renewal;
pub mod roots;
pub mod shard;
pub mod tunnel;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use certs::{Authority, PublicCertificate, TunnelKeys};
use shared::control::ToConnector;
use shared::ids::InstanceId;
use shared::limits::{ALPN, ALPN_REFUSAL};
use tokio::sync::{Barrier, Semaphore, watch};

use crate::addresses::{Addresses, BindError, Sockets};
use crate::admin::api::Repeats;
use crate::admin::canvas::Canvas;
use crate::admin::canvas::answer::any_body;
use crate::admin::canvas::chat::Messenger;
use crate::admin::delegations::{Delegations, Waiting};
use crate::admin::feed::Feed;
use crate::admin::looks::Looks;
use crate::admin::pulse::Pulses;
use crate::admin::refusals::Refusals;
use crate::admin::{AdminToken, AdminTokenError, Api};
use crate::card::signing::{CardKeyError, CardSigner};
use crate::config::{AdminTokenSource, Config, ForeignUrls, SealingSource};
use crate::direct_url::Rules;
use crate::edge::Edge;
use crate::edge::bridged::Continued;
use crate::edge::card_request::Cards;
use crate::edge::delegate;
use crate::edge::direct::{self, Direct};
use crate::edge::load::Load;
use crate::edge::proxied::Proxies;
use crate::edge::push::Paces;
use crate::edge::request_name::RequestNames;
use crate::guesses::Guesses;
use crate::housekeeping::{Diary, Pages};
use crate::metrics::Metrics;
use crate::platform::Bridge;
use crate::principal::Doorman;
use crate::registry::{Registry, SealingKeys};
use crate::renewal::Reload;
use crate::tunnel::LiveLinks;
use crate::tunnel::endpoint::{endpoint_config, server_config};
use crate::tunnel::listener::Tunnel;
use crate::tunnel::newcomers::Newcomers;
use crate::tunnel::outbound::Outbound;
use crate::tunnel::steering::mailboxes;

/// Connectors are told to come back so long after the relay is gone: what a restart takes.
const RECONNECT_IN_MS: u64 = 500;

/// The store in the data directory.
const STORE_FILE: &str = "relay.db";

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A file of the data directory.
    #[error(transparent)]
    File(#[from] certs::FileError),
    /// The certificate authority.
    #[error(transparent)]
    Authority(#[from] certs::AuthorityError),
    /// The relay's own certificate.
    #[error(transparent)]
    Certificate(#[from] certs::SignError),
    /// The tunnel's keys.
    #[error(transparent)]
    Keys(#[from] certs::TunnelKeysError),
    /// TLS of the tunnel.
    #[error(transparent)]
    Tls(#[from] certs::TlsError),
    /// TLS of the public listener.
    #[error(transparent)]
    PublicTls(#[from] certs::PublicTlsError),
    /// The library of TLS.
    #[error("TLS of the public listener cannot be set up: {0}.")]
    Rustls(#[from] rustls::Error),
    /// QUIC of the tunnel.
    #[error("QUIC cannot be set up: {0}.")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The store.
    #[error(transparent)]
    Store(#[from] registry::OpenError),
    /// The keys of the secrets in the store.
    #[error(transparent)]
    Sealing(#[from] registry::SealingKeysError),
    /// The admin token.
    #[error(transparent)]
    Token(#[from] AdminTokenError),
    /// The platform.
    #[error("{0}")]
    Platform(String),
    /// The key that signs cards.
    #[error(transparent)]
    CardKey(#[from] CardKeyError),
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system.
    #[error("The relay cannot start: {0}.")]
    System(#[from] std::io::Error),
    /// The system's randomness.
    #[error("The system gives no random numbers: {0}.")]
    Random(#[from] getrandom::Error),
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    addresses: Addresses,
    registry: Registry,
    live: LiveLinks,
    api: Arc<Api>,
    edge: Arc<Edge>,
    pages: Pages,
    tasks: Waiting,
    admin: std::net::TcpListener,
    certificate: Option<Arc<PublicCertificate>>,
    reload: Reload,
    stop: watch::Sender<bool>,
    shards: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Relay {
    /// Opens the data directory, binds every address, and starts the shards. Blocks for a moment.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let now = SystemTime::now();
        certs::files::create_private_dir(&config.data_dir)?;
        let authority = Arc::new(Authority::open_or_create(&config.data_dir, now)?);
        let keys = TunnelKeys::open_or_create(&config.data_dir)?;
        let sealing = match &config.sealing {
            SealingSource::Given(keys) => keys.clone(),
            SealingSource::File(path) => SealingKeys::read(path)?,
            SealingSource::DataDir => SealingKeys::read_or_make(&config.data_dir)?,
        };
        let store = config.data_dir.join(STORE_FILE);
        let registry = Registry::open(store, sealing, clock::unix_ms())?;
        // The open store keeps every other relay out, so whoever was writing these was killed.
        if let Err(error) = certs::files::sweep(&config.data_dir, certs::files::STAGED) {
            tracing::warn!(%error, "leftovers of a killed relay could not be removed");
        }
        let token = match &config.admin_token {
            AdminTokenSource::Given(token) => token.clone(),
            AdminTokenSource::File(path) => AdminToken::read(path)?,
            AdminTokenSource::DataDir => AdminToken::read_or_make(&config.data_dir)?,
        };
        let certificate = match &config.tls {
            Some(files) => Some(Arc::new(PublicCertificate::read(&files.certificate, &files.key)?)),
            None => None,
        };
        let public_tls = match certificate.clone() {
            Some(shown) => Some(Arc::new(certs::public_tls(shown, &[b"h2", b"http/1.1"])?)),
            None => None,
        };
        let (sockets, addresses) = addresses::bind(config)?;

        let signer = match config.sign_cards {
            true => Some(CardSigner::open_or_create(&config.data_dir, &addresses.public_url)?),
            false => None,
        };
        let cards = Arc::new(Cards {
            public: addresses.public_url.clone(),
            drop_foreign: config.foreign_urls == ForeignUrls::Drop,
            signer,
        });

        let metrics = Arc::new(Metrics::default());
        let live = LiveLinks::default();
        let instance = InstanceId(getrandom::u64()?);
        let draining = Arc::new(AtomicBool::new(false));
        let (delegations, tasks) = Delegations::new();
        let platform = match &config.platform {
            Some(platform) => {
                let token = platform.token.read().map_err(StartError::Platform)?;
                let (registry, public) = (registry.clone(), addresses.public_url.clone());
                let bridge = Bridge::new(platform, &token, registry, public, Arc::clone(&metrics));
                Some(bridge.map_err(StartError::Platform)?)
            }
            None => None,
        };
        let api = Arc::new(Api {
            registry: registry.clone(),
            live: live.clone(),
            public: addresses.public_url.clone(),
            pulses: Pulses::default(),
            refusals: Refusals::default(),
            kept_cards: Arc::default(),
            delegations,
            repeats: Repeats::default(),
            platform,
            looks: Looks::new(Rules {
                policy: config.direct_urls,
                listeners: vec![addresses.http, addresses.tunnel, addresses.admin],
                public: addresses.public_url.clone(),
            }),
            endpoints: addresses.endpoints.clone(),
            relay_ca: authority.fingerprint(),
            doorman: Doorman { registry: registry.clone(), token },
            metrics: Arc::clone(&metrics),
        });
        housekeeping::restore_pulses(&api);
        let (diary, pages) = Diary::new();
        let edge = Arc::new(Edge {
            registry: registry.clone(),
            live: live.clone(),
            cards,
            public: addresses.public_url.clone(),
            api: Arc::clone(&api),
            feed: Arc::new(Feed::new(Arc::clone(&api))),
            direct: Direct::new(Arc::clone(&api)),
            max_body_bytes: config.max_body_bytes,
            metrics: Arc::clone(&metrics),
            instance,
            names: RequestNames::new(instance),
            load: Load::new(config.max_in_flight),
            guesses: Guesses::default(),
            proxies: Proxies::new(config.trusted_proxies.clone()),
            paces: Paces::default(),
            continued: Continued::default(),
            asking: Arc::default(),
            draining: Arc::clone(&draining),
        });
        let tunnel = Arc::new(Tunnel {
            registry: registry.clone(),
            authority: Arc::clone(&authority),
            live: live.clone(),
            instance,
            exchanges: Arc::new(AtomicU64::new(0)),
            public: addresses.public_url.clone(),
            endpoints: addresses.endpoints.clone(),
            diary,
            metrics,
            draining,
            outbound: Outbound::new({
                let edge = Arc::clone(&edge);
                move |call| edge::outbound::answer(Arc::clone(&edge), call)
            }),
            newcomers: Newcomers::default(),
            bootstraps: Arc::new(Semaphore::new(tunnel::bootstrap::LINKS_MAX)),
        });
        let tls = certs::relay_tls(
            authority.relay_identity(now)?,
            authority.certificate(),
            &[ALPN, ALPN_REFUSAL],
        )?;
        let server = server_config(tls.clone(), &keys, config.congestion)?;
        let link_tls = Arc::new(tls);
        let (stop, stopping) = watch::channel(false);
        let Sockets { http, tunnel: tunnel_sockets, tunnel_tcp, admin } = sockets;
        let mut tunnel_tcp = tunnel_tcp.into_iter();
        let answered = Arc::new(Barrier::new(http.len()));
        let mut shards = Vec::with_capacity(config.shards);
        let mailboxes = mailboxes(http.len(), keys.connection_id);
        let sockets = http.into_iter().zip(tunnel_sockets).zip(mailboxes);
        for (number, ((http, tunnel_socket), mailbox)) in (0..=u8::MAX).zip(sockets) {
            shards.push(shard::start(shard::Parts {
                number,
                http,
                tunnel_socket,
                tunnel_tcp: tunnel_tcp.next(),
                link_tls: Arc::clone(&link_tls),
                mailbox,
                endpoint: endpoint_config(&keys, number),
                server: server.clone(),
                tunnel: Arc::clone(&tunnel),
                edge: Arc::clone(&edge),
                tls: public_tls.clone(),
                stop: stopping.clone(),
                answered: Arc::clone(&answered),
            })?);
        }
        if let Some(path) = &config.url_file {
            addresses.write_to(path)?;
        }
        let reload = Reload::default();
        Ok(Self {
            addresses,
            registry,
            live,
            api,
            edge,
            pages,
            tasks,
            admin,
            certificate,
            reload,
            stop,
            shards,
        })
    }

    /// Where it is found.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The registration API, for commands of the same process.
    pub fn api(&self) -> Arc<Api> {
        Arc::clone(&self.api)
    }

    /// What asks it to read its files again.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until `shutdown` resolves, then drains: open requests finish within their grace.
    ///
    /// An error means that the store failed for good, and the process must end.
    pub async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), String> {
        let feed = Arc::clone(&self.edge.feed);
        let edge = Arc::clone(&self.edge);
        let messenger = Messenger::new(move |workspace, json| {
            let edge = Arc::clone(&edge);
            async move { edge.chat(workspace, json).await.map(any_body) }
        });
        let canvas = Arc::new(Canvas::new(self.api, Arc::clone(&feed), messenger));
        let admin = async {
            match tokio::net::TcpListener::from_std(self.admin) {
                Ok(listener) => admin::listener::serve(listener, canvas).await,
                Err(error) => tracing::error!(%error, "the admin listener cannot be used"),
            }
            std::future::pending::<()>().await
        };
        let failed = tokio::select! {
            () = shutdown => None,
            reason = self.registry.failed() => Some(reason),
            () = admin => None,
            () = feed.run() => None,
            () = delegate::run(Arc::clone(&self.edge), &mut self.tasks) => None,
            () = housekeeping::run(&self.edge.api, &mut self.pages) => None,
            () = direct::probe::run(Arc::clone(&self.edge)) => None,
            () = bridge(Arc::clone(&self.edge.api)) => None,
            () = renewal::run(self.certificate, &self.reload) => None,
        };
        if let Some(reason) = &failed {
            tracing::error!(%reason, "the store failed for good; the relay ends");
        }
        self.edge.draining.store(true, Ordering::Relaxed);
        tracing::info!("the relay drains: open requests finish, new ones are refused");
        for link in self.live.all() {
            link.tell(ToConnector::Restarting { reconnect_in_ms: RECONNECT_IN_MS });
        }
        // An error means that every shard has ended by itself.
        let _ = self.stop.send(true);
        let shards = self.shards;
        let joined = tokio::task::spawn_blocking(move || {
            shards
                .into_iter()
                .map(|shard| shard.join().map_err(|_| "a shard panicked"))
                .collect::<Vec<_>>()
        });
        let ends = joined.await.map_err(|error| error.to_string())?;
        housekeeping::finish(&self.registry, &mut self.pages).await;
        self.registry.close().await;
        access_log::flush();
        for end in ends {
            end?.map_err(|error| format!("A shard failed: {error}."))?;
        }
        failed.or_else(|| self.registry.failure()).map_or(Ok(()), |reason| {
            Err(format!(
                "The store failed for good: {reason}. What was acknowledged is in it. See what \
                 the system says of the disk (dmesg), then start the relay again."
            ))
        })
    }
}

/// Brings agents to the platform, where there is one, until the future is dropped.
async fn bridge(api: Arc<Api>) {
    match api.platform.clone() {
        Some(bridge) => {
            let begin = bridge.clone();
            tokio::join!(begin.preflight(), platform::run(bridge, api));
        }
        None => std::future::pending().await,
    }
}
