//! The registry: workspaces, their names and credentials, kept in a store and looked up in memory.
//!
//! Every change is one intent. It is answered after it is synced to the disk, and from that moment
//! every lookup sees it, and with it goes an event of the audit trail. Times come in as unix
//! milliseconds.

mod allowance;
mod backup;
mod bond;
mod bonds;
mod credential;
mod credentials;
mod directory;
mod errors;
mod events;
mod joining;
mod keyring;
mod migrations;
mod model;
mod open;
mod orders;
mod registration;
mod relations;
mod rewrapping;
mod rows;
mod sealing;
mod sealing_keys;
mod secret;
mod secrets;
mod store;
mod uses;
mod validity;
mod words;
mod workspaces;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use shared::ids::{Address, Alias, OrgId, WorkspaceId};

pub use self::allowance::{Allowance, IN_FLIGHT_MAX, Rate};
pub use self::backup::{Backup, Restored, restore};
pub use self::bond::{Adoption, Bond, BondChange, BondStep};
pub use self::credential::{
    Credential, CredentialId, CredentialIdError, CredentialKind, NewCredential, Scope, hash_of,
};
pub use self::directory::{Found, Lookup};
pub use self::errors::{JoinRefusal, OpenError, StoreError};
pub use self::events::{Actor, EVENTS_KEPT, EVENTS_PAGE_MAX, Event, EventQuery, NewEvent};
pub use self::model::{
    AgentKey, AliasWithoutPolicy, BadName, BadRole, CallerPolicy, ExposurePolicy, NAME_CHARS_MAX,
    ROLE_CHARS_MAX, Tier, Workspace, check_alias_has_policy, check_name, check_role,
};
pub use self::orders::{Edit, NewJoinToken, NewWorkspace, PolicyChange, fresh_address};
pub use self::registration::{Registered, Registration};
pub use self::sealing_keys::{SEALING_KEY_FILE, SealingKeys, SealingKeysError};
pub use self::secret::{SecretInfo, SecretName, SecretNameError};
pub use self::secrets::{SECRET_BYTES_MAX, SECRETS_MAX};
pub use self::validity::{Ended, Validity};
pub use self::words::PolicyError;

use self::directory::Directory;
use self::store::Store;
use self::uses::Uses;

/// The registry of one relay. Clones are the same registry; its file is closed when the last one
/// is gone.
///
/// Cancelling an intent does not undo it: once it is queued it is carried out.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Store,
    directory: Directory,
    uses: Uses,
    keys: SealingKeys,
    org: OrgId,
}

impl Registry {
    /// Opens the store at `path`, and makes it if it is not there. Blocks while the file is
    /// checked, for a second at most if another process has it.
    ///
    /// The file belongs to this process alone until the registry is closed. A file that is
    /// damaged, foreign or too new is refused and not changed. The first of `keys` seals secrets
    /// from now on, and those there are too; the others still open them.
    pub fn open(path: impl AsRef<Path>, keys: SealingKeys, now_ms: i64) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let mut connection = open::open(path, now_ms)?;
        let refused = |error| open::refusal(path, &error);
        let org = rows::org(&connection).map_err(refused)?;
        let directory = Directory::default();
        directory.apply(rows::everything(&connection).map_err(refused)?);
        let uses = Uses::load(&connection).map_err(refused)?;
        rewrapping::rewrap_all(&mut connection, &keys)
            .map_err(|reason| OpenError::Unreachable { path: path.to_owned(), detail: reason })?;
        let store = Store::start(connection, path, directory.clone())
            .map_err(|error| open::unreachable(path, &error))?;
        Ok(Self { store, directory, uses, keys, org })
    }

    /// Carries out what is queued, closes the file and returns when it is closed. Later intents
    /// are refused; lookups go on.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Waits until the store fails for good, and tells why. The process must then end: what
    /// reached the disk is unknown until the next start. Waits for ever if all is well.
    ///
    /// Cancel safe.
    pub async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// Why the store has failed for good, if it has: also at its closing, which is the last moment
    /// to learn that the disk did not take it all.
    pub fn failure(&self) -> Option<String> {
        self.store.failure()
    }

    /// Commits a write of no consequence, to see that the store can.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.store
            .run(|work| {
                // Another value each time: a row that stays the same is not written.
                work.connection.execute(
                    "INSERT INTO meta (key, value) VALUES ('ready', '1') ON CONFLICT (key) \
                     DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT)",
                    [],
                )?;
                Ok(())
            })
            .await
    }
}

/// Changes to workspaces.
impl Registry {
    /// Makes a workspace and, if `join` is given, its first join token, and ties it to the
    /// counterpart that it adopts, all of it or nothing.
    pub async fn create_workspace(
        &self,
        new: NewWorkspace,
        join: Option<NewJoinToken>,
        now_ms: i64,
        by: Actor,
    ) -> Result<Workspace, StoreError> {
        let keys = self.keys.clone();
        self.store
            .run(move |work| {
                let made = workspaces::create(work, &new, join.as_ref(), now_ms, by.clone())?;
                if let Some(adoption) = new.adoption {
                    bonds::adopt(work, &keys, made.id, adoption, now_ms, by)?;
                }
                Ok(made)
            })
            .await
    }

    /// Changes the name and policies of the workspace, all of `change` or nothing.
    pub async fn set_policies(
        &self,
        id: WorkspaceId,
        change: PolicyChange,
        now_ms: i64,
        by: Actor,
    ) -> Result<Workspace, StoreError> {
        self.store.run(move |work| workspaces::set_policies(work, id, &change, now_ms, by)).await
    }

    /// Revokes what speaks for the workspace: connectors' keys, join tokens, workspace tokens. The
    /// tokens of its callers stay, and who is connected stays so until told otherwise.
    pub async fn revoke_workspace_credentials(
        &self,
        id: WorkspaceId,
        now_ms: i64,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.store.run(move |work| workspaces::revoke(work, id, now_ms, by)).await
    }

    /// Removes the workspace for good: all its credentials are revoked, its secrets deleted, its
    /// alias is free, its address leads nowhere, its id is gone.
    pub async fn remove_workspace(
        &self,
        id: WorkspaceId,
        now_ms: i64,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.store.run(move |work| workspaces::remove(work, id, now_ms, by)).await
    }
}

/// Changes to who may join.
impl Registry {
    /// Makes another join token for the workspace.
    pub async fn add_join_token(
        &self,
        id: WorkspaceId,
        token: NewJoinToken,
        now_ms: i64,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.store.run(move |work| joining::add_join_token(work, id, &token, now_ms, by)).await
    }

    /// Trades a join token for the right to speak for its workspace with a key; both are given
    /// by their SHA-256. A key's first redemption takes one use of the token; the same key may
    /// come again until the token expires, since the answer may have been lost.
    ///
    /// The caller has seen proof that whoever asks holds the key.
    pub async fn redeem_join_token(
        &self,
        token_hash: [u8; 32],
        key_hash: [u8; 32],
        now_ms: i64,
        by: Actor,
    ) -> Result<Result<WorkspaceId, JoinRefusal>, StoreError> {
        self.store.run(move |work| joining::redeem(work, token_hash, key_hash, now_ms, by)).await
    }

    /// Notes that a connector of the workspace goes on with the key `new`, as the one that it has
    /// asks. [`StoreError::KeyRevoked`] if that one is not good, or no longer.
    pub async fn renew_agent_key(
        &self,
        id: WorkspaceId,
        asking: [u8; 32],
        new: [u8; 32],
        now_ms: i64,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.store
            .run(move |work| joining::renew_agent_key(work, id, asking, new, now_ms, by))
            .await
    }

    /// Gives the workspace a key that nobody asked for.
    #[cfg(test)]
    pub async fn add_agent_key(
        &self,
        id: WorkspaceId,
        key_hash: [u8; 32],
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.store.run(move |work| joining::add_agent_key(work, id, key_hash, now_ms)).await
    }
}

/// Lookups. None of them waits for the store.
impl Registry {
    /// The organisation of this relay, made with the store.
    pub fn org_id(&self) -> OrgId {
        self.org
    }

    /// Every workspace that is there, in the order of their ids, which is that of their making.
    pub fn workspaces(&self) -> Vec<Arc<Workspace>> {
        self.directory.read(|entries| entries.all())
    }

    /// Who has this address. A removed workspace is [`Lookup::Unknown`] here.
    pub fn by_address(&self, address: &Address) -> Lookup {
        self.directory.read(|entries| entries.by_address(address))
    }

    /// Who has this id. A removed workspace is [`Lookup::Gone`].
    pub fn by_id(&self, id: &WorkspaceId) -> Lookup {
        self.directory.read(|entries| entries.by_id(id))
    }

    /// Who has this alias. A removed workspace is [`Lookup::Unknown`] here.
    pub fn by_alias(&self, alias: &Alias) -> Lookup {
        self.directory.read(|entries| entries.by_alias(alias))
    }

    /// Whom an operator means by an id, an alias or a name, looked for in this order.
    pub fn find(&self, selector: &str) -> Found {
        self.directory.read(|entries| entries.find(selector))
    }

    /// Whether a connector has ever enrolled for this workspace.
    pub fn has_joined(&self, id: &WorkspaceId) -> bool {
        self.directory.read(|entries| entries.has_joined(id))
    }

    /// The workspaces that were made under this one and are there, by age.
    pub fn children(&self, id: &WorkspaceId) -> Vec<WorkspaceId> {
        self.directory.read(|entries| entries.children(id))
    }

    /// Whether the communication rule lets the two talk, in whichever direction: both are there,
    /// and they are the same, or siblings (all roots are), or one is above the other by at most
    /// 32 levels.
    pub fn may_talk(&self, a: &WorkspaceId, b: &WorkspaceId) -> bool {
        self.directory.read(|entries| entries.may_talk(a, b))
    }

    /// Whose key this is, by the SHA-256 of it; `None` if it is not known.
    pub fn agent_key(&self, key_hash: &[u8; 32]) -> Option<AgentKey> {
        self.directory.read(|entries| entries.agent_key(key_hash))
    }
}
