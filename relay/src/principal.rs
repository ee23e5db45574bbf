//! Who asks: the credential that a request shows, judged once and carried as a type.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use shared::ids::WorkspaceId;

use crate::admin::AdminToken;
use crate::clock::unix_ms;
use crate::registry::{Actor, Credential, CredentialKind, Lookup, Registry, Scope, hash_of};

/// Prefixes of the credentials that the relay gives away.
const PREFIXES: [&str; 3] = ["rtok_", "okey_", "rcall_"];
/// A credential for the relay beside one for the agent, which keeps `Authorization`.
const OWN_FIELD: &str = "x-relay-authorization";

/// Whoever showed a valid credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// The operator, by the admin token or a session of the canvas.
    Operator,
    /// The holder of an organisation key.
    Key(Arc<Credential>),
    /// An agent, by its workspace's token or, without one, by its link.
    Workspace(WorkspaceId, Option<Arc<Credential>>),
    /// The holder of a caller token of this workspace.
    Caller(WorkspaceId, Arc<Credential>),
}

impl Principal {
    /// Whether it may change everything.
    pub fn may_administer(&self) -> bool {
        matches!(self, Self::Operator) || self.scope() == Some(Scope::Admin)
    }

    /// Whether it may see every workspace, but for what is a secret.
    pub fn may_read(&self) -> bool {
        self.may_administer() || self.scope() == Some(Scope::Read)
    }

    /// Whether it may call every agent.
    pub fn may_call(&self) -> bool {
        self.may_administer() || self.scope() == Some(Scope::Call)
    }

    /// Whether it is this workspace's agent.
    pub fn speaks_for(&self, workspace: &WorkspaceId) -> bool {
        matches!(self, Self::Workspace(id, _) if id == workspace)
    }

    /// Whether it belongs to one workspace: of the others it is told nothing.
    pub const fn is_of_one_workspace(&self) -> bool {
        matches!(self, Self::Workspace(..) | Self::Caller(..))
    }

    /// The credential that may end while its holder's call goes on. The operator's does not, and a
    /// call that shows none over a link ends with that link.
    pub const fn credential(&self) -> Option<&Arc<Credential>> {
        match self {
            Self::Key(credential) | Self::Caller(_, credential) => Some(credential),
            Self::Workspace(_, credential) => credential.as_ref(),
            Self::Operator => None,
        }
    }

    /// What agents and the audit trail call it. No secret.
    pub fn name(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::Key(credential) | Self::Caller(_, credential) => credential.prefix(),
            Self::Workspace(id, _) => id.to_string(),
        }
    }

    /// Which credential it showed, or on whose link it came: the same for each of its calls, and no
    /// secret.
    pub fn credential_id(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::Workspace(id, None) => id.to_string(),
            Self::Key(credential)
            | Self::Caller(_, credential)
            | Self::Workspace(_, Some(credential)) => credential.id.to_string(),
        }
    }

    /// As whoever does something, from `source`.
    pub fn actor(&self, source: Option<IpAddr>) -> Actor {
        Actor { name: self.name(), source }
    }

    fn scope(&self) -> Option<Scope> {
        match self {
            Self::Key(credential) => credential.scope,
            Self::Operator | Self::Workspace(..) | Self::Caller(..) => None,
        }
    }
}

/// A credential of the relay was shown that is wrong, expired, revoked or doubled: nothing tells
/// which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadCredential;

/// Knows every credential.
#[derive(Debug, Clone)]
pub struct Doorman {
    /// Those that were given away.
    pub registry: Registry,
    /// The operator's.
    pub token: AdminToken,
}

impl Doorman {
    /// Who shows a credential of the relay in these fields; `None` if nobody does. Another
    /// `Authorization` is the agent's business.
    pub fn judge(&self, fields: &HeaderMap) -> Result<Option<Principal>, BadCredential> {
        let mut own = fields.get_all(OWN_FIELD).iter();
        if let Some(value) = own.next() {
            let word = bearer(value).ok_or(BadCredential)?;
            return match own.next() {
                None => self.know(word).map(Some),
                Some(_) => Err(BadCredential),
            };
        }
        let mut values = fields.get_all(AUTHORIZATION).iter();
        let Some(first) = values.next() else { return Ok(None) };
        let doubled = values.next().is_some();
        let ours = fields
            .get_all(AUTHORIZATION)
            .iter()
            .any(|value| bearer(value).is_some_and(|word| self.is_ours(word)));
        match bearer(first) {
            _ if !ours => Ok(None),
            Some(word) if !doubled => self.know(word).map(Some),
            _ => Err(BadCredential),
        }
    }

    /// Whether a text has the form of one of the relay's credentials.
    fn is_ours(&self, word: &str) -> bool {
        PREFIXES.iter().any(|prefix| word.starts_with(prefix)) || self.token.is(word.as_bytes())
    }

    fn know(&self, word: &str) -> Result<Principal, BadCredential> {
        if self.token.is(word.as_bytes()) {
            return Ok(Principal::Operator);
        }
        let now_ms = unix_ms();
        let credential = self.registry.credential(&hash_of(word)).ok_or(BadCredential)?;
        if !credential.is_live(now_ms) {
            return Err(BadCredential);
        }
        self.registry.note_use(credential.id, now_ms);
        match (credential.kind, credential.workspace) {
            (CredentialKind::OrgKey, _) => Ok(Principal::Key(credential)),
            (CredentialKind::WorkspaceToken, Some(id)) if self.is_there(&id) => {
                Ok(Principal::Workspace(id, Some(credential)))
            }
            (CredentialKind::CallerToken, Some(id)) if self.is_there(&id) => {
                Ok(Principal::Caller(id, credential))
            }
            _ => Err(BadCredential),
        }
    }

    fn is_there(&self, id: &WorkspaceId) -> bool {
        matches!(self.registry.by_id(id), Lookup::Live(_))
    }
}

/// The token of a field of the scheme Bearer (RFC 6750, 2.1).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests;
