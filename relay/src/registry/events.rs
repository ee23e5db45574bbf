//! The audit trail: who changed what, when and from where. It holds names and prefixes, never a
//! secret, a token, an address or a hash.

use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde_json::Value;
use shared::ids::WorkspaceId;
use tokio::sync::broadcast;

use super::directory::Change;
use super::errors::StoreError;
use super::store::Work;
use super::{Registry, rows};

/// How many events are kept, the newest: months of a small relay, and some tens of megabytes.
pub const EVENTS_KEPT: u64 = 100_000;

/// The most that one query answers: a page that is written in a moment.
pub const EVENTS_PAGE_MAX: usize = 1_000;

/// How many events a watcher may be behind before it misses some: the largest batch of changes a
/// few times over.
pub(super) const EVENTS_WATCHED: usize = 1_024;

/// How many of the oldest go when one comes: more than one, so that a trail that was once longer
/// gets down to its length without a long sweep.
const SWEPT_AT_ONCE: u64 = 4;

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `admin`, the prefix of an org key, a workspace's id, or `relay`.
    pub name: String,
    /// Where the wish came from, if it came over a network.
    pub source: Option<IpAddr>,
}

impl Actor {
    /// The relay itself.
    pub fn relay() -> Self {
        Self { name: "relay".to_owned(), source: None }
    }
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number; later ones have greater numbers.
    pub seq: u64,
    /// When, in unix milliseconds.
    pub at_ms: i64,
    /// Who did it, see [`Actor::name`].
    pub actor: String,
    /// From where.
    pub source: Option<IpAddr>,
    /// What was done, as `thing.done`.
    pub action: String,
    /// To which workspace, if to one.
    pub workspace: Option<WorkspaceId>,
    /// What else is to be known of it.
    pub detail: Value,
}

/// Something to be put down in the trail.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What was done, as `thing.done`.
    pub action: &'static str,
    /// To which workspace, if to one.
    pub workspace: Option<WorkspaceId>,
    /// What else is to be known of it: nothing that opens anything.
    pub detail: Value,
    /// Who did it.
    pub by: Actor,
    /// When, in unix milliseconds.
    pub at_ms: i64,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Those of this workspace only.
    pub workspace: Option<WorkspaceId>,
    /// Those with lesser numbers only.
    pub before: Option<u64>,
    /// Those with greater numbers only, and the oldest first.
    pub after: Option<u64>,
    /// How many at most; [`EVENTS_PAGE_MAX`] is the most.
    pub limit: usize,
}

impl Registry {
    /// The events that `query` asks for: the newest first, or the oldest first with `after`.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<Event>, StoreError> {
        self.store.run(move |work| Ok(select(work.connection, &query)?)).await
    }

    /// Every event from now on, each after its commit, when every lookup sees what it tells of.
    /// Who falls behind by more than a thousand misses some, and is told so.
    pub fn watch_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.directory.watch_events()
    }

    /// Puts down something that happened elsewhere than in the registry.
    pub async fn note(&self, event: NewEvent) -> Result<(), StoreError> {
        self.store.run(move |work| record(work, event)).await
    }
}

/// Puts into the trail what was done to a workspace, see [`record`].
pub(super) fn tell(
    work: &mut Work<'_>,
    action: &'static str,
    workspace: WorkspaceId,
    detail: Value,
    at_ms: i64,
    by: Actor,
) -> Result<(), StoreError> {
    record(work, NewEvent { action, workspace: Some(workspace), detail, by, at_ms })
}

/// Puts `new` into the trail, in the transaction of what it tells of.
pub(super) fn record(work: &mut Work<'_>, new: NewEvent) -> Result<(), StoreError> {
    work.connection
        .prepare_cached(
            "INSERT INTO events (at, actor, source, action, workspace_id, detail) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            new.at_ms,
            new.by.name,
            new.by.source.map(|source| source.to_string()),
            new.action,
            new.workspace.map(|id| id.to_string()),
            new.detail.to_string(),
        ])?;
    let seq = u64::try_from(work.connection.last_insert_rowid()).unwrap_or_default();
    sweep(work.connection, seq)?;
    let event = Event {
        seq,
        at_ms: new.at_ms,
        actor: new.by.name,
        source: new.by.source,
        action: new.action.to_owned(),
        workspace: new.workspace,
        detail: new.detail,
    };
    work.changes.push(Change::Event(Arc::new(event)));
    Ok(())
}

/// Takes away some of what is older than the newest [`EVENTS_KEPT`].
fn sweep(connection: &Connection, newest: u64) -> rusqlite::Result<()> {
    let Some(last) = newest.checked_sub(EVENTS_KEPT) else { return Ok(()) };
    connection
        .prepare_cached(
            "DELETE FROM events WHERE seq IN \
             (SELECT seq FROM events WHERE seq <= ?1 ORDER BY seq LIMIT ?2)",
        )?
        .execute(params![number(last), number(SWEPT_AT_ONCE)])
        .map(drop)
}

fn select(connection: &Connection, query: &EventQuery) -> rusqlite::Result<Vec<Event>> {
    let of = if query.workspace.is_some() { "workspace_id = ?1" } else { "?1 IS NULL" };
    let order = if query.after.is_some() { "ASC" } else { "DESC" };
    let sql = format!(
        "SELECT seq, at, actor, source, action, workspace_id, detail FROM events \
         WHERE {of} AND seq > ?2 AND seq < ?3 ORDER BY seq {order} LIMIT ?4"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(
            params![
                query.workspace.map(|id| id.to_string()),
                query.after.map_or(-1, number),
                query.before.map_or(i64::MAX, number),
                number(query.limit.min(EVENTS_PAGE_MAX) as u64),
            ],
            event_from,
        )?
        .collect()
}

fn event_from(row: &Row<'_>) -> rusqlite::Result<Event> {
    let detail: String = row.get(6)?;
    Ok(Event {
        seq: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
        at_ms: row.get(1)?,
        actor: row.get(2)?,
        source: rows::parsed_if_any(row, 3)?,
        action: row.get(4)?,
        workspace: rows::parsed_if_any(row, 5)?,
        detail: rows::json(6, &detail)?,
    })
}

/// Numbers beyond what the store can count are beyond every event.
fn number(of: u64) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
