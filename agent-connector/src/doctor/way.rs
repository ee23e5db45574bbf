//! The way to the relay: who answers there, and what the credential is worth.

use shared::codes::{CloseCode, RefusalCode};
use shared::control::{Hello, Status, ToRelay, Version};
use shared::exposure::Exposure;
use shared::ids::InstanceId;
use shared::limits::VERSION_MINOR;

use super::{Finding, Patient, Step, Trouble, reach};
use crate::config::Config;
use crate::tunnel::dial::Dialed;
use crate::tunnel::error::LinkError;
use crate::tunnel::first::{SOFTWARE, ask, close};
use crate::tunnel::who::Who;

pub(super) async fn examine(patient: &Patient, config: &Config) -> Vec<Finding> {
    let (mut findings, dialed) = reach::examine(patient, &config.way).await;
    let Some(dialed) = dialed else { return findings };
    match dialed {
        Err(error @ LinkError::WrongAuthority { .. }) => findings.push(Finding::bad(
            Step::Tls,
            Trouble::Credentials,
            error.to_string(),
            "Compare with `relay workspace show` (relay_ca). If the relay was set up anew, join \
             again; if not, somebody else answers there: find out who.",
        )),
        Err(error @ LinkError::Inspected { .. }) => findings.push(Finding::bad(
            Step::Tls,
            Trouble::Unreachable,
            error.to_string(),
            "Ask whoever runs the proxy to let TLS to the relay's host and port through as it is.",
        )),
        Err(error @ LinkError::Stranger { .. }) => findings.push(Finding::bad(
            Step::Tls,
            Trouble::Unreachable,
            error.to_string(),
            "See that the relay runs, that its tunnel's port is open, and whose server that is.",
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
