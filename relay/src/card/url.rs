//! What becomes of one URL of a card: it stays, it moves below the public base, or it goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::View;

/// What becomes of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It is public already, or none of our business.
    Stays,
    /// It is public and not the relay's: whoever follows it passes the relay by.
    Foreign,
    /// It is on the agent's origin: this public URL takes its place.
    Moves(String),
    /// It is private and not the agent's origin: nobody outside could use it.
    Goes,
}

/// The agent that a card is of.
#[derive(Debug)]
pub(super) struct Agent<'a> {
    base: &'a str,
    agents: &'a str,
    host: Option<&'a str>,
    endpoint: &'a str,
    secret_base: Option<&'a str>,
    /// Host and port of each of its servers.
    servers: Vec<(String, u16)>,
}

impl<'a> Agent<'a> {
    /// The agent that is looked at so. One of which no origin is known has no URL of its own.
    pub(super) fn new(view: &View<'a>) -> Self {
        let servers = view.origins.iter().filter_map(|origin| {
            let url = split(origin)?;
            Some((url.host, url.port?))
        });
        Self {
            base: view.base.trim_end_matches('/'),
            agents: view.agents.trim_end_matches('/'),
            host: view.host.map(|base| base.trim_end_matches('/')),
            endpoint: view.endpoint,
            secret_base: view.secret_base.map(|base| base.trim_end_matches('/')),
            servers: servers.collect(),
        }
    }

    /// The public JSON-RPC endpoint that every agent has.
    pub(super) const fn endpoint(&self) -> &str {
        self.endpoint
    }

    /// What becomes of the URL of a gRPC interface: it needs a host of the agent's own. `host:port` stands
    /// alone in A2A 1.0, and often behind a scheme in 0.3; the form stays.
    pub(super) fn place_grpc(&self, url: &str) -> Place {
        let Some((scheme, host)) = self.host.and_then(|base| base.split_once("://")) else {
            let place = self.place(url);
            return if matches!(place, Place::Moves(_)) { Place::Goes } else { place };
        };
        let with_port = match (host.contains(':'), scheme) {
            (true, _) => host.to_owned(),
            (false, "https") => format!("{host}:443"),
            (false, _) => format!("{host}:80"),
        };
        let bare = url.split_once("://").map_or(url, |(_, bare)| bare);
        let bare = bare.strip_suffix('/').unwrap_or(bare);
        if bare == with_port || bare == host {
            return Place::Stays;
        }
        match self.place(url) {
            Place::Moves(_) if !is_http(url) => Place::Goes,
            Place::Moves(_) if url.contains("://") => {
                let slash = if url.ends_with('/') { "/" } else { "" };
                Place::Moves(format!("{scheme}://{with_port}{slash}"))
            }
            Place::Moves(_) => Place::Moves(with_port),
            place => place,
        }
    }

    /// What becomes of `url`.
    pub(super) fn place(&self, url: &str) -> Place {
        if below(url, self.base).is_some() {
            return Place::Stays;
        }
        if let Some(rest) = self.secret_base.and_then(|secret| below(url, secret)) {
            return self.moved(rest);
        }
        if url.starts_with('/') && !url.starts_with("//") && !url.starts_with("/\\") {
            return self.moved(url);
        }
        // Another name of this agent, or another agent: it does not pass the relay by.
        if [Some(self.agents), self.host]
            .into_iter()
            .flatten()
            .any(|base| below(url, base).is_some())
        {
            return Place::Stays;
        }
        let Some(Url { host, port, raw }) = split(url) else { return Place::Stays };
        let has_host = |server: &(String, u16)| server.0 == host;
        let nearby = is_local(&host);
        let own = |server: &(String, u16)| Some(server.1) == port && (nearby || has_host(server));
        if self.servers.iter().any(own) {
            self.moved(raw)
        } else if nearby || self.servers.iter().any(has_host) {
            Place::Goes
        } else {
            Place::Foreign
        }
    }

    /// Below the public base, if it stays there.
    fn moved(&self, raw: &str) -> Place {
        let slash = if raw.starts_with(['?', '#']) { "/" } else { "" };
        let public = format!("{}{slash}{raw}", self.base);
        if below(&public, self.base).is_some() { Place::Moves(public) } else { Place::Goes }
    }
}

/// Whether a URL is one that callers speak HTTP to: it has the scheme, or none.
pub(super) fn is_http(url: &str) -> bool {
    match url.split_once("://") {
        Some((scheme, _)) => {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        }
        None => true,
    }
}

/// What stands behind a base, by whole segments. Dot segments could lead out of it again.
fn below<'u>(url: &'u str, base: &str) -> Option<&'u str> {
    let rest = url.strip_prefix(base)?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let leaves = path.split(['/', '\\']).any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    });
    let inside = rest.is_empty() || rest.starts_with(['/', '?', '#']);
    (inside && !leaves).then_some(rest)
}

/// A URL in its parts.
struct Url<'u> {
    host: String,
    port: Option<u16>,
    /// Behind the authority: slash for slash.
    raw: &'u str,
}

/// Takes a URL apart as leniently as browsers do, since a stricter reader would let pass what some
/// caller still understands. `None` for what nobody takes for a URL.
fn split(url: &str) -> Option<Url<'_>> {
    let text = url.trim_matches(|c: char| c <= ' ');
    let lower = text.to_ascii_lowercase();
    let web = [("https:", 443), ("http:", 80), ("wss:", 443), ("ws:", 80)];
    let (rest, default_port) = match web.iter().find(|(scheme, _)| lower.starts_with(scheme)) {
        Some((scheme, port)) => {
            (text.get(scheme.len()..)?.trim_start_matches(['/', '\\']), Some(*port))
        }
        None => match (text.strip_prefix("//"), text.split_once("://")) {
            (Some(rest), _) => (rest, None),
            (None, Some((_, rest))) => (rest, None),
            // `host:port`, as gRPC has it.
            (None, None) => {
                let (_, port) = text.split(['/', '?', '#']).next()?.rsplit_once(':')?;
                port.parse::<u16>().ok()?;
                (text, None)
            }
        },
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, raw) = rest.split_at(end);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority.get(after_address..)?.find(':').map(|at| after_address + at);
    let (host, port) = match colon {
        Some(at) => (authority.get(..at)?, authority.get(at + 1..)?.parse().ok().or(default_port)),
        None => (authority, default_port),
    };
    Some(Url { host: bare(host), port, raw })
}

/// A host in lower case, without the brackets of an IPv6 literal and the final dot of a name.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a host means nothing outside the agent's own network, or may mean something there.
fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => is_local_v4(v4),
        Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or_else(|| is_local_v6(v6), is_local_v4),
        Err(_) => {
            // `127.1` and `0x7f.0.0.1` are addresses too, for some readers.
            let last = host.rsplit('.').next().unwrap_or_default();
            let hexadecimal = last
                .strip_prefix("0x")
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            !host.contains('.')
                || host.contains('%')
                || last.bytes().all(|byte| byte.is_ascii_digit())
                || hexadecimal
                || [".local", ".internal", ".localhost"].iter().any(|end| host.ends_with(end))
        }
    }
}

fn is_local_v4(v4: Ipv4Addr) -> bool {
    let [first, second, ..] = v4.octets();
    let shared_space = first == 100 && (64..128).contains(&second);
    first == 0 || v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared_space
}

const fn is_local_v6(v6: Ipv6Addr) -> bool {
    v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
}
