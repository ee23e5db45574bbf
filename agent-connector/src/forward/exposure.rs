//! What crosses, and to which of the agent's ports, derived from its card and the owner's own words.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use shared::exposure::{CARD_PATHS, EXTENDED_CARD_PATHS, Exposure, GRPC_SERVICES, Rule};
use shared::limits::EXPOSURE_RULES_MAX;
use shared::wire::Binding;

use super::origin::{Also, Origin, split_authority};

/// Where an agent takes A2A unless it or its owner says otherwise.
pub const DEFAULT_ENDPOINT: &str = "/a2a";
/// Signatures of a card that are looked at for their keys.
const SIGNATURES_MAX: usize = 16;

/// What the owner says, whatever the card implies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The path of the endpoint, over the card's.
    pub local_path: Option<String>,
    /// Further paths, each with everything below it.
    pub allow: Vec<String>,
    /// The whole origin.
    pub all: bool,
    /// Further ports of the same agent.
    pub also: Vec<Also>,
    /// Each request has a connection of its own, which ends with it: some servers serve one connection
    /// until it ends, and nobody else meanwhile.
    pub close_connections: bool,
    /// The agent sends its heartbeats itself.
    pub beats_itself: bool,
}

/// What crosses, and where it goes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Derived {
    /// What crosses, for the relay.
    pub exposure: Exposure,
    /// What of it goes to one of the further ports, and to which: they go before TARGET's, since the
    /// owner named them.
    pub also: Vec<(Rule, usize)>,
    /// The further port of the JSON-RPC endpoint, if that is not TARGET's.
    pub endpoint_also: Option<usize>,
    /// The further port that speaks gRPC, if that is not TARGET's.
    pub grpc_also: Option<usize>,
}

impl Derived {
    /// The further port to which a path that crosses goes.
    pub fn also_of(&self, path: &str) -> Option<usize> {
        self.also.iter().find(|(rule, _)| rule.allows(path)).map(|(_, also)| *also)
    }
}

/// The list for an agent at `origin` with `card`, whose public bases are `public`, as far as they are known.
pub fn derive(
    policy: &Policy,
    origin: &Origin,
    card: Option<&Value>,
    public: &[String],
) -> Derived {
    let own = Own { origin, public };
    let interfaces = card.map(interfaces).unwrap_or_default();
    let further = further_rules(policy, origin, &interfaces);
    let grpc_also = policy.also.iter().position(|also| also.binding == Binding::Grpc);
    let own_endpoint =
        policy.local_path.clone().or_else(|| path_of(&interfaces, "JSONRPC", &own).next());
    let elsewhere = || {
        further.iter().find_map(|(rule, also)| match rule {
            Rule::Exact(path) => Some((path.clone(), Some(*also))),
            _ => None,
        })
    };
    let (endpoint, endpoint_also) = own_endpoint
        .map(|path| (path, None))
        .or_else(elsewhere)
        .unwrap_or_else(|| (DEFAULT_ENDPOINT.to_owned(), None));

    let mut rules: Vec<Rule> = card_paths(&endpoint).into_iter().map(Rule::Exact).collect();
    if let Some(card) = card {
        rules.extend(path_of(&interfaces, "HTTP+JSON", &own).map(Rule::HttpJson));
        // An agent may offer its JSON-RPC at several paths.
        rules.extend(path_of(&interfaces, "JSONRPC", &own).map(Rule::Exact));
        rules.extend(EXTENDED_CARD_PATHS.map(|path| Rule::Exact(path.to_owned())));
        let icon = card.get("iconUrl").and_then(Value::as_str);
        rules.extend(icon.and_then(|url| own.path(url)).map(Rule::Exact));
        rules.extend(key_sets(card).filter_map(|url| own.path(&url)).map(Rule::Exact));
        rules.extend(further.iter().map(|(rule, _)| rule.clone()));
    }
    if grpc_also.is_some() || interfaces.iter().any(|interface| own.serves_grpc(interface)) {
        rules.extend(GRPC_SERVICES.map(|service| Rule::Grpc(service.to_owned())));
    }
    rules.retain(|rule| *rule != Rule::Exact(endpoint.clone()));
    // The owner's own words come first, so that no card can crowd them out.
    let mut all: Vec<Rule> = policy.allow.iter().cloned().map(Rule::Below).collect();
    for rule in rules {
        if !all.contains(&rule) && all.len() < EXPOSURE_RULES_MAX {
            all.push(rule);
        }
    }
    all.truncate(EXPOSURE_RULES_MAX);
    let exposure = Exposure { all: policy.all, endpoint, rules: all };
    Derived { exposure, also: further, endpoint_also, grpc_also }
}

/// What the card says of the further ports, each for the binding that its owner named.
fn further_rules(
    policy: &Policy,
    origin: &Origin,
    interfaces: &[Interface<'_>],
) -> Vec<(Rule, usize)> {
    let mut further = Vec::new();
    for (index, also) in policy.also.iter().enumerate() {
        let own = Own { origin: &origin.at(also.port), public: &[] };
        match also.binding {
            Binding::HttpJson => {
                let paths = path_of(interfaces, "HTTP+JSON", &own);
                further.extend(paths.map(|path| (Rule::HttpJson(path), index)));
            }
            Binding::JsonRpc => {
                let paths = path_of(interfaces, "JSONRPC", &own);
                further.extend(paths.map(|path| (Rule::Exact(path), index)));
            }
            // Its paths are its own, whatever the card says: see `grpc_also`.
            Binding::Grpc => {}
        }
    }
    further.truncate(EXPOSURE_RULES_MAX);
    further
}

/// Where the keys of a card's signatures are said to be (`jku`, RFC 7515, 4.1.2).
fn key_sets(card: &Value) -> impl Iterator<Item = String> {
    let signatures = card.get("signatures").and_then(Value::as_array).into_iter().flatten();
    signatures.take(SIGNATURES_MAX).filter_map(|signature| {
        let protected = signature.get("protected")?.as_str()?;
        let header = BASE64URL_NOPAD.decode(protected.trim_end_matches('=').as_bytes()).ok()?;
        let header: Value = serde_json::from_slice(&header).ok()?;
        let set = header.get("jku").or_else(|| signature.get("header")?.get("jku"));
        Some(set?.as_str()?.to_owned())
    })
}

/// What an owner should know of a card: its interfaces that nobody outside can use, and what to do.
pub fn left_out(policy: &Policy, origin: &Origin, card: &Value, public: &[String]) -> Vec<String> {
    let own = Own { origin, public };
    let served = |interface: &Interface<'_>| {
        let binding = interface.binding.to_ascii_uppercase();
        if binding == "GRPC" {
            let at = |port| Own { origin: &origin.at(port), public }.serves_grpc(interface);
            let mut further = policy.also.iter().filter(|also| also.binding == Binding::Grpc);
            return own.serves_grpc(interface) || further.any(|also| at(also.port));
        }
        let carried = binding == "JSONRPC" || binding == "HTTP+JSON";
        let further = policy.also.iter().any(|also| {
            let own = Own { origin: &origin.at(also.port), public: &[] };
            let speaks = match also.binding {
                Binding::JsonRpc => binding == "JSONRPC",
                Binding::HttpJson => binding == "HTTP+JSON",
                Binding::Grpc => false,
            };
            speaks && own.path(interface.url).is_some()
        });
        carried && (own.path(interface.url).is_some() || further)
    };
    let interfaces = interfaces(card).into_iter().filter(|interface| !served(interface));
    let mut notes: Vec<String> =
        interfaces.filter_map(|interface| note(&interface, origin)).collect();
    notes.dedup();
    notes
}

fn note(interface: &Interface<'_>, origin: &Origin) -> Option<String> {
    let Interface { url, binding } = interface;
    let authority = url.split_once("://").map_or(*url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = split_authority(authority, Some(80))?;
    if !is_nearby(host) && !origin.has_host(host) {
        return Some(format!(
            "the card names {url} for {binding}, by which callers pass the relay by"
        ));
    }
    Some(match binding.to_ascii_uppercase().as_str() {
        "HTTP+JSON" | "JSONRPC" | "GRPC" => format!(
            "the card names {url}, a port that is not forwarded, and callers do not see it; serve it \
             with --also {}={port}",
            binding.to_ascii_lowercase()
        ),
        _ => format!(
            "the card names {url} for {binding}, which does not cross the relay; callers do not see it"
        ),
    })
}

/// Where the card may stand: at the origin, then below the endpoint.
pub fn card_paths(endpoint: &str) -> Vec<String> {
    let below = endpoint.trim_end_matches('/');
    let mut paths: Vec<String> = CARD_PATHS.map(str::to_owned).into();
    if !below.is_empty() {
        paths.extend(CARD_PATHS.map(|name| format!("{below}{name}")));
    }
    paths
}

struct Interface<'c> {
    url: &'c str,
    binding: &'c str,
}

/// Every interface of a card, in the order of its preference: 1.0, then 0.3; many cards are both.
fn interfaces(card: &Value) -> Vec<Interface<'_>> {
    let listed = |list: &str, binding: &'static str| {
        let entries = card.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        entries.iter().filter_map(move |entry| {
            Some(Interface {
                url: entry.get("url")?.as_str()?,
                binding: entry.get(binding)?.as_str()?,
            })
        })
    };
    let preferred = card.get("preferredTransport").and_then(Value::as_str).unwrap_or("JSONRPC");
    let main = card.get("url").and_then(Value::as_str);
    listed("supportedInterfaces", "protocolBinding")
        .chain(main.map(|url| Interface { url, binding: preferred }))
        .chain(listed("additionalInterfaces", "transport"))
        .collect()
}

/// The paths of the interfaces of one binding that are the agent's own.
fn path_of<'i>(
    interfaces: &'i [Interface<'_>],
    binding: &'static str,
    own: &'i Own<'_>,
) -> impl Iterator<Item = String> + 'i {
    interfaces
        .iter()
        .filter(move |interface| interface.binding.eq_ignore_ascii_case(binding))
        .filter_map(|interface| own.path(interface.url))
}

/// Tells the agent's own URLs from foreign ones.
struct Own<'a> {
    origin: &'a Origin,
    public: &'a [String],
}

impl Own<'_> {
    /// Whether an interface is of gRPC, and the agent's own. Its URL is `host:port` alone (A2A 1.0), or
    /// has a scheme.
    fn serves_grpc(&self, interface: &Interface<'_>) -> bool {
        let url = interface.url;
        let absolute = match url.contains("://") {
            true => url.to_owned(),
            false => format!("http://{url}"),
        };
        let bare = |base: &String| base.split("://").nth(1).is_some_and(|bare| bare == url);
        interface.binding.eq_ignore_ascii_case("GRPC")
            && (self.path(&absolute).is_some()
                || self.public.iter().any(|base| bare(&base.trim_end_matches('/').to_owned())))
    }

    /// The raw path of `url` at the agent's origin, if it is there: already public and below the
    /// base, or on the agent's port with a host that only a machine nearby can mean.
    fn path(&self, url: &str) -> Option<String> {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let below = |base: &String| {
            let rest = url.strip_prefix(base.trim_end_matches('/'))?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rooted(rest))
        };
        if let Some(path) = self.public.iter().find_map(below) {
            return Some(path);
        }
        let (scheme, rest) = url.split_once("://")?;
        let default_port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_authority(authority, Some(default_port))?;
        let own = port == self.origin.port() && (self.origin.has_host(host) || is_nearby(host));
        own.then(|| rooted(path))
    }
}

fn rooted(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

/// Whether a host can only mean a machine nearby. Agents name wrong hosts all the time.
fn is_nearby(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_private() || ip.is_link_local()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
        }
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            !name.contains('.')
                || [".local", ".internal", ".localhost"].iter().any(|end| name.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests;
