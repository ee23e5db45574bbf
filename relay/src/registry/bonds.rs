//! The intents about bonds: begin, adopt, change, open the token, leave.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;
use shared::ids::{Address, WorkspaceId};
use shared::secret::Secret;

use super::bond::{Adoption, Bond, BondChange, BondStep};
use super::directory::Change;
use super::errors::StoreError;
use super::events::{Actor, tell};
use super::orders::Edit;
use super::sealing::{self, Place, Sealed, Wrapped};
use super::sealing_keys::SealingKeys;
use super::store::Work;
use super::workspaces::{on_conflict, require_live};
use super::{Registry, fresh_address, rows};

/// The columns that [`bond_from`] reads.
const BOND: &str = "SELECT platform, workspace_id, address, adopted, step, begun_at, upstream_id, \
                    paused, value IS NOT NULL, version, report FROM bonds";

/// What a token is bound to besides its workspace and version.
pub(super) fn sealed_name(platform: &str) -> String {
    format!("platform token of {platform}")
}

impl Registry {
    /// Notes that a counterpart of the workspace is about to be made on this platform.
    pub async fn begin_bond(
        &self,
        platform: Arc<str>,
        id: WorkspaceId,
        now_ms: i64,
    ) -> Result<Bond, StoreError> {
        let address = fresh_address()?;
        self.store
            .run(move |work| {
                require_live(work.connection, id)?;
                insert(work, &platform, id, address, false, now_ms)?;
                tell(work, "platform.begun", id, json!({}), now_ms, Actor::relay())?;
                reread(work, &platform, id)
            })
            .await
    }

    /// Changes a bond, all of `change` or nothing. A token is sealed before it is stored.
    pub async fn change_bond(
        &self,
        platform: Arc<str>,
        id: WorkspaceId,
        change: BondChange,
        now_ms: i64,
        by: Actor,
    ) -> Result<Bond, StoreError> {
        let keys = self.keys.clone();
        self.store
            .run(move |work| self::change(work, &keys, &platform, id, change, now_ms, by))
            .await
    }

    /// The token of a bond, if it has one.
    pub async fn bond_token(
        &self,
        platform: Arc<str>,
        id: WorkspaceId,
    ) -> Result<Option<Secret>, StoreError> {
        let name = sealed_name(&platform);
        let stored =
            self.store.run(move |work| Ok(sealed(work.connection, &platform, id)?)).await?;
        let Some((version, sealed)) = stored else { return Ok(None) };
        let (org, workspace) = (self.org.to_string(), id.to_string());
        let place = Place { org: &org, workspace: &workspace, name: &name, version };
        let opened = sealing::open(&self.keys, place, &sealed).ok();
        let text = opened.and_then(|token| String::from_utf8(token).ok());
        text.map(|text| Some(Secret::new(text))).ok_or(StoreError::TokenSealed { id })
    }

    /// The bond of a workspace with a platform.
    pub fn bond(&self, platform: &str, id: &WorkspaceId) -> Option<Arc<Bond>> {
        self.directory.read(|entries| entries.bonds.of(platform, id))
    }

    /// The bond that has this handle.
    pub fn bond_at(&self, address: &Address) -> Option<Arc<Bond>> {
        self.directory.read(|entries| entries.bonds.by_address(address))
    }

    /// Every bond with this platform, those of removed workspaces too.
    pub fn bonds(&self, platform: &str) -> Vec<Arc<Bond>> {
        self.directory.read(|entries| entries.bonds.all(platform))
    }
}

/// Ties a workspace that is being made to a counterpart that is there already.
pub(super) fn adopt(
    work: &mut Work<'_>,
    keys: &SealingKeys,
    id: WorkspaceId,
    adoption: Adoption,
    now_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    let Adoption { platform, upstream, token } = adoption;
    insert(work, &platform, id, fresh_address()?, true, now_ms)?;
    let made = BondChange {
        step: Some(BondStep::Made),
        upstream: Some(upstream),
        token: Edit::Give(token),
        ..BondChange::default()
    };
    change(work, keys, &platform, id, made, now_ms, by).map(drop)
}

/// Lets go of the bonds of a workspace that is being removed: what the relay made is still to go,
/// what it adopted is not its own. The tokens go at once.
pub(super) fn leave(work: &mut Work<'_>, id: WorkspaceId) -> Result<(), StoreError> {
    work.connection.execute(
        "UPDATE bonds SET step = iif(adopted OR step = 'gone', 'gone', 'leaving'), paused = 0, \
         report = NULL, sealed_for = NULL, value = NULL, wrapped_by = NULL, wrapped_key = NULL \
         WHERE workspace_id = ?1",
        [id.to_string()],
    )?;
    let mut bonds = work.connection.prepare_cached(&format!("{BOND} WHERE workspace_id = ?1"))?;
    for bond in bonds.query_map([id.to_string()], bond_from)? {
        work.changes.push(Change::Bond(bond?));
    }
    Ok(())
}

/// Every bond there is.
pub(super) fn everything(connection: &Connection) -> rusqlite::Result<Vec<Change>> {
    connection.prepare(BOND)?.query_map([], bond_from)?.map(|bond| bond.map(Change::Bond)).collect()
}

fn insert(
    work: &mut Work<'_>,
    platform: &str,
    id: WorkspaceId,
    address: Address,
    adopted: bool,
    now_ms: i64,
) -> Result<(), StoreError> {
    work.connection
        .prepare_cached(
            "INSERT INTO bonds (platform, workspace_id, address, adopted, step, begun_at) \
             VALUES (?1, ?2, ?3, ?4, 'begun', ?5)",
        )?
        .execute(params![platform, id.to_string(), address.reveal(), adopted, now_ms])
        .map_err(|error| on_conflict(error, || StoreError::NotFresh { what: "bond" }))?;
    Ok(())
}

fn change(
    work: &mut Work<'_>,
    keys: &SealingKeys,
    platform: &str,
    id: WorkspaceId,
    change: BondChange,
    now_ms: i64,
    by: Actor,
) -> Result<Bond, StoreError> {
    let before = select(work.connection, platform, id)?.ok_or(StoreError::NoBond { id })?;
    let change = still_wanted(before.step, change);
    work.connection
        .prepare_cached(
            "UPDATE bonds SET step = coalesce(?3, step), begun_at = coalesce(?4, begun_at), \
             upstream_id = coalesce(?5, upstream_id), paused = coalesce(?6, paused), \
             report = coalesce(?7, report) WHERE platform = ?1 AND workspace_id = ?2",
        )?
        .execute(params![
            platform,
            id.to_string(),
            change.step.map(BondStep::as_str),
            change.begun_at_ms,
            change.upstream,
            change.paused,
            change.report.map(|report| report.to_string()),
        ])
        .map_err(|error| on_conflict(error, || StoreError::UpstreamTaken))?;
    match change.token {
        Edit::Keep => {}
        Edit::Give(token) => {
            let version = before.version.saturating_add(1);
            let (org, workspace) = (rows::org(work.connection)?.to_string(), id.to_string());
            let name = sealed_name(platform);
            let place = Place { org: &org, workspace: &workspace, name: &name, version };
            let sealed = sealing::seal(keys, place, token.reveal().as_bytes())?;
            store_token(work.connection, platform, id, version, Some(sealed))?;
        }
        Edit::Free => store_token(work.connection, platform, id, before.version, None)?,
    }
    let now = reread(work, platform, id)?;
    for (action, changed) in [
        ("platform.made", before.upstream != now.upstream),
        ("platform.token", before.version != now.version),
        ("platform.registered", before.step != now.step && now.step == BondStep::Registered),
        ("platform.gone", before.step != now.step && now.step == BondStep::Gone),
        ("platform.paused", !before.paused && now.paused),
        ("platform.resumed", before.paused && !now.paused),
    ] {
        if changed {
            let detail = json!({ "upstream_id": now.upstream });
            tell(work, action, id, detail, now_ms, by.clone())?;
        }
    }
    Ok(now)
}

/// What is left of a change for a bond that is ending, or over: a call that was under way then may
/// come back with news of a counterpart, which is to go all the same.
fn still_wanted(step: BondStep, change: BondChange) -> BondChange {
    match step {
        BondStep::Leaving if change.step != Some(BondStep::Gone) => {
            BondChange { upstream: change.upstream, ..BondChange::default() }
        }
        BondStep::Gone => BondChange::default(),
        _ => change,
    }
}

fn store_token(
    connection: &Connection,
    platform: &str,
    id: WorkspaceId,
    version: i64,
    sealed: Option<Sealed>,
) -> Result<(), StoreError> {
    let (sealed_for, value, key) = match sealed {
        Some(Sealed { sealed_for, value, key }) => (Some(sealed_for), Some(value), Some(key)),
        None => (None, None, None),
    };
    let (by, key) = key.map(|Wrapped { by, key }| (by, key)).unzip();
    connection
        .prepare_cached(
            "UPDATE bonds SET version = ?3, sealed_for = ?4, value = ?5, wrapped_by = ?6, \
             wrapped_key = ?7 WHERE platform = ?1 AND workspace_id = ?2",
        )?
        .execute(params![platform, id.to_string(), version, sealed_for, value, by, key])?;
    Ok(())
}

fn reread(work: &mut Work<'_>, platform: &str, id: WorkspaceId) -> Result<Bond, StoreError> {
    let bond = select(work.connection, platform, id)?.ok_or(StoreError::NoBond { id })?;
    work.changes.push(Change::Bond(bond.clone()));
    Ok(bond)
}

fn select(
    connection: &Connection,
    platform: &str,
    id: WorkspaceId,
) -> rusqlite::Result<Option<Bond>> {
    connection
        .prepare_cached(&format!("{BOND} WHERE platform = ?1 AND workspace_id = ?2"))?
        .query_row(params![platform, id.to_string()], bond_from)
        .optional()
}

fn sealed(
    connection: &Connection,
    platform: &str,
    id: WorkspaceId,
) -> rusqlite::Result<Option<(i64, Sealed)>> {
    connection
        .prepare_cached(
            "SELECT version, sealed_for, value, wrapped_by, wrapped_key FROM bonds \
             WHERE platform = ?1 AND workspace_id = ?2 AND value IS NOT NULL",
        )?
        .query_row(params![platform, id.to_string()], |row| {
            let key = Wrapped { by: row.get(3)?, key: row.get(4)? };
            Ok((row.get(0)?, Sealed { sealed_for: row.get(1)?, value: row.get(2)?, key }))
        })
        .optional()
}

fn bond_from(row: &Row<'_>) -> rusqlite::Result<Bond> {
    let report = row.get::<_, Option<String>>(10)?.map(|text| rows::json(10, &text)).transpose()?;
    Ok(Bond {
        platform: row.get::<_, String>(0)?.into(),
        workspace: rows::parsed(row, 1)?,
        address: rows::parsed(row, 2)?,
        adopted: row.get(3)?,
        step: rows::parsed(row, 4)?,
        begun_at_ms: row.get(5)?,
        upstream: row.get(6)?,
        paused: row.get(7)?,
        has_token: row.get(8)?,
        version: row.get(9)?,
        report: report.map(Arc::new),
    })
}
