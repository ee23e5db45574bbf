//! What an agent says of itself: where it serves and its card.

use rusqlite::params;
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::credential::{CredentialKind, NewCredential};
use super::errors::StoreError;
use super::events::{Actor, tell};
use super::model::Workspace;
use super::store::Work;
use super::uses::Uses;
use super::workspaces::{require_live, reread};
use super::{Registry, credentials};
use crate::clock::unix_ms;

/// What an agent says of itself; what is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// Where it says that it serves.
    pub url: Option<String>,
    /// Its card, as it came.
    pub card: Option<Value>,
}

/// What came of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The workspace as it now is.
    pub workspace: Workspace,
    /// Whether the token that was brought along was issued.
    pub issued: bool,
}

impl Registry {
    /// Stores what an agent says of itself. Issues `token`, a workspace token of this workspace,
    /// if the workspace has no live one: both or neither are stored.
    pub async fn register(
        &self,
        id: WorkspaceId,
        registration: Registration,
        token: Option<NewCredential>,
        now_ms: i64,
        by: Actor,
    ) -> Result<Registered, StoreError> {
        let uses = self.uses.clone();
        self.store
            .run(move |work| {
                let issued = match token.filter(|token| speaks_for(token, id)) {
                    Some(token) => issue_first(work, id, token, now_ms, &uses, &by)?,
                    None => false,
                };
                let workspace = store(work, id, &registration, issued, now_ms, by)?;
                Ok(Registered { workspace, issued })
            })
            .await
    }

    /// Puts this card in the place of the workspace's.
    pub async fn update_card(
        &self,
        id: WorkspaceId,
        card: Value,
        by: Actor,
    ) -> Result<Workspace, StoreError> {
        let now_ms = unix_ms();
        self.store.run(move |work| update_card(work, id, &card, now_ms, by)).await
    }
}

fn speaks_for(token: &NewCredential, id: WorkspaceId) -> bool {
    token.credential.kind == CredentialKind::WorkspaceToken
        && token.credential.workspace == Some(id)
}

/// Issues the token if it is the only live one; whoever registers again has one.
fn issue_first(
    work: &mut Work<'_>,
    id: WorkspaceId,
    token: NewCredential,
    now_ms: i64,
    uses: &Uses,
    by: &Actor,
) -> Result<bool, StoreError> {
    let kind = CredentialKind::WorkspaceToken;
    if credentials::live(work.connection, kind, Some(id), now_ms)? > 0 {
        return Ok(false);
    }
    credentials::issue(work, token, uses, by.clone())?;
    Ok(true)
}

fn store(
    work: &mut Work<'_>,
    id: WorkspaceId,
    registration: &Registration,
    issued: bool,
    now_ms: i64,
    by: Actor,
) -> Result<Workspace, StoreError> {
    require_live(work.connection, id)?;
    work.connection
        .prepare_cached(
            "UPDATE workspaces SET url = coalesce(?2, url), card = coalesce(?3, card), \
             registered_at = ?4 WHERE id = ?1",
        )?
        .execute(params![
            id.to_string(),
            registration.url,
            registration.card.as_ref().map(Value::to_string),
            now_ms,
        ])?;
    // The URL may hold a password, so the trail does not.
    let detail = json!({ "token_issued": issued });
    tell(work, "workspace.registered", id, detail, now_ms, by)?;
    reread(work, id)
}

fn update_card(
    work: &mut Work<'_>,
    id: WorkspaceId,
    card: &Value,
    now_ms: i64,
    by: Actor,
) -> Result<Workspace, StoreError> {
    require_live(work.connection, id)?;
    work.connection
        .prepare_cached("UPDATE workspaces SET card = ?2 WHERE id = ?1")?
        .execute(params![id.to_string(), card.to_string()])?;
    tell(work, "workspace.card_updated", id, json!({}), now_ms, by)?;
    reread(work, id)
}
