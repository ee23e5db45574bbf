//! `agent-connector join`: enrols only.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::process::ExitCode;

use super::shared_args::{RelayArgs, StateArgs, read_join};
use super::{Done, terminal};
use crate::error::ConnectorError;
use crate::{JoinRequest, Joined};

/// Trades a join string for an identity of this machine, and ends
#[derive(Debug, clap::Args)]
pub(crate) struct JoinArgs {
    /// The string that the relay printed, a file that holds it, or - for standard input
    #[arg(value_name = "STRING|FILE|-", env = "AGENT_CONNECTOR_JOIN", hide_env_values = true)]
    join: String,
    #[command(flatten)]
    relay: RelayArgs,
    #[command(flatten)]
    state: StateArgs,
}

/// No join string is longer, bytes; what else comes is not read.
const STDIN_BYTES_MAX: u64 = 16 * 1024;

pub(super) async fn run(args: JoinArgs, shutdown: impl Future<Output = ()>) -> Done {
    let text = if args.join == "-" { read_stdin()? } else { args.join.clone() };
    let request = JoinRequest {
        join: read_join(&text)?,
        state_dir: args.state.path()?,
        relay_ca: args.relay.relay_ca()?,
        way: args.relay.way()?,
        relay: args.relay.relay,
    };
    let shutdown = pin!(shutdown);
    tokio::select! {
        joined = crate::join(request) => {
            let (workspace, how) = match joined? {
                Joined::Now(workspace) => (workspace, "This agent has joined as"),
                Joined::Before(workspace) => (workspace, "This agent had joined already, as"),
            };
            terminal::say(&format!("{how} {workspace}. Start it with `agent-connector http PORT`."));
            Ok(ExitCode::SUCCESS)
        }
        // Nothing is lost: the same string and key work again until the string expires.
        () = shutdown => Ok(ExitCode::from(130)),
    }
}

fn read_stdin() -> Result<String, ConnectorError> {
    let mut text = String::new();
    std::io::stdin().lock().take(STDIN_BYTES_MAX).read_to_string(&mut text).map_err(|error| {
        ConnectorError::Config(format!(
            "Standard input cannot be read ({error}); give the join string as an argument."
        ))
    })?;
    Ok(text)
}
