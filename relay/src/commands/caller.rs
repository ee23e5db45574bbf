//! `relay caller …`: tokens for those who call one workspace's agent.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::client::segment;
use super::exit::Failure;
use super::expiry;
use super::operator::RelayArgs;
use super::text::{field, shown_once, table};

/// Which relay, and what to do there.
#[derive(Debug, Args)]
pub struct CallerArgs {
    #[command(flatten)]
    relay: RelayArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a caller token; it is shown once
    Add {
        /// The workspace: its id, alias or name
        workspace: String,
        /// Who will hold the token
        name: String,
        /// How long it is good: 90s, 30m, 24h, 7d; without it, until it is revoked
        #[arg(long, value_name = "D", value_parser = expiry::seconds)]
        expires: Option<u64>,
    },
    /// List the caller tokens of a workspace that are good
    List {
        /// The workspace: its id, alias or name
        workspace: String,
    },
    /// Revoke a caller token, at once
    Revoke {
        /// The workspace: its id, alias or name
        workspace: String,
        /// The token's id, as `list` shows it
        id: String,
    },
}

/// Does what was asked and prints the outcome.
pub fn run(args: CallerArgs) -> Result<(), Failure> {
    let relay = args.relay.open()?;
    let at = |workspace: &str| format!("/workspaces/{}/callers", segment(workspace));
    match args.action {
        Action::Add { workspace, name, expires } => {
            let body = json!({ "name": name, "expires_seconds": expires });
            let made = relay.ask(Method::POST, &at(&workspace), Some(&body))?;
            relay.print(&made, |made| shown_once(made, "caller_token"));
        }
        Action::List { workspace } => {
            let list = relay.ask(Method::GET, &at(&workspace), None)?;
            relay.print(&list, |list| {
                let columns = ["id", "name", "expires_at", "last_used_at"];
                table(list.get("callers"), &columns, "No caller token has been made.")
            });
        }
        Action::Revoke { workspace, id } => {
            let path = format!("{}/{}", at(&workspace), segment(&id));
            let done = relay.ask(Method::DELETE, &path, None)?;
            relay
                .print(&done, |done| format!("The caller token {} is revoked.", field(done, "id")));
        }
    }
    Ok(())
}
