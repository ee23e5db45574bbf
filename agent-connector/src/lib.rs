//! The connector: dials out from beside an agent that nobody can dial, and forwards what the relay
//! sends to the agent's HTTP server.
//!
//! [`run`] builds the parts in order and runs them: the identity (`identity`), the local agent and
//! the watch over it (`forward`), the link to the relay (`tunnel`), and the state that tells of all
//! three (`status`).

mod clock;
pub mod commands;
pub mod config;
mod doctor;
pub mod enrolment;
pub mod error;
pub mod forward;
pub mod identity;
pub mod logging;
mod platform;
pub mod proxy;
pub mod status;
mod taken;
mod trust;
pub mod tunnel;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

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
use platform::Bootstrap;
use status::Reporter;
use taken::{Held, Start, Taken};
use tunnel::session::Process;
use tunnel::uplink::Uplinks;
use tunnel::{Tunnel, TunnelEnd, Wishes, reconnect::End};

/// The first look at the agent's card may hold the first dial up for this long.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Why a connector without a credential waits.
const REGISTRATION_AWAITED: &str = "waiting for the agent's registration";

/// Runs a connector until `shutdown` resolves: then it refuses what is new, lets what is open
/// finish, and ends. `reports` is told each change of its state; begin it with
/// [`Report::beginning`].
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()>,
    reports: watch::Sender<Report>,
) -> Result<(), ConnectorError> {
    let mut shutdown = pin!(shutdown);
    let Taken { state, start, join } = taken::take(&config).await?;
    let instance = instance()?;
    let uplinks = Uplinks::new(instance);
    let opened = match config.platform_listen {
        Some(address) => Some(platform::open(address).await?),
        None => None,
    };
    let platform_url = opened.as_ref().map(|opened| format!("http://{}", opened.address));
    let reporter = Arc::new(Reporter::new(reports, config.status_file));
    let target_url = config.target.origin.url();
    let agent = Arc::new(Agent::new(config.target.origin, config.policy)?);
    let mut parts = JoinSet::new();
    let serve = |bootstrap| opened.map(|opened| opened.serve(uplinks.clone(), bootstrap));
    let Held { credential, workspace, lock } = match start {
        Start::Held(held) => {
            parts.extend(serve(None));
            held
        }
        Start::Awaited(relay) => {
            reporter.begin(None, None, None, platform_url.clone());
            let (links, state) = (uplinks.clone(), state.clone());
            let (bootstrap, adopted) = Bootstrap::new(relay, config.way.clone(), links, state);
            parts.extend(serve(Some(bootstrap)));
            reporter.tell(State::Waiting, Some(REGISTRATION_AWAITED.into()));
            let adopted = tokio::select! {
                biased;
                () = shutdown.as_mut() => None,
                adopted = adopted => adopted.ok(),
            };
            let Some(adopted) = adopted else {
                reporter.tell(State::Waiting, Some("STOPPED".into()));
                return Ok(());
            };
            adopted?
        }
    };
    if let Some(workspace) = workspace.filter(|_| lock.is_some()) {
        reporter.keep_in(status::own_file(state.path(), &workspace), target_url);
    }
    let kept_token = credential.kept_token();
    let (public_url, host_url) = credential.known_urls();
    agent.set_public_urls(public_url.iter().chain(&host_url).map(String::as_str));
    reporter.begin(workspace, public_url, host_url, platform_url);

    // A slow agent is looked at again later; the link does not wait for it.
    let _ = timeout(FIRST_LOOK, forward::watch::refresh(&agent)).await;
    if config.require_local {
        forward::watch::probe(&agent).await;
        if agent.answers() != Some(true) {
            reporter.tell(State::Waiting, Some("LOCAL_AGENT_DOWN".into()));
            return Err(ConnectorError::LocalDown(agent.name().to_owned()));
        }
    }
    parts.spawn(forward::watch::run(Arc::clone(&agent)));

    let kept = kept_token.map(|workspace| (state.clone(), workspace));
    let process = Arc::new(Process {
        instance,
        uplinks,
        exchanges: Arc::default(),
        started: Instant::now(),
        agent,
        state,
        heartbeat_interval: config.heartbeat_interval,
    });
    let wishes = Wishes {
        relay: config.relay,
        relay_ca: config.relay_ca,
        way: config.way,
        once: config.once,
        join,
    };
    let tunnel = Tunnel::new(process, credential, wishes, Arc::clone(&reporter));
    let ended = tunnel.run(shutdown.as_mut()).await;
    match ended {
        Ok(()) => {
            reporter.tell(State::Waiting, Some("STOPPED".into()));
            Ok(())
        }
        Err(TunnelEnd::Final(error, End::Credentials)) => Err(match kept {
            // Nobody can use it again, and it would keep the agent's registration from giving another.
            Some((state, workspace)) if error.ends_the_credential() => {
                state.forget_token(&workspace)?;
                ConnectorError::Forgotten(error)
            }
            Some((state, workspace)) => {
                ConnectorError::RefusedToken { error, path: state.token_file(&workspace) }
            }
            None => ConnectorError::Refused(error),
        }),
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
