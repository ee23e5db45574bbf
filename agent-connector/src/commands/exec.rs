//! `agent-connector exec`: starts the agent with its public URL in its environment, and forwards to it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::child::Agent;
use super::http::ConnectArgs;
use super::signals::{Signals, exit_code};
use super::{Done, LogFormat, terminal};
use crate::error::ConnectorError;
use crate::forward::origin::{LocalTarget, Origin};
use crate::status::{Report, State};

/// An agent whose URL is known from earlier is not kept waiting for the relay for longer.
const ONLINE_PATIENCE: Duration = Duration::from_secs(5);

/// Starts the agent with A2A_PUBLIC_URL and PORT in its environment, and forwards to it
#[derive(Debug, clap::Args)]
#[command(after_help = "The agent listens on 127.0.0.1, at the port that PORT names. \
    A2A_PUBLIC_HOST_URL is its base at a host of its own, if it has one. SIGINT and SIGTERM go on to it; SIGHUP starts it again, with the public URL of then. The connector ends \
    with the agent, and with its exit code.")]
pub(crate) struct ExecArgs {
    /// Where the agent is to listen [default: a port that is free]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    #[command(flatten)]
    connect: ConnectArgs,
    /// The agent's program, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl ExecArgs {
    pub(super) const fn log_format(&self) -> Option<LogFormat> {
        self.connect.log_format
    }
}

pub(super) async fn run(args: ExecArgs, mut signals: Signals) -> Done {
    let port = args.port.map_or_else(free_port, Ok)?;
    let origin = Origin::loopback(port);
    let mut block = terminal::Block::new(origin.url());
    let config = args.connect.config(LocalTarget { origin, path: None })?;
    let mut again = signal(SignalKind::hangup()).map_err(unusable)?;
    let reports = watch::Sender::new(Report::beginning());
    let mut told = reports.subscribe();
    // Dropping `stop` is what ends the connector.
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let mut stop = Some(stop);
    let shutdown = async { drop(stopped.await) };
    let mut connector = pin!(crate::run(config, shutdown, reports));
    let mut is_connected = true;
    let mut patience = pin!(sleep(ONLINE_PATIENCE));
    let mut agent = Agent::new(args.command, port);

    loop {
        let may_start = stop.is_some() && !agent.is_running();
        tokio::select! {
            biased;
            Ok(()) = told.changed() => {
                let report = told.borrow_and_update().clone();
                block.tell(&report);
                if agent.learn(&report) && agent.is_running() {
                    terminal::note(
                        "the agent was started with another public URL than it has now; send this \
                         process SIGHUP to start it again",
                    );
                }
                if may_start && report.state == State::Online {
                    agent.start()?;
                }
            }
            () = patience.as_mut(), if may_start && agent.has_url() => agent.start()?,
            code = agent.ended(), if agent.is_running() => {
                drop(stop.take());
                if is_connected {
                    tokio::select! {
                        biased;
                        _ = connector.as_mut() => {}
                        _ = signals.next() => {}
                    }
                }
                return Ok(code);
            }
            signal = signals.next() => match stop.take() {
                // What is open finishes over the link, while the agent ends in its own way.
                Some(_stop) => agent.tell(signal),
                None => {
                    agent.kill().await;
                    return Ok(exit_code(signal));
                }
            },
            _ = again.recv(), if agent.is_running() && stop.is_some() => {
                agent.stop().await;
                agent.start()?;
            }
            ended = connector.as_mut(), if is_connected => {
                is_connected = false;
                if stop.is_some() || !agent.is_running() {
                    agent.stop().await;
                    return ended.map(|()| ExitCode::SUCCESS);
                }
            }
        }
    }
}

fn free_port() -> Result<u16, ConnectorError> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    free.map(|address| address.port()).map_err(|error| {
        ConnectorError::Config(format!("No port is free on loopback ({error}). Name one: --port."))
    })
}

fn unusable(error: io::Error) -> ConnectorError {
    ConnectorError::Config(format!("Signals cannot be received ({error})."))
}
