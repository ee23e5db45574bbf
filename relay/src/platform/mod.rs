//! The bridge: agents of this relay as workspaces of a platform that runs elsewhere.
//!
//! `config` says which platform, at which `url`; `client` speaks its API within its `budget`, `reconcile`
//! decides what each agent needs and `driver` does it by `steps`; `beats` keeps the time of the heartbeats,
//! `board` what is known, by `listing` and every other `outcome`, and `view` shows it. `outward` carries what
//! agents have `asked` of the platform; `peers` says who may call them as it, or through its
//! URLs. A bond in the registry is what of all that outlives the process.

mod agent;
pub mod answer;
pub mod asked;
pub mod beats;
mod board;
pub mod budget;
pub mod client;
mod condition;
pub mod config;
mod driver;
pub mod enrol;
mod listing;
mod outcome;
pub mod outward;
pub mod peers;
pub mod preflight;
pub mod reconcile;
mod steps;
mod track;
mod transport;
pub mod url;
mod view;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use shared::ids::{Address, WorkspaceId};
use shared::secret::Secret;
use tokio::sync::{Notify, Semaphore};

pub use self::client::Client;
pub use self::config::PlatformConfig;
pub use self::driver::run;

use self::board::Board;
use self::config::{Callers, Pace};
use self::peers::Peers;
use self::preflight::Finding;
use crate::metrics::Metrics;
use crate::public::PublicUrl;
use crate::registry::{Bond, BondStep, Registry, StoreError};

/// The bridge of one relay to one platform. Clones are the same.
#[derive(Debug, Clone)]
pub struct Bridge {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    name: Arc<str>,
    pace: Pace,
    callers: Callers,
    peers: Peers,
    /// Room for the calls of agents.
    carried: Semaphore,
    /// Whether the platform is hosted for many.
    hosted: bool,
    registry: Registry,
    public: PublicUrl,
    metrics: Arc<Metrics>,
    /// Tokens that were opened, each with its version.
    tokens: DashMap<WorkspaceId, (i64, Secret)>,
    board: Mutex<Board>,
    /// Told when somebody changed something that the bridge should see at once.
    wake: Notify,
}

/// Why a workspace has no token that could be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoToken {
    /// It has none.
    #[error("The workspace has no token of the platform yet; see relay workspace show.")]
    None,
    /// The store, or its sealing key.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Bridge {
    /// A bridge to the platform of `config`, with the operator's `token`. Nothing is called before
    /// [`run`] is polled. The error is a sentence.
    pub fn new(
        config: &PlatformConfig,
        token: &Secret,
        registry: Registry,
        public: PublicUrl,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let inner = Inner {
            client: Client::new(config, token)?,
            name: config.url.name(),
            pace: config.pace,
            callers: config.callers.clone(),
            peers: Peers::default(),
            carried: Semaphore::new(outward::CARRIED_MAX),
            hosted: config.org.is_some(),
            registry,
            public,
            metrics,
            tokens: DashMap::new(),
            board: Mutex::new(Board::new(config.pace)),
            wake: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Says in the log what the platform will refuse, and what else its operator should know; once.
    pub async fn preflight(&self) {
        let Inner { client, public, hosted, .. } = &*self.inner;
        for finding in preflight::judge(client, public, *hosted).await {
            match finding {
                Finding::Refused(_) | Finding::Noted(_) => tracing::warn!("{finding}"),
                Finding::Unknown(_) => tracing::info!("{finding}"),
            }
        }
    }

    /// Whether the platform holds the calls of this workspace back.
    pub fn is_paused(&self, workspace: &WorkspaceId) -> bool {
        self.bond(workspace).is_some_and(|bond| bond.paused)
    }

    /// The platform's token of a workspace, for calls as its agent. It stays in the relay.
    pub async fn token_of(&self, workspace: &WorkspaceId) -> Result<Secret, NoToken> {
        let bond = self.bond(workspace).filter(|bond| bond.has_token).ok_or(NoToken::None)?;
        if let Some(known) = self.inner.tokens.get(workspace).filter(|one| one.0 == bond.version) {
            return Ok(known.1.clone());
        }
        let Inner { registry, name, tokens, .. } = &*self.inner;
        let token =
            registry.bond_token(Arc::clone(name), *workspace).await?.ok_or(NoToken::None)?;
        tokens.insert(*workspace, (bond.version, token.clone()));
        Ok(token)
    }

    /// The id of a workspace on the platform.
    pub fn upstream_of(&self, workspace: &WorkspaceId) -> Option<String> {
        self.bond(workspace).and_then(|bond| bond.upstream.clone())
    }

    /// Whose agent the platform calls at this address.
    pub fn workspace_at(&self, address: &Address) -> Option<WorkspaceId> {
        let bond = self.inner.registry.bond_at(address)?;
        let over = matches!(bond.step, BondStep::Leaving | BondStep::Gone);
        (bond.platform == self.inner.name && !over).then_some(bond.workspace)
    }

    /// Whether calls without a credential are taken from this address.
    pub fn takes_from(&self, source: IpAddr) -> bool {
        let sources = self.inner.callers.sources.as_ref();
        sources.is_none_or(|networks| networks.has(source))
    }

    /// Whether the platform is asked about callers who show a credential.
    pub fn verifies_peers(&self) -> bool {
        self.inner.callers.verify
    }

    /// The platform's API, with its budget.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// Somebody changed something: it is looked at now, and not only soon.
    pub fn nudge(&self) {
        self.inner.wake.notify_one();
    }

    /// The platform's name in the store.
    pub fn platform(&self) -> Arc<str> {
        Arc::clone(&self.inner.name)
    }

    /// The URL that the platform is told for a bond: it calls exactly that, so there is no final slash.
    fn url(&self, bond: &Bond) -> String {
        format!("{}/molecule/{}", self.inner.public.as_str(), bond.address.reveal())
    }

    fn bond(&self, workspace: &WorkspaceId) -> Option<Arc<Bond>> {
        self.inner.registry.bond(&self.inner.name, workspace)
    }

    /// What is known. Never held across an await.
    fn board(&self) -> MutexGuard<'_, Board> {
        self.inner.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
