//! Decides what status a workspace has, whether it is connected, and why. Pure.

use std::time::Duration;

use shared::control::Status as Report;

use super::pulse::SILENT_AFTER;

/// How long the local agent may refuse before that shows: a restart of it takes less.
pub const REFUSES_AFTER: Duration = Duration::from_secs(10);
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// A link is up.
    Link {
        /// For how long the local agent has refused, if it does.
        refusing: Option<Duration>,
        /// Whether the connector takes no new exchanges.
        draining: bool,
    },
    /// The last link ended so long ago.
    Left(Duration),
    /// No link since the relay started, though it has enrolled or registered.
    Away,
    /// It has neither enrolled nor registered.
    Never,
}

/// What is known of an agent at the URL that it registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnUrl {
    /// It has none that the relay calls.
    Uncalled,
    /// Nobody has looked lately.
    Unseen,
    /// It answered the last time.
    Answers,
    /// It did not answer the last time, and why.
    Fails(String),
}

/// Who holds an agent's calls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pauser {
    /// The relay's operator.
    Operator,
    /// The platform that the relay bridges to.
    Platform,
}

/// What is known of a workspace when its status is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'s> {
    /// Who holds its calls back, if anybody does.
    pub paused: Option<Pauser>,
    /// Its link.
    pub sight: Sight,
    /// Since its last heartbeat over HTTP, or its registration.
    pub beat: Option<Duration>,
    /// Where calls go while there is no link.
    pub own_url: &'s OwnUrl,
    /// What the agent says of itself, by link or heartbeat.
    pub report: &'s Report,
    /// Whether its errors make it degraded.
    pub degraded: bool,
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

/// How a workspace stands, by what the operator said, the tunnel sees and the agent sends.
pub fn standing(seen: Seen<'_>) -> Standing {
    let connected = matches!(seen.sight, Sight::Link { .. });
    let beats = seen.beat.is_some_and(|beat| beat < SILENT_AFTER);
    if let Some(pauser) = seen.paused {
        let reason = match pauser {
            Pauser::Operator => "The operator paused it.",
            Pauser::Platform => "The platform paused it.",
        };
        return Standing { status: Status::Paused, connected, reason: Some(reason.to_owned()) };
    }
    let (status, reason) = match seen.sight {
        Sight::Link { refusing, draining } => match trouble(&seen, refusing) {
            Some(reason) => (Status::Degraded, Some(reason)),
            None if draining => {
                (Status::Online, Some("Its connector is shutting down.".to_owned()))
            }
            None => (Status::Online, None),
        },
        _ if beats => match trouble(&seen, None) {
            Some(reason) => (Status::Degraded, Some(reason)),
            None => (Status::Online, Some(beating(seen.own_url))),
        },
        sight => match seen.own_url {
            OwnUrl::Answers => (Status::Online, Some("It answers at its own URL.".to_owned())),
            OwnUrl::Fails(why) => {
                (Status::Offline, Some(format!("It cannot be called at its own URL: {why}.")))
            }
            OwnUrl::Uncalled | OwnUrl::Unseen => away(sight, seen.beat),
        },
    };
    Standing { status, connected, reason }
}

/// Where the calls of an agent go that sends heartbeats and has no link.
fn beating(own_url: &OwnUrl) -> String {
    match own_url {
        OwnUrl::Uncalled => "It sends heartbeats, but no connector is up to take calls.".to_owned(),
        OwnUrl::Unseen | OwnUrl::Answers => {
            "It sends heartbeats; calls go to its own URL.".to_owned()
        }
        OwnUrl::Fails(why) => format!(
            "It sends heartbeats, but no connector is up, and it cannot be called at its own URL: \
             {why}."
        ),
    }
}

/// The status of an agent of which nothing is heard, and since when.
fn away(sight: Sight, beat: Option<Duration>) -> (Status, Option<String>) {
    let link = match sight {
        Sight::Left(ago) => Some(ago),
        Sight::Link { .. } | Sight::Away | Sight::Never => None,
    };
    let reason = match (beat, link) {
        (Some(beat), link) if link.is_none_or(|link| beat <= link) => {
            format!("Its last heartbeat came {} s ago; three are missing.", beat.as_secs())
        }
        (_, Some(link)) => format!("Its connector's link ended {} s ago.", link.as_secs()),
        _ if sight == Sight::Away => "Nothing was heard of it since the relay started.".to_owned(),
        _ => return (Status::Provisioning, Some("No connector has joined yet.".to_owned())),
    };
    (Status::Offline, Some(reason))
}

/// What is wrong with an agent of which something is heard.
fn trouble(seen: &Seen<'_>, refusing: Option<Duration>) -> Option<String> {
    match refusing {
        Some(since) if since > REFUSES_AFTER => {
            Some(format!("The agent's port has refused connections for {} s.", since.as_secs()))
        }
        _ if seen.report.runtime_state == WEDGED => {
            Some("The agent says that it is wedged.".to_owned())
        }
        _ if seen.degraded => {
            Some(format!("The agent reports an error rate of {:.2}.", seen.report.error_rate))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace with a link that is well, to be changed.
    fn seen(report: &Report) -> Seen<'_> {
        let sight = Sight::Link { refusing: None, draining: false };
        let own_url = &OwnUrl::Uncalled;
        Seen { paused: None, sight, beat: None, own_url, report, degraded: false }
    }

    #[test]
    fn each_row_has_its_status() {
        use Status::{Degraded, Offline, Online, Paused, Provisioning};
        let seconds = Duration::from_secs;
        let well = Report::default();
        let failing = Report { error_rate: 0.5, ..Report::default() };
        let wedged = Report { runtime_state: "wedged".into(), ..Report::default() };
        let refusing = |s| Sight::Link { refusing: Some(seconds(s)), draining: false };
        let draining = Sight::Link { refusing: None, draining: true };
        let left = Sight::Left(seconds(3));
        let beat = |s| Some(seconds(s));
        let away = Seen { sight: left, ..seen(&well) };
        let fails = OwnUrl::Fails("it refuses connections".into());
        let own = |own_url| Seen { own_url, ..away };
        for (case, seen, status, connected, reason) in [
            ("well", seen(&well), Online, true, None),
            ("well and beating", Seen { beat: beat(1), ..seen(&well) }, Online, true, None),
            ("beats are missing", Seen { beat: beat(999), ..seen(&well) }, Online, true, None),
            ("refusing briefly", Seen { sight: refusing(10), ..seen(&well) }, Online, true, None),
            ("refusing", Seen { sight: refusing(11), ..seen(&well) }, Degraded, true, Some("11 s")),
            ("failing", Seen { degraded: true, ..seen(&failing) }, Degraded, true, Some("0.50")),
            ("wedged", seen(&wedged), Degraded, true, Some("wedged")),
            (
                "both",
                Seen { sight: refusing(60), ..seen(&wedged) },
                Degraded,
                true,
                Some("refused"),
            ),
            ("draining", Seen { sight: draining, ..seen(&well) }, Online, true, Some("shutting")),
            ("left", away, Offline, false, Some("ended 3 s ago")),
            ("left, beating", Seen { beat: beat(89), ..away }, Online, false, Some("no connector")),
            (
                "left, then silent",
                Seen { beat: beat(90), ..away },
                Offline,
                false,
                Some("ended 3 s"),
            ),
            (
                "only ever beating",
                Seen { sight: Sight::Never, beat: beat(89), ..away },
                Online,
                false,
                Some("no connector"),
            ),
            (
                "three missed",
                Seen { sight: Sight::Never, beat: beat(90), ..away },
                Offline,
                false,
                Some("90 s ago; three are missing"),
            ),
            (
                "beating, and failing",
                Seen { sight: left, beat: beat(1), degraded: true, ..seen(&failing) },
                Degraded,
                false,
                Some("0.50"),
            ),
            ("restarted", Seen { sight: Sight::Away, ..away }, Offline, false, Some("Nothing")),
            ("new", Seen { sight: Sight::Never, ..away }, Provisioning, false, Some("joined yet")),
            ("answers", own(&OwnUrl::Answers), Online, false, Some("at its own URL")),
            ("fails", own(&fails), Offline, false, Some("it refuses connections.")),
            ("nobody looked", own(&OwnUrl::Unseen), Offline, false, Some("ended 3 s ago")),
            (
                "answers, and has never joined",
                Seen { sight: Sight::Never, ..own(&OwnUrl::Answers) },
                Online,
                false,
                Some("at its own URL"),
            ),
            (
                "fails, and has never joined",
                Seen { sight: Sight::Never, ..own(&fails) },
                Offline,
                false,
                Some("it refuses connections."),
            ),
            (
                "answers and beats",
                Seen { beat: beat(1), ..own(&OwnUrl::Answers) },
                Online,
                false,
                Some("calls go to its own URL"),
            ),
            (
                "beats, nobody looked",
                Seen { beat: beat(1), ..own(&OwnUrl::Unseen) },
                Online,
                false,
                Some("calls go to its own URL"),
            ),
            (
                "beats and fails",
                Seen { beat: beat(1), ..own(&fails) },
                Online,
                false,
                Some("it refuses connections."),
            ),
            (
                "beats, fails and is failing",
                Seen { beat: beat(1), own_url: &fails, degraded: true, report: &failing, ..away },
                Degraded,
                false,
                Some("0.50"),
            ),
            ("a link wins", Seen { own_url: &fails, ..seen(&well) }, Online, true, None),
            (
                "paused, answers",
                Seen { paused: Some(Pauser::Operator), ..own(&OwnUrl::Answers) },
                Paused,
                false,
                Some("paused"),
            ),
            (
                "paused",
                Seen { paused: Some(Pauser::Operator), ..seen(&failing) },
                Paused,
                true,
                Some("paused"),
            ),
            (
                "paused there",
                Seen { paused: Some(Pauser::Platform), ..seen(&well) },
                Paused,
                true,
                Some("platform paused"),
            ),
            (
                "paused away",
                Seen { paused: Some(Pauser::Operator), ..away },
                Paused,
                false,
                Some("paused"),
            ),
            (
                "paused, beating",
                Seen { paused: Some(Pauser::Operator), beat: beat(1), ..away },
                Paused,
                false,
                Some("paused"),
            ),
        ] {
            let stands = standing(seen);
            assert_eq!((stands.status, stands.connected), (status, connected), "{case}");
            let told = stands.reason.unwrap_or_default();
            match reason {
                Some(part) => assert!(told.contains(part), "{case}: {told}"),
                None => assert_eq!(told, "", "{case}"),
            }
        }
    }
}
