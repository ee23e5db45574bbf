//! What ties a workspace to its counterpart on a platform, as lookups see it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use shared::ids::{Address, WorkspaceId};
use shared::secret::Secret;

use super::orders::Edit;
use super::words::words;

/// How far a workspace has come on a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BondStep {
    /// Its counterpart may have been made; nobody knows its id yet.
    Begun,
    /// The counterpart's id is known, and its token if [`Bond::has_token`] says so.
    Made,
    /// The platform was told where the agent is.
    Registered,
    /// The workspace was removed here; its counterpart is still to go.
    Leaving,
    /// The counterpart is gone, or no longer this relay's. It is never registered again.
    Gone,
}

words!(
    BondStep,
    "step of a bond",
    "begun, made, registered, leaving and gone",
    Begun = "begun",
    Made = "made",
    Registered = "registered",
    Leaving = "leaving",
    Gone = "gone"
);

/// The tie of one workspace to one platform. Its token is not in it: see
/// [`super::Registry::bond_token`].
#[derive(Debug, Clone, PartialEq)]
pub struct Bond {
    /// The platform's URL.
    pub platform: Arc<str>,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The handle by which the platform calls.
    pub address: Address,
    /// Whether the counterpart was there before.
    pub adopted: bool,
    /// How far it has come.
    pub step: BondStep,
    /// When the counterpart was last about to be made, in unix milliseconds.
    pub begun_at_ms: i64,
    /// The counterpart's id, as the platform spells it.
    pub upstream: Option<String>,
    /// Whether the platform holds its calls back, as far as it was seen.
    pub paused: bool,
    /// Whether there is a token.
    pub has_token: bool,
    /// How many tokens there were.
    pub version: i64,
    /// What the agent last reported of itself.
    pub report: Option<Arc<Value>>,
}

/// A counterpart that is there already, with its token.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// The platform's URL.
    pub platform: Arc<str>,
    /// The counterpart's id.
    pub upstream: String,
    /// Its token.
    pub token: Secret,
}

/// A change of a bond; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct BondChange {
    /// How far it has come.
    pub step: Option<BondStep>,
    /// When the counterpart is about to be made, in unix milliseconds.
    pub begun_at_ms: Option<i64>,
    /// The counterpart's id.
    pub upstream: Option<String>,
    /// Its token.
    pub token: Edit<Secret>,
    /// Whether the platform holds its calls back.
    pub paused: Option<bool>,
    /// What the agent reports of itself.
    pub report: Option<Value>,
}

/// All bonds, by workspace and by the handle that platforms call.
#[derive(Debug, Default)]
pub(super) struct Bonds {
    /// Nearly always one: a relay that was told of another platform keeps the bonds of the first.
    of: HashMap<WorkspaceId, Vec<Arc<Bond>>>,
    by_address: HashMap<Address, Arc<Bond>>,
}

impl Bonds {
    pub(super) fn insert(&mut self, bond: Bond) {
        let bond = Arc::new(bond);
        let own = self.of.entry(bond.workspace).or_default();
        own.retain(|other| other.platform != bond.platform);
        own.push(Arc::clone(&bond));
        self.by_address.insert(bond.address, bond);
    }

    pub(super) fn of(&self, platform: &str, workspace: &WorkspaceId) -> Option<Arc<Bond>> {
        let own = self.of.get(workspace)?;
        own.iter().find(|bond| &*bond.platform == platform).cloned()
    }

    pub(super) fn by_address(&self, address: &Address) -> Option<Arc<Bond>> {
        self.by_address.get(address).cloned()
    }

    /// Those with one platform, in the order of the workspaces' making.
    pub(super) fn all(&self, platform: &str) -> Vec<Arc<Bond>> {
        let all = self.of.values().flatten().filter(|bond| &*bond.platform == platform);
        let mut all: Vec<_> = all.cloned().collect();
        all.sort_unstable_by_key(|bond| bond.workspace);
        all
    }
}
