//! Who a connector says it is: the agent of a certificate, or the holder of a workspace token.

use std::sync::Arc;

use certs::{CaFingerprint, Identity, Profile};
use shared::ids::WorkspaceId;
use shared::secret::Secret;

/// A workspace token, and where its relay is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: Secret,
    /// Whose it is, where the connector was told; the relay knows.
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) ca: CaFingerprint,
    /// What is kept beside it, where it is kept itself.
    pub(crate) profile: Option<Profile>,
}

impl Token {
    /// A token that is kept in the state directory.
    pub(crate) fn kept(profile: Profile, text: Secret) -> Self {
        Self {
            text,
            workspace: Some(profile.workspace),
            endpoints: profile.endpoints.clone(),
            ca: profile.ca,
            profile: Some(profile),
        }
    }
}

/// Who dials a link.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// Somebody who has joined.
    Certificate(Arc<Identity>),
    /// Somebody who holds a token.
    Token(Arc<Token>),
}

impl Who {
    /// What goes into the TLS handshake.
    pub(crate) fn certificate(&self) -> Option<&Arc<Identity>> {
        match self {
            Self::Certificate(identity) => Some(identity),
            Self::Token(_) => None,
        }
    }

    /// What goes into HELLO in place of a certificate.
    pub(crate) fn token(&self) -> Option<&Secret> {
        match self {
            Self::Certificate(_) => None,
            Self::Token(token) => Some(&token.text),
        }
    }

    pub(crate) fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Certificate(identity) => Some(identity.workspace),
            Self::Token(token) => token.workspace,
        }
    }

    pub(crate) fn endpoints(&self) -> &[String] {
        match self {
            Self::Certificate(identity) => &identity.endpoints,
            Self::Token(token) => &token.endpoints,
        }
    }

    pub(crate) fn ca(&self) -> CaFingerprint {
        match self {
            Self::Certificate(identity) => identity.ca,
            Self::Token(token) => token.ca,
        }
    }

    /// What is kept of the relay beside the credential, where that is kept itself.
    pub(crate) fn profile(&self) -> Option<Profile> {
        match self {
            Self::Certificate(identity) => Some(identity.profile()),
            Self::Token(token) => token.profile.clone(),
        }
    }
}
