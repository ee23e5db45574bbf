//! The steps that the bridge takes for one workspace: each a call or two, and what the store keeps of it.
//!
//! What is about to be made is stored before it is asked for, and a token before it counts, so that a
//! process that ends at any point leaves what the next one completes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::ids::WorkspaceId;
use shared::secret::Secret;
use tokio::time::sleep;

use super::answer::{CallError, Row};
use super::budget::Purpose;
use super::reconcile::{Next, Ours, Stage, Theirs, next};
use super::{Bridge, NoToken, agent, enrol};
use crate::admin::Api;
use crate::clock::unix_ms;
use crate::registry::{Actor, Bond, BondChange, BondStep, Edit, Lookup, StoreError, Workspace};

/// A row that is older than this is no reason to register.
const FRESH: Duration = Duration::from_secs(5);

/// What came of a step.
#[derive(Debug)]
pub(super) enum Done {
    /// The counterpart is made, or found, and stored.
    Made,
    /// There is a token.
    Minted,
    /// The row says this.
    Looked(Row),
    /// The platform knows where the agent is; with the card of this digest.
    Registered(u64),
    /// It has the card of this digest.
    CardSent(u64),
    /// The store has it.
    Stored,
    /// The platform does not know it, as far as one answer tells.
    Unknown,
    /// It is gone.
    Missing,
}

/// Why a step was not done.
#[derive(Debug)]
pub(super) enum Failed {
    /// The platform's answer.
    Call(CallError),
    /// The relay's own store, as a sentence.
    Own(String),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Own(error.to_string())
    }
}

impl From<NoToken> for Failed {
    fn from(error: NoToken) -> Self {
        Self::Own(error.to_string())
    }
}

type Outcome = Result<Done, Failed>;

/// What a step is called where people and metrics read it.
pub(super) const fn name_of(next: Next) -> &'static str {
    match next {
        Next::Create => "create",
        Next::Search => "list",
        Next::Mint => "mint",
        Next::Look => "look",
        Next::Register => "register",
        Next::Beat => "heartbeat",
        Next::UpdateCard => "card",
        Next::Hold => "hold",
        Next::Release => "release",
        Next::Delete => "delete",
        Next::Bury => "bury",
    }
}

impl Bridge {
    /// Makes the counterpart of a workspace. Afterwards its id and its token are stored.
    pub(super) async fn create(self, workspace: Arc<Workspace>) -> Outcome {
        let (id, now_ms) = (workspace.id, unix_ms());
        let registry = &self.inner.registry;
        match self.bond(&id) {
            None => drop(registry.begin_bond(self.platform(), id, now_ms).await?),
            Some(_) => {
                let begun = BondChange { begun_at_ms: Some(now_ms), ..BondChange::default() };
                self.store(id, begun).await?;
            }
        }
        let made = self.client().create(&enrol::counterpart(&workspace)).await?;
        self.store(
            id,
            BondChange {
                step: Some(BondStep::Made),
                upstream: Some(made.id),
                token: made.token.map_or(Edit::Keep, Edit::Give),
                ..BondChange::default()
            },
        )
        .await?;
        Ok(Done::Made)
    }

    /// Takes a counterpart that was found by its mark for the workspace's own.
    pub(super) async fn keep(self, bond: Arc<Bond>, upstream: String) -> Outcome {
        // A workspace that is leaving needs no more than the id of what is to go.
        let step = (bond.step == BondStep::Begun).then_some(BondStep::Made);
        let found = BondChange { step, upstream: Some(upstream), ..BondChange::default() };
        self.store(bond.workspace, found).await?;
        Ok(Done::Made)
    }

    /// Makes another token.
    pub(super) async fn mint(self, bond: Arc<Bond>) -> Outcome {
        let token = self.client().mint(upstream(&bond)?).await?;
        self.give(bond.workspace, token).await?;
        Ok(Done::Minted)
    }

    /// Reads the row, and registers the agent at once if the row says that it is missing: whatever the
    /// platform's operator did before this is respected.
    pub(super) async fn look(self, api: Arc<Api>, bond: Arc<Bond>, ours: Ours) -> Outcome {
        let row = match self.client().row(upstream(&bond)?).await {
            Err(CallError::NotFound) => return Ok(Done::Unknown),
            Err(CallError::Gone) => return Ok(Done::Missing),
            row => row?,
        };
        let read = Instant::now();
        let theirs = Theirs::of(&row, &self.url(&bond));
        if !next(ours, theirs, true).contains(&Next::Register) {
            return Ok(Done::Looked(row));
        }
        while let Err(wait) = self.client().take(Purpose::Beat) {
            if read.elapsed() + wait > FRESH {
                return Ok(Done::Looked(row));
            }
            sleep(wait).await;
        }
        let Lookup::Live(workspace) = self.inner.registry.by_id(&bond.workspace) else {
            return Ok(Done::Looked(row));
        };
        if ours.stage == Stage::Registered && !agent::is_here(&api, &workspace) {
            return Ok(Done::Looked(row));
        }
        self.register(&api, &workspace, &bond).await
    }

    async fn register(&self, api: &Api, workspace: &Workspace, bond: &Bond) -> Outcome {
        let (id, url) = (upstream(bond)?, self.url(bond));
        let known = agent::card(api, workspace);
        let card = enrol::card(known.as_ref(), &workspace.name, &url);
        let token = self.token_of(&workspace.id).await?;
        let given = self.client().register(id, &url, &card, &token).await?;
        if let Some(given) = given {
            // It had no live token: somebody revoked ours, or the workspace was deleted between the look
            // and this, and the token is worth nothing.
            match self.client().row(id).await {
                Err(CallError::NotFound) => return Ok(Done::Unknown),
                Err(CallError::Gone) => return Ok(Done::Missing),
                Ok(row) if row.status == "removed" => return Ok(Done::Missing),
                Err(error) => return Err(error.into()),
                Ok(_) => self.give(workspace.id, given).await?,
            }
        }
        if bond.step != BondStep::Registered {
            let step = Some(BondStep::Registered);
            self.store(workspace.id, BondChange { step, ..BondChange::default() }).await?;
        }
        Ok(Done::Registered(digest(known.as_ref())))
    }

    /// Sends the agent's card.
    pub(super) async fn update_card(self, api: Arc<Api>, bond: Arc<Bond>) -> Outcome {
        let Lookup::Live(workspace) = self.inner.registry.by_id(&bond.workspace) else {
            return Ok(Done::Stored);
        };
        let known = agent::card(&api, &workspace);
        let card = enrol::card(known.as_ref(), &workspace.name, &self.url(&bond));
        let token = self.token_of(&workspace.id).await?;
        self.client().update_card(upstream(&bond)?, &card, &token).await?;
        Ok(Done::CardSent(digest(known.as_ref())))
    }

    /// Sends a heartbeat, if the agent is still there. Answers the digest of its card.
    pub(super) async fn beat(
        self,
        api: Arc<Api>,
        workspace: Arc<Workspace>,
    ) -> Result<Option<u64>, Failed> {
        let bond = self.bond(&workspace.id).filter(|bond| !bond.paused);
        let Some(bond) = bond.filter(|_| agent::is_here(&api, &workspace)) else {
            return Ok(None);
        };
        let token = self.token_of(&workspace.id).await?;
        let report = agent::report(&api, &workspace, &bond);
        self.client().heartbeat(&report, &token).await?;
        if let Some(report) = agent::news(&api, &workspace, &bond) {
            let said = BondChange { report: Some(report), ..BondChange::default() };
            // It is for the next start; the platform has it.
            if let Err(error) = self.store(workspace.id, said).await {
                tracing::debug!(%error, "what an agent reported was not stored");
            }
        }
        Ok(Some(digest(agent::card(&api, &workspace).as_ref())))
    }

    /// Deletes the counterpart. An error may hide that it was done, so the row has the last word.
    pub(super) async fn delete(self, bond: Arc<Bond>) -> Outcome {
        let id = upstream(&bond)?;
        let deleted = self.client().delete(id).await;
        match deleted {
            Ok(()) | Err(CallError::NotFound | CallError::Gone) => Ok(Done::Missing),
            Err(error) if error.may_be_done() => match self.client().row(id).await {
                Ok(row) if row.status == "removed" => Ok(Done::Missing),
                Err(CallError::NotFound | CallError::Gone) => Ok(Done::Missing),
                Ok(_) | Err(_) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Holds the agent's calls back, or lets them through.
    pub(super) async fn hold(self, id: WorkspaceId, paused: bool) -> Outcome {
        self.store(id, BondChange { paused: Some(paused), ..BondChange::default() }).await?;
        tracing::info!(workspace = %id, paused, "the platform paused or resumed a workspace");
        Ok(Done::Stored)
    }

    /// Ends what the platform has ended: the credentials here, the link, the token.
    pub(super) async fn bury(self, api: Arc<Api>, id: WorkspaceId) -> Outcome {
        let registry = &self.inner.registry;
        if let Lookup::Live(_) = registry.by_id(&id) {
            let revoked =
                registry.revoke_workspace_credentials(id, unix_ms(), Actor::relay()).await;
            match revoked {
                Ok(()) | Err(StoreError::WorkspaceGone { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            api.cut(
                id,
                "The platform deleted this workspace. Ask the relay's operator whether there is to \
                 be another one.",
            );
        }
        self.store(
            id,
            BondChange {
                step: Some(BondStep::Gone),
                token: Edit::Free,
                paused: Some(false),
                ..BondChange::default()
            },
        )
        .await?;
        self.inner.tokens.remove(&id);
        tracing::info!(workspace = %id, "the platform no longer has this workspace");
        Ok(Done::Stored)
    }

    async fn give(&self, id: WorkspaceId, token: Secret) -> Result<(), StoreError> {
        let given = BondChange { token: Edit::Give(token), ..BondChange::default() };
        self.store(id, given).await.map(drop)
    }

    async fn store(&self, id: WorkspaceId, change: BondChange) -> Result<Bond, StoreError> {
        let (registry, by) = (&self.inner.registry, Actor::relay());
        registry.change_bond(self.platform(), id, change, unix_ms(), by).await
    }
}

/// The counterpart's id, for steps that come after it is known.
fn upstream(bond: &Bond) -> Result<&str, Failed> {
    let unknown = || Failed::Own("Its id on the platform is not known yet.".to_owned());
    bond.upstream.as_deref().ok_or_else(unknown)
}

/// A digest of a card, good for this process.
fn digest(card: Option<&serde_json::Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    card.hash(&mut hasher);
    hasher.finish()
}
