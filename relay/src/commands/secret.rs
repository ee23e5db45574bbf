//! `relay secret …`: what an agent pulls with its own token. A value never stands in the arguments.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::client::segment;
use super::exit::Failure;
use super::operator::RelayArgs;
use super::private::read_stdin;
use super::text::{field, table};

/// How a value is given.
const HOW: &str = "`printf %s \"$VALUE\" | relay secret set …`";

/// Which relay, and what to do there.
#[derive(Debug, Args)]
pub struct SecretArgs {
    #[command(flatten)]
    relay: RelayArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set a secret; its value is read from standard input, without the line's end
    Set {
        /// The workspace: its id, alias or name
        workspace: String,
        /// The secret's name, such as OPENAI_API_KEY
        key: String,
    },
    /// List the names of a workspace's secrets
    List {
        /// The workspace: its id, alias or name
        workspace: String,
    },
    /// Remove a secret
    Remove {
        /// The workspace: its id, alias or name
        workspace: String,
        /// The secret's name
        key: String,
    },
}

/// Does what was asked and prints the outcome.
pub fn run(args: SecretArgs) -> Result<(), Failure> {
    let relay = args.relay.open()?;
    let at = |workspace: &str| format!("/workspaces/{}/secrets", segment(workspace));
    match args.action {
        Action::Set { workspace, key } => {
            let body = json!({ "value": read_stdin("value", HOW)? });
            let path = format!("{}/{}", at(&workspace), segment(&key));
            let done = relay.ask(Method::PUT, &path, Some(&body))?;
            relay.print(&done, |done| format!("The secret {} is set.", field(done, "key")));
        }
        Action::List { workspace } => {
            let list = relay.ask(Method::GET, &at(&workspace), None)?;
            relay.print(&list, |list| {
                table(list.get("secrets"), &["key", "updated_at"], "No secret has been set.")
            });
        }
        Action::Remove { workspace, key } => {
            let path = format!("{}/{}", at(&workspace), segment(&key));
            let done = relay.ask(Method::DELETE, &path, None)?;
            relay.print(&done, |done| format!("The secret {} is removed.", field(done, "key")));
        }
    }
    Ok(())
}
