//! What the data path asks of the registry, in memory: who is behind a name, whose key this is.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use shared::ids::{Address, Alias, WorkspaceId};

use super::model::{AgentKey, Workspace};

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
}

/// The committed state, shared. Clones are the same directory; no lookup waits for the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    entries: Arc<RwLock<Entries>>,
}

impl Directory {
    /// Takes in what one commit changed, all at once, in the order it was done.
    pub(super) fn apply(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            entries.apply(change);
        }
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
        }
    }

    fn insert(&mut self, workspace: Workspace) {
        self.remove(workspace.id);
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
