//! By what a link shows whose it is: an agent's certificate, or a workspace token.

use certs::AgentIdentity;

use super::admission::Standing;
use crate::clock::unix_ms;
use crate::registry::{CredentialId, CredentialKind, Lookup, Registry, hash_of};

/// What a connector showed. The relay asks anew, whenever it matters, what that is worth.
#[derive(Debug, Clone)]
pub enum Proof {
    /// Neither of them.
    Nothing,
    /// The certificate of the TLS handshake.
    Certificate(AgentIdentity),
    /// A workspace token, which HELLO brought.
    Token(TokenHash),
}

/// The SHA-256 of a token, by which the registry knows it.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Proof {
    /// A certificate outweighs a token beside it.
    pub fn of(certificate: Option<AgentIdentity>, token: Option<&str>) -> Self {
        match (certificate, token) {
            (Some(identity), _) => Self::Certificate(identity),
            (None, Some(token)) => Self::Token(TokenHash(hash_of(token))),
            (None, None) => Self::Nothing,
        }
    }
}

impl Proof {
    /// What the registry knows of the credential.
    pub fn standing(&self, registry: &Registry) -> Standing {
        let (workspace, live) = match self {
            Self::Nothing => return Standing::Unknown,
            Self::Certificate(identity) => match registry.agent_key(&identity.key_hash.0) {
                Some(key) => (key.workspace, !key.revoked),
                None => return Standing::Unknown,
            },
            Self::Token(TokenHash(hash)) => {
                // A token of another kind opens no link, and nobody is told that it exists.
                let known = registry.credential(hash);
                let known = known.filter(|known| known.kind == CredentialKind::WorkspaceToken);
                match known.and_then(|known| Some((known.workspace?, known.is_live(unix_ms())))) {
                    Some(known) => known,
                    None => return Standing::Unknown,
                }
            }
        };
        match registry.by_id(&workspace) {
            Lookup::Live(_) if live => Standing::Good(workspace),
            Lookup::Live(_) => Standing::Revoked,
            Lookup::Gone | Lookup::Unknown => Standing::Gone,
        }
    }

    /// Which token it is, and notes that it was used.
    pub(super) fn use_token(&self, registry: &Registry) -> Option<CredentialId> {
        let Self::Token(TokenHash(hash)) = self else { return None };
        let id = registry.credential(hash)?.id;
        registry.note_use(id, unix_ms());
        Some(id)
    }
}

#[cfg(test)]
mod tests;
