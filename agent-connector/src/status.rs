//! The connector's state: for those who watch the process, and for files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use shared::ids::WorkspaceId;
use tokio::sync::watch;
use transport::Kind;

use crate::clock::rfc3339;

/// The file that every running connector keeps beside its identity.
pub(crate) const FILE: &str = "status.json";

/// Where the connector of `workspace` keeps it.
pub(crate) fn own_file(state_dir: &Path, workspace: &WorkspaceId) -> PathBuf {
    state_dir.join(workspace.to_string()).join(FILE)
}

/// What the connector is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Trying to reach the relay.
    Dialing,
    /// The agent can be reached through the relay.
    Online,
    /// The relay said no for now; it is asked again later.
    Waiting,
    /// The relay said no for good.
    Refused,
}

impl State {
    /// Its name for people and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dialing => "dialing",
            Self::Online => "online",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
        }
    }
}

/// The public base of the agent. It may hold the address by which everybody can call, so it prints
/// as dots; [`PublicUrl::reveal`] is for the places that hand it to its owner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The URL itself. Never log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The state and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What the connector is doing.
    pub state: State,
    /// The agent's public base, once the relay has told it.
    pub public_url: Option<PublicUrl>,
    /// Its base at a host of its own, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_url: Option<PublicUrl>,
    /// The workspace that the agent is.
    pub workspace_id: Option<WorkspaceId>,
    /// How the link is carried, while there is one.
    pub transport: Option<String>,
    /// When this state began (RFC 3339).
    pub since: String,
    /// Why, in one word, where there is a reason.
    pub reason: Option<String>,
    /// Where the agent finds the platform, if it is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// What is dialled, or was last; for the terminal alone.
    #[serde(skip)]
    pub dialled: Vec<String>,
}

impl Report {
    /// The report of a connector that has only begun.
    pub fn beginning() -> Self {
        Self {
            state: State::Dialing,
            public_url: None,
            host_url: None,
            workspace_id: None,
            transport: None,
            since: rfc3339(SystemTime::now()),
            reason: None,
            platform: None,
            dialled: Vec::new(),
        }
    }

    pub(crate) fn set_urls(&mut self, public_url: &str, host_url: Option<&str>) {
        self.public_url = Some(PublicUrl(public_url.to_owned()));
        self.host_url = host_url.map(|url| PublicUrl(url.to_owned()));
    }
}

/// The file beside the identity: the report, and whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OwnFile {
    #[serde(flatten)]
    pub(crate) report: Report,
    pub(crate) pid: u32,
    pub(crate) updated_at: String,
    /// Where the agent listens.
    #[serde(default)]
    pub(crate) agent: Option<String>,
}

/// Tells each change of the state, in order, to whoever watches and to the files.
#[derive(Debug)]
pub(crate) struct Reporter {
    watchers: watch::Sender<Report>,
    /// Beside the identity, once there is one that is kept.
    own_file: OnceLock<(PathBuf, String)>,
    /// Where the owner wants one.
    status_file: Option<PathBuf>,
}

impl Reporter {
    pub(crate) fn new(watchers: watch::Sender<Report>, status_file: Option<PathBuf>) -> Self {
        Self { watchers, own_file: OnceLock::new(), status_file }
    }

    /// Keeps the state in this file from now on, besides the owner's, with the agent's URL; the first
    /// one counts.
    pub(crate) fn keep_in(&self, own_file: PathBuf, agent: String) {
        let _ = self.own_file.set((own_file, agent));
    }

    /// Begins with what an identity knows already.
    pub(crate) fn begin(
        &self,
        workspace: Option<WorkspaceId>,
        public_url: Option<String>,
        host_url: Option<String>,
        platform: Option<String>,
    ) {
        self.change(|report| {
            *report = Report {
                workspace_id: workspace,
                public_url: public_url.map(PublicUrl),
                host_url: host_url.map(PublicUrl),
                platform,
                ..Report::beginning()
            };
        });
    }

    /// These are dialled now.
    pub(crate) fn dials(&self, endpoints: &[String]) {
        self.change(|report| report.dialled = endpoints.to_vec());
    }

    /// There is a link, and this is whose.
    pub(crate) fn online(
        &self,
        workspace: WorkspaceId,
        public_url: &str,
        host_url: Option<&str>,
        over: Kind,
    ) {
        self.change(|report| {
            report.state = State::Online;
            report.workspace_id = Some(workspace);
            report.set_urls(public_url, host_url);
            report.transport = Some(over.name().to_owned());
            report.since = rfc3339(SystemTime::now());
            report.reason = None;
        });
    }

    /// A public base changed.
    pub(crate) fn public_urls(&self, public_url: &str, host_url: Option<&str>) {
        self.change(|report| report.set_urls(public_url, host_url));
    }

    /// The relay holds the agent's calls back, or no longer; the link stays.
    pub(crate) fn paused(&self, paused: bool) {
        self.change(|report| report.reason = paused.then(|| "PAUSED".to_owned()));
    }

    /// There is no link.
    pub(crate) fn tell(&self, state: State, reason: Option<String>) {
        self.change(|report| {
            if report.state != state {
                report.since = rfc3339(SystemTime::now());
            }
            report.state = state;
            report.transport = None;
            report.reason = reason;
        });
    }

    /// The files first: whoever has been told finds it in every one of them.
    fn change(&self, change: impl FnOnce(&mut Report)) {
        let before = self.watchers.borrow().clone();
        let mut report = before.clone();
        change(&mut report);
        if report != before {
            self.write(&report);
            self.watchers.send_replace(report);
        }
    }

    /// The owner's file comes last, since that is the one which is waited for.
    fn write(&self, report: &Report) {
        if let Some((own_file, agent)) = self.own_file.get() {
            let updated_at = rfc3339(SystemTime::now());
            write(
                own_file,
                &OwnFile {
                    report: report.clone(),
                    pid: std::process::id(),
                    updated_at,
                    agent: Some(agent.clone()),
                },
            );
        }
        if let Some(status_file) = &self.status_file {
            write(status_file, report);
        }
    }
}

/// A state that cannot be written is no reason to end a link.
fn write(path: &Path, content: &impl Serialize) {
    let written = serde_json::to_vec(content)
        .map_err(|error| error.to_string())
        .and_then(|json| certs::files::write_private(path, &json).map_err(|e| e.to_string()));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "the state could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_in_the_files_and_no_debug_output_holds_the_url() {
        let folder = tempfile::tempdir().unwrap();
        let (own, wanted) = (folder.path().join(FILE), folder.path().join("wanted.json"));
        let watchers = watch::Sender::new(Report::beginning());
        let reporter = Reporter::new(watchers.clone(), Some(wanted.clone()));
        reporter.keep_in(own.clone(), "http://127.0.0.1:1".into());
        let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        reporter.begin(Some(workspace), None, None, None);
        reporter.online(workspace, "http://relay/agents/a_secret/", None, Kind::Quic);
        assert!(!format!("{:?}", *watchers.borrow()).contains("a_secret"));

        let online: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&wanted).unwrap()).unwrap();
        assert_eq!(online["state"], "online");
        assert_eq!(online["transport"], "quic");
        assert_eq!(online["public_url"], "http://relay/agents/a_secret/");
        assert_eq!(online.as_object().unwrap().len(), 6);

        reporter.tell(State::Waiting, Some("REPLACED".into()));
        let own: OwnFile = serde_json::from_slice(&std::fs::read(&own).unwrap()).unwrap();
        assert_eq!((own.report.state, own.pid), (State::Waiting, std::process::id()));
        assert_eq!(own.report.reason.as_deref(), Some("REPLACED"));
        assert_eq!(own.report.transport, None);
    }

    /// The owner's file is what scripts wait for, and `status` reads the other one.
    #[test]
    fn what_the_owners_file_says_stands_beside_the_identity_already() {
        let folder = tempfile::tempdir().unwrap();
        let (own, wanted) = (folder.path().join(FILE), folder.path().join("wanted.json"));
        let reporter = Reporter::new(watch::Sender::new(Report::beginning()), Some(wanted.clone()));
        reporter.keep_in(own.clone(), "http://127.0.0.1:1".into());
        let workspace = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let state = |path: &Path| -> Option<State> {
            serde_json::from_slice::<Report>(&std::fs::read(path).ok()?).ok().map(|told| told.state)
        };
        for _ in 0..50 {
            reporter.tell(State::Waiting, None);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    reporter.online(workspace, "http://relay/agents/a_secret/", None, Kind::Tcp)
                });
                while state(&wanted) != Some(State::Online) {
                    std::hint::spin_loop();
                }
                assert_eq!(state(&own), Some(State::Online));
            });
        }
    }
}
