//! The way to the relay: its name, packets to it, who answers, and what the credential is worth there.

use std::time::Duration;

use shared::codes::{CloseCode, RefusalCode};
use shared::control::{Hello, Status, ToRelay, Version};
use shared::exposure::Exposure;
use shared::ids::InstanceId;
use shared::limits::VERSION_MINOR;
use tokio::net::lookup_host;
use tokio::time::timeout;
use transport::Kind;

use super::{Finding, Patient, Step, Trouble};
use crate::config::{Config, Transport};
use crate::tunnel::dial::{Dialed, dial_over};
use crate::tunnel::error::LinkError;
use crate::tunnel::first::{SOFTWARE, ask, close};
use crate::tunnel::who::Who;

/// A resolver that takes longer is no help to a connector either.
const LOOKUP: Duration = Duration::from_secs(5);

pub(super) async fn examine(patient: &Patient, config: &Config) -> Vec<Finding> {
    let dns = resolve(&patient.relay.endpoints).await;
    let mut findings = vec![dns];
    if findings.iter().any(|finding| !finding.ok) {
        return findings;
    }
    let certificate = patient.who.as_ref().and_then(Who::certificate);
    let identity = certificate.map(AsRef::as_ref);
    let over = async |kind| dial_over(kind, &patient.relay, identity, config.way).await;
    let (dialed, udp) = match config.way.transport {
        Transport::Quic => udp_alone(over(Kind::Quic).await),
        Transport::Tcp => udp_unasked(over(Kind::Tcp).await),
        Transport::Auto => match over(Kind::Quic).await {
            Err(silent) if !silent.reached_somebody() => udp_silent(&silent, over(Kind::Tcp).await),
            answered => udp_alone(answered),
        },
    };
    findings.push(udp);
    let Some(dialed) = dialed else { return findings };
    match dialed {
        Err(error @ LinkError::WrongAuthority { .. }) => findings.push(Finding::bad(
            Step::Tls,
            Trouble::Credentials,
            error.to_string(),
            "Compare with `relay workspace show` (relay_ca). If the relay was set up anew, join \
             again; if not, somebody else answers there: find out who.",
        )),
        Err(error) => findings.push(Finding::bad(
            Step::Tls,
            Trouble::Configuration,
            error.to_string(),
            "Install an agent-connector of the relay's version, and check the port.",
        )),
        Ok(dialed) => {
            let seen = format!("the relay of {} answers at {}", patient.relay.ca, dialed.endpoint);
            findings.push(Finding::well(Step::Tls, seen));
            let round_trip = dialed.connection.rtt();
            findings.push(match &patient.who {
                Some(who) => credential(dialed, who).await,
                None => {
                    close(&dialed.connection, CloseCode::Done);
                    Finding::well(
                        Step::Credential,
                        "a join string; whether it is good, joining shows",
                    )
                }
            });
            let millis = round_trip.as_secs_f64() * 1000.0;
            findings.push(Finding::well(Step::Link, format!("{millis:.1} ms there and back")));
        }
    }
    findings
}

type Reached = Result<Dialed, LinkError>;

/// What UDP tells, where nothing else is dialled; nothing further where nobody answers.
fn udp_alone(dialed: Reached) -> (Option<Reached>, Finding) {
    match dialed {
        Err(error) if !error.reached_somebody() => (None, nobody(&error)),
        dialed => (Some(dialed), Finding::well(Step::Udp, "packets are answered")),
    }
}

/// As [`udp_alone`], where only TCP is dialled.
fn udp_unasked(dialed: Reached) -> (Option<Reached>, Finding) {
    match dialed {
        Err(error) if !error.reached_somebody() => (None, nobody(&error)),
        dialed => (Some(dialed), Finding::well(Step::Udp, "not tried: links go over TCP alone")),
    }
}

/// As [`udp_alone`], where TCP was dialled because nobody answered over UDP.
fn udp_silent(silent: &LinkError, dialed: Reached) -> (Option<Reached>, Finding) {
    match dialed {
        Err(error) if !error.reached_somebody() => (None, nobody(silent)),
        dialed => {
            let seen = format!("{silent} TCP is answered: the link goes over that.");
            (Some(dialed), Finding::well(Step::Udp, seen))
        }
    }
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

async fn resolve(endpoints: &[String]) -> Finding {
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

/// A relay judges the credential before the version. So a HELLO of a version that nobody speaks is
/// told what the credential is worth, and takes the place of no link.
async fn credential(dialed: Dialed, who: &Who) -> Finding {
    let hello = Hello {
        version: Version { major: 0, minor: VERSION_MINOR },
        software: SOFTWARE.into(),
        instance: InstanceId(0),
        attempt: 0,
        workspace_id: who.workspace(),
        token: who.token().cloned(),
        exposure: Exposure::default(),
        origin: String::new(),
        also: Vec::new(),
        beats_itself: false,
        card: serde_json::Value::Null,
        status: Status::default(),
    };
    let connection = dialed.connection.clone();
    let error = match ask(dialed, &ToRelay::Hello(Box::new(hello))).await {
        Err(error) => error,
        Ok(_) => LinkError::Malformed("it takes a version that nobody speaks".into()),
    };
    close(&connection, CloseCode::Done);
    let refused = |error: &LinkError| match error {
        LinkError::Refused(refusal) => Some(refusal.code.clone()),
        _ => None,
    };
    match refused(&error) {
        Some(RefusalCode::Version) => Finding::well(Step::Credential, "the relay knows it"),
        Some(RefusalCode::CertificateExpired) => Finding::well(
            Step::Credential,
            "the relay knows it; its certificate has expired, and is renewed when it connects",
        ),
        Some(RefusalCode::Draining | RefusalCode::Overloaded) | None => Finding::bad(
            Step::Credential,
            Trouble::Unreachable,
            error.to_string(),
            "Try again in a moment; the relay's log says more.",
        ),
        Some(_) => Finding::bad(
            Step::Credential,
            Trouble::Credentials,
            error.to_string(),
            "Ask the relay's operator for a join string (`relay workspace join NAME`, or `add` if \
             the workspace was removed) and start the connector with `--join`.",
        ),
    }
}
