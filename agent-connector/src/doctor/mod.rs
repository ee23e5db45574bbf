//! Looks at each step of the path from callers to the agent by itself, and says what is wrong where.

mod agent;
mod get;
mod patient;
mod public;
mod reach;
mod way;

use serde::Serialize;

pub(crate) use patient::Patient;

use crate::{Config, ConnectorError};

/// What a step of the path is; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    /// What the connector was told, and its identity.
    Configuration,
    /// The relay's name.
    Dns,
    /// The proxy before it, where there is one.
    Proxy,
    /// Packets to the relay's tunnel, and back.
    Udp,
    /// Who answers there.
    Tls,
    /// Whether the relay takes the credential.
    Credential,
    /// How long the way is.
    Link,
    /// The local agent's port.
    Agent,
    /// Its card.
    Card,
    /// The public URL, through the relay to this agent.
    Public,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Dns => "dns",
            Self::Proxy => "proxy",
            Self::Udp => "udp",
            Self::Tls => "tls",
            Self::Credential => "credential",
            Self::Link => "link",
            Self::Agent => "agent",
            Self::Card => "card",
            Self::Public => "public",
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::Configuration => "without an identity or a token nobody can be told apart",
            Self::Dns => "the connector dials what the relay's name resolves to",
            Self::Proxy => {
                "this network lets the connector out through it alone, or its owner says so"
            }
            Self::Udp => "the tunnel is QUIC, so packets must cross both ways over UDP",
            Self::Tls => "nobody but the relay that was joined is trusted with an agent's calls",
            Self::Credential => "the relay links those alone whose credential it knows",
            Self::Link => "each call waits for this way, there and back",
            Self::Agent => "what callers send ends at this port",
            Self::Card => "callers read the card first, and find the agent's URLs in it",
            Self::Public => "this is what callers use",
        }
    }
}

/// How the process ends for a kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Configuration = 3,
    Credentials = 4,
    Unreachable = 5,
    LocalDown = 6,
}

/// What was seen at a step.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    step: Step,
    ok: bool,
    seen: String,
    why: &'static str,
    /// What to do; nothing where all is well.
    #[serde(rename = "do")]
    remedy: Option<String>,
    #[serde(skip)]
    trouble: Option<Trouble>,
}

impl Finding {
    fn well(step: Step, seen: impl Into<String>) -> Self {
        Self { step, ok: true, seen: seen.into(), why: step.why(), remedy: None, trouble: None }
    }

    fn bad(
        step: Step,
        trouble: Trouble,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (seen, remedy) = (seen.into(), Some(remedy.into()));
        Self { step, ok: false, seen, why: step.why(), remedy, trouble: Some(trouble) }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mark = if self.ok { "ok  " } else { "FAIL" };
        let mut text = format!("{mark} {:<13} {}", self.step.name(), self.seen);
        if let Some(remedy) = &self.remedy {
            text.push_str(&format!("\n     why: {}\n     do:  {remedy}", self.why));
        }
        text
    }
}

/// All that was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Diagnosis {
    ok: bool,
    pub(crate) steps: Vec<Finding>,
}

impl Diagnosis {
    /// There is nothing to begin with.
    pub(crate) fn unusable(error: &ConnectorError, trouble: Trouble) -> Self {
        let remedy = "Do what the sentence says, then look again.";
        let finding = Finding::bad(Step::Configuration, trouble, error.to_string(), remedy);
        Self { ok: false, steps: vec![finding] }
    }

    /// With what the process ends: the kind of the first trouble on the path.
    pub(crate) fn code(&self) -> u8 {
        self.steps.iter().find_map(|finding| finding.trouble).map_or(0, |trouble| trouble as u8)
    }
}

/// Looks at every step that can be looked at.
pub(crate) async fn examine(patient: Patient, config: Config) -> Diagnosis {
    let mut steps = vec![patient.seen()];
    steps.extend(way::examine(&patient, &config).await);
    let card = agent::examine(&patient, &mut steps).await;
    if let Some(card) = card.filter(|_| steps.iter().all(|finding| finding.ok)) {
        steps.push(public::examine(&patient, config, &card).await);
    }
    Diagnosis { ok: steps.iter().all(|finding| finding.ok), steps }
}
