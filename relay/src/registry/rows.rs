//! Rows to values: how what is stored is read back.

use std::str::FromStr;
use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;
use shared::ids::{OrgId, WorkspaceId};

use super::allowance::{Allowance, Rate};
use super::bonds;
use super::credential::Credential;
use super::directory::Change;
use super::model::{AgentKey, Tier, Workspace};

const WORKSPACE: &str = "SELECT w.id, w.org_id, w.parent_id, w.name, l.alias, a.address, \
    w.callers, w.expose, w.paused, w.created_at, w.removed_at, w.url, w.card, w.registered_at, \
    w.role, w.tier, w.strict_card, w.keep_alive, w.jsonrpc_errors_as_200, \
    w.rate_per_1000_s, w.in_flight_max, w.methods, w.push_egress \
    FROM workspaces w \
    LEFT JOIN aliases l ON l.workspace_id = w.id \
    JOIN addresses a ON a.workspace_id = w.id \
    AND a.rowid = (SELECT max(n.rowid) FROM addresses n WHERE n.workspace_id = w.id)";

/// The columns that [`credential_from`] reads.
pub(super) const CREDENTIAL: &str = "hash, id, kind, workspace_id, scope, label, created_at, expires_at, revoked_at, \
     rate_per_1000_s, in_flight_max, methods";

/// The workspace `id`, removed or not.
pub(super) fn workspace(
    connection: &Connection,
    id: WorkspaceId,
) -> rusqlite::Result<Option<Workspace>> {
    connection
        .prepare_cached(&format!("{WORKSPACE} WHERE w.id = ?1"))?
        .query_row([id.to_string()], workspace_from)
        .optional()
}

/// The organisation of this store.
pub(super) fn org(connection: &Connection) -> rusqlite::Result<OrgId> {
    connection.query_row("SELECT value FROM meta WHERE key = 'org_id'", [], |row| parsed(row, 0))
}

/// Everything a directory holds, as the changes that lead there.
pub(super) fn everything(connection: &Connection) -> rusqlite::Result<Vec<Change>> {
    let mut all = Vec::new();
    let mut workspaces = connection.prepare(WORKSPACE)?;
    for workspace in workspaces.query_map([], workspace_from)? {
        all.push(Change::Workspace(workspace?));
    }
    let mut keys = connection.prepare(
        "SELECT hash, workspace_id, revoked_at IS NOT NULL FROM credentials \
         WHERE kind = 'agent_key'",
    )?;
    let keys = keys.query_map([], |row| {
        let key = AgentKey { workspace: parsed(row, 1)?, revoked: row.get(2)? };
        Ok(Change::Key(row.get(0)?, key))
    })?;
    for key in keys {
        all.push(key?);
    }
    let mut credentials = connection
        .prepare(&format!("SELECT {CREDENTIAL} FROM credentials WHERE id IS NOT NULL"))?;
    for credential in credentials.query_map([], credential_from)? {
        let (hash, credential) = credential?;
        all.push(Change::Credential(hash, credential));
    }
    all.extend(bonds::everything(connection)?);
    Ok(all)
}

fn workspace_from(row: &Row<'_>) -> rusqlite::Result<Workspace> {
    Ok(Workspace {
        id: parsed(row, 0)?,
        org: parsed(row, 1)?,
        parent: parsed_if_any(row, 2)?,
        name: row.get(3)?,
        alias: parsed_if_any(row, 4)?,
        address: parsed(row, 5)?,
        callers: parsed(row, 6)?,
        expose: parsed(row, 7)?,
        paused: row.get(8)?,
        created_at_ms: row.get(9)?,
        removed_at_ms: row.get(10)?,
        url: row.get(11)?,
        card: row
            .get::<_, Option<String>>(12)?
            .map(|text| json(12, &text))
            .transpose()?
            .map(Arc::new),
        registered_at_ms: row.get(13)?,
        role: row.get(14)?,
        tier: row.get::<_, Option<u8>>(15)?.and_then(|number| Tier::new(number.into())),
        strict_card: row.get(16)?,
        keep_alive: row.get(17)?,
        jsonrpc_errors_as_200: row.get(18)?,
        allowance: allowance_from(row, 19)?,
        push_egress: parsed(row, 22)?,
    })
}

/// The allowance in column `index` and the two behind it.
fn allowance_from(row: &Row<'_>, index: usize) -> rusqlite::Result<Allowance> {
    Ok(Allowance {
        rate: row.get::<_, Option<u32>>(index)?.map(Rate::stored),
        in_flight: row.get(index + 1)?,
        methods: parsed(row, index + 2)?,
    })
}

/// A credential and its hash, from the columns [`CREDENTIAL`].
pub(super) fn credential_from(row: &Row<'_>) -> rusqlite::Result<([u8; 32], Credential)> {
    let credential = Credential {
        id: parsed(row, 1)?,
        kind: parsed(row, 2)?,
        workspace: parsed_if_any(row, 3)?,
        scope: parsed_if_any(row, 4)?,
        label: row.get(5)?,
        created_at_ms: row.get(6)?,
        expires_at_ms: row.get(7)?,
        revoked_at_ms: row.get(8)?,
        allowance: allowance_from(row, 9)?,
    };
    Ok((row.get(0)?, credential))
}

/// The JSON `text` that lies in column `index`.
pub(super) fn json(index: usize, text: &str) -> rusqlite::Result<Value> {
    value(index, text)
}

/// The text in column `index` as a value.
pub(super) fn parsed<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    value(index, &row.get::<_, String>(index)?)
}

/// The text in column `index` as a value, if there is one.
pub(super) fn parsed_if_any<T>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.get::<_, Option<String>>(index)?.map(|text| value(index, &text)).transpose()
}

fn value<T>(index: usize, text: &str) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
    })
}
