//! Decides what status a workspace has, whether it is connected, and why. Pure.

use std::time::Duration;

use shared::control::Status as Report;

/// How long the local agent may refuse before that shows: a restart of it takes less.
pub const REFUSES_AFTER: Duration = Duration::from_secs(10);
/// The failed share of an agent's tasks from which it is degraded.
pub const ERROR_RATE_DEGRADED: f64 = 0.5;
/// What an agent says of itself when it no longer makes progress.
const WEDGED: &str = "wedged";

/// The status of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No connector has ever joined.
    Provisioning,
    /// Calls reach the agent.
    Online,
    /// The link is there, the agent is not well.
    Degraded,
    /// The operator holds its calls back.
    Paused,
    /// No connector.
    Offline,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Provisioning, Self::Online, Self::Degraded, Self::Paused, Self::Offline];

    /// Its name in answers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Online => "online",
            Self::Degraded => "degraded",
            Self::Paused => "paused",
            Self::Offline => "offline",
        }
    }
}

/// What the tunnel sees of a workspace.
#[derive(Debug, Clone, Copy)]
pub enum Sight<'a> {
    /// A link is up.
    Link {
        /// The agent's last report.
        report: &'a Report,
        /// For how long the local agent has refused, if it does.
        refusing: Option<Duration>,
        /// Whether the connector takes no new exchanges.
        draining: bool,
    },
    /// The last link ended so long ago.
    Left(Duration),
    /// No link since the relay started, though a connector has enrolled.
    Away,
    /// No connector has ever enrolled.
    Never,
}

/// How a workspace stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: Status,
    /// Whether a link is up.
    pub connected: bool,
    /// Why it is not simply online, for people.
    pub reason: Option<String>,
}

/// How a workspace stands, by what the operator said and the tunnel sees.
pub fn standing(paused: bool, sight: Sight<'_>) -> Standing {
    let connected = matches!(sight, Sight::Link { .. });
    let (status, reason) = match sight {
        _ if paused => (Status::Paused, Some("The operator paused it.".to_owned())),
        Sight::Link { report, refusing, draining } => match trouble(report, refusing) {
            Some(reason) => (Status::Degraded, Some(reason)),
            None if draining => {
                (Status::Online, Some("Its connector is shutting down.".to_owned()))
            }
            None => (Status::Online, None),
        },
        Sight::Left(ago) => {
            (Status::Offline, Some(format!("Its connector's link ended {} s ago.", ago.as_secs())))
        }
        Sight::Away => (
            Status::Offline,
            Some("Its connector has not come back since the relay started.".to_owned()),
        ),
        Sight::Never => (Status::Provisioning, Some("No connector has joined yet.".to_owned())),
    };
    Standing { status, connected, reason }
}

/// What is wrong with an agent whose link is up.
fn trouble(report: &Report, refusing: Option<Duration>) -> Option<String> {
    match refusing {
        Some(since) if since > REFUSES_AFTER => {
            Some(format!("The agent's port has refused connections for {} s.", since.as_secs()))
        }
        _ if report.runtime_state == WEDGED => Some("The agent says that it is wedged.".to_owned()),
        _ if report.error_rate >= ERROR_RATE_DEGRADED => {
            Some(format!("The agent reports an error rate of {:.2}.", report.error_rate))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(error_rate: f64, runtime_state: &str) -> Report {
        Report { error_rate, runtime_state: runtime_state.to_owned(), ..Report::default() }
    }

    #[test]
    fn each_row_has_its_status() {
        let seconds = |s| Some(Duration::from_secs(s));
        let (well, failing, wedged) = (report(0.49, ""), report(0.5, ""), report(0.0, "wedged"));
        let link = |report, refusing| Sight::Link { report, refusing, draining: false };
        let left = Sight::Left(Duration::from_secs(3));
        let draining = Sight::Link { report: &well, refusing: None, draining: true };
        for (case, paused, sight, status, connected, reason) in [
            ("well", false, link(&well, None), Status::Online, true, None),
            ("refusing briefly", false, link(&well, seconds(10)), Status::Online, true, None),
            ("refusing", false, link(&well, seconds(11)), Status::Degraded, true, Some("11 s")),
            ("failing", false, link(&failing, None), Status::Degraded, true, Some("0.50")),
            ("wedged", false, link(&wedged, None), Status::Degraded, true, Some("wedged")),
            ("both", false, link(&wedged, seconds(60)), Status::Degraded, true, Some("refused")),
            ("draining", false, draining, Status::Online, true, Some("shutting down")),
            ("left", false, left, Status::Offline, false, Some("3 s ago")),
            ("never", false, Sight::Never, Status::Provisioning, false, Some("No connector")),
            ("paused", true, link(&failing, None), Status::Paused, true, Some("paused")),
            ("paused away", true, left, Status::Paused, false, Some("paused")),
            ("paused new", true, Sight::Never, Status::Paused, false, Some("paused")),
        ] {
            let stands = standing(paused, sight);
            assert_eq!((stands.status, stands.connected), (status, connected), "{case}");
            let told = stands.reason.unwrap_or_default();
            match reason {
                Some(part) => assert!(told.contains(part), "{case}: {told}"),
                None => assert_eq!(told, "", "{case}"),
            }
        }
    }
}
