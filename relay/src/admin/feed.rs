//! Live changes: compares every workspace with what was told of it last, and tells what changed.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use shared::ids::WorkspaceId;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use self::difference::{Glance, Kind};
use self::log::{Log, Next};
use super::Api;
use super::view::rfc3339;
use crate::clock::unix_ms;

pub mod body;
mod difference;
mod log;

/// Subscribers at a time: the open pages of a few operators, and some scripts.
pub const SUBSCRIBERS_MAX: usize = 32;
/// Between two rounds: a change shows within a second.
const ROUND: Duration = Duration::from_millis(500);
/// A round that took long is followed by so many times its length of rest: 5 % of a core.
const REST: u32 = 19;
/// Workspaces that are looked at without letting others of this thread go on.
const AT_A_TIME: usize = 64;
/// Without an event for so long a comment is sent, so that nobody in between gives up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The changes of one relay, for whoever follows them.
#[derive(Debug)]
pub struct Feed {
    api: Arc<Api>,
    log: Mutex<Log>,
    /// Tells this feed's events from those of another process: part of their ids.
    epoch: i64,
    /// Moves with every event; `None` while nobody compares.
    newest: watch::Sender<Option<u64>>,
    places: Arc<Semaphore>,
    wanted: Notify,
}

/// Every place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Feed {
    /// The changes of what `api` shows. Nothing happens until [`Feed::run`] is polled.
    pub fn new(api: Arc<Api>) -> Self {
        Self {
            api,
            log: Mutex::default(),
            epoch: unix_ms(),
            newest: watch::Sender::default(),
            places: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)),
            wanted: Notify::new(),
        }
    }

    /// Compares while anybody follows, for ever. Dropping it stops that; followers then wait.
    pub async fn run(&self) {
        loop {
            self.wanted.notified().await;
            let mut told = Told::default();
            // What is there now is no event: whoever follows reads the list.
            drop(self.round(&mut told).await);
            self.newest.send_replace(Some(self.log().last()));
            let mut rest = ROUND;
            while self.places.available_permits() < SUBSCRIBERS_MAX {
                sleep(rest).await;
                rest = self.compare(&mut told).await;
            }
            self.newest.send_replace(None);
            self.log().interrupt();
            // Who came since that look at the places would else wait for ever.
            if self.places.available_permits() < SUBSCRIBERS_MAX {
                self.wanted.notify_one();
            }
        }
    }

    /// Follows the changes of one workspace, or of all. `last_event_id` is that of the event that
    /// was read last: if the events since are still there, it goes on behind it.
    pub fn subscribe(
        self: &Arc<Self>,
        of: Option<WorkspaceId>,
        last_event_id: Option<&str>,
    ) -> Result<Subscription, Full> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Full)?;
        self.wanted.notify_one();
        let read = last_event_id.and_then(|id| {
            let (epoch, number) = id.split_once('-')?;
            number.parse().ok().filter(|_| epoch.parse() == Ok(self.epoch))
        });
        let newest = self.newest.subscribe();
        Ok(Subscription { feed: Arc::clone(self), of, read, newest, _place: place })
    }

    /// One comparison; answers how long to rest after it.
    async fn compare(&self, told: &mut Told) -> Duration {
        let Round { changes, took } = self.round(told).await;
        if !changes.is_empty() {
            let mut log = self.log();
            for (workspace, kind, row) in changes {
                log.push(workspace, |number| self.frame(number, workspace, kind, &row));
            }
            self.newest.send_replace(Some(log.last()));
        }
        ROUND.max(took * REST)
    }

    /// Looks at every workspace, and notes what is to be told.
    async fn round(&self, told: &mut Told) -> Round {
        let workspaces = self.api.registry.workspaces();
        let mut round = Round::default();
        let mut took = Vec::new();
        for some in workspaces.chunks(AT_A_TIME) {
            let begun = Instant::now();
            for workspace in some {
                let row = self.api.view(workspace);
                if let Some(kind) = told.note(workspace.id, &row) {
                    round.changes.push((workspace.id, kind, row));
                }
            }
            took.push(begun.elapsed());
            tokio::task::yield_now().await;
        }
        // A moment in which the machine gave us no core says nothing of our cost: the median.
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        round.took = median * u32::try_from(took.len()).unwrap_or(u32::MAX);
        // In the order of their ids, as the registry has them.
        let is_there = |id: &WorkspaceId| workspaces.binary_search_by_key(id, |w| w.id).is_ok();
        let gone = told.forget(is_there);
        round.changes.extend(gone.into_iter().map(|id| (id, Kind::Removed, Value::Null)));
        round
    }

    fn frame(&self, number: u64, workspace: WorkspaceId, kind: Kind, row: &Value) -> Bytes {
        let event = json!({
            "event": kind.name(),
            "workspace_id": workspace,
            "timestamp": rfc3339(unix_ms()),
            "payload": row,
        });
        format!("id: {}-{number}\ndata: {event}\n\n", self.epoch).into()
    }

    /// Tells a follower to read the list: what is told from now on is what changed since.
    fn start(&self, name: &str, number: u64) -> Bytes {
        format!("event: {name}\nid: {}-{number}\ndata: {{}}\n\n", self.epoch).into()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One comparison.
#[derive(Debug, Default)]
struct Round {
    changes: Vec<(WorkspaceId, Kind, Value)>,
    /// Of this thread's time, about.
    took: Duration,
}

/// What was told last of each workspace.
#[derive(Debug, Default)]
struct Told {
    glances: HashMap<WorkspaceId, Glance>,
    hashes: RandomState,
}

impl Told {
    fn note(&mut self, id: WorkspaceId, row: &Value) -> Option<Kind> {
        let now = Glance::at(row, &self.hashes);
        let before = self.glances.insert(id, now);
        now.since(before.as_ref())
    }

    /// Forgets those that are no longer there; answers which.
    fn forget(&mut self, is_there: impl Fn(&WorkspaceId) -> bool) -> Vec<WorkspaceId> {
        let gone: Vec<_> = self.glances.keys().filter(|id| !is_there(id)).copied().collect();
        for id in &gone {
            self.glances.remove(id);
        }
        gone
    }
}

/// Follows the feed. Its place is free when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    feed: Arc<Feed>,
    of: Option<WorkspaceId>,
    /// The number of the last event that was read; `None` before the first.
    read: Option<u64>,
    newest: watch::Receiver<Option<u64>>,
    _place: OwnedSemaphorePermit,
}

impl Subscription {
    /// What to send next, for a `text/event-stream`. It comes after the keep-alive time at the
    /// latest. Cancel safe.
    ///
    /// The first is `event: ready`, or what was missed. `event: reset` says that events were lost.
    pub async fn next(&mut self) -> Bytes {
        let waited = tokio::time::timeout(KEEP_ALIVE, self.next_event()).await;
        waited.unwrap_or_else(|_| Bytes::from_static(b": keep-alive\n\n"))
    }

    async fn next_event(&mut self) -> Bytes {
        loop {
            let newest = *self.newest.borrow_and_update();
            if let Some(newest) = newest {
                let Some(read) = self.read else {
                    self.read = Some(newest);
                    return self.feed.start("ready", newest);
                };
                match self.feed.log().after(read, self.of) {
                    Next::Event(number, frame) => {
                        self.read = Some(number);
                        return frame;
                    }
                    Next::Lost(number) => {
                        self.read = Some(number);
                        return self.feed.start("reset", number);
                    }
                    Next::Nothing(number) => self.read = Some(number),
                }
            }
            if self.newest.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
