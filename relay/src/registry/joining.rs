//! The intents about joining: join tokens, their redemption, the keys of connectors.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;
use shared::ids::WorkspaceId;

use super::directory::Change;
use super::errors::{JoinRefusal, StoreError};
use super::events::{Actor, tell};
use super::model::AgentKey;
use super::orders::NewJoinToken;
use super::rows;
use super::store::Work;
use super::workspaces::{on_conflict, require_live};

/// How long an expired join token is still known, so that who comes late is told so: a week, for
/// those who come back after a holiday.
const EXPIRED_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How many keys a workspace may have; the one unused for longest goes when another comes. A key
/// is used at least every fifteen days, when its certificate is renewed: this leaves room for a
/// new replica every three minutes in between.
const KEYS_MAX: i64 = 8192;

/// A join token as it lies in the store, seen by one key.
struct Token {
    workspace: WorkspaceId,
    uses_left: i64,
    expires_at_ms: i64,
    workspace_gone: bool,
    redeemed_by_this_key: bool,
}

/// What a redemption costs.
#[derive(Debug, PartialEq, Eq)]
enum Cost {
    OneUse,
    /// This key has paid; the answer may have been lost.
    Nothing,
}

impl Token {
    fn admits(&self, now_ms: i64) -> Result<Cost, JoinRefusal> {
        if self.workspace_gone {
            Err(JoinRefusal::WorkspaceGone)
        } else if now_ms >= self.expires_at_ms {
            Err(JoinRefusal::Expired)
        } else if self.redeemed_by_this_key {
            Ok(Cost::Nothing)
        } else if self.uses_left > 0 {
            Ok(Cost::OneUse)
        } else {
            Err(JoinRefusal::Used)
        }
    }
}

/// Makes a join token for a workspace that is there.
pub(super) fn add_join_token(
    work: &mut Work<'_>,
    id: WorkspaceId,
    token: &NewJoinToken,
    now_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    require_live(work.connection, id)?;
    insert_join_token(work, id, token, now_ms, by)
}

/// Stores a join token and sweeps those that expired long ago, with their redemptions.
pub(super) fn insert_join_token(
    work: &mut Work<'_>,
    id: WorkspaceId,
    token: &NewJoinToken,
    now_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    let swept_before = now_ms.saturating_sub(EXPIRED_KEPT_MS);
    work.connection.execute("DELETE FROM join_tokens WHERE expires_at < ?1", [swept_before])?;
    work.connection
        .execute(
            "INSERT INTO join_tokens (hash, workspace_id, uses_left, expires_at, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![token.hash, id.to_string(), token.uses, token.expires_at_ms, now_ms],
        )
        .map_err(|error| on_conflict(error, || StoreError::NotFresh { what: "join token" }))?;
    let detail = json!({ "uses": token.uses, "expires_at_ms": token.expires_at_ms });
    tell(work, "join.issued", id, detail, now_ms, by)
}

/// Lets the key in by the token, if the token admits it.
pub(super) fn redeem(
    work: &mut Work<'_>,
    token_hash: [u8; 32],
    key_hash: [u8; 32],
    now_ms: i64,
    by: Actor,
) -> Result<Result<WorkspaceId, JoinRefusal>, StoreError> {
    let Some(token) = token(work.connection, token_hash, key_hash)? else {
        return Ok(Err(JoinRefusal::Unknown));
    };
    match token.admits(now_ms) {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(Cost::Nothing) => {}
        Ok(Cost::OneUse) => {
            work.connection.execute(
                "UPDATE join_tokens SET uses_left = uses_left - 1 WHERE hash = ?1",
                [token_hash],
            )?;
            work.connection.execute(
                "INSERT INTO redemptions (token_hash, key_hash, redeemed_at) VALUES (?1, ?2, ?3)",
                params![token_hash, key_hash, now_ms],
            )?;
            tell(work, "join.redeemed", token.workspace, json!({}), now_ms, by)?;
        }
    }
    match key(work.connection, key_hash)? {
        None => insert_key(work, token.workspace, key_hash, now_ms)?,
        Some(key) if key.workspace != token.workspace => {
            return Err(StoreError::KeyOfAnother { id: token.workspace });
        }
        // The operator gave this token after the revocation, which deleted all older ones.
        Some(_) => use_key(work, token.workspace, key_hash, now_ms)?,
    }
    Ok(Ok(token.workspace))
}

/// Notes that a connector of the workspace goes on with the key `new`, which may be the one it has.
/// The key that asks must still be good: a revocation that came first ends this too.
pub(super) fn renew_agent_key(
    work: &mut Work<'_>,
    id: WorkspaceId,
    asking: [u8; 32],
    new: [u8; 32],
    now_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    match key(work.connection, asking)? {
        Some(key) if key.workspace == id && !key.revoked => {}
        Some(_) | None => return Err(StoreError::KeyRevoked { id }),
    }
    add_agent_key(work, id, new, now_ms)?;
    tell(work, "certificate.renewed", id, json!({ "new_key": new != asking }), now_ms, by)
}

/// Gives the workspace a key.
pub(super) fn add_agent_key(
    work: &mut Work<'_>,
    id: WorkspaceId,
    key_hash: [u8; 32],
    now_ms: i64,
) -> Result<(), StoreError> {
    require_live(work.connection, id)?;
    match key(work.connection, key_hash)? {
        None => insert_key(work, id, key_hash, now_ms),
        Some(key) if key.workspace != id => Err(StoreError::KeyOfAnother { id }),
        Some(key) if key.revoked => Err(StoreError::KeyRevoked { id }),
        Some(_) => use_key(work, id, key_hash, now_ms),
    }
}

fn token(
    connection: &Connection,
    token_hash: [u8; 32],
    key_hash: [u8; 32],
) -> rusqlite::Result<Option<Token>> {
    connection
        .prepare_cached(
            "SELECT j.workspace_id, j.uses_left, j.expires_at, w.removed_at IS NOT NULL, \
             EXISTS (SELECT 1 FROM redemptions r WHERE r.token_hash = j.hash AND r.key_hash = ?2) \
             FROM join_tokens j JOIN workspaces w ON w.id = j.workspace_id WHERE j.hash = ?1",
        )?
        .query_row(params![token_hash, key_hash], |row| {
            Ok(Token {
                workspace: rows::parsed(row, 0)?,
                uses_left: row.get(1)?,
                expires_at_ms: row.get(2)?,
                workspace_gone: row.get(3)?,
                redeemed_by_this_key: row.get(4)?,
            })
        })
        .optional()
}

fn key(connection: &Connection, key_hash: [u8; 32]) -> rusqlite::Result<Option<AgentKey>> {
    connection
        .prepare_cached(
            "SELECT workspace_id, revoked_at IS NOT NULL FROM credentials \
             WHERE hash = ?1 AND kind = 'agent_key'",
        )?
        .query_row([key_hash], |row| {
            Ok(AgentKey { workspace: rows::parsed(row, 0)?, revoked: row.get(1)? })
        })
        .optional()
}

fn insert_key(
    work: &mut Work<'_>,
    id: WorkspaceId,
    key_hash: [u8; 32],
    now_ms: i64,
) -> Result<(), StoreError> {
    forget_surplus_keys(work, id)?;
    work.connection
        .prepare_cached(
            "INSERT INTO credentials (hash, kind, workspace_id, created_at, last_used_at) \
             VALUES (?1, 'agent_key', ?2, ?3, ?3)",
        )?
        .execute(params![key_hash, id.to_string(), now_ms])?;
    work.changes.push(Change::Key(key_hash, AgentKey { workspace: id, revoked: false }));
    Ok(())
}

fn use_key(
    work: &mut Work<'_>,
    id: WorkspaceId,
    key_hash: [u8; 32],
    now_ms: i64,
) -> Result<(), StoreError> {
    work.connection.execute(
        "UPDATE credentials SET last_used_at = ?2, revoked_at = NULL WHERE hash = ?1",
        params![key_hash, now_ms],
    )?;
    work.changes.push(Change::Key(key_hash, AgentKey { workspace: id, revoked: false }));
    Ok(())
}

/// Makes room for one more key; revoked ones go first.
fn forget_surplus_keys(work: &mut Work<'_>, id: WorkspaceId) -> Result<(), StoreError> {
    let count: i64 = work
        .connection
        .prepare_cached(
            "SELECT count(*) FROM credentials WHERE workspace_id = ?1 AND kind = 'agent_key'",
        )?
        .query_row([id.to_string()], |row| row.get(0))?;
    if count < KEYS_MAX {
        return Ok(());
    }
    let mut forget = work.connection.prepare_cached(
        "DELETE FROM credentials WHERE hash IN (SELECT hash FROM credentials \
         WHERE workspace_id = ?1 AND kind = 'agent_key' \
         ORDER BY revoked_at IS NULL, last_used_at LIMIT ?2) RETURNING hash",
    )?;
    let forgotten = forget
        .query_map(params![id.to_string(), count - KEYS_MAX + 1], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    work.changes.extend(forgotten.into_iter().map(Change::KeyForgotten));
    Ok(())
}
