//! The intents about credentials: issue, revoke, and forget those that ended long ago.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::allowance::{Allowance, Rate};
use super::credential::{Credential, CredentialId, CredentialKind, NewCredential};
use super::directory::Change;
use super::errors::StoreError;
use super::events::{Actor, NewEvent, record};
use super::store::Work;
use super::uses::Uses;
use super::workspaces::{on_conflict, require_live};
use super::{Registry, rows};

/// How long a credential is still known after its end, so that who comes late is told so and the
/// operator sees it: a week, as with join tokens.
const ENDED_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How many revoked ones of a kind and owner are known at most: who issues and revokes in a loop
/// must not fill the memory within that week.
const REVOKED_KEPT: u32 = 1_000;

impl CredentialKind {
    /// How many of the kind one owner may have: a workspace a token for each of its replicas and
    /// some to rotate; callers and programs of the organisation by the hundred.
    const fn live_max(self) -> (usize, &'static str) {
        match self {
            Self::WorkspaceToken => (50, "live tokens of a workspace"),
            Self::OrgKey => (1_000, "live keys of the organisation"),
            Self::CallerToken => (1_000, "live caller tokens of a workspace"),
        }
    }
}

/// Credentials. Lookups touch memory only.
impl Registry {
    /// Stores a credential; its workspace must be there. [`StoreError::TooMany`] if the owner has
    /// 50 live workspace tokens, 1,000 live caller tokens or 1,000 live org keys already.
    pub async fn add_credential(
        &self,
        new: NewCredential,
        by: Actor,
    ) -> Result<Credential, StoreError> {
        let uses = self.uses.clone();
        self.store.run(move |work| issue(work, new, &uses, by)).await
    }

    /// Revokes a credential of that kind and owner for good. One that is revoked already stays as
    /// it is; [`StoreError::UnknownCredential`] if there is none, or it is another's.
    pub async fn revoke_credential(
        &self,
        kind: CredentialKind,
        workspace: Option<WorkspaceId>,
        id: CredentialId,
        now_ms: i64,
        by: Actor,
    ) -> Result<Credential, StoreError> {
        self.store.run(move |work| revoke(work, kind, workspace, id, now_ms, by)).await
    }

    /// The credential whose text has this SHA-256, as long as it is known: until a week after its
    /// end. Ask [`Credential::is_live`].
    pub fn credential(&self, hash: &[u8; 32]) -> Option<Arc<Credential>> {
        self.directory.read(|entries| entries.credential(hash))
    }

    /// All of a kind that one owner has, by age, ended ones included; org keys have no workspace.
    pub fn credentials(
        &self,
        kind: CredentialKind,
        workspace: Option<&WorkspaceId>,
    ) -> Vec<Arc<Credential>> {
        self.directory.read(|entries| entries.credentials(kind, workspace.copied()))
    }
}

/// Stores a credential for an owner that is there, and forgets what ended long ago.
pub(super) fn issue(
    work: &mut Work<'_>,
    new: NewCredential,
    uses: &Uses,
    by: Actor,
) -> Result<Credential, StoreError> {
    let NewCredential { credential, hash } = new;
    let Credential { kind, workspace, created_at_ms: now_ms, .. } = credential;
    if let Some(workspace) = workspace {
        require_live(work.connection, workspace)?;
    }
    for (hash, id) in forget_ended(work.connection, now_ms)?.into_iter().chain(forget_surplus(
        work.connection,
        kind,
        workspace,
    )?) {
        work.changes.push(Change::CredentialForgotten(hash));
        uses.forget(id);
    }
    let (most, what) = kind.live_max();
    if live(work.connection, kind, workspace, now_ms)? >= most {
        return Err(StoreError::TooMany { what, most });
    }
    work.connection
        .prepare_cached(&format!(
            "INSERT INTO credentials ({}) VALUES \
             (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            rows::CREDENTIAL
        ))?
        .execute(params![
            hash,
            credential.id.to_string(),
            kind.as_str(),
            workspace.map(|id| id.to_string()),
            credential.scope.map(|scope| scope.as_str()),
            credential.label,
            now_ms,
            credential.expires_at_ms,
            credential.revoked_at_ms,
            credential.allowance.rate.map(Rate::per_1000_s),
            credential.allowance.in_flight,
            credential.allowance.methods.to_string(),
        ])
        .map_err(|error| on_conflict(error, || StoreError::NotFresh { what: "credential" }))?;
    work.changes.push(Change::Credential(hash, credential.clone()));
    told(work, kind.actions().issued, &credential, now_ms, by)?;
    Ok(credential)
}

/// How many of the kind open something, of one owner.
pub(super) fn live(
    connection: &Connection,
    kind: CredentialKind,
    workspace: Option<WorkspaceId>,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM credentials WHERE workspace_id IS ?1 AND kind = ?2 \
             AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)",
        )?
        .query_row(params![workspace.map(|id| id.to_string()), kind.as_str(), now_ms], |row| {
            row.get::<_, u32>(0).map(|count| count as usize)
        })
}

fn revoke(
    work: &mut Work<'_>,
    kind: CredentialKind,
    workspace: Option<WorkspaceId>,
    id: CredentialId,
    now_ms: i64,
    by: Actor,
) -> Result<Credential, StoreError> {
    let found = work
        .connection
        .prepare_cached(&format!(
            "SELECT {} FROM credentials WHERE id = ?1 AND kind = ?2 AND workspace_id IS ?3",
            rows::CREDENTIAL
        ))?
        .query_row(
            params![id.to_string(), kind.as_str(), workspace.map(|id| id.to_string())],
            rows::credential_from,
        )
        .optional()?;
    let (hash, mut credential) = found.ok_or(StoreError::UnknownCredential { id })?;
    if credential.revoked_at_ms.is_some() {
        return Ok(credential);
    }
    work.connection
        .execute("UPDATE credentials SET revoked_at = ?2 WHERE hash = ?1", params![hash, now_ms])?;
    credential.revoked_at_ms = Some(now_ms);
    work.changes.push(Change::Credential(hash, credential.clone()));
    told(work, kind.actions().revoked, &credential, now_ms, by)?;
    Ok(credential)
}

/// Revokes all of a kind that a workspace has, and answers how many there were to revoke.
pub(super) fn revoke_all(
    work: &mut Work<'_>,
    kind: CredentialKind,
    workspace: WorkspaceId,
    now_ms: i64,
) -> Result<usize, StoreError> {
    let mut revoking = work.connection.prepare_cached(&format!(
        "UPDATE credentials SET revoked_at = ?3 \
         WHERE workspace_id = ?1 AND kind = ?2 AND revoked_at IS NULL RETURNING {}",
        rows::CREDENTIAL
    ))?;
    let revoked = revoking
        .query_map(params![workspace.to_string(), kind.as_str(), now_ms], rows::credential_from)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let count = revoked.len();
    work.changes
        .extend(revoked.into_iter().map(|(hash, credential)| Change::Credential(hash, credential)));
    Ok(count)
}

/// Forgets the credentials that ended long before `now_ms`, and answers which.
fn forget_ended(connection: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Forgotten>> {
    let before = now_ms.saturating_sub(ENDED_KEPT_MS);
    // Two conditions and not one, for each has an index.
    let mut forgotten = Vec::new();
    for ended in ["revoked_at", "expires_at"] {
        let mut delete = connection.prepare_cached(&format!(
            "DELETE FROM credentials WHERE id IS NOT NULL AND {ended} < ?1 RETURNING hash, id"
        ))?;
        for row in delete.query_map([before], forgotten_from)? {
            forgotten.push(row?);
        }
    }
    Ok(forgotten)
}

/// Forgets what was revoked first, where one owner has too many revoked ones of a kind.
fn forget_surplus(
    connection: &Connection,
    kind: CredentialKind,
    workspace: Option<WorkspaceId>,
) -> rusqlite::Result<Vec<Forgotten>> {
    connection
        .prepare_cached(
            "DELETE FROM credentials WHERE hash IN (SELECT hash FROM credentials \
             WHERE workspace_id IS ?1 AND kind = ?2 AND revoked_at IS NOT NULL \
             ORDER BY revoked_at DESC LIMIT -1 OFFSET ?3) RETURNING hash, id",
        )?
        .query_map(
            params![workspace.map(|id| id.to_string()), kind.as_str(), REVOKED_KEPT],
            forgotten_from,
        )?
        .collect()
}

type Forgotten = ([u8; 32], CredentialId);

fn forgotten_from(row: &Row<'_>) -> rusqlite::Result<Forgotten> {
    Ok((row.get(0)?, rows::parsed(row, 1)?))
}

fn told(
    work: &mut Work<'_>,
    action: &'static str,
    credential: &Credential,
    at_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    let mut detail = json!({ "prefix": credential.prefix() });
    if let Value::Object(detail) = &mut detail {
        if let Some(label) = &credential.label {
            detail.insert("name".into(), label.as_str().into());
        }
        if let Some(scope) = credential.scope {
            detail.insert("scope".into(), scope.as_str().into());
        }
        let Allowance { rate, in_flight, methods } = credential.allowance;
        if let Some(rate) = rate {
            detail.insert("rate".into(), rate.requests_per_s().into());
        }
        if let Some(in_flight) = in_flight {
            detail.insert("in_flight".into(), in_flight.into());
        }
        if !methods.is_all() {
            detail.insert("methods".into(), methods.to_string().into());
        }
    }
    record(work, NewEvent { action, workspace: credential.workspace, detail, by, at_ms })
}
