//! The connector: dials out from beside an agent that nobody can dial, and forwards what the relay
//! sends to the agent's HTTP server.
//!
//! [`run`] builds the parts in order and runs them: the identity (`identity`), the local agent and
//! the watch over it (`forward`), the link to the relay (`tunnel`), and the state that tells of all
//! three (`status`).

mod clock;
pub mod commands;
pub mod config;
pub mod enrolment;
pub mod error;
pub mod forward;
pub mod identity;
pub mod logging;
pub mod status;
pub mod tunnel;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use certs::StateDir;
use shared::ids::InstanceId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

pub use config::Config;
pub use enrolment::{JoinRequest, Joined, join};
pub use error::ConnectorError;
pub use forward::origin::LocalTarget;
pub use status::{Report, State};

use forward::Agent;
use identity::Choice;
use status::Reporter;
use tunnel::session::Process;
use tunnel::{Credential, Tunnel, TunnelEnd, Wishes, reconnect::End};

/// The first look at the agent's card may hold the first dial up for this long.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Runs a connector until `shutdown` resolves: then it refuses what is new, lets what is open
/// finish, and ends. `reports` is told each change of its state; begin it with
/// [`Report::beginning`].
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()>,
    reports: watch::Sender<Report>,
) -> Result<(), ConnectorError> {
    let state = StateDir::open(&config.state_dir)?;
    let choice = identity::choose_from(&state, config.join.as_ref(), config.workspace)??;
    let workspace = choice.workspace();
    let _lock = identity::lock(&state, &workspace).await?;
    let (credential, join) = match (choice, config.join.map(Box::new)) {
        (Choice::Join(_), Some(join)) => (Credential::Join(join), None),
        (_, join) => (Credential::Identity(Arc::new(state.load(&workspace)?)), join),
    };

    let own_file = state.path().join(workspace.to_string()).join(status::FILE);
    let reporter = Arc::new(Reporter::new(reports, own_file, config.status_file));
    let agent = Arc::new(Agent::new(config.target.origin, config.policy)?);
    let known_url = match &credential {
        Credential::Identity(identity) => identity.public_url.clone(),
        Credential::Join(_) => None,
    };
    if let Some(public_url) = &known_url {
        agent.set_public_url(public_url);
    }
    reporter.begin(workspace, known_url);

    // A slow agent is looked at again later; the link does not wait for it.
    let _ = timeout(FIRST_LOOK, forward::watch::refresh(&agent)).await;
    if config.require_local {
        forward::watch::probe(&agent).await;
        if agent.answers() != Some(true) {
            reporter.tell(State::Waiting, Some("LOCAL_AGENT_DOWN".into()));
            return Err(ConnectorError::LocalDown(agent.name().to_owned()));
        }
    }
    let mut watch = JoinSet::new();
    watch.spawn(forward::watch::run(Arc::clone(&agent)));

    let process = Arc::new(Process {
        instance: instance()?,
        started: Instant::now(),
        agent,
        state,
        heartbeat_interval: config.heartbeat_interval,
    });
    let wishes = Wishes {
        relay: config.relay,
        relay_ca: config.relay_ca,
        congestion: config.congestion,
        once: config.once,
        join,
    };
    let tunnel = Tunnel::new(process, credential, wishes, Arc::clone(&reporter));
    let ended = tunnel.run(pin!(shutdown)).await;
    match ended {
        Ok(()) => {
            reporter.tell(State::Waiting, Some("STOPPED".into()));
            Ok(())
        }
        Err(TunnelEnd::Final(error, End::Credentials)) => Err(ConnectorError::Refused(error)),
        Err(TunnelEnd::Final(error, End::Version)) => Err(ConnectorError::Version(error)),
        Err(TunnelEnd::Final(error, End::Configuration)) => Err(ConnectorError::Local(error)),
        Err(TunnelEnd::Unreachable(error)) => Err(ConnectorError::Unreachable(error)),
    }
}

/// Names this process towards relays.
fn instance() -> Result<InstanceId, ConnectorError> {
    getrandom::u64().map(InstanceId).map_err(|error| {
        ConnectorError::Config(format!(
            "This system has no random numbers ({error}); start again where it does."
        ))
    })
}
