//! What somebody presents to be let in, apart from connectors' keys: tokens and keys as texts.

use std::fmt;
use std::str::FromStr;

use certs::random::random_bytes;
use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};
use shared::ids::WorkspaceId;
use ulid::Ulid;

use super::allowance::Allowance;
use super::errors::StoreError;
use super::model::check_name;
use super::orders::fresh_ulid;
use super::words::words;

/// What a credential is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// Speaks for a workspace.
    WorkspaceToken,
    /// Does for the organisation what its scope allows.
    OrgKey,
    /// Calls one workspace.
    CallerToken,
}

words!(
    CredentialKind,
    "kind of credential",
    "workspace_token, org_key and caller_token",
    WorkspaceToken = "workspace_token",
    OrgKey = "org_key",
    CallerToken = "caller_token"
);

impl CredentialKind {
    /// What its texts begin with.
    pub const fn text_prefix(self) -> &'static str {
        match self {
            Self::WorkspaceToken => "rtok_",
            Self::OrgKey => "okey_",
            Self::CallerToken => "rcall_",
        }
    }

    /// The actions that bear its name in the audit trail.
    pub(super) const fn actions(self) -> Actions {
        match self {
            Self::WorkspaceToken => Actions { issued: "token.issued", revoked: "token.revoked" },
            Self::OrgKey => Actions { issued: "key.issued", revoked: "key.revoked" },
            Self::CallerToken => Actions { issued: "caller.issued", revoked: "caller.revoked" },
        }
    }
}

/// How making and revoking a kind of credential are called.
pub(super) struct Actions {
    pub(super) issued: &'static str,
    pub(super) revoked: &'static str,
}

/// What an org key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything that the operator may do.
    Admin,
    /// Calls to every workspace.
    Call,
    /// Looking.
    Read,
}

words!(Scope, "scope", "admin, call and read", Admin = "admin", Call = "call", Read = "read");

/// The public name of a credential: a ULID in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(Ulid);

/// Why a text is not the id of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a credential must look like 01ARZ3NDEKTSV4RRFFQ69G5FAV")]
pub struct CredentialIdError;

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CredentialId {
    type Err = CredentialIdError;
    fn from_str(text: &str) -> Result<Self, CredentialIdError> {
        let ulid = Ulid::from_string(text).map_err(|_| CredentialIdError)?;
        // One spelling only: two spellings of one id would be two keys in a map.
        if ulid.to_string() == text { Ok(Self(ulid)) } else { Err(CredentialIdError) }
    }
}

impl serde::Serialize for CredentialId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A credential as it stands. Its text is known to its holder alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its public name.
    pub id: CredentialId,
    /// What it is for.
    pub kind: CredentialKind,
    /// The workspace it speaks for or calls; `None` for org keys.
    pub workspace: Option<WorkspaceId>,
    /// What it allows; `None` for all but org keys.
    pub scope: Option<Scope>,
    /// What its maker calls it.
    pub label: Option<String>,
    /// When it was made, in unix milliseconds.
    pub created_at_ms: i64,
    /// The first moment at which it opens nothing, in unix milliseconds; `None` is never.
    pub expires_at_ms: Option<i64>,
    /// When it was revoked, in unix milliseconds.
    pub revoked_at_ms: Option<i64>,
    /// What its holder may ask of the workspace that it calls; all but caller tokens have the default.
    pub allowance: Allowance,
}

impl Credential {
    /// Whether it opens anything at `now_ms`.
    pub fn is_live(&self, now_ms: i64) -> bool {
        self.revoked_at_ms.is_none() && self.expires_at_ms.is_none_or(|expires| now_ms < expires)
    }

    /// What its text begins with, its id included: tells it from others and opens nothing.
    pub fn prefix(&self) -> String {
        format!("{}{}", self.kind.text_prefix(), self.id)
    }
}

/// A credential to be stored. Its text, which is given beside it, is shown once and kept nowhere.
#[derive(Debug, Clone)]
pub struct NewCredential {
    /// What is to be known of it.
    pub credential: Credential,
    /// The SHA-256 of its text.
    pub hash: [u8; 32],
}

impl NewCredential {
    /// A token that speaks for the workspace until it is revoked, and its text.
    pub fn workspace_token(
        workspace: WorkspaceId,
        now_ms: i64,
    ) -> Result<(Self, String), StoreError> {
        Self::fresh(Credential {
            workspace: Some(workspace),
            ..blank(CredentialKind::WorkspaceToken, now_ms)?
        })
    }

    /// A key of the organisation that lives until it is revoked, and its text. See [`check_name`].
    pub fn org_key(name: String, scope: Scope, now_ms: i64) -> Result<(Self, String), StoreError> {
        check_name(&name)?;
        Self::fresh(Credential {
            scope: Some(scope),
            label: Some(name),
            ..blank(CredentialKind::OrgKey, now_ms)?
        })
    }

    /// A token for calls to the workspace, and its text. See [`check_name`].
    pub fn caller_token(
        workspace: WorkspaceId,
        name: String,
        expires_at_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<(Self, String), StoreError> {
        check_name(&name)?;
        Self::fresh(Credential {
            workspace: Some(workspace),
            label: Some(name),
            expires_at_ms,
            ..blank(CredentialKind::CallerToken, now_ms)?
        })
    }

    /// The same for a holder who may ask no more than this.
    #[must_use]
    pub fn allowed(mut self, allowance: Allowance) -> Self {
        self.credential.allowance = allowance;
        self
    }

    fn fresh(credential: Credential) -> Result<(Self, String), StoreError> {
        let secret: [u8; 32] = random_bytes()
            .map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        let secret = BASE32_NOPAD.encode(&secret).to_lowercase();
        let text = format!("{}{secret}", credential.prefix());
        let hash = hash_of(&text);
        Ok((Self { credential, hash }, text))
    }
}

fn blank(kind: CredentialKind, now_ms: i64) -> Result<Credential, StoreError> {
    Ok(Credential {
        id: CredentialId(fresh_ulid(now_ms)?),
        kind,
        workspace: None,
        scope: None,
        label: None,
        created_at_ms: now_ms,
        expires_at_ms: None,
        revoked_at_ms: None,
        allowance: Allowance::default(),
    })
}

/// The SHA-256 by which the text of a credential is known.
pub fn hash_of(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
