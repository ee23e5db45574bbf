//! The first steps to the relay: its name, the proxy before it, and packets to it.

use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;
use transport::Kind;

use super::{Finding, Patient, Step, Trouble};
use crate::config::{Transport, Way};
use crate::proxy::Proxy;
use crate::tunnel::dial::{Buffers, Dialed, dial_over};
use crate::tunnel::error::LinkError;
use crate::tunnel::who::Who;

/// A resolver that takes longer is no help to a connector either.
const LOOKUP: Duration = Duration::from_secs(5);

/// What was seen, and whom the way led to; nobody where the way ends before.
pub(super) async fn examine(patient: &Patient, way: &Way) -> (Vec<Finding>, Option<Reached>) {
    let certificate = patient.who.as_ref().and_then(Who::certificate);
    let identity = certificate.map(AsRef::as_ref);
    let over = async |kind| dial_over(kind, &patient.relay, identity, way).await;
    let mut proxy = None;
    let mut direct = Vec::new();
    for endpoint in &patient.relay.endpoints {
        match way.proxy_before(endpoint) {
            Some(before) => proxy = Some(before),
            None => direct.push(endpoint),
        }
    }
    if let Some(proxy) = proxy.filter(|_| direct.is_empty()) {
        let kind = if way.transport == Transport::Quic { Kind::Quic } else { Kind::Tcp };
        let (dialed, findings) = through(&proxy, over(kind).await);
        return (findings, dialed);
    }
    let dns = resolve(&direct).await;
    if !dns.ok {
        return (vec![dns], None);
    }
    let (dialed, udp) = match way.transport {
        Transport::Quic => udp_alone(over(Kind::Quic).await),
        Transport::Tcp => udp_unasked(over(Kind::Tcp).await),
        Transport::Auto => match over(Kind::Quic).await {
            Err(silent) if !silent.reached_somebody() => udp_silent(&silent, over(Kind::Tcp).await),
            answered => udp_alone(answered),
        },
    };
    (vec![dns, udp], dialed)
}

pub(super) type Reached = Result<Dialed, LinkError>;

/// What UDP tells, where nothing else is dialled; nothing further where nobody answers.
fn udp_alone(dialed: Reached) -> (Option<Reached>, Finding) {
    match dialed {
        Err(error) if !reaches(&error) => (None, nobody(&error)),
        dialed => {
            let relay = dialed.as_ref().ok().map(|dialed| dialed.connection.remote_address());
            let granted = relay.and_then(|relay| Buffers::granted(relay).ok());
            let advice = granted.and_then(Buffers::advice);
            let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
            (Some(dialed), Finding::well(Step::Udp, format!("packets are answered{advice}")))
        }
    }
}

/// As [`udp_alone`], where only TCP is dialled.
fn udp_unasked(dialed: Reached) -> (Option<Reached>, Finding) {
    match dialed {
        Err(error) if !reaches(&error) => (None, nobody(&error)),
        dialed => (Some(dialed), Finding::well(Step::Udp, "not tried: links go over TCP alone")),
    }
}

/// As [`udp_alone`], where TCP was dialled because nobody answered over UDP.
fn udp_silent(silent: &LinkError, dialed: Reached) -> (Option<Reached>, Finding) {
    match dialed {
        Err(error) if !reaches(&error) => (None, nobody(silent)),
        dialed => {
            let seen = format!("{silent} TCP is answered: the link goes over that.");
            (Some(dialed), Finding::well(Step::Udp, seen))
        }
    }
}

/// What the proxy before every endpoint does.
fn through(proxy: &Proxy<'_>, dialed: Reached) -> (Option<Reached>, Vec<Finding>) {
    let name = proxy.name();
    let udp = Finding::well(Step::Udp, "not tried: links go through the proxy, over TCP alone");
    match dialed {
        Err(error @ LinkError::Proxy(_)) => {
            let remedy = "Do what the sentence says. `--proxy` names another proxy, `--proxy off` none, and \
                          NO_PROXY the hosts that need none.";
            (None, vec![Finding::bad(Step::Proxy, Trouble::Unreachable, error.to_string(), remedy)])
        }
        Err(error @ LinkError::NotOverUdp { .. }) => {
            let remedy = "Let `--transport` be auto or tcp; or name the relay's host in NO_PROXY.";
            (None, vec![Finding::bad(Step::Udp, Trouble::Configuration, error.to_string(), remedy)])
        }
        Err(error) if !reaches(&error) => {
            let remedy =
                "See that the relay runs, and ask whoever runs the proxy whether it reaches it.";
            let seen = format!("{name} takes connections, and nothing comes back: {error}");
            (None, vec![Finding::bad(Step::Proxy, Trouble::Unreachable, seen, remedy)])
        }
        dialed => {
            let proxy =
                Finding::well(Step::Proxy, format!("{name} connects to the relay's address"));
            (Some(dialed), vec![proxy, udp])
        }
    }
}

/// Whether somebody answered, be it the wrong one.
fn reaches(error: &LinkError) -> bool {
    error.reached_somebody()
        || matches!(error, LinkError::Inspected { .. } | LinkError::Stranger { .. })
}

fn nobody(error: &LinkError) -> Finding {
    Finding::bad(
        Step::Udp,
        Trouble::Unreachable,
        error.to_string(),
        "See that the relay runs and listens there (`relay serve --tunnel`), and that every firewall \
         on the way lets UDP or TCP to that port out, and its answers in.",
    )
}

async fn resolve(endpoints: &[&String]) -> Finding {
    let mut seen = Vec::new();
    let mut wrong = Vec::new();
    for endpoint in endpoints {
        match timeout(LOOKUP, lookup_host(endpoint)).await {
            Ok(Ok(addresses)) => {
                let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
                seen.push(format!("{endpoint} is {}", addresses.join(", ")));
            }
            Ok(Err(error)) => wrong.push(format!("{endpoint} does not resolve ({error})")),
            Err(_) => wrong.push(format!("nobody resolves {endpoint} within 5 s")),
        }
    }
    if seen.is_empty() {
        let remedy = "Check the name, and this machine's resolver (`getent hosts NAME`); or name the \
                      relay by its address with --relay.";
        return Finding::bad(Step::Dns, Trouble::Unreachable, wrong.join("; "), remedy);
    }
    seen.append(&mut wrong);
    Finding::well(Step::Dns, seen.join("; "))
}
