//! Which webhooks the relay posts to for an agent: the operator's word for one workspace. Pure.
//!
//! The URL of a webhook comes from whoever calls the agent, and the relay may stand where others cannot
//! reach. So it is judged like the URL of an agent, by [`crate::direct_url`], and more tightly: a name
//! may come to lead elsewhere, so only an address that the operator wrote down may be one of a laboratory.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::direct_url::{DirectUrl, DirectUrls, Rule, Rules, read_host};

/// Hosts in one list: an agent is told of its tasks at a few places.
const HOSTS_MAX: usize = 32;

/// Where the relay posts for an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PushEgress {
    /// Nowhere.
    #[default]
    Off,
    /// At these hosts.
    Hosts(Arc<[Host]>),
    /// At every public address, over https.
    Public,
}

/// A host of the operator's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name in lower case, or an address; IPv6 without brackets.
    name: String,
    /// The one port, if the operator named one.
    port: Option<u16>,
}

/// A text that says nothing of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "say off, public, or up to {HOSTS_MAX} hosts with commas between them, each HOST or HOST:PORT"
)]
pub struct BadPushEgress;

/// Why the relay does not post somewhere, for a sentence that begins "It is not posted:".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The operator has not turned it on.
    Off,
    /// The host is none of the list.
    Unlisted,
    /// The URL, or an address of its host, breaks a rule.
    Broken(Rule),
}

impl From<Rule> for Denied {
    fn from(rule: Rule) -> Self {
        Self::Broken(rule)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(
                "the operator has not turned it on for this agent (relay workspace set NAME \
                 --push-egress HOST)",
            ),
            Self::Unlisted => f.write_str(
                "its host is none of those that the operator listed for this agent (relay workspace \
                 set NAME --push-egress)",
            ),
            Self::Broken(Rule::Scheme) => {
                f.write_str("it is not https, and its host is not one that the operator listed")
            }
            Self::Broken(Rule::Address(kind)) => {
                write!(f, "its host has {kind} address, which the relay does not call")
            }
            Self::Broken(rule) => rule.fmt(f),
        }
    }
}

impl PushEgress {
    /// Judges the URL of a webhook; answers it with the rules for the addresses of its host.
    pub fn judge(&self, text: &str, rules: &Rules) -> Result<(DirectUrl, Rules), Denied> {
        let with = |policy| Rules { policy, ..rules.clone() };
        match self {
            Self::Off => Err(Denied::Off),
            Self::Public => {
                let public = with(DirectUrls::Public);
                Ok((public.judge_url(text)?, public))
            }
            Self::Hosts(hosts) => {
                let url = with(DirectUrls::All).judge_url(text)?;
                if !hosts.iter().any(|host| host.is_of(&url)) {
                    return Err(Denied::Unlisted);
                }
                let by_number = url.ip().is_some();
                Ok((url, with(if by_number { DirectUrls::All } else { DirectUrls::Public })))
            }
        }
    }
}

impl Host {
    fn is_of(&self, url: &DirectUrl) -> bool {
        self.name == url.host && self.port.is_none_or(|port| port == url.port)
    }

    fn read(text: &str) -> Option<Self> {
        let read = |text| read_host(text).filter(|name| is_full(name));
        let whole = read(text).map(|name| Self { name, port: None });
        // An IPv6 address has brackets, so a colon behind the last one is a port's.
        whole.or_else(|| {
            let (host, port) = text.rsplit_once(':')?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some(Self { name: read(host)?, port: Some(port) })
        })
    }
}

/// An address, or a name whose last label begins with a letter, as those of all networks do.
fn is_full(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    name.parse::<IpAddr>().is_ok() || last.starts_with(|first: char| first.is_ascii_alphabetic())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.parse() {
            Ok(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            _ => f.write_str(&self.name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for PushEgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Public => f.write_str("public"),
            Self::Hosts(hosts) => {
                for (number, host) in hosts.iter().enumerate() {
                    write!(f, "{}{host}", if number == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for PushEgress {
    type Err = BadPushEgress;

    fn from_str(text: &str) -> Result<Self, BadPushEgress> {
        match text {
            "off" => Ok(Self::Off),
            "public" => Ok(Self::Public),
            list => {
                let hosts: Option<Arc<[Host]>> = list.split(',').map(Host::read).collect();
                let hosts = hosts.filter(|hosts| hosts.len() <= HOSTS_MAX);
                hosts.map(Self::Hosts).ok_or(BadPushEgress)
            }
        }
    }
}

impl Serialize for PushEgress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::direct_url::Kind;

    /// What becomes of a webhook whose host has these addresses.
    fn judge(egress: &str, url: &str, addresses: &[&str]) -> Result<(), Denied> {
        let rules = Rules {
            // What is said of agents' own URLs means nothing here.
            policy: DirectUrls::Off,
            listeners: vec!["127.0.0.1:8080".parse().unwrap()],
            public: "https://relay.example.com".parse().unwrap(),
        };
        let (url, rules) = egress.parse::<PushEgress>().unwrap().judge(url, &rules)?;
        let at = |ip: &&str| SocketAddr::new(ip.parse().unwrap(), url.port);
        Ok(rules.judge_addresses(&addresses.iter().map(at).collect::<Vec<_>>())?)
    }

    #[test]
    fn a_list_is_read_as_it_is_written() {
        for (text, written) in [
            ("off", "off"),
            ("public", "public"),
            ("hooks.example.com", "hooks.example.com"),
            (
                "Hooks.Example.com:8443,[::1],127.0.0.1:9",
                "hooks.example.com:8443,[::1],127.0.0.1:9",
            ),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ] {
            assert_eq!(text.parse::<PushEgress>().unwrap().to_string(), written);
        }
        let many = vec!["x.example"; HOSTS_MAX + 1].join(",");
        for wrong in [
            "",
            ",",
            "a..b",
            "x:0",
            "x, y",
            "a.1b",
            "x:65536",
            "https://x",
            "x/y",
            "::1",
            "0x7f.1",
            &many,
        ] {
            assert_eq!(wrong.parse::<PushEgress>(), Err(BadPushEgress), "{wrong}");
        }
    }

    #[test]
    fn nothing_but_public_addresses_over_https_unless_the_operator_wrote_them_down() {
        let address = |kind| Err(Denied::Broken(Rule::Address(kind)));
        let broken = |rule| Err(Denied::Broken(rule));
        const ANY: &[&str] = &["93.184.216.34", "2606:2800:220:1::1"];
        for (egress, url, addresses, verdict) in [
            ("off", "https://hooks.example.com/x", ANY, Err(Denied::Off)),
            ("public", "https://hooks.example.com/x?k=v", ANY, Ok(())),
            ("public", "http://hooks.example.com/x", ANY, broken(Rule::Scheme)),
            ("public", "https://u:p@hooks.example.com/x", ANY, broken(Rule::User)),
            ("public", "https://relay.example.com/a2a", ANY, broken(Rule::Own)),
            // Every kind of address that is not public unicast, by number and behind a name.
            ("public", "https://127.0.0.1/x", &[], address(Kind::Loopback)),
            ("public", "https://[::1]/x", &[], address(Kind::Loopback)),
            ("public", "https://10.0.0.1/x", &[], address(Kind::Private)),
            ("public", "https://172.16.0.1/x", &[], address(Kind::Private)),
            ("public", "https://192.168.0.1/x", &[], address(Kind::Private)),
            ("public", "https://[fd00::1]/x", &[], address(Kind::Private)),
            ("public", "https://169.254.169.254/x", &[], address(Kind::LinkLocal)),
            ("public", "https://[fe80::1]/x", &[], address(Kind::LinkLocal)),
            ("public", "https://100.64.0.1/x", &[], address(Kind::Shared)),
            ("public", "https://224.0.0.1/x", &[], address(Kind::Multicast)),
            ("public", "https://[ff02::1]/x", &[], address(Kind::Multicast)),
            ("public", "https://203.0.113.1/x", &[], address(Kind::Documentation)),
            ("public", "https://[2001:db8::1]/x", &[], address(Kind::Documentation)),
            ("public", "https://0.0.0.0/x", &[], address(Kind::Unspecified)),
            ("public", "https://255.255.255.255/x", &[], address(Kind::Reserved)),
            ("public", "https://[::ffff:127.0.0.1]/x", &[], address(Kind::Mapped)),
            ("public", "https://[64:ff9b::7f00:1]/x", &[], address(Kind::Loopback)),
            ("public", "https://[64:ff9b::a9fe:a9fe]/x", &[], address(Kind::LinkLocal)),
            ("public", "https://2130706433/x", ANY, broken(Rule::Host)),
            (
                "public",
                "https://rebind.example/x",
                &["93.184.216.34", "127.0.0.1"],
                address(Kind::Loopback),
            ),
            ("public", "https://meta.example/x", &["169.254.169.254"], address(Kind::LinkLocal)),
            // A list.
            ("hooks.example.com", "https://hooks.example.com/x", ANY, Ok(())),
            ("hooks.example.com", "https://HOOKS.example.com.:8443/x", ANY, Ok(())),
            ("hooks.example.com", "http://hooks.example.com/x", ANY, Ok(())),
            (
                "hooks.example.com:443",
                "https://hooks.example.com:8443/x",
                ANY,
                Err(Denied::Unlisted),
            ),
            ("hooks.example.com", "https://x.hooks.example.com/x", ANY, Err(Denied::Unlisted)),
            ("hooks.example.com", "https://other.example.com/x", ANY, Err(Denied::Unlisted)),
            // A name that was listed leads inside one day.
            (
                "hooks.example.com",
                "https://hooks.example.com/x",
                &["10.0.0.1"],
                address(Kind::Private),
            ),
            ("localhost", "http://localhost:9/x", &["127.0.0.1"], address(Kind::Loopback)),
            // An address that was written down.
            ("127.0.0.1:9", "http://127.0.0.1:9/x", &["127.0.0.1"], Ok(())),
            ("127.0.0.1:9", "http://127.0.0.1:10/x", &[], Err(Denied::Unlisted)),
            ("127.0.0.1", "http://127.0.0.1:8080/x", &[], broken(Rule::Own)),
            ("169.254.169.254", "http://169.254.169.254/x", &[], address(Kind::LinkLocal)),
        ] {
            assert_eq!(judge(egress, url, addresses), verdict, "{egress} {url} {addresses:?}");
        }
    }
}
