//! Which agents may be called at URLs of their own: judges a URL, and the addresses of its host. Pure.
//!
//! Whoever registers an agent chooses its URL, and the relay may stand where others cannot reach: so a
//! URL is judged before its host is looked up, every address of the host before one is dialled, and
//! what is dialled is what was judged.

mod address;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::ValueEnum;
use http::HeaderValue;
use http::uri::{InvalidUri, PathAndQuery, Uri};
use shared::exposure::CARD_PATHS;

use crate::public::PublicUrl;
pub use address::Kind;

/// Which URLs of agents are called while no connector is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DirectUrls {
    /// None.
    Off,
    /// Those over https whose hosts have nothing but public addresses.
    #[default]
    Public,
    /// Plain http and the addresses of laboratories too.
    All,
}

impl fmt::Display for DirectUrls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Public => "public",
            Self::All => "all",
        })
    }
}

/// The rule that a URL breaks, for a sentence that begins "Its own URL is not called:".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// None is called here.
    #[error("the relay calls none (relay serve --direct-urls)")]
    Off,
    /// It cannot be read.
    #[error("it is no URL like https://agent.example.com")]
    Shape,
    /// It would be called in clear, or in no way that is known here.
    #[error("it is not https, and the relay calls no other (relay serve --direct-urls)")]
    Scheme,
    /// It holds a credential.
    #[error("it holds a user or a password")]
    User,
    /// Its host is spelled so that two readers could take it for different ones.
    #[error("its host is neither a name nor an address in its usual spelling")]
    Host,
    /// It is of no use, or would let callers reach what only the relay can.
    #[error("its host has {0} address, which the relay does not call (relay serve --direct-urls)")]
    Address(Kind),
    /// A request would come back.
    #[error("it leads to the relay itself")]
    Own,
    /// The request went through a relay to another relay's URL, and so on.
    #[error("the request came from a relay already, so it may go round in circles")]
    Circle,
}

/// The URL of an agent, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectUrl {
    /// Whether it is https.
    pub tls: bool,
    /// The name to look up, or the address; IPv6 without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
    /// The value of `Host`.
    pub authority: HeaderValue,
    /// Path of the JSON-RPC endpoint, and the query that the URL has.
    endpoint: PathAndQuery,
}

impl DirectUrl {
    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority.to_str().unwrap_or_default())
    }

    /// The address, where the URL names one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// What to ask for when the endpoint is called with this query.
    pub fn endpoint(&self, query: Option<&str>) -> Result<PathAndQuery, InvalidUri> {
        match (self.endpoint.query(), query) {
            (_, None) => Ok(self.endpoint.clone()),
            (Some(_), Some(query)) => format!("{}&{query}", self.endpoint).parse(),
            (None, Some(query)) => format!("{}?{query}", self.endpoint).parse(),
        }
    }

    /// What to ask for when the card is called with this query.
    pub fn card(query: Option<&str>) -> Result<PathAndQuery, InvalidUri> {
        let [path, _] = CARD_PATHS;
        match query {
            None => path.parse(),
            Some(query) => format!("{path}?{query}").parse(),
        }
    }
}

/// What is called here: the operator's word, and where the relay itself is.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The operator's word.
    pub policy: DirectUrls,
    /// The relay's own TCP listeners.
    pub listeners: Vec<SocketAddr>,
    /// The relay's public address.
    pub public: PublicUrl,
}

impl Rules {
    /// Judges a URL by itself; its host may still have addresses that break a rule.
    pub fn judge_url(&self, text: &str) -> Result<DirectUrl, Rule> {
        if self.policy == DirectUrls::Off {
            return Err(Rule::Off);
        }
        let uri: Uri = text.parse().map_err(|_| Rule::Shape)?;
        let authority = uri.authority().ok_or(Rule::Shape)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.policy == DirectUrls::All => false,
            Some(_) => return Err(Rule::Scheme),
            None => return Err(Rule::Shape),
        };
        if authority.as_str().contains('@') {
            return Err(Rule::User);
        }
        let host = read_host(authority.host()).ok_or(Rule::Host)?;
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => default_port(tls),
            _ => authority.port_u16().filter(|port| *port != 0).ok_or(Rule::Shape)?,
        };
        if (host.as_str(), port) == self.own() {
            return Err(Rule::Own);
        }
        if let Ok(ip) = host.parse() {
            self.judge_addresses(&[SocketAddr::new(ip, port)])?;
        }
        let endpoint = match (uri.path(), uri.query()) {
            ("" | "/", None) => PathAndQuery::from_static("/a2a"),
            ("" | "/", Some(query)) => format!("/a2a?{query}").parse().map_err(|_| Rule::Shape)?,
            _ => uri.path_and_query().cloned().ok_or(Rule::Shape)?,
        };
        let authority = HeaderValue::try_from(authority.as_str()).map_err(|_| Rule::Shape)?;
        Ok(DirectUrl { tls, host, port, authority, endpoint })
    }

    /// Judges all addresses that a host has: one that breaks a rule is too many.
    pub fn judge_addresses(&self, addresses: &[SocketAddr]) -> Result<(), Rule> {
        addresses.iter().try_for_each(|address| self.judge_address(*address))
    }

    fn judge_address(&self, address: SocketAddr) -> Result<(), Rule> {
        let kind = Kind::of(address.ip());
        let all = self.policy == DirectUrls::All;
        if kind != Kind::Public && !(all && kind.is_of_a_laboratory()) {
            return Err(Rule::Address(kind));
        }
        let own = |listener: &SocketAddr| {
            listener.port() == address.port()
                && (kind == Kind::Loopback || listener.ip() == address.ip())
        };
        if self.listeners.iter().any(own) { Err(Rule::Own) } else { Ok(()) }
    }

    /// Judges a connection that is open, by both its ends, before anything is sent on it: a listener
    /// on every address of this host has addresses that only the system knows.
    pub fn judge_connection(&self, local: SocketAddr, remote: SocketAddr) -> Result<(), Rule> {
        let own = |listener: &SocketAddr| listener.port() == remote.port();
        let here = local.ip() == remote.ip();
        if here && self.listeners.iter().any(own) { Err(Rule::Own) } else { Ok(()) }
    }

    /// Host and port of the public address.
    fn own(&self) -> (&str, u16) {
        let authority = self.public.authority();
        let tls = self.public.as_str().starts_with("https:");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        (host, authority.port_u16().unwrap_or(default_port(tls)))
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// A name in lower case or an address, and nothing that some reader takes for an address in an
/// unusual spelling (`0x7f.1`, `2130706433`, `0177.0.0.1`).
pub fn read_host(text: &str) -> Option<String> {
    if let Some(ip) = text.strip_prefix('[') {
        let ip: IpAddr = ip.strip_suffix(']')?.parse().ok()?;
        return ip.is_ipv6().then(|| ip.to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len()) && label.bytes().all(fits)
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return None;
    }
    let end = name.rsplit('.').next()?;
    let is_number = end.bytes().all(|byte| byte.is_ascii_digit()) || end.starts_with("0x");
    let plain = !text.ends_with('.') && name.parse::<Ipv4Addr>().is_ok();
    (plain || !is_number).then_some(name)
}

#[cfg(test)]
mod tests;
