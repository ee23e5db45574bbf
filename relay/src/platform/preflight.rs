//! Says before anything is registered what the platform will refuse, and why, and what its operator should
//! know. Each finding is a sentence.
//!
//! What the platform takes as an agent's URL differs from where it calls one, and a platform that is
//! hosted for many lets networks in that another one does not.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::Client;
use super::answer::{CallError, Row};
use super::budget::Purpose;
use super::url::PlatformUrl;
use crate::public::PublicUrl;

/// Patience for a name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// When the platform refuses an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// When the agent registers.
    Register,
    /// When it is called; its registration goes well.
    Dispatch,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Register => "refuses every registration with 400",
            Self::Dispatch => "takes registrations and then answers every call with 502",
        })
    }
}

/// The network of an address that the platform does not take, and when it says so. `hosted` is
/// whether it is hosted for many.
pub fn refused(ip: IpAddr, hosted: bool) -> Option<(&'static str, When)> {
    use When::{Dispatch, Register};
    let ip = match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    match ip {
        IpAddr::V4(ip) => match ip.octets() {
            [0, 0, 0, 0] => Some(("0.0.0.0, no host at all", Dispatch)),
            [127, ..] => Some(("127.0.0.0/8, this host alone", Register)),
            [10, ..] if !hosted => Some(("10.0.0.0/8, a private network", Register)),
            [172, 16..=31, ..] if !hosted => Some(("172.16.0.0/12, a private network", Register)),
            [192, 168, ..] if !hosted => Some(("192.168.0.0/16, a private network", Register)),
            [169, 254, ..] => Some(("169.254.0.0/16, link-local", Register)),
            [100, 64..=127, ..] => Some(("100.64.0.0/10, a provider's private network", Register)),
            [192, 0, 2, _] => Some(("192.0.2.0/24, for documents", Register)),
            [198, 51, 100, _] => Some(("198.51.100.0/24, for documents", Register)),
            [203, 0, 113, _] => Some(("203.0.113.0/24, for documents", Register)),
            _ => None,
        },
        IpAddr::V6(ip) if ip.is_unspecified() => Some(("::, no host at all", Dispatch)),
        IpAddr::V6(ip) if ip.is_loopback() => Some(("::1, this host alone", Register)),
        IpAddr::V6(ip) => match ip.octets() {
            [0xfe, 0x80..=0xbf, ..] => Some(("fe80::/10, link-local", Register)),
            [0xfc, ..] => Some(("fc00::/8, reserved", Register)),
            [0xfd, ..] if !hosted => Some(("fd00::/8, a private network", Register)),
            _ => None,
        },
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The platform will refuse something.
    Refused(String),
    /// Nothing is refused, and the operator should know it all the same.
    Noted(String),
    /// Only the platform knows.
    Unknown(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(sentence) | Self::Noted(sentence) | Self::Unknown(sentence)) = self;
        f.write_str(sentence)
    }
}

/// What the platform will not take of the relay's public URL.
pub async fn judge_url(public: &PublicUrl, hosted: bool) -> Option<Finding> {
    let authority = public.authority();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let cure = "Give --public-url a name or an address that is public";
    if host.eq_ignore_ascii_case("localhost") {
        let when = When::Dispatch;
        return Some(Finding::Refused(format!(
            "The platform {when}, since the public URL's host is localhost. {cure}."
        )));
    }
    let found: Vec<IpAddr> = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => match timeout(LOOKUP_TIMEOUT, lookup_host((host, 443))).await {
            Ok(Ok(found)) => found.map(|address: SocketAddr| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        },
    };
    if found.is_empty() {
        return Some(Finding::Unknown(format!(
            "This machine cannot look up {host}, the public URL's host; whether the platform can, and \
             to a public address, is not known: where it cannot, it {}.",
            When::Register
        )));
    }
    let kind = if hosted { "hosted for many" } else { "of your own" };
    found.into_iter().find_map(|ip| {
        let (network, when) = refused(ip, hosted)?;
        let names = if host.parse::<IpAddr>().is_ok() { "is" } else { "has" };
        Some(Finding::Refused(format!(
            "The platform, as one {kind}, {when}: the public URL's host {host} {names} {ip}, of \
             {network}. {cure}."
        )))
    })
}

/// What the operator should know of how the platform is spoken to.
fn judge_way(platform: &PlatformUrl) -> Option<Finding> {
    platform.shows_secrets().then(|| {
        Finding::Noted(format!(
            "{}: plain HTTP, as --platform-insecure-http allows: whoever is between reads the \
             operator's token and those of all agents.",
            platform.as_str()
        ))
    })
}

/// What the platform will not do for this relay. Reads, and changes nothing. Each call waits for its
/// place in the rate limit.
pub async fn judge(client: &Client, public: &PublicUrl, hosted: bool) -> Vec<Finding> {
    let mut findings: Vec<_> = judge_way(client.url()).into_iter().collect();
    let of_url = judge_url(public, hosted).await;
    let url = client.url().as_str();
    place(client).await;
    if let Err(error @ CallError::Unreachable(_)) = client.health().await {
        findings.extend(of_url);
        let why = format!("{url}: {error} Check --platform-url, and what lies between.");
        findings.push(Finding::Refused(why));
        return findings;
    }
    place(client).await;
    let listed = client.list().await;
    let taken = listed.as_ref().is_ok_and(|rows| has_taken(rows, public));
    findings.extend(of_url.filter(|found| !(taken && matches!(found, Finding::Unknown(_)))));
    findings.extend(match listed {
        Ok(_) => None,
        Err(CallError::Unauthorized(status)) => Some(Finding::Refused(format!(
            "{url}: the platform refuses the operator's token ({status}); give its admin token or an \
             org token with RELAY_PLATFORM_TOKEN or --platform-token-file."
        ))),
        Err(CallError::OrgMissing) if hosted => Some(Finding::Refused(format!(
            "{url}: the platform knows no organisation of the id that RELAY_PLATFORM_ORG says (404)."
        ))),
        Err(error) => Some(Finding::Refused(format!("{url}: {error}"))),
    });
    findings
}

/// Whether the platform has registered an agent of this relay before: so it can look its host up.
fn has_taken(rows: &[Row], public: &PublicUrl) -> bool {
    let ours = format!("{}/molecule/", public.as_str());
    rows.iter().any(|row| row.url.starts_with(&ours))
}

async fn place(client: &Client) {
    while let Err(wait) = client.take(Purpose::Other { beats_soon: 0 }) {
        // Others may have been quicker.
        sleep(wait.max(Duration::from_millis(1))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_is_refused_when_the_platform_refuses_it() {
        use When::{Dispatch, Register};
        let (never, always) = (None::<When>, Some(Register));
        for (ip, own, hosted) in [
            ("8.8.8.8", never, never),
            ("2600::1", never, never),
            ("127.0.0.1", always, always),
            ("::1", always, always),
            ("::ffff:127.0.0.1", always, always),
            ("10.1.2.3", always, never),
            ("172.16.0.1", always, never),
            ("172.31.255.255", always, never),
            ("172.32.0.1", never, never),
            ("192.168.1.1", always, never),
            ("fd00::1", always, never),
            ("fc00::1", always, always),
            ("169.254.169.254", always, always),
            ("fe80::1", always, always),
            ("100.64.0.1", always, always),
            ("100.128.0.1", never, never),
            ("192.0.2.1", always, always),
            ("198.51.100.1", always, always),
            ("203.0.113.1", always, always),
            ("0.0.0.0", Some(Dispatch), Some(Dispatch)),
            ("::", Some(Dispatch), Some(Dispatch)),
        ] {
            let when = |hosted| refused(ip.parse().unwrap(), hosted).map(|(_, when)| when);
            assert_eq!((when(false), when(true)), (own, hosted), "{ip}");
        }
    }

    #[tokio::test]
    async fn a_url_is_judged_by_its_host() {
        let judged = async |url: &str, hosted| judge_url(&url.parse().unwrap(), hosted).await;
        let refused = async |url: &str, hosted| match judged(url, hosted).await {
            Some(Finding::Refused(sentence)) => sentence,
            other => panic!("{other:?}"),
        };
        let local = refused("http://localhost:8080", false).await;
        assert!(local.contains("502") && local.contains("localhost"), "{local}");
        let private = refused("https://10.0.0.5", false).await;
        assert!(private.contains("10.0.0.0/8") && private.contains("400"), "{private}");
        assert_eq!(judged("https://10.0.0.5", true).await, None);
        assert_eq!(judged("https://[2600::1]:8443", false).await, None);
        let nowhere = judged("https://nowhere.invalid", false).await.unwrap();
        let known = "This machine cannot look up nowhere.invalid";
        assert!(matches!(nowhere, Finding::Unknown(_)), "{nowhere:?}");
        assert!(nowhere.to_string().starts_with(known) && nowhere.to_string().contains("400"));
    }

    #[test]
    fn what_the_platform_registered_before_it_can_look_up() {
        let public = "https://relay.example.com".parse().unwrap();
        let row = |url: &str| Row { url: url.into(), ..Row::default() };
        assert!(has_taken(&[row(""), row("https://relay.example.com/molecule/a_x")], &public));
        assert!(!has_taken(&[row("https://relay.example.com.other/molecule/a_x")], &public));
        assert!(!has_taken(&[row("https://relay.example.com:8443/molecule/a_x")], &public));
        assert!(!has_taken(&[], &public));
    }

    #[test]
    fn plain_http_to_elsewhere_is_noted() {
        let noted = |url: &str| judge_way(&PlatformUrl::parse(url).unwrap());
        assert!(matches!(noted("http://10.0.0.7:8080"), Some(Finding::Noted(_))));
        assert_eq!(noted("http://127.0.0.1:8080"), None);
        assert_eq!(noted("https://platform.example.com"), None);
    }
}
