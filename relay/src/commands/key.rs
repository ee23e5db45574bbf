//! `relay key …`: the organisation's keys, for orchestrators and tools.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::client::segment;
use super::exit::Failure;
use super::operator::RelayArgs;
use super::text::{field, shown_once, table};
use crate::registry::Scope;

/// Which relay, and what to do there.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    relay: RelayArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key; it is shown once
    Add {
        /// Who will hold it
        name: String,
        /// What it opens: admin (everything), call (every agent), read (what there is)
        #[arg(long)]
        scope: Scope,
    },
    /// List the keys that are good
    List,
    /// Revoke a key, at once
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

/// Does what was asked and prints the outcome.
pub fn run(args: KeyArgs) -> Result<(), Failure> {
    let relay = args.relay.open()?;
    match args.action {
        Action::Add { name, scope } => {
            let body = json!({ "name": name, "scope": scope.as_str() });
            let made = relay.ask(Method::POST, "/keys", Some(&body))?;
            relay.print(&made, |made| shown_once(made, "key"));
        }
        Action::List => {
            let list = relay.ask(Method::GET, "/keys", None)?;
            relay.print(&list, |list| {
                let columns = ["id", "name", "scope", "last_used_at"];
                table(list.get("keys"), &columns, "No key has been made.")
            });
        }
        Action::Revoke { id } => {
            let done = relay.ask(Method::DELETE, &format!("/keys/{}", segment(&id)), None)?;
            relay.print(&done, |done| format!("The key {} is revoked.", field(done, "id")));
        }
    }
    Ok(())
}
