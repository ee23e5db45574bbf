//! What callers of the registry ask for: a new workspace, a join token, a change of policies.

use serde_json::{Map, Value};
use shared::ids::{Address, Alias, WorkspaceId};
use ulid::Ulid;

use super::allowance::{Allowance, Rate};
use super::bond::Adoption;
use super::errors::StoreError;
use super::model::{CallerPolicy, ExposurePolicy, Tier};
use crate::methods::Methods;
use crate::push_egress::PushEgress;

/// A workspace to be made.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    /// Its identity.
    pub id: WorkspaceId,
    /// Its random public handle.
    pub address: Address,
    /// What people will call it, see [`super::check_name`].
    pub name: String,
    /// What it is for, see [`super::check_role`].
    pub role: Option<String>,
    /// How much it matters.
    pub tier: Option<Tier>,
    /// Its chosen public name; see [`super::check_alias_has_policy`].
    pub alias: Option<Alias>,
    /// Who may call it; `None` is the default policy.
    pub callers: Option<CallerPolicy>,
    /// What of it a caller can reach; `None` is the default policy.
    pub expose: Option<ExposurePolicy>,
    /// Whether a signed card of it is never edited.
    pub strict_card: bool,
    /// Whether comments break the silences of its event streams.
    pub keep_alive: bool,
    /// Whether refusals of its calls in JSON-RPC have status 200.
    pub jsonrpc_errors_as_200: bool,
    /// What it may be asked.
    pub allowance: Allowance,
    /// Where the relay posts its push notifications for it.
    pub push_egress: PushEgress,
    /// The workspace it is made under.
    pub parent: Option<WorkspaceId>,
    /// Where its agent is said to serve.
    pub url: Option<String>,
    /// Its counterpart on a platform, if that is there already.
    pub adoption: Option<Adoption>,
}

impl NewWorkspace {
    /// A workspace named `name` with a fresh id and address and the default policies.
    pub fn named(name: impl Into<String>, now_ms: i64) -> Result<Self, StoreError> {
        Ok(Self {
            id: WorkspaceId::new(fresh_ulid(now_ms)?),
            address: fresh_address()?,
            name: name.into(),
            role: None,
            tier: None,
            alias: None,
            callers: None,
            expose: None,
            strict_card: false,
            keep_alive: true,
            jsonrpc_errors_as_200: false,
            allowance: Allowance::default(),
            push_egress: PushEgress::Off,
            parent: None,
            url: None,
            adoption: None,
        })
    }
}

/// A join token to be made. The token itself never comes here, only its SHA-256.
#[derive(Debug, Clone, Copy)]
pub struct NewJoinToken {
    /// The SHA-256 of the token.
    pub hash: [u8; 32],
    /// How many different keys it lets in.
    pub uses: u32,
    /// The first moment at which it lets nobody in, in unix milliseconds.
    pub expires_at_ms: i64,
}

/// What becomes of something that a workspace may have or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// This one takes the place of what was there.
    Give(T),
    /// From now on there is none.
    Free,
}

impl<T> Edit<T> {
    /// Whether something changes.
    pub(super) const fn is_made(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// What there is from now on, where something changes.
    pub(super) const fn given(&self) -> Option<&T> {
        match self {
            Self::Give(value) => Some(value),
            Self::Keep | Self::Free => None,
        }
    }
}

/// A change of the name and of some policies of one workspace; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct PolicyChange {
    /// What people call it, see [`super::check_name`].
    pub name: Option<String>,
    /// What it is for, see [`super::check_role`].
    pub role: Edit<String>,
    /// How much it matters.
    pub tier: Edit<Tier>,
    /// Its chosen public name; see [`super::check_alias_has_policy`].
    pub alias: Edit<Alias>,
    /// Who may call it.
    pub callers: Option<CallerPolicy>,
    /// What of it a caller can reach.
    pub expose: Option<ExposurePolicy>,
    /// Whether a signed card of it is never edited.
    pub strict_card: Option<bool>,
    /// Whether comments break the silences of its event streams.
    pub keep_alive: Option<bool>,
    /// Whether refusals of its calls in JSON-RPC have status 200.
    pub jsonrpc_errors_as_200: Option<bool>,
    /// How fast it may be asked.
    pub rate: Edit<Rate>,
    /// How many requests it may have open.
    pub in_flight: Edit<u32>,
    /// Which methods may be used.
    pub methods: Option<Methods>,
    /// Where the relay posts its push notifications for it.
    pub push_egress: Option<PushEgress>,
    /// Whether its calls are held back.
    pub paused: Option<bool>,
    /// A new public handle; the old one leads nowhere from then on. See [`fresh_address`].
    pub new_address: Option<Address>,
}

impl PolicyChange {
    /// What the trail says of it, name and pausing apart; `None` if nothing else changes. Addresses are
    /// credentials: that there is a new one is all that is said.
    pub(super) fn told(&self) -> Option<Value> {
        let mut told = Map::new();
        if self.role.is_made() {
            told.insert("role".into(), self.role.given().cloned().into());
        }
        if self.tier.is_made() {
            told.insert("tier".into(), self.tier.given().map(|tier| tier.number()).into());
        }
        if self.alias.is_made() {
            told.insert("alias".into(), self.alias.given().map(Alias::as_str).into());
        }
        if let Some(callers) = self.callers {
            told.insert("callers".into(), callers.as_str().into());
        }
        if let Some(expose) = self.expose {
            told.insert("expose".into(), expose.as_str().into());
        }
        for (name, on) in [
            ("strict_card", self.strict_card),
            ("keep_alive", self.keep_alive),
            ("jsonrpc_errors_as_200", self.jsonrpc_errors_as_200),
        ] {
            told.extend(on.map(|on| (name.into(), on.into())));
        }
        if self.rate.is_made() {
            told.insert("rate".into(), self.rate.given().map(|rate| rate.requests_per_s()).into());
        }
        if self.in_flight.is_made() {
            told.insert("in_flight".into(), self.in_flight.given().copied().into());
        }
        if let Some(methods) = self.methods {
            told.insert("methods".into(), methods.to_string().into());
        }
        if let Some(egress) = &self.push_egress {
            told.insert("push_egress".into(), egress.to_string().into());
        }
        if self.new_address.is_some() {
            told.insert("new_address".into(), true.into());
        }
        (!told.is_empty()).then_some(Value::Object(told))
    }
}

/// A random address.
pub fn fresh_address() -> Result<Address, StoreError> {
    random().map(Address::new)
}

/// A ULID of `now_ms` and 80 random bits.
pub(super) fn fresh_ulid(now_ms: i64) -> Result<Ulid, StoreError> {
    let time = u64::try_from(now_ms).unwrap_or_default();
    Ok(Ulid::from_parts(time, u128::from_be_bytes(random()?)))
}

fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Unavailable {
        reason: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(bytes)
}
