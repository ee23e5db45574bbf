//! `relay caller …`: tokens for those who call one workspace's agent.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::allowance;
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
        /// Requests per second, twice as many at once; without it 200
        #[arg(long, value_name = "N", value_parser = allowance::rate)]
        rate: Option<Value>,
        /// Requests open at a time; without it 32
        #[arg(long, value_name = "N", value_parser = allowance::in_flight)]
        in_flight: Option<Value>,
        /// What its holder may use, of what the workspace allows: all, or some of send, stream, get,
        /// list, cancel, subscribe, push-set, push-get, push-list, push-delete, extended-card and
        /// other, with commas between them
        #[arg(long, value_name = "LIST", value_parser = allowance::methods)]
        methods: Option<Value>,
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
        Action::Add { workspace, name, expires, rate, in_flight, methods } => {
            let body = json!({
                "name": name, "expires_seconds": expires,
                "rate": rate, "in_flight": in_flight, "methods": methods,
            });
            let made = relay.ask(Method::POST, &at(&workspace), Some(&body))?;
            relay.print(&made, |made| shown_once(made, "caller_token"));
        }
        Action::List { workspace } => {
            let list = relay.ask(Method::GET, &at(&workspace), None)?;
            relay.print(&list, |list| {
                let columns =
                    ["id", "name", "expires_at", "last_used_at", "rate", "in_flight", "methods"];
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
