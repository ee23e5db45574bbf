//! `agent-connector http`: connects and forwards.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use shared::ids::WorkspaceId;
use shared::limits::ALSO_MAX;
use tokio::sync::watch;
use tokio::time::sleep;

use super::shared_args::{RelayArgs, StateArgs, TOKEN_VARIABLE, read_join, read_token};
use super::{Done, LogFormat, terminal};
use crate::config::Config;
use crate::error::ConnectorError;
use crate::forward::origin::{Also, LocalTarget};
use crate::platform::listen_address;
use crate::status::Report;

/// Whoever started a connector is not left without a word for longer.
const SILENCE: Duration = Duration::from_millis(700);

/// Connects to the relay and forwards its requests to the agent at TARGET
#[derive(Debug, clap::Args)]
pub(crate) struct HttpArgs {
    /// Where the agent listens: a port, host:port, or http://host:port[/path of its endpoint]
    target: LocalTarget,
    /// Gives up when the agent does not answer at the start
    #[arg(long)]
    require_local: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// How an agent is connected, wherever it listens.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectArgs {
    /// Joins with this string, or the one in this file, on first use; later it is ignored, unless the
    /// identity was revoked
    #[arg(long, value_name = "STRING|FILE", env = "AGENT_CONNECTOR_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// Dials with the workspace token in this file in place of an identity; the token itself may stand
    /// in AGENT_CONNECTOR_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Which identity to use, where there are several
    #[arg(long, value_name = "ID", env = "AGENT_CONNECTOR_WORKSPACE")]
    workspace: Option<WorkspaceId>,
    #[command(flatten)]
    relay: RelayArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Where the agent takes A2A [default: what its card says, else /a2a]
    #[arg(long, value_name = "PATH", value_parser = path)]
    local_path: Option<String>,
    /// What crosses: what the agent's card implies, or its whole origin
    #[arg(long, default_value = "a2a")]
    expose: Expose,
    /// Lets this path and everything below it through as well; may be given several times
    #[arg(long, value_name = "PATH", value_parser = path)]
    allow: Vec<String>,
    /// Forwards to this further port of the agent what its card says of it in this binding, such as
    /// http+json=8081 or jsonrpc=9000; with grpc=10000 calls by gRPC go there; may be given several times
    #[arg(long, value_name = "BINDING=PORT")]
    also: Vec<Also>,
    /// Serves the platform on this address of loopback, for the agent's own calls: they cross the link
    #[arg(long, value_name = "ADDR", env = "AGENT_CONNECTOR_PLATFORM_LISTEN")]
    platform_listen: Option<String>,
    /// Gives each request a connection of its own and says Connection: close on it, for an agent whose
    /// server takes one connection at a time
    #[arg(long, env = "AGENT_CONNECTOR_CLOSE_CONNECTIONS", value_parser = FalseyValueParser::new())]
    close_connections: bool,
    /// The agent sends heartbeats to its platform itself: a relay that brings agents to one sends none
    #[arg(long, env = "AGENT_CONNECTOR_OWN_HEARTBEATS", value_parser = FalseyValueParser::new())]
    own_heartbeats: bool,
    /// Reserved for the request inspector, which is not there yet; any address, or off
    #[arg(long, value_name = "ADDR", env = "AGENT_CONNECTOR_INSPECT")]
    inspect: Option<String>,
    /// Gives up when the first attempt does not reach the relay
    #[arg(long)]
    once: bool,
    /// Seconds between heartbeats [default: what the relay asks for]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    heartbeat_interval: Option<u64>,
    /// Keeps the state in this file: one JSON object, rewritten whole on each change
    #[arg(long, value_name = "FILE")]
    status_file: Option<PathBuf>,
    /// How a line of the log looks [default: text on a terminal, else json]
    #[arg(long, env = "AGENT_CONNECTOR_LOG_FORMAT")]
    pub(super) log_format: Option<LogFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Expose {
    A2a,
    All,
}

fn path(text: &str) -> Result<String, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
    if text.starts_with('/') && plain { Ok(text.to_owned()) } else { Err("write a path like /x") }
}

impl HttpArgs {
    pub(super) const fn log_format(&self) -> Option<LogFormat> {
        self.connect.log_format
    }
}

impl ConnectArgs {
    /// Connects the agent at `target`.
    pub(super) fn config(self, target: LocalTarget) -> Result<Config, ConnectorError> {
        self.config_with(target, TOKEN_VARIABLE)
    }

    /// Connects the agent at `target`, whose token may stand in this variable.
    pub(super) fn config_with(
        self,
        target: LocalTarget,
        token_variable: &str,
    ) -> Result<Config, ConnectorError> {
        let token = read_token(self.token_file.as_deref(), token_variable)?;
        let state_dir = match self.state.path() {
            // Who brings a token needs no place for an identity.
            Err(_) if token.is_some() => PathBuf::new(),
            path => path?,
        };
        let mut config = Config::new(target, state_dir);
        config.token = token;
        // An empty variable is none.
        let join = self.join.as_deref().filter(|text| !text.trim().is_empty());
        config.join = join.map(read_join).transpose()?;
        config.workspace = self.workspace;
        config.relay_ca = self.relay.relay_ca()?;
        config.way = self.relay.way()?;
        config.relay = self.relay.relay;
        config.policy.local_path = self.local_path.or(config.policy.local_path);
        config.policy.allow = self.allow;
        if self.also.len() > ALSO_MAX {
            let sentence = format!("`--also` names more than {ALSO_MAX} ports; leave some out.");
            return Err(ConnectorError::Config(sentence));
        }
        config.policy.also = self.also;
        config.policy.close_connections = self.close_connections;
        config.policy.beats_itself = self.own_heartbeats;
        config.policy.all = self.expose == Expose::All;
        // An empty variable is none.
        let listen = self.platform_listen.as_deref().map(str::trim);
        let listen = listen.filter(|text| !text.is_empty() && *text != "off");
        config.platform_listen = listen.map(listen_address).transpose()?;
        config.once = self.once;
        config.heartbeat_interval = self.heartbeat_interval.map(Duration::from_secs);
        config.status_file = self.status_file;
        Ok(config)
    }
}

pub(super) async fn run(args: HttpArgs, shutdown: impl Future<Output = ()>) -> Done {
    let mut config = args.connect.config(args.target)?;
    config.require_local = args.require_local;
    let block = terminal::Block::new(config.target.origin.url());
    forward(config, block, shutdown).await.map(|()| ExitCode::SUCCESS)
}

/// Runs a connector, and shows its state in `block`.
pub(super) async fn forward(
    config: Config,
    mut block: terminal::Block,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ConnectorError> {
    let reports = watch::Sender::new(Report::beginning());
    let mut told = reports.subscribe();
    let mut connector = pin!(crate::run(config, shutdown, reports));
    let mut silence = pin!(sleep(SILENCE));
    let mut is_silent = true;
    loop {
        tokio::select! {
            biased;
            Ok(()) = told.changed() => block.tell(&told.borrow_and_update().clone()),
            () = silence.as_mut(), if is_silent => {
                is_silent = false;
                block.tell_silence(&told.borrow().clone());
            }
            ended = connector.as_mut() => return ended,
        }
    }
}
