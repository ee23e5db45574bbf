//! The credentials in memory: found by hash, listed by whose they are.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shared::ids::WorkspaceId;

use super::credential::{Credential, CredentialId, CredentialKind};

type Owner = (CredentialKind, Option<WorkspaceId>);

/// The maps that must agree.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    by_hash: HashMap<[u8; 32], Arc<Credential>>,
    /// Ids are in the order of their making.
    by_owner: HashMap<Owner, BTreeMap<CredentialId, Arc<Credential>>>,
}

impl Keyring {
    pub(super) fn by_hash(&self, hash: &[u8; 32]) -> Option<Arc<Credential>> {
        self.by_hash.get(hash).cloned()
    }

    /// What is known now of a credential that was found earlier.
    pub(super) fn current(&self, found: &Credential) -> Option<Arc<Credential>> {
        self.by_owner.get(&(found.kind, found.workspace))?.get(&found.id).cloned()
    }

    /// All of one kind that one owner has, the oldest first.
    pub(super) fn of(
        &self,
        kind: CredentialKind,
        workspace: Option<WorkspaceId>,
    ) -> Vec<Arc<Credential>> {
        self.by_owner
            .get(&(kind, workspace))
            .into_iter()
            .flatten()
            .map(|(_, of)| of.clone())
            .collect()
    }

    /// Takes `credential` in, in the place of what was known by that hash.
    pub(super) fn insert(&mut self, hash: [u8; 32], credential: Credential) {
        self.remove(&hash);
        let credential = Arc::new(credential);
        self.by_owner
            .entry((credential.kind, credential.workspace))
            .or_default()
            .insert(credential.id, Arc::clone(&credential));
        self.by_hash.insert(hash, credential);
    }

    pub(super) fn remove(&mut self, hash: &[u8; 32]) {
        let Some(old) = self.by_hash.remove(hash) else { return };
        let owner = (old.kind, old.workspace);
        if let Some(owned) = self.by_owner.get_mut(&owner) {
            owned.remove(&old.id);
            if owned.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
    }
}
