//! Which part of the relay a raw path names. Pure: exact matches, nothing decoded or normalised.

use shared::ids::{Address, Alias, WorkspaceId};

use crate::admin::Api;
use crate::card::signing::KEYS_PATH;
use crate::public::domain::Hosted;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'p> {
    /// Liveness.
    Health,
    /// Readiness.
    Ready,
    /// The registration API.
    Api,
    /// A message from one agent, or an orchestrator, to another: to this workspace, or to the one
    /// that a field names.
    Send(Option<&'p str>),
    /// Where somebody looks for secrets, which belong to a workspace.
    Secrets,
    /// An agent, and what of it.
    Agent {
        /// By which of its names.
        name: AgentName,
        /// The path behind the name: empty, or beginning with a slash.
        rest: &'p str,
    },
    /// An agent, as the platform calls it that the relay bridges to, by the address that it was told.
    Bridged(Address),
    /// The keys with which the relay signs cards.
    CardKeys,
    /// A client that resolved a card's address against a base without its final slash.
    MissingSlash,
    /// A host of no agent, below the agents' domain.
    NoAgent,
    /// Nothing.
    Nothing,
}

/// One of the names by which a URL may name a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentName {
    /// The random address: knowing it is a credential.
    Address(Address),
    /// The id.
    Id(WorkspaceId),
    /// The alias.
    Alias(Alias),
    /// The alias, as the label of a host: the agent's whole origin is there, and nothing else.
    Host(Alias),
    /// The address that the platform was told: knowing it is a credential too, whatever other callers
    /// have to show.
    Bridged(WorkspaceId),
}

/// Reads a host and a raw path: an agent's host has nothing of the relay's own.
pub fn route_at(host: Hosted, path: &str) -> Route<'_> {
    match host {
        Hosted::Elsewhere => route(path),
        Hosted::Agent(alias) => Route::Agent { name: AgentName::Host(alias), rest: path },
        Hosted::Nobody => Route::NoAgent,
    }
}

/// Reads a raw path of the relay's own host.
pub fn route(path: &str) -> Route<'_> {
    match path {
        "/healthz" => return Route::Health,
        "/readyz" => return Route::Ready,
        "/a2a" => return Route::Send(None),
        "/secrets" => return Route::Secrets,
        KEYS_PATH => return Route::CardKeys,
        _ => {}
    }
    if let Some(id) = path.strip_prefix("/workspaces/").and_then(|rest| rest.strip_suffix("/a2a"))
        && !id.contains('/')
    {
        return Route::Send(Some(id));
    }
    if Api::owns(path) {
        return Route::Api;
    }
    if let Some(below) = path.strip_prefix("/molecule/") {
        return bridged(below);
    }
    let Some(below) = path.strip_prefix("/agents/") else { return Route::Nothing };
    let (text, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
    if text == ".well-known" {
        return Route::MissingSlash;
    }
    match agent_name(text) {
        Some(name) => Route::Agent { name, rest },
        None => Route::Nothing,
    }
}

/// The platform calls exactly the URL that it was told, or puts `/a2a` behind it.
fn bridged(below: &str) -> Route<'_> {
    let (address, rest) = below.split_at(below.find('/').unwrap_or(below.len()));
    match address.parse() {
        Ok(address) if matches!(rest, "" | "/a2a" | "//a2a") => Route::Bridged(address),
        _ => Route::Nothing,
    }
}

fn agent_name(text: &str) -> Option<AgentName> {
    if text.starts_with("a_") {
        return text.parse().ok().map(AgentName::Address);
    }
    if text.starts_with("ws_") {
        return text.parse().ok().map(AgentName::Id);
    }
    text.parse().ok().map(AgentName::Alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_they_say_and_nothing_else() {
        let address = Address::new([7; 16]);
        let base = format!("/agents/{}", address.reveal());
        for rest in ["", "/", "/a2a", "//x", "/.well-known/agent-card.json"] {
            let path = format!("{base}{rest}");
            let Route::Agent { name, rest: found, .. } = route(&path) else { panic!("{path}") };
            assert_eq!((name, found), (AgentName::Address(address), rest));
        }
        let bridged = format!("/molecule/{}", address.reveal());
        for (rest, fits) in
            [("", true), ("/a2a", true), ("//a2a", true), ("/", false), ("/x", false)]
        {
            let path = format!("{bridged}{rest}");
            let expected = if fits { Route::Bridged(address) } else { Route::Nothing };
            assert_eq!(route(&path), expected, "{path}");
        }
        assert!(matches!(
            route("/agents/my-agent/a2a"),
            Route::Agent { name: AgentName::Alias(_), .. }
        ));
        assert_eq!(route("/agents/.well-known/agent-card.json"), Route::MissingSlash);
        for api in ["/workspaces", "/workspaces/x/tokens", "/registry/register", "/keys", "/events"]
        {
            assert_eq!(route(api), Route::Api, "{api}");
        }
        assert_eq!(route("/a2a"), Route::Send(None));
        assert_eq!(route("/workspaces/x/a2a"), Route::Send(Some("x")));
        assert_eq!(route("/workspaces/x/y/a2a"), Route::Api);
        assert_eq!(route("/secrets"), Route::Secrets);
        assert_eq!(route("/.well-known/jwks.json"), Route::CardKeys);
        for nothing in [
            "/",
            "/agents",
            "/agents/",
            "/agents//a2a",
            "//agents/x",
            "/healthz/",
            "/workspacesx",
            "/agents/../a2a",
            "/agents/%61gent/a2a",
            "/Agents/x",
            "/agents/a_short/a2a",
        ] {
            assert_eq!(route(nothing), Route::Nothing, "{nothing}");
        }
    }
}
