//! Secrets of workspaces: set and removed by the operator, pulled by the agent, sealed in the store.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use shared::ids::WorkspaceId;

use super::errors::StoreError;
use super::events::{Actor, tell};
use super::sealing::{self, Place, Sealed, Wrapped};
use super::sealing_keys::SealingKeys;
use super::secret::{SecretInfo, SecretName};
use super::store::Work;
use super::workspaces::require_live;
use super::{Registry, rows};

/// The longest value, bytes: a chain of certificates fits several times.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// How many secrets a workspace may have: with the longest values sixteen megabytes, which is what
/// one pull may cost.
pub const SECRETS_MAX: usize = 256;

impl Registry {
    /// Seals `value` under this name, in the place of an older one. At most [`SECRETS_MAX`] of
    /// [`SECRET_BYTES_MAX`] each, else [`StoreError::TooMany`].
    pub async fn set_secret(
        &self,
        id: WorkspaceId,
        name: SecretName,
        value: String,
        now_ms: i64,
        by: Actor,
    ) -> Result<(), StoreError> {
        if value.len() > SECRET_BYTES_MAX {
            return Err(StoreError::TooMany { what: "bytes of a secret", most: SECRET_BYTES_MAX });
        }
        let keys = self.keys.clone();
        self.store.run(move |work| set(work, &keys, id, &name, &value, now_ms, by)).await
    }

    /// Removes the secret of this name, or refuses with [`StoreError::UnknownSecret`].
    pub async fn remove_secret(
        &self,
        id: WorkspaceId,
        name: SecretName,
        by: Actor,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.store.run(move |work| remove(work, id, name, by, now_ms)).await
    }

    /// What secrets the workspace has, by name.
    pub async fn secret_names(&self, id: WorkspaceId) -> Result<Vec<SecretInfo>, StoreError> {
        self.store.run(move |work| names(work.connection, id)).await
    }

    /// The secrets themselves, all or none: [`StoreError::Sealed`] names those that do not open.
    pub async fn secrets(&self, id: WorkspaceId) -> Result<BTreeMap<String, String>, StoreError> {
        let stored = self.store.run(move |work| {
            require_live(work.connection, id)?;
            Ok(select(work.connection, id)?)
        });
        let stored = stored.await?;
        let (org, mut opened, mut sealed) = (self.org.to_string(), BTreeMap::new(), Vec::new());
        for secret in stored {
            let value = sealing::open(&self.keys, secret.place(&org), &secret.sealed);
            match value.ok().and_then(|value| String::from_utf8(value).ok()) {
                Some(value) => drop(opened.insert(secret.name.to_string(), value)),
                None => sealed.push(secret.name),
            }
        }
        if sealed.is_empty() { Ok(opened) } else { Err(StoreError::Sealed { names: sealed }) }
    }
}

/// A secret as it lies in the store.
struct Stored {
    workspace: String,
    name: SecretName,
    version: i64,
    sealed: Sealed,
}

impl Stored {
    fn place<'a>(&'a self, org: &'a str) -> Place<'a> {
        Place { org, workspace: &self.workspace, name: self.name.as_str(), version: self.version }
    }
}

fn set(
    work: &mut Work<'_>,
    keys: &SealingKeys,
    id: WorkspaceId,
    name: &SecretName,
    value: &str,
    now_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    require_live(work.connection, id)?;
    let (org, workspace) = (rows::org(work.connection)?.to_string(), id.to_string());
    let version = match version(work.connection, &workspace, name)? {
        Some(version) => version.saturating_add(1),
        None if count(work.connection, &workspace)? < SECRETS_MAX => 1,
        None => {
            return Err(StoreError::TooMany { what: "secrets of a workspace", most: SECRETS_MAX });
        }
    };
    let place = Place { org: &org, workspace: &workspace, name: name.as_str(), version };
    let sealed = sealing::seal(keys, place, value.as_bytes())?;
    work.connection
        .prepare_cached(
            "INSERT OR REPLACE INTO secrets (workspace_id, name, version, sealed_for, value, \
             wrapped_by, wrapped_key, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            workspace,
            name.as_str(),
            version,
            sealed.sealed_for,
            sealed.value,
            sealed.key.by,
            sealed.key.key,
            now_ms,
        ])?;
    tell(work, "secret.set", id, json!({ "name": name }), now_ms, by)
}

fn remove(
    work: &mut Work<'_>,
    id: WorkspaceId,
    name: SecretName,
    by: Actor,
    now_ms: i64,
) -> Result<(), StoreError> {
    require_live(work.connection, id)?;
    let removed = work.connection.execute(
        "DELETE FROM secrets WHERE workspace_id = ?1 AND name = ?2",
        params![id.to_string(), name.as_str()],
    )?;
    if removed == 0 {
        return Err(StoreError::UnknownSecret { name });
    }
    tell(work, "secret.removed", id, json!({ "name": name }), now_ms, by)
}

fn names(connection: &Connection, id: WorkspaceId) -> Result<Vec<SecretInfo>, StoreError> {
    require_live(connection, id)?;
    let mut names = connection.prepare_cached(
        "SELECT name, updated_at FROM secrets WHERE workspace_id = ?1 ORDER BY name",
    )?;
    let names = names.query_map([id.to_string()], |row| {
        Ok(SecretInfo { name: rows::parsed(row, 0)?, updated_at_ms: row.get(1)? })
    })?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

fn version(
    connection: &Connection,
    workspace: &str,
    name: &SecretName,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT version FROM secrets WHERE workspace_id = ?1 AND name = ?2")?
        .query_row(params![workspace, name.as_str()], |row| row.get(0))
        .optional()
}

fn count(connection: &Connection, workspace: &str) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("SELECT count(*) FROM secrets WHERE workspace_id = ?1")?
        .query_row([workspace], |row| row.get::<_, u32>(0).map(|count| count as usize))
}

fn select(connection: &Connection, id: WorkspaceId) -> rusqlite::Result<Vec<Stored>> {
    connection
        .prepare_cached(
            "SELECT workspace_id, name, version, sealed_for, value, wrapped_by, wrapped_key \
             FROM secrets WHERE workspace_id = ?1",
        )?
        .query_map([id.to_string()], stored_from)?
        .collect()
}

fn stored_from(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        workspace: row.get(0)?,
        name: rows::parsed(row, 1)?,
        version: row.get(2)?,
        sealed: Sealed {
            sealed_for: row.get(3)?,
            value: row.get(4)?,
            key: Wrapped { by: row.get(5)?, key: row.get(6)? },
        },
    })
}
