//! What the registry knows about a workspace: its names, its policies, its state.

use std::sync::Arc;

use serde_json::Value;
use shared::ids::{Address, Alias, OrgId, WorkspaceId};

use super::allowance::Allowance;
use super::words::words;
use crate::push_egress::PushEgress;

/// The longest name of a workspace, in characters: what a file name may have, and it fits a
/// line of a terminal or of a log.
pub const NAME_CHARS_MAX: usize = 255;

/// The longest role of a workspace, in characters: a paragraph, of which a card shows two lines.
pub const ROLE_CHARS_MAX: usize = 1000;

/// A registered agent as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Its identity; never changes and is never given again.
    pub id: WorkspaceId,
    /// The organisation that owns it.
    pub org: OrgId,
    /// The workspace it was made under, which may since have been removed.
    pub parent: Option<WorkspaceId>,
    /// What people call it; need not be unique.
    pub name: String,
    /// What it is for, in its operator's words.
    pub role: Option<String>,
    /// How much it matters, as its operator ranks it.
    pub tier: Option<Tier>,
    /// Its chosen public name, unique among the workspaces that are there.
    pub alias: Option<Alias>,
    /// Its random public handle.
    pub address: Address,
    /// Where its agent says that it serves; nobody has looked whether it does.
    pub url: Option<String>,
    /// The card that its agent registered, as it came.
    pub card: Option<Arc<Value>>,
    /// Who may call it.
    pub callers: CallerPolicy,
    /// What of the agent a caller can reach.
    pub expose: ExposurePolicy,
    /// Whether a signed card is never edited, even one that nobody outside can use.
    pub strict_card: bool,
    /// Whether comments break the silences of its event streams.
    pub keep_alive: bool,
    /// Whether refusals of its calls in JSON-RPC have status 200.
    pub jsonrpc_errors_as_200: bool,
    /// What it may be asked, by all of its callers together.
    pub allowance: Allowance,
    /// Where the relay posts its push notifications for it.
    pub push_egress: PushEgress,
    /// Whether its calls are held back until it is resumed.
    pub paused: bool,
    /// When it was made, in unix milliseconds.
    pub created_at_ms: i64,
    /// When its agent last registered, in unix milliseconds; `None` before the first time.
    pub registered_at_ms: Option<i64>,
    /// When it was removed, in unix milliseconds. A lookup that says it is live has `None` here.
    pub removed_at_ms: Option<i64>,
}

#[cfg(test)]
impl Workspace {
    /// One for tests, with the default policies.
    pub(crate) fn sample() -> Self {
        Self {
            id: "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            org: "org_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            parent: None,
            name: "agent".into(),
            role: None,
            tier: None,
            alias: None,
            address: Address::new([0; 16]),
            url: None,
            card: None,
            callers: CallerPolicy::Link,
            expose: ExposurePolicy::A2a,
            strict_card: false,
            keep_alive: true,
            jsonrpc_errors_as_200: false,
            allowance: Allowance::default(),
            push_egress: PushEgress::Off,
            paused: false,
            created_at_ms: 0,
            registered_at_ms: None,
            removed_at_ms: None,
        }
    }
}

/// Who may call a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CallerPolicy {
    /// Whoever knows its address.
    #[default]
    Link,
    /// Whoever holds a caller token for it.
    Token,
    /// Other workspaces of the same organisation that may talk to it.
    Workspaces,
    /// Everyone.
    Open,
}

/// What of an agent a caller can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ExposurePolicy {
    /// Its A2A endpoint and its card.
    #[default]
    A2a,
    /// Every path.
    All,
}

words!(
    CallerPolicy,
    "caller policy",
    "link, token, workspaces and open",
    Link = "link",
    Token = "token",
    Workspaces = "workspaces",
    Open = "open"
);
words!(ExposurePolicy, "exposure policy", "a2a and all", A2a = "a2a", All = "all");

/// A name that neither a workspace nor a credential can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "A name has 1 to {NAME_CHARS_MAX} characters and no control characters; choose another name."
)]
pub struct BadName;

/// Checks that `name` can be the name of a workspace or of a credential.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let length_fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
    if length_fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(BadName) }
}

/// A role that no workspace can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "A role has 1 to {ROLE_CHARS_MAX} characters, not all of them blank, on one line; choose \
     another one."
)]
pub struct BadRole;

/// Checks that `role` can be the role of a workspace.
pub fn check_role(role: &str) -> Result<(), BadRole> {
    let length_fits = role.chars().count() <= ROLE_CHARS_MAX && !role.trim().is_empty();
    if length_fits && !role.chars().any(char::is_control) { Ok(()) } else { Err(BadRole) }
}

/// How much a workspace matters: 1 to 4, which the relay shows and makes nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Tier(u8);

impl Tier {
    /// The highest number.
    pub const MAX: u8 = 4;

    /// The tier of this number, if there is one.
    pub fn new(number: u64) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// An alias was given and nobody said who may call by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "The alias {alias} can be guessed, so it needs a caller policy; choose link, token, \
     workspaces or open along with it."
)]
pub struct AliasWithoutPolicy {
    alias: Alias,
}

/// Checks that whoever gives an alias also says who may call by it.
///
/// The registry itself stores an alias as given: this is for the commands by which one is given.
pub fn check_alias_has_policy(
    alias: Option<&Alias>,
    callers: Option<CallerPolicy>,
) -> Result<(), AliasWithoutPolicy> {
    match (alias, callers) {
        (Some(alias), None) => Err(AliasWithoutPolicy { alias: alias.clone() }),
        _ => Ok(()),
    }
}

/// One connector's key, known by the SHA-256 of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentKey {
    /// The workspace that the key speaks for.
    pub workspace: WorkspaceId,
    /// Whether it was revoked; it then opens nothing, renewal included.
    pub revoked: bool,
}
