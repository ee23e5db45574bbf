//! What the data path asks of the registry, in memory: who is behind a name, whose key this is.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use shared::ids::{Address, Alias, WorkspaceId};
use tokio::sync::{broadcast, watch};

use super::bond::{Bond, Bonds};
use super::credential::{Credential, CredentialKind};
use super::events::{EVENTS_WATCHED, Event};
use super::keyring::Keyring;
use super::model::{AgentKey, Workspace};
use super::relations::Relations;

/// What is behind an id, an address or an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// This workspace.
    Live(Arc<Workspace>),
    /// A workspace that has been removed. Only ids say so.
    Gone,
    /// Nothing that is known.
    Unknown,
}

/// Which workspace an operator meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This one.
    One(Arc<Workspace>),
    /// None has that id, alias or name.
    None,
    /// These all have that name, in the order of their making.
    Ambiguous(Vec<WorkspaceId>),
}

/// One thing that was committed.
#[derive(Debug)]
pub(super) enum Change {
    /// The workspace is now so.
    Workspace(Workspace),
    /// The key with this hash is now so.
    Key([u8; 32], AgentKey),
    /// The key with this hash is no longer known.
    KeyForgotten([u8; 32]),
    /// Every key of this workspace is revoked.
    KeysRevoked(WorkspaceId),
    /// The credential with this hash is now so.
    Credential([u8; 32], Credential),
    /// The credential with this hash is no longer known.
    CredentialForgotten([u8; 32]),
    /// The bond is now so.
    Bond(Bond),
    /// This was put into the trail.
    Event(Arc<Event>),
}

impl Change {
    fn event(&self) -> Option<Arc<Event>> {
        match self {
            Self::Event(event) => Some(Arc::clone(event)),
            _ => None,
        }
    }

    /// Whether a credential may have ended by it.
    fn ends_a_credential(&self) -> bool {
        match self {
            Self::Credential(_, credential) => credential.revoked_at_ms.is_some(),
            Self::Workspace(workspace) => workspace.removed_at_ms.is_some(),
            Self::CredentialForgotten(_) => true,
            _ => false,
        }
    }
}

/// The committed state, shared. Clones are the same directory; no lookup waits for the store.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    entries: Arc<RwLock<Entries>>,
    events: broadcast::Sender<Arc<Event>>,
    /// Marked as changed when credentials ended.
    ends: watch::Sender<()>,
}

impl Default for Directory {
    fn default() -> Self {
        let events = broadcast::Sender::new(EVENTS_WATCHED);
        Self { entries: Arc::default(), events, ends: watch::Sender::new(()) }
    }
}

impl Directory {
    /// Takes in what one commit changed, all at once, in the order it was done, and then tells
    /// the watchers.
    pub(super) fn apply(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let events: Vec<_> = changes.iter().filter_map(Change::event).collect();
        let ends = changes.iter().any(Change::ends_a_credential);
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            entries.apply(change);
        }
        drop(entries);
        if ends {
            self.ends.send_replace(());
        }
        for event in events {
            // An error means that nobody watches.
            let _ = self.events.send(event);
        }
    }

    /// Every event from now on.
    pub(super) fn watch_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Changes whenever credentials ended, from now on.
    pub(super) fn watch_ends(&self) -> watch::Receiver<()> {
        self.ends.subscribe()
    }

    /// Looks with `look` at one moment of the state; `look` must not wait for anything.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Entries) -> T) -> T {
        look(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The maps that must agree.
#[derive(Debug, Default)]
pub(super) struct Entries {
    live: HashMap<WorkspaceId, Arc<Workspace>>,
    gone: HashSet<WorkspaceId>,
    by_address: HashMap<Address, WorkspaceId>,
    by_alias: HashMap<Alias, WorkspaceId>,
    by_name: HashMap<String, BTreeSet<WorkspaceId>>,
    keys: HashMap<[u8; 32], AgentKey>,
    /// Workspaces that ever had a key.
    joined: HashSet<WorkspaceId>,
    credentials: Keyring,
    relations: Relations,
    pub(super) bonds: Bonds,
}

impl Entries {
    pub(super) fn by_id(&self, id: &WorkspaceId) -> Lookup {
        match self.live.get(id) {
            Some(workspace) => Lookup::Live(Arc::clone(workspace)),
            None if self.gone.contains(id) => Lookup::Gone,
            None => Lookup::Unknown,
        }
    }

    pub(super) fn by_address(&self, address: &Address) -> Lookup {
        self.by_address.get(address).map_or(Lookup::Unknown, |id| self.by_id(id))
    }

    pub(super) fn by_alias(&self, alias: &Alias) -> Lookup {
        self.by_alias.get(alias).map_or(Lookup::Unknown, |id| self.by_id(id))
    }

    pub(super) fn agent_key(&self, hash: &[u8; 32]) -> Option<AgentKey> {
        self.keys.get(hash).copied()
    }

    pub(super) fn has_joined(&self, id: &WorkspaceId) -> bool {
        self.joined.contains(id)
    }

    pub(super) fn credential(&self, hash: &[u8; 32]) -> Option<Arc<Credential>> {
        self.credentials.by_hash(hash)
    }

    /// What is known now of a credential that was found earlier, unless its workspace is gone.
    pub(super) fn current(&self, found: &Credential) -> Option<Arc<Credential>> {
        let is_there = |id| self.live.contains_key(&id);
        found.workspace.is_none_or(is_there).then(|| self.credentials.current(found))?
    }

    pub(super) fn credentials(
        &self,
        kind: CredentialKind,
        workspace: Option<WorkspaceId>,
    ) -> Vec<Arc<Credential>> {
        self.credentials.of(kind, workspace)
    }

    /// Those that were made under `id` and are there.
    pub(super) fn children(&self, id: &WorkspaceId) -> Vec<WorkspaceId> {
        self.relations.children(id).filter(|child| self.live.contains_key(child)).copied().collect()
    }

    /// Whether both are there and the communication rule lets them talk.
    pub(super) fn may_talk(&self, a: &WorkspaceId, b: &WorkspaceId) -> bool {
        self.live.contains_key(a) && self.live.contains_key(b) && self.relations.may_talk(a, b)
    }

    /// An id wins over an alias, an alias over a name: the first two can mean only one.
    pub(super) fn find(&self, selector: &str) -> Found {
        let by_id = selector.parse().ok().and_then(|id| self.live.get(&id));
        let by_alias = || self.live.get(self.by_alias.get(&selector.parse::<Alias>().ok()?)?);
        if let Some(workspace) = by_id.or_else(by_alias) {
            return Found::One(Arc::clone(workspace));
        }
        let named: Vec<_> = self.by_name.get(selector).into_iter().flatten().copied().collect();
        match named.as_slice() {
            [] => Found::None,
            [only] => self.live.get(only).cloned().map_or(Found::None, Found::One),
            _ => Found::Ambiguous(named),
        }
    }

    /// Every workspace that is there, in the order of their ids, which is that of their making.
    pub(super) fn all(&self) -> Vec<Arc<Workspace>> {
        let mut all: Vec<_> = self.live.values().cloned().collect();
        all.sort_unstable_by_key(|workspace| workspace.id);
        all
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Workspace(workspace) if workspace.removed_at_ms.is_some() => {
                self.relations.insert(workspace.id, workspace.parent);
                self.remove(workspace.id);
                self.gone.insert(workspace.id);
            }
            Change::Workspace(workspace) => self.insert(workspace),
            Change::Key(hash, key) => {
                self.joined.insert(key.workspace);
                self.keys.insert(hash, key);
            }
            Change::KeyForgotten(hash) => {
                self.keys.remove(&hash);
            }
            Change::KeysRevoked(workspace) => {
                for key in self.keys.values_mut().filter(|key| key.workspace == workspace) {
                    key.revoked = true;
                }
            }
            Change::Credential(hash, credential) => self.credentials.insert(hash, credential),
            Change::CredentialForgotten(hash) => self.credentials.remove(&hash),
            Change::Bond(bond) => self.bonds.insert(bond),
            // The state does not have it: watchers are told.
            Change::Event(_) => {}
        }
    }

    fn insert(&mut self, workspace: Workspace) {
        self.remove(workspace.id);
        self.relations.insert(workspace.id, workspace.parent);
        self.by_address.insert(workspace.address, workspace.id);
        if let Some(alias) = &workspace.alias {
            self.by_alias.insert(alias.clone(), workspace.id);
        }
        self.by_name.entry(workspace.name.clone()).or_default().insert(workspace.id);
        self.live.insert(workspace.id, Arc::new(workspace));
    }

    fn remove(&mut self, id: WorkspaceId) {
        let Some(old) = self.live.remove(&id) else { return };
        self.by_address.remove(&old.address);
        // The alias may by now lead to the workspace that took it over.
        if let Some(alias) = &old.alias
            && self.by_alias.get(alias) == Some(&id)
        {
            self.by_alias.remove(alias);
        }
        if let Entry::Occupied(mut named) = self.by_name.entry(old.name.clone()) {
            named.get_mut().remove(&id);
            if named.get().is_empty() {
                named.remove();
            }
        }
    }
}
