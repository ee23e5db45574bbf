//! The live links: for each workspace the one link that takes new exchanges.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use shared::control::ToConnector;
use shared::ids::{Generation, WorkspaceId};

use super::admission::{Succession, succession};
use super::link::Link;

/// Every live link of the relay, whichever shard owns it. Clones are handles to the same map.
#[derive(Debug, Clone, Default)]
pub struct LiveLinks {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    newest: DashMap<WorkspaceId, Seat>,
    generations: AtomicU64,
}

/// What is known of a workspace's presence.
#[derive(Debug, Clone)]
enum Seat {
    Taken(Arc<Link>),
    /// Nobody since this moment.
    Left(Instant),
}

/// How a workspace stands towards the tunnel.
#[derive(Debug, Clone)]
pub enum Presence {
    /// Its link.
    Connected(Arc<Link>),
    /// Its last link ended so long ago.
    Left(Duration),
    /// No link since the relay started.
    Never,
}

impl LiveLinks {
    /// A generation that no other link of this relay has.
    pub fn next_generation(&self) -> Generation {
        Generation(self.inner.generations.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes `link` the newest of its workspace, unless the rules of succession keep the live one.
    ///
    /// The guard removes exactly this link, however it ends; a newer one is never touched.
    pub fn register(&self, link: &Arc<Link>) -> Option<Registration> {
        let workspace = link.workspace;
        let live = match self.inner.newest.entry(workspace) {
            Entry::Vacant(seat) => {
                seat.insert(Seat::Taken(Arc::clone(link)));
                None
            }
            Entry::Occupied(mut seat) => {
                let live = match seat.get() {
                    // A closed link that nobody has cleared away yet has no rights left.
                    Seat::Taken(live) if !live.is_closed() => Some(Arc::clone(live)),
                    _ => None,
                };
                let order = live.as_ref().map(|live| (live.instance, live.attempt));
                match succession(order, (link.instance, link.attempt)) {
                    Succession::Redundant => return None,
                    Succession::First | Succession::Succeed | Succession::Replace => {}
                }
                seat.insert(Seat::Taken(Arc::clone(link)));
                live
            }
        };
        if let Some(old) = live
            && old.instance != link.instance
        {
            tracing::warn!(%workspace, old = ?old.generation, new = ?link.generation,
                "another connector with this identity took over");
            old.tell(ToConnector::Replaced { by: link.instance });
        }
        let (links, generation) = (self.clone(), link.generation);
        Some(Registration { links, workspace, generation })
    }

    /// How a workspace stands now.
    pub fn presence(&self, workspace: &WorkspaceId) -> Presence {
        match self.inner.newest.get(workspace).map(|seat| seat.clone()) {
            Some(Seat::Taken(link)) => Presence::Connected(link),
            Some(Seat::Left(when)) => Presence::Left(when.elapsed()),
            None => Presence::Never,
        }
    }

    /// The link that takes new exchanges of a workspace.
    pub fn newest(&self, workspace: &WorkspaceId) -> Option<Arc<Link>> {
        match self.presence(workspace) {
            Presence::Connected(link) if !link.is_closed() => Some(link),
            _ => None,
        }
    }

    /// Every live link, for drains and metrics.
    pub fn all(&self) -> Vec<Arc<Link>> {
        self.inner
            .newest
            .iter()
            .filter_map(|seat| match seat.value() {
                Seat::Taken(link) => Some(Arc::clone(link)),
                Seat::Left(_) => None,
            })
            .collect()
    }

    /// Forgets a removed workspace.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.inner.newest.remove(workspace);
    }
}

/// Keeps one link registered. Dropping it removes that link, and no other.
#[derive(Debug)]
pub struct Registration {
    links: LiveLinks,
    workspace: WorkspaceId,
    generation: Generation,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(mut seat) = self.links.inner.newest.get_mut(&self.workspace)
            && matches!(seat.value(), Seat::Taken(link) if link.generation == self.generation)
        {
            *seat = Seat::Left(Instant::now());
        }
    }
}
