//! What becomes of one URL of a card: it stays, it moves below the public base, or it goes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::View;

/// What becomes of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It is public already, or none of our business.
    Stays,
    /// It is on the agent's origin: this public URL takes its place.
    Moves(String),
    /// It is private and not the agent's origin: nobody outside could use it.
    Goes,
}

/// The agent that a card is of.
#[derive(Debug)]
pub(super) struct Agent<'a> {
    base: &'a str,
    secret_base: Option<&'a str>,
    host: String,
    port: u16,
}

impl<'a> Agent<'a> {
    /// The agent that is looked at so.
    pub(super) fn new(view: &View<'a>) -> Option<Self> {
        let origin: Uri = view.origin.parse().ok()?;
        let (host, port) = (bare(origin.host()?), port_of(&origin)?);
        Some(Self { base: view.base, secret_base: view.secret_base, host, port })
    }

    /// The public JSON-RPC endpoint that every agent has.
    pub(super) fn endpoint(&self) -> String {
        format!("{}a2a", self.base)
    }

    /// What becomes of `url`.
    pub(super) fn place(&self, url: &str) -> Place {
        let trimmed = self.base.trim_end_matches('/');
        if below(url, trimmed).is_some() {
            return Place::Stays;
        }
        let secret = self.secret_base.map(|base| base.trim_end_matches('/'));
        if let Some(rest) = secret.and_then(|secret| below(url, secret)) {
            return Place::Moves(format!("{trimmed}{rest}"));
        }
        if url.starts_with('/') && !url.starts_with("//") {
            return Place::Moves(format!("{trimmed}{url}"));
        }
        let Some((host, port, raw)) = split(url) else { return Place::Stays };
        let same_port = port == Some(self.port);
        if same_port && (host == self.host || is_local(&host)) {
            Place::Moves(format!("{trimmed}{raw}"))
        } else if is_local(&host) || host == self.host {
            Place::Goes
        } else {
            tracing::info!(%host, "the card names a public URL of its own, by which callers pass the relay by");
            Place::Stays
        }
    }
}

/// What stands behind a base, by whole segments.
fn below<'u>(url: &'u str, base: &str) -> Option<&'u str> {
    url.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Host, port, and the rest as it stands: slash for slash.
fn split(url: &str) -> Option<(String, Option<u16>, &str)> {
    let uri: Uri = url.parse().ok()?;
    let host = bare(uri.host()?);
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(after_scheme..)?;
    let raw = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
    Some((host, port_of(&uri), raw))
}

fn port_of(uri: &Uri) -> Option<u16> {
    uri.port_u16().or(match uri.scheme_str() {
        Some("https" | "wss") => Some(443),
        Some("http" | "ws") => Some(80),
        _ => None,
    })
}

/// A host in lower case, without the brackets of an IPv6 literal and the final dot of a name.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a host means nothing outside the agent's own network.
fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => is_local_v4(v4),
        Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or_else(|| is_local_v6(v6), is_local_v4),
        Err(_) => {
            !host.contains('.')
                || [".local", ".internal", ".localhost"].iter().any(|end| host.ends_with(end))
        }
    }
}

fn is_local_v4(v4: Ipv4Addr) -> bool {
    let shared_space = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]);
    v4.is_loopback() || v4.is_unspecified() || v4.is_private() || v4.is_link_local() || shared_space
}

const fn is_local_v6(v6: Ipv6Addr) -> bool {
    v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
}
