//! What a connector is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use certs::{CaFingerprint, JoinString};
use shared::ids::WorkspaceId;
use shared::secret::Secret;

use crate::forward::exposure::Policy;
use crate::forward::origin::LocalTarget;
use crate::proxy::{Proxies, Proxy};

/// How a link decides how fast to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Congestion {
    /// Keeps sending through random loss.
    #[default]
    Bbr,
    /// Slows down at each loss.
    Cubic,
}

/// What may carry a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Transport {
    /// QUIC, or TCP where UDP does not get through
    #[default]
    Auto,
    /// QUIC alone
    Quic,
    /// TLS over TCP alone
    Tcp,
}

/// How links are dialled.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// What may carry them.
    pub transport: Transport,
    /// How fast they send, over QUIC.
    pub congestion: Congestion,
    /// What stands before endpoints that are not dialled directly; they are reached over TCP alone.
    pub proxies: Option<Arc<Proxies>>,
}

impl Way {
    /// The proxy that stands before `endpoint` (`host:port`), if one does.
    pub(crate) fn proxy_before(&self, endpoint: &str) -> Option<Proxy<'_>> {
        self.proxies.as_ref()?.before(endpoint)
    }
}

/// What a connector is told when it starts. [`Config::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the agent listens.
    pub target: LocalTarget,
    /// Where identities are kept.
    pub state_dir: PathBuf,
    /// To join with, unless there is an identity for its workspace already.
    pub join: Option<JoinString>,
    /// The workspace token to dial with, in place of an identity.
    pub token: Option<Secret>,
    /// Which identity to use, where there are several.
    pub workspace: Option<WorkspaceId>,
    /// Where to dial, over what is stored; `host:port`.
    pub relay: Option<String>,
    /// Whom to expect there, over what is stored.
    pub relay_ca: Option<CaFingerprint>,
    /// What crosses besides what the card implies.
    pub policy: Policy,
    /// How to dial.
    pub way: Way,
    /// Where the agent finds the platform, on loopback.
    pub platform_listen: Option<SocketAddr>,
    /// Give up when the first attempt does not reach the relay.
    pub once: bool,
    /// Give up when the agent does not answer at the start.
    pub require_local: bool,
    /// Between heartbeats, over the relay's wish.
    pub heartbeat_interval: Option<Duration>,
    /// A file that tells the state, rewritten whole on each change.
    pub status_file: Option<PathBuf>,
}

impl Config {
    /// Forwards to `target`, with identities in `state_dir`, everything else by default.
    pub fn new(target: LocalTarget, state_dir: impl Into<PathBuf>) -> Self {
        let policy = Policy { local_path: target.path.clone(), ..Policy::default() };
        Self {
            target,
            state_dir: state_dir.into(),
            join: None,
            token: None,
            workspace: None,
            relay: None,
            relay_ca: None,
            policy,
            way: Way::default(),
            platform_listen: None,
            once: false,
            require_local: false,
            heartbeat_interval: None,
            status_file: None,
        }
    }
}
