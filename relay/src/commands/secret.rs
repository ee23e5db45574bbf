//! `relay secret …`: what an agent pulls with its own token. A value never stands in the arguments.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::client::segment;
use super::exit::{Code, Failure};
use super::operator::RelayArgs;
use super::output;
use super::text::{field, table};

/// The longest value that is read, bytes; the relay takes fewer and says so.
const VALUE_BYTES_MAX: u64 = 1024 * 1024;

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
            let body = json!({ "value": read_value()? });
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

fn read_value() -> Result<String, Failure> {
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        output::note("Type the value, then end the input (Ctrl-D):");
    }
    let mut value = String::new();
    Read::by_ref(&mut stdin).take(VALUE_BYTES_MAX).read_to_string(&mut value).map_err(|error| {
        Failure::new(Code::Configuration, format!("The value cannot be read: {error}."))
    })?;
    let value = value.strip_suffix('\n').unwrap_or(&value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        return Err(Failure::new(
            Code::Configuration,
            "No value came on standard input; give it like `printf %s \"$VALUE\" | relay secret set …`.",
        ));
    }
    Ok(value.to_owned())
}
