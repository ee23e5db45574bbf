//! When credentials were last used and workspaces last seen: noted in memory with every request,
//! written in batches.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::DashMap;
use rusqlite::{Connection, params};
use shared::ids::WorkspaceId;

use super::credential::CredentialId;
use super::errors::StoreError;
use super::store::Work;
use super::{Registry, rows};

/// How many are written in one intent: some ten milliseconds of the writer's time.
const CHUNK: usize = 4_096;

/// What has no moment in the store.
const NEVER: i64 = i64::MIN;

/// The moments of one registry, in unix milliseconds. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses {
    credentials: Arc<Moments<CredentialId>>,
    workspaces: Arc<Moments<WorkspaceId>>,
}

#[derive(Debug)]
struct Moments<K: Eq + Hash>(DashMap<K, Moment>);

impl<K: Eq + Hash> Default for Moments<K> {
    fn default() -> Self {
        Self(DashMap::new())
    }
}

/// The last note wins, so that a clock that was set back is believed.
#[derive(Debug)]
struct Moment {
    noted: AtomicI64,
    stored: AtomicI64,
}

impl<K: Copy + Eq + Hash> Moments<K> {
    fn note(&self, key: K, now_ms: i64) {
        if let Some(moment) = self.0.get(&key) {
            moment.noted.store(now_ms, Ordering::Relaxed);
            return;
        }
        let fresh = Moment { noted: AtomicI64::new(now_ms), stored: AtomicI64::new(NEVER) };
        self.0.insert(key, fresh);
    }

    fn load(&self, key: K, at_ms: i64) {
        let moment = Moment { noted: AtomicI64::new(at_ms), stored: AtomicI64::new(at_ms) };
        self.0.insert(key, moment);
    }

    fn last(&self, key: &K) -> Option<i64> {
        self.0.get(key).map(|moment| moment.noted.load(Ordering::Relaxed))
    }

    fn unwritten(&self) -> Vec<(K, i64)> {
        self.0
            .iter()
            .map(|entry| {
                let (noted, stored) = (&entry.value().noted, &entry.value().stored);
                (*entry.key(), noted.load(Ordering::Relaxed), stored.load(Ordering::Relaxed))
            })
            .filter(|(_, noted, stored)| noted != stored)
            .map(|(key, noted, _)| (key, noted))
            .collect()
    }

    fn written(&self, chunk: &[(K, i64)]) {
        for (key, at_ms) in chunk {
            if let Some(moment) = self.0.get(key) {
                moment.stored.store(*at_ms, Ordering::Relaxed);
            }
        }
    }
}

impl Uses {
    /// Lets go of a credential that is no longer known.
    pub(super) fn forget(&self, id: CredentialId) {
        self.credentials.0.remove(&id);
    }

    /// What was written before the start.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let uses = Self::default();
        let mut used = connection.prepare(
            "SELECT id, last_used_at FROM credentials \
             WHERE id IS NOT NULL AND last_used_at IS NOT NULL",
        )?;
        for row in used.query_map([], |row| Ok((rows::parsed(row, 0)?, row.get(1)?)))? {
            let (id, at_ms) = row?;
            uses.credentials.load(id, at_ms);
        }
        let mut seen = connection.prepare(
            "SELECT id, last_seen_at FROM workspaces \
             WHERE last_seen_at IS NOT NULL AND removed_at IS NULL",
        )?;
        for row in seen.query_map([], |row| Ok((rows::parsed(row, 0)?, row.get(1)?)))? {
            let (id, at_ms) = row?;
            uses.workspaces.load(id, at_ms);
        }
        Ok(uses)
    }
}

/// Moments. Noting and asking touch memory only.
impl Registry {
    /// Notes that a credential of this registry let somebody in.
    pub fn note_use(&self, id: CredentialId, now_ms: i64) {
        self.uses.credentials.note(id, now_ms);
    }

    /// When the credential last let somebody in, in unix milliseconds.
    pub fn last_used(&self, id: CredentialId) -> Option<i64> {
        self.uses.credentials.last(&id)
    }

    /// Notes that the agent of a workspace of this registry gave a sign of life.
    pub fn note_seen(&self, id: WorkspaceId, now_ms: i64) {
        self.uses.workspaces.note(id, now_ms);
    }

    /// When the agent of the workspace last gave a sign of life, in unix milliseconds.
    pub fn last_seen(&self, id: &WorkspaceId) -> Option<i64> {
        self.uses.workspaces.last(id)
    }

    /// Writes what was noted since the last time. What a crash takes is what came after that.
    pub async fn flush_uses(&self) -> Result<(), StoreError> {
        let used = "UPDATE credentials SET last_used_at = ?2 WHERE id = ?1";
        self.flush(&self.uses.credentials, used).await?;
        let seen = "UPDATE workspaces SET last_seen_at = ?2 WHERE id = ?1";
        self.flush(&self.uses.workspaces, seen).await
    }

    async fn flush<K: Copy + Eq + Hash + ToString>(
        &self,
        moments: &Moments<K>,
        update: &'static str,
    ) -> Result<(), StoreError> {
        for chunk in moments.unwritten().chunks(CHUNK) {
            let rows = chunk.iter().map(|(key, at_ms)| (key.to_string(), *at_ms)).collect();
            self.store.run(move |work| write(work, update, rows)).await?;
            moments.written(chunk);
        }
        Ok(())
    }
}

fn write(work: &mut Work<'_>, update: &str, rows: Vec<(String, i64)>) -> Result<(), StoreError> {
    let mut update = work.connection.prepare_cached(update)?;
    for (id, at_ms) in rows {
        update.execute(params![id, at_ms])?;
    }
    Ok(())
}
