//! `relay workspace …`: the operator's commands about workspaces, over the API of a running relay.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::allowance;
use super::client::segment;
use super::exit::{Code, Failure};
use super::expiry;
use super::operator::RelayArgs;
use super::private::{read_file, read_stdin};
use crate::push_egress::PushEgress;
use crate::registry::{CallerPolicy, ExposurePolicy, Tier};

mod text;

/// Which relay, and what to do there.
#[derive(Debug, Args)]
pub struct WorkspaceArgs {
    #[command(flatten)]
    relay: RelayArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a workspace; prints its public URL and a join string for its connector
    Add {
        /// What people call it
        name: String,
        #[command(flatten)]
        policies: Policies,
        /// Take over this workspace of the platform, whose token is read from standard input
        #[arg(long, value_name = "UUID")]
        adopt: Option<String>,
        /// The file with that token, instead of standard input
        #[arg(long, value_name = "FILE", requires = "adopt")]
        adopt_token_file: Option<PathBuf>,
    },
    /// List the workspaces
    List,
    /// Show one workspace
    Show {
        /// Its id, alias or name
        name: String,
    },
    /// Make another join string for the same workspace and URL
    Join {
        /// Its id, alias or name
        name: String,
        /// How many connectors it lets in
        #[arg(long, value_name = "N")]
        uses: Option<u32>,
        /// How long it is good: 90s, 30m, 24h, 7d
        #[arg(long, value_name = "D", value_parser = expiry::seconds)]
        expires: Option<u64>,
    },
    /// Give a workspace another name
    Rename {
        /// Its id, alias or name
        name: String,
        /// Its name from now on
        new_name: String,
    },
    /// Change policies of a workspace; an empty ALIAS, ROLE or TIER takes it away
    Set {
        /// Its id, alias or name
        name: String,
        #[command(flatten)]
        policies: Policies,
        /// Replace its public address; the old one leads nowhere from then on
        #[arg(long)]
        new_address: bool,
        /// The file with the platform's token of it, where that was rotated; - is standard input
        #[arg(long, value_name = "FILE")]
        platform_token_file: Option<PathBuf>,
    },
    /// Revoke every credential of a workspace, at once; the workspace stays
    Revoke {
        /// Its id, alias or name, exactly
        name: String,
    },
    /// Remove a workspace for good, at once
    Remove {
        /// Its id, alias or name, exactly
        name: String,
    },
}

#[derive(Debug, Args)]
struct Policies {
    /// A public name, one DNS label; needs --callers
    #[arg(long, value_parser = text_or_null)]
    alias: Option<Value>,
    /// What it is for, for people and other agents
    #[arg(long, value_parser = text_or_null)]
    role: Option<Value>,
    /// How much it matters: 1 to 4
    #[arg(long, value_parser = tier_or_null)]
    tier: Option<Value>,
    /// Who may call: link, token, workspaces or open
    #[arg(long, value_name = "POLICY")]
    callers: Option<CallerPolicy>,
    /// What callers reach: a2a or all
    #[arg(long, value_name = "WHAT")]
    expose: Option<ExposurePolicy>,
    /// Whether a signed card is served as it is, even if nobody outside can use its URLs
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    strict_card: Option<bool>,
    /// Whether comments break the silences of event streams
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    keep_alive: Option<bool>,
    /// Whether the relay refuses JSON-RPC calls with status 200, for clients that read no error else
    #[arg(long, value_name = "on|off", value_parser = on_off)]
    jsonrpc_errors_as_200: Option<bool>,
    /// Requests per second that reach the agent, twice as many at once; off: as many as come
    #[arg(long, value_name = "N|off", value_parser = allowance::rate)]
    rate: Option<Value>,
    /// Requests that the agent has open at a time; off: as many as its link takes
    #[arg(long, value_name = "N|off", value_parser = allowance::in_flight)]
    in_flight: Option<Value>,
    /// What callers may use: all, or some of send, stream, get, list, cancel, subscribe, push-set,
    /// push-get, push-list, push-delete, extended-card and other, with commas between them
    #[arg(long, value_name = "LIST", value_parser = allowance::methods)]
    methods: Option<Value>,
    /// Where the relay posts the agent's push notifications for it: off, HOST[:PORT][,…] or public
    #[arg(long, value_name = "WHERE")]
    push_egress: Option<PushEgress>,
}

fn on_off(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("say on or off"),
    }
}

impl Policies {
    /// The fields that were given.
    fn fields(self) -> Map<String, Value> {
        let given = [
            ("alias", self.alias),
            ("role", self.role),
            ("tier", self.tier),
            ("callers", self.callers.map(|policy| policy.as_str().into())),
            ("expose", self.expose.map(|policy| policy.as_str().into())),
            ("strict_card", self.strict_card.map(Value::from)),
            ("keep_alive", self.keep_alive.map(Value::from)),
            ("jsonrpc_errors_as_200", self.jsonrpc_errors_as_200.map(Value::from)),
            ("rate", self.rate),
            ("in_flight", self.in_flight),
            ("methods", self.methods),
            ("push_egress", self.push_egress.map(|egress| egress.to_string().into())),
        ];
        given.into_iter().filter_map(|(field, value)| Some((field.into(), value?))).collect()
    }
}

/// A text; an empty one is none.
#[expect(clippy::unnecessary_wraps, reason = "as clap wants it of a parser")]
fn text_or_null(text: &str) -> Result<Value, Infallible> {
    Ok(if text.is_empty() { Value::Null } else { text.into() })
}

/// The number of a tier; an empty text is none.
fn tier_or_null(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let tier = text.parse().ok().and_then(Tier::new);
    tier.map(|tier| tier.number().into()).ok_or_else(|| format!("choose 1 to {}", Tier::MAX))
}

/// Does what was asked and prints the outcome.
pub fn run(args: WorkspaceArgs) -> Result<(), Failure> {
    let relay = args.relay.open()?;
    let ask = |method, path: String, body: Option<Value>| relay.ask(method, &path, body.as_ref());
    let print = |answer: &Value, say: fn(&Value) -> String| relay.print(answer, say);
    match args.action {
        Action::Add { name, policies, adopt, adopt_token_file } => {
            let mut fields = policies.fields();
            fields.insert("name".into(), name.as_str().into());
            if let Some(id) = adopt {
                let token = platform_token(adopt_token_file.as_deref())?;
                fields.insert("platform_id".into(), id.into());
                fields.insert("platform_token".into(), token.into());
            }
            let answer = ask(Method::POST, "/workspaces".into(), Some(fields.into()))?;
            print(&answer, text::added);
            text::warn_of_loopback(&answer);
            // It is made: whether others have the name too is worth a sentence, and no failure.
            if let Ok(all) = ask(Method::GET, "/workspaces".into(), None) {
                text::tell_of_namesakes(&name, &answer, &all);
            }
        }
        Action::Join { name, uses, expires } => {
            let body = json!({ "uses": uses, "expires_seconds": expires });
            let answer = ask(Method::POST, format!("{}/join", at(&name)), Some(body))?;
            print(&answer, text::joined);
            text::warn_of_loopback(&answer);
        }
        Action::List => print(&ask(Method::GET, "/workspaces".into(), None)?, text::list),
        Action::Show { name } => print(&ask(Method::GET, at(&name), None)?, text::show),
        Action::Rename { name, new_name } => {
            let body = json!({ "name": new_name });
            print(&ask(Method::PATCH, at(&name), Some(body))?, text::changed);
        }
        Action::Set { name, policies, new_address, platform_token_file } => {
            let mut fields = policies.fields();
            if new_address {
                fields.insert("new_address".into(), true.into());
            }
            if let Some(file) = platform_token_file {
                let file = (file != Path::new("-")).then_some(file);
                let token = platform_token(file.as_deref())?;
                fields.insert("platform_token".into(), token.into());
            }
            if fields.is_empty() {
                return Err(Failure::new(
                    Code::Configuration,
                    "Nothing to change was given; see `relay workspace set --help`.",
                ));
            }
            print(&ask(Method::PATCH, at(&name), Some(fields.into()))?, text::changed);
        }
        Action::Revoke { name } => {
            print(&ask(Method::DELETE, format!("{}/tokens", at(&name)), None)?, text::revoked);
        }
        Action::Remove { name } => print(&ask(Method::DELETE, at(&name), None)?, text::removed),
    }
    Ok(())
}

/// The platform's token of a workspace: from a file, or from standard input.
fn platform_token(file: Option<&Path>) -> Result<String, Failure> {
    let text = match file {
        Some(file) => read_file(file)?,
        None => {
            read_stdin("token", "`printf %s \"$TOKEN\" | relay workspace add NAME --adopt UUID`")?
        }
    };
    Ok(text.trim().to_owned())
}

/// The path of a workspace.
fn at(name: &str) -> String {
    format!("/workspaces/{}", segment(name))
}
