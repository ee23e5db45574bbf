//! What crosses, derived from the agent's card and the owner's own words.

use std::net::IpAddr;

use serde_json::Value;
use shared::exposure::{CARD_PATHS, Exposure, Rule};
use shared::limits::EXPOSURE_RULES_MAX;

use super::origin::{Origin, split_authority};

/// Where an agent takes A2A unless it or its owner says otherwise.
pub const DEFAULT_ENDPOINT: &str = "/a2a";
/// Where the extended card stands: A2A 0.2 and 0.3, then 1.0 and the HTTP+JSON of 0.3.
const EXTENDED_CARD_PATHS: [&str; 3] =
    ["/agent/authenticatedExtendedCard", "/extendedAgentCard", "/v1/card"];

/// What the owner says, whatever the card implies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The path of the endpoint, over the card's.
    pub local_path: Option<String>,
    /// Further paths, each with everything below it.
    pub allow: Vec<String>,
    /// The whole origin.
    pub all: bool,
}

/// The list for an agent at `origin` with `card`, whose public base is `public` if it is known.
pub fn derive(
    policy: &Policy,
    origin: &Origin,
    card: Option<&Value>,
    public: Option<&str>,
) -> Exposure {
    let own = Own { origin, public };
    let interfaces = card.map(interfaces).unwrap_or_default();
    let endpoint = policy
        .local_path
        .clone()
        .or_else(|| path_of(&interfaces, "JSONRPC", &own).next())
        .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());

    let mut rules: Vec<Rule> = card_paths(&endpoint).into_iter().map(Rule::Exact).collect();
    if let Some(card) = card {
        rules.extend(path_of(&interfaces, "HTTP+JSON", &own).map(Rule::HttpJson));
        // An agent may offer its JSON-RPC at several paths.
        rules.extend(path_of(&interfaces, "JSONRPC", &own).map(Rule::Exact));
        rules.extend(EXTENDED_CARD_PATHS.map(|path| Rule::Exact(path.to_owned())));
        let icon = card.get("iconUrl").and_then(Value::as_str);
        rules.extend(icon.and_then(|url| own.path(url)).map(Rule::Exact));
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
    Exposure { all: policy.all, endpoint, rules: all }
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
    public: Option<&'a str>,
}

impl Own<'_> {
    /// The raw path of `url` at the agent's origin, if it is there: already public and below the
    /// base, or on the agent's port with a host that only a machine nearby can mean.
    fn path(&self, url: &str) -> Option<String> {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        if let Some(base) = self.public.map(|base| base.trim_end_matches('/'))
            && let Some(rest) = url.strip_prefix(base)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return Some(rooted(rest));
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
