//! Whose path is looked at: the credential, the relay, the agent, and whether a connector runs.

use std::sync::Arc;
use std::time::SystemTime;

use certs::{IdentityError, StateDir};
use shared::ids::WorkspaceId;

use super::{Finding, Step};
use crate::config::Config;
use crate::error::ConnectorError;
use crate::forward::origin::{LocalTarget, Origin};
use crate::identity;
use crate::status::{OwnFile, own_file};
use crate::taken;
use crate::tunnel::Credential;
use crate::tunnel::dial::Relay;
use crate::tunnel::who::Who;

/// Whose path is looked at.
pub(crate) struct Patient {
    pub(super) relay: Relay,
    /// `None`: it has a join string alone.
    pub(super) who: Option<Who>,
    workspace: Option<WorkspaceId>,
    /// Where the agent listens, if anybody said so.
    pub(super) agent: Option<Origin>,
    /// What the connector that runs with this identity says of itself.
    pub(super) running: Option<OwnFile>,
    /// Whether a connector of our own may take this credential: none can be using it.
    pub(super) may_connect: bool,
}

impl Patient {
    /// Reads what is there, and changes nothing. `agent` outweighs what a connector said of itself.
    pub(crate) fn read(config: &Config, agent: Option<Origin>) -> Result<Self, ConnectorError> {
        let (credential, workspace, own, running) = match taken::given_token(config)? {
            Some(token) => (Credential::Token(Arc::new(token)), config.workspace, None, false),
            None => stored(config)?,
        };
        let kept_agent = || {
            let target: LocalTarget = own.as_ref()?.agent.as_deref()?.parse().ok()?;
            Some(target.origin)
        };
        let (who, endpoints, ca) = match &credential {
            Credential::Join(join) => (None, join.endpoints.clone(), join.ca),
            Credential::Identity(identity) => {
                let who = Who::Certificate(Arc::clone(identity));
                (Some(who), identity.endpoints.clone(), identity.ca)
            }
            Credential::Token(token) => {
                (Some(Who::Token(Arc::clone(token))), token.endpoints.clone(), token.ca)
            }
        };
        let endpoints = config.relay.clone().map_or(endpoints, |own| vec![own]);
        Ok(Self {
            relay: Relay { endpoints, ca: config.relay_ca.unwrap_or(ca), worked: None },
            may_connect: !running && config.token.is_none() && who.is_some(),
            who,
            workspace,
            agent: agent.or_else(kept_agent),
            running: own.filter(|_| running),
        })
    }

    pub(super) fn seen(&self) -> Finding {
        let whose = self.workspace.map_or("a workspace token".to_owned(), |id| id.to_string());
        let state = match &self.running {
            Some(own) => format!("its connector runs and is {}", own.report.state.name()),
            None => "no connector of this state directory runs".to_owned(),
        };
        let expired = match &self.who {
            Some(Who::Certificate(own)) if own.is_expired(SystemTime::now()) => {
                "; its certificate has expired, and is renewed when it connects"
            }
            Some(_) => "",
            None => "; it has a join string, which is not used up by looking",
        };
        let relay = self.relay.endpoints.join(", ");
        Finding::well(Step::Configuration, format!("{whose}, relay {relay}; {state}{expired}"))
    }
}

type Stored = (Credential, Option<WorkspaceId>, Option<OwnFile>, bool);

fn stored(config: &Config) -> Result<Stored, ConnectorError> {
    let join = config.join.as_ref();
    if !config.state_dir.exists() {
        let choice = identity::choose(&[], join.map(|join| join.workspace), config.workspace)?;
        let join = config.join.clone().ok_or(identity::NoChoice::Unknown(choice.workspace()))?;
        return Ok((Credential::Join(Box::new(join)), Some(choice.workspace()), None, false));
    }
    let state = StateDir::open(&config.state_dir)?;
    let choice = identity::choose_from(&state, join, config.workspace)??;
    let workspace = choice.workspace();
    let credential = match (choice, config.join.clone()) {
        (identity::Choice::Join(_), Some(join)) => Credential::Join(Box::new(join)),
        _ => taken::stored(&state, &workspace)?,
    };
    if matches!(credential, Credential::Join(_)) {
        return Ok((credential, Some(workspace), None, false));
    }
    let running = match state.lock(&workspace) {
        Ok(_held_for_a_moment) => false,
        Err(IdentityError::Locked { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    let own = std::fs::read(own_file(state.path(), &workspace)).ok();
    let own = own.and_then(|json| serde_json::from_slice(&json).ok());
    Ok((credential, Some(workspace), own, running))
}
