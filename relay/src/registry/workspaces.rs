//! The intents about workspaces: make, rename, set policies, revoke, remove.

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use serde_json::json;
use shared::ids::{Address, Alias, WorkspaceId};

use super::allowance::Rate;
use super::credential::CredentialKind;
use super::directory::Change;
use super::errors::StoreError;
use super::events::{Actor, tell};
use super::joining::insert_join_token;
use super::model::{Tier, Workspace, check_name, check_role};
use super::orders::{Edit, NewJoinToken, NewWorkspace, PolicyChange};
use super::store::Work;
use super::{bonds, credentials, rows};

/// Makes a workspace and, in the same transaction, a join token for it.
pub(super) fn create(
    work: &mut Work<'_>,
    new: &NewWorkspace,
    join: Option<&NewJoinToken>,
    now_ms: i64,
    by: Actor,
) -> Result<Workspace, StoreError> {
    check_name(&new.name)?;
    new.role.as_deref().map_or(Ok(()), check_role)?;
    if let Some(parent) = new.parent {
        require_live(work.connection, parent)?;
    }
    let insert = "INSERT INTO workspaces \
        (id, org_id, parent_id, name, callers, expose, created_at, url, role, tier, strict_card, \
         keep_alive, jsonrpc_errors_as_200, rate_per_1000_s, in_flight_max, methods, push_egress) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    work.connection
        .prepare_cached(insert)?
        .execute(params![
            new.id.to_string(),
            rows::org(work.connection)?.to_string(),
            new.parent.map(|parent| parent.to_string()),
            new.name,
            new.callers.unwrap_or_default().as_str(),
            new.expose.unwrap_or_default().as_str(),
            now_ms,
            new.url,
            new.role,
            new.tier.map(Tier::number),
            new.strict_card,
            new.keep_alive,
            new.jsonrpc_errors_as_200,
            new.allowance.rate.map(Rate::per_1000_s),
            new.allowance.in_flight,
            new.allowance.methods.to_string(),
            new.push_egress.to_string(),
        ])
        .map_err(|error| on_conflict(error, || StoreError::NotFresh { what: "workspace id" }))?;
    insert_address(work.connection, new.id, new.address, now_ms)?;
    if let Some(alias) = &new.alias {
        give_alias(work.connection, new.id, alias)?;
    }
    let detail = json!({ "name": new.name, "alias": new.alias, "parent": new.parent });
    tell(work, "workspace.created", new.id, detail, now_ms, by.clone())?;
    if let Some(join) = join {
        insert_join_token(work, new.id, join, now_ms, by)?;
    }
    reread(work, new.id)
}

/// Changes the name and policies of a workspace, all of it or nothing.
pub(super) fn set_policies(
    work: &mut Work<'_>,
    id: WorkspaceId,
    change: &PolicyChange,
    now_ms: i64,
    by: Actor,
) -> Result<Workspace, StoreError> {
    if let Some(name) = &change.name {
        check_name(name)?;
    }
    change.role.given().map_or(Ok(()), |role| check_role(role))?;
    require_live(work.connection, id)?;
    work.connection.execute(
        "UPDATE workspaces SET name = coalesce(?2, name), callers = coalesce(?3, callers), \
         expose = coalesce(?4, expose), paused = coalesce(?5, paused), \
         role = iif(?6, ?7, role), tier = iif(?8, ?9, tier), \
         strict_card = coalesce(?10, strict_card), keep_alive = coalesce(?11, keep_alive), \
         jsonrpc_errors_as_200 = coalesce(?12, jsonrpc_errors_as_200), \
         rate_per_1000_s = iif(?13, ?14, rate_per_1000_s), \
         in_flight_max = iif(?15, ?16, in_flight_max), methods = coalesce(?17, methods), \
         push_egress = coalesce(?18, push_egress) WHERE id = ?1",
        params![
            id.to_string(),
            change.name,
            change.callers.map(|policy| policy.as_str()),
            change.expose.map(|policy| policy.as_str()),
            change.paused,
            change.role.is_made(),
            change.role.given(),
            change.tier.is_made(),
            change.tier.given().map(|tier| tier.number()),
            change.strict_card,
            change.keep_alive,
            change.jsonrpc_errors_as_200,
            change.rate.is_made(),
            change.rate.given().map(|rate| rate.per_1000_s()),
            change.in_flight.is_made(),
            change.in_flight.given(),
            change.methods.map(|methods| methods.to_string()),
            change.push_egress.as_ref().map(ToString::to_string),
        ],
    )?;
    match &change.alias {
        Edit::Keep => {}
        Edit::Give(alias) => give_alias(work.connection, id, alias)?,
        Edit::Free => free_alias(work.connection, id)?,
    }
    if let Some(address) = change.new_address {
        retire_addresses(work.connection, id, now_ms)?;
        insert_address(work.connection, id, address, now_ms)?;
    }
    if let Some(paused) = change.paused {
        let action = if paused { "workspace.paused" } else { "workspace.resumed" };
        tell(work, action, id, json!({}), now_ms, by.clone())?;
    }
    if let Some(detail) = change.told() {
        tell(work, "workspace.changed", id, detail, now_ms, by.clone())?;
    }
    if let Some(name) = &change.name {
        tell(work, "workspace.renamed", id, json!({ "name": name }), now_ms, by)?;
    }
    reread(work, id)
}

/// Revokes what speaks for a workspace: agent keys, join tokens, workspace tokens.
pub(super) fn revoke(
    work: &mut Work<'_>,
    id: WorkspaceId,
    now_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    require_live(work.connection, id)?;
    let keys = revoke_keys(work, id, now_ms)?;
    let tokens = credentials::revoke_all(work, CredentialKind::WorkspaceToken, id, now_ms)?;
    // Used-up ones too: a key that was let in by one could be let in by it again.
    let delete = "DELETE FROM join_tokens WHERE workspace_id = ?1";
    let joins = work.connection.execute(delete, [id.to_string()])?;
    let detail = json!({ "agent_keys": keys, "tokens": tokens, "join_tokens": joins });
    tell(work, "workspace.revoked", id, detail, now_ms, by)
}

/// Removes a workspace for good. Its join tokens stay until they are swept, to say so.
pub(super) fn remove(
    work: &mut Work<'_>,
    id: WorkspaceId,
    now_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    require_live(work.connection, id)?;
    revoke_keys(work, id, now_ms)?;
    for kind in [CredentialKind::WorkspaceToken, CredentialKind::CallerToken] {
        credentials::revoke_all(work, kind, id, now_ms)?;
    }
    work.connection.execute("DELETE FROM secrets WHERE workspace_id = ?1", [id.to_string()])?;
    bonds::leave(work, id)?;
    free_alias(work.connection, id)?;
    retire_addresses(work.connection, id, now_ms)?;
    work.connection.execute(
        "UPDATE workspaces SET removed_at = ?2, url = NULL, card = NULL WHERE id = ?1",
        params![id.to_string(), now_ms],
    )?;
    let removed = reread(work, id)?;
    tell(work, "workspace.removed", id, json!({ "name": removed.name }), now_ms, by)
}

/// Refuses workspaces that are not there, and those that have been removed.
pub(super) fn require_live(connection: &Connection, id: WorkspaceId) -> Result<(), StoreError> {
    let removed = connection
        .prepare_cached("SELECT removed_at IS NOT NULL FROM workspaces WHERE id = ?1")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    match removed {
        None => Err(StoreError::UnknownWorkspace { id }),
        Some(true) => Err(StoreError::WorkspaceGone { id }),
        Some(false) => Ok(()),
    }
}

/// `refusal` where `error` says that a row of that key is there already.
pub(super) fn on_conflict(
    error: rusqlite::Error,
    refusal: impl FnOnce() -> StoreError,
) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => refusal(),
        _ => error.into(),
    }
}

/// The workspace as it now is, for the answer and for the directory.
pub(super) fn reread(work: &mut Work<'_>, id: WorkspaceId) -> Result<Workspace, StoreError> {
    let now = rows::workspace(work.connection, id)?;
    let now = now.ok_or(StoreError::UnknownWorkspace { id })?;
    work.changes.push(Change::Workspace(now.clone()));
    Ok(now)
}

fn revoke_keys(work: &mut Work<'_>, id: WorkspaceId, now_ms: i64) -> Result<usize, StoreError> {
    let revoked = work.connection.execute(
        "UPDATE credentials SET revoked_at = ?2 \
         WHERE workspace_id = ?1 AND kind = 'agent_key' AND revoked_at IS NULL",
        params![id.to_string(), now_ms],
    )?;
    work.changes.push(Change::KeysRevoked(id));
    Ok(revoked)
}

fn give_alias(connection: &Connection, id: WorkspaceId, alias: &Alias) -> Result<(), StoreError> {
    free_alias(connection, id)?;
    connection
        .execute(
            "INSERT INTO aliases (alias, workspace_id) VALUES (?1, ?2)",
            params![alias.as_str(), id.to_string()],
        )
        .map_err(|error| on_conflict(error, || StoreError::AliasTaken { alias: alias.clone() }))?;
    Ok(())
}

fn free_alias(connection: &Connection, id: WorkspaceId) -> Result<(), StoreError> {
    connection.execute("DELETE FROM aliases WHERE workspace_id = ?1", [id.to_string()])?;
    Ok(())
}

fn insert_address(
    connection: &Connection,
    id: WorkspaceId,
    address: Address,
    now_ms: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO addresses (address, workspace_id, created_at) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![address.reveal(), id.to_string(), now_ms])
        .map_err(|error| on_conflict(error, || StoreError::NotFresh { what: "address" }))?;
    Ok(())
}

fn retire_addresses(
    connection: &Connection,
    id: WorkspaceId,
    now_ms: i64,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE addresses SET retired_at = ?2 WHERE workspace_id = ?1 AND retired_at IS NULL",
        params![id.to_string(), now_ms],
    )?;
    Ok(())
}
