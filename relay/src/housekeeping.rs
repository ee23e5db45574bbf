//! What the relay does from time to time, besides what it is asked.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::interval;

use crate::admin::Api;
use crate::admin::pulse::SILENT_AFTER;
use crate::clock::unix_ms;
use crate::registry::{NewEvent, Registry};

/// Between two writes of when credentials were used and agents were seen: what a crash may lose.
const FLUSH_EVERY: Duration = Duration::from_secs(30);
/// Events of links that wait for the store; more, and the trail has a gap rather than the tunnel a
/// halt.
const DIARY_MAX: usize = 4096;

/// Notes events without waiting for the store.
#[derive(Debug, Clone)]
pub struct Diary(mpsc::Sender<NewEvent>);

/// What a [`Diary`] noted and nobody has stored yet.
pub type Pages = mpsc::Receiver<NewEvent>;

impl Diary {
    /// A diary, and what comes out of it.
    pub fn new() -> (Self, Pages) {
        let (notes, pages) = mpsc::channel(DIARY_MAX);
        (Self(notes), pages)
    }

    /// Notes an event, if there is room.
    pub fn note(&self, event: NewEvent) {
        if self.0.try_send(event).is_err() {
            tracing::debug!("an event of a link found no room in the trail");
        }
    }
}

/// Takes the agents that were heard of just before this start for what they are.
pub fn restore_pulses(api: &Api) {
    let now_ms = unix_ms();
    for workspace in api.registry.workspaces() {
        let Some(seen_ms) = api.registry.last_seen(&workspace.id) else { continue };
        // A clock that was set back must not make them younger than now.
        let ago = u64::try_from(now_ms.saturating_sub(seen_ms)).unwrap_or_default();
        let ago = Duration::from_millis(ago);
        if ago < SILENT_AFTER {
            api.pulses.restore(workspace.id, ago);
        }
    }
}

/// Stores what was noted, and forgets what was kept long enough, until the future is dropped. Cancel
/// safe.
pub async fn run(api: &Api, pages: &mut Pages) {
    let registry = &api.registry;
    let mut flush = interval(FLUSH_EVERY);
    loop {
        tokio::select! {
            _ = flush.tick() => {
                api.repeats.sweep(Instant::now());
                flush_uses(registry).await;
            }
            Some(event) = pages.recv() => store(registry, event).await,
        }
    }
}

/// Stores what is left when the relay ends.
pub async fn finish(registry: &Registry, pages: &mut Pages) {
    while let Ok(event) = pages.try_recv() {
        store(registry, event).await;
    }
    flush_uses(registry).await;
}

async fn store(registry: &Registry, event: NewEvent) {
    if let Err(error) = registry.note(event).await {
        tracing::debug!(%error, "an event of a link was not stored");
    }
}

/// Stores when credentials were used and agents were seen.
async fn flush_uses(registry: &Registry) {
    if let Err(error) = registry.flush_uses().await {
        tracing::debug!(%error, "when credentials were used was not stored");
    }
}
