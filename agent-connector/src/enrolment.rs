//! Joining alone: an identity now, a link later.

use std::path::PathBuf;

use certs::{CaFingerprint, IdentityError, JoinString, StateDir};
use shared::ids::WorkspaceId;
use tokio::time::sleep;

use crate::config::Way;
use crate::error::ConnectorError;
use crate::identity;
use crate::tunnel::dial::Relay;
use crate::tunnel::enrol;
use crate::tunnel::reconnect::{End, Verdict, judge, wait};

/// Attempts before a relay that cannot be reached is given up.
const ATTEMPTS_MAX: u32 = 3;

/// What to join with.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// The string that the relay printed.
    pub join: JoinString,
    /// Where to keep the identity.
    pub state_dir: PathBuf,
    /// Where to dial, over what the string says.
    pub relay: Option<String>,
    /// Whom to expect there, over what the string says.
    pub relay_ca: Option<CaFingerprint>,
    /// How to dial.
    pub way: Way,
}

/// When the workspace was joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// Just now.
    Now(WorkspaceId),
    /// Earlier: there was an identity.
    Before(WorkspaceId),
}

/// Trades the join string for an identity. One that is there for its workspace already stays,
/// unless the string is still good: then somebody made it to replace that one.
pub async fn join(request: JoinRequest) -> Result<Joined, ConnectorError> {
    let state = StateDir::open(&request.state_dir)?;
    let workspace = request.join.workspace;
    let joined_before = state.list()?.contains(&workspace);
    let _lock = match identity::lock(&state, &workspace).await {
        Err(IdentityError::Locked { .. }) if joined_before => return Ok(Joined::Before(workspace)),
        lock => lock?,
    };
    let relay = Relay {
        endpoints: request.relay.map_or_else(|| request.join.endpoints.clone(), |own| vec![own]),
        ca: request.relay_ca.unwrap_or(request.join.ca),
        worked: None,
    };
    let mut failures = 0;
    loop {
        let error = match enrol::join(&state, &request.join, &relay, &request.way).await {
            Ok(identity) => return Ok(Joined::Now(identity.workspace)),
            Err(error) if joined_before => {
                tracing::debug!(%error, "the join string is not good any more");
                return Ok(Joined::Before(workspace));
            }
            Err(error) => error,
        };
        failures += 1;
        match judge(&error.trouble(), false) {
            Verdict::End(End::Version) => return Err(ConnectorError::Version(error)),
            Verdict::End(End::Configuration) => return Err(ConnectorError::Local(error)),
            Verdict::End(End::Credentials) => return Err(ConnectorError::Refused(error)),
            _ if failures >= ATTEMPTS_MAX => return Err(ConnectorError::Unreachable(error)),
            Verdict::Again(pace) => sleep(wait(pace, failures, 1.0, None)).await,
            Verdict::Renew => return Err(ConnectorError::Refused(error)),
        }
        tracing::debug!(%error, "joining is tried again");
    }
}
