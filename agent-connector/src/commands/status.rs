//! `agent-connector status`: tells the truth about the connectors of a state directory.
//!
//! Whether one runs is told by the lock that it holds, never by what it wrote before it ended.

use std::path::Path;
use std::process::ExitCode;

use certs::{IdentityError, StateDir};
use serde::Serialize;
use shared::ids::WorkspaceId;

use super::shared_args::StateArgs;
use super::{Done, terminal};
use crate::error::ConnectorError;
use crate::status::{OwnFile, PublicUrl, State, own_file};

/// Tells how the connectors of this machine stand
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 when the connector runs and is online, 1 otherwise.")]
pub(crate) struct StatusArgs {
    /// One JSON object, or an array where there are several identities
    #[arg(long)]
    json: bool,
    /// Of this identity only
    #[arg(long, value_name = "ID", env = "AGENT_CONNECTOR_WORKSPACE")]
    workspace: Option<WorkspaceId>,
    #[command(flatten)]
    state: StateArgs,
}

/// How one connector stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Standing {
    running: bool,
    /// Absent unless it runs.
    state: Option<State>,
    public_url: Option<PublicUrl>,
    /// At a host of its own, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_url: Option<PublicUrl>,
    workspace_id: WorkspaceId,
    transport: Option<String>,
    since: Option<String>,
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    pid: Option<u32>,
    updated_at: Option<String>,
}

pub(super) fn run(args: &StatusArgs) -> Done {
    let path = args.state.path()?;
    let standings = standings(&path, args.workspace)?;
    if args.json {
        terminal::say(&match standings.as_slice() {
            [only] => json(only),
            several => json(&several),
        });
    } else if standings.is_empty() {
        terminal::say("No agent has joined here. Begin with `agent-connector http PORT --join …`.");
    } else {
        standings.iter().for_each(|standing| terminal::say(&sentence(standing)));
    }
    let online = !standings.is_empty()
        && standings.iter().all(|standing| standing.state == Some(State::Online));
    Ok(ExitCode::from(u8::from(!online)))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// How the connectors stand whose identities are in the folder `path`.
fn standings(path: &Path, only: Option<WorkspaceId>) -> Result<Vec<Standing>, ConnectorError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let state = StateDir::open(path)?;
    let listed = state.list()?;
    let asked = listed.into_iter().filter(|workspace| only.is_none_or(|only| only == *workspace));
    asked.map(|workspace| Ok(standing(&state, workspace)?)).collect()
}

fn standing(state: &StateDir, workspace: WorkspaceId) -> Result<Standing, IdentityError> {
    let running = match state.lock(&workspace) {
        Ok(_held_for_a_moment) => false,
        Err(IdentityError::Locked { .. }) => true,
        Err(error) => return Err(error),
    };
    let file = own_file(state.path(), &workspace);
    let kept: Option<OwnFile> =
        std::fs::read(file).ok().and_then(|json| serde_json::from_slice(&json).ok());
    let url = kept.as_ref().and_then(|kept| kept.report.public_url.clone());
    let host_url = kept.as_ref().and_then(|kept| kept.report.host_url.clone());
    // What an ended connector wrote of itself says nothing about now.
    let now = kept.filter(|_| running);
    let report = now.as_ref().map(|now| &now.report);
    Ok(Standing {
        running,
        state: report.map(|report| report.state),
        public_url: url,
        host_url,
        workspace_id: workspace,
        transport: report.and_then(|report| report.transport.clone()),
        since: report.map(|report| report.since.clone()),
        reason: match report {
            Some(report) => report.reason.clone(),
            None => Some("NOT_RUNNING".to_owned()),
        },
        platform: report.and_then(|report| report.platform.clone()),
        pid: now.as_ref().map(|now| now.pid),
        updated_at: now.as_ref().map(|now| now.updated_at.clone()),
    })
}

fn sentence(standing: &Standing) -> String {
    let workspace = standing.workspace_id;
    let Some(state) = standing.state else {
        return format!("{workspace}: not running. Start it with `agent-connector http PORT`.");
    };
    let mut text = format!("{workspace}: {}", state.name());
    if let Some(since) = &standing.since {
        text.push_str(&format!(" since {since}"));
    }
    if let Some(reason) = &standing.reason {
        text.push_str(&format!(" ({reason})"));
    }
    if let Some(url) = standing.public_url.as_ref().filter(|_| state == State::Online) {
        text.push_str(&format!(" at {}", url.reveal()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{FILE, Report, Reporter};
    use tokio::sync::watch;
    use transport::Kind;

    const ID: &str = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    /// A state directory whose connector said that it is online.
    fn online() -> (tempfile::TempDir, StateDir, WorkspaceId) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let workspace: WorkspaceId = ID.parse().unwrap();
        drop(state.lock(&workspace).unwrap());
        let own = folder.path().join(ID);
        std::fs::write(own.join("credential.pem"), "").unwrap();
        let watchers = watch::Sender::new(Report::beginning());
        let reporter = Reporter::new(watchers, None);
        reporter.keep_in(own.join(FILE), "http://127.0.0.1:1".into());
        reporter.begin(Some(workspace), None, None, None);
        reporter.online(workspace, "http://relay/agents/a_x/", None, Kind::Quic);
        (folder, state, workspace)
    }

    #[test]
    fn a_killed_connector_is_not_online_whatever_it_wrote() {
        let (folder, state, workspace) = online();
        let lock = state.lock(&workspace).unwrap();
        let alive = standings(folder.path(), None).unwrap();
        assert_eq!(alive[0].state, Some(State::Online));
        assert_eq!(alive[0].pid, Some(std::process::id()));
        assert!(sentence(&alive[0]).ends_with("at http://relay/agents/a_x/"));

        drop(lock);
        let dead = standings(folder.path(), None).unwrap();
        assert_eq!((dead[0].running, dead[0].state, dead[0].pid), (false, None, None));
        assert_eq!(dead[0].reason.as_deref(), Some("NOT_RUNNING"));
        assert!(sentence(&dead[0]).contains("not running"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(standings(&path, None).unwrap(), []);
        assert!(!path.exists());
    }
}
