//! The live links: for each workspace the one link that takes new exchanges, and the older ones
//! that still finish theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use shared::codes::CloseCode;
use shared::control::ToConnector;
use shared::ids::{Generation, WorkspaceId};

use super::admission::{Succession, succession};
use super::link::Link;
use crate::registry::CredentialId;

/// Older links of one workspace that may still finish their exchanges. A connector that comes back
/// more often within one exchange loses the oldest.
const DRAINING_MAX: usize = 8;

/// Every live link of the relay, whichever shard owns it. Clones are handles to the same map.
#[derive(Debug, Clone, Default)]
pub struct LiveLinks {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    seats: DashMap<WorkspaceId, Seat>,
    generations: AtomicU64,
}

/// The links of one workspace.
#[derive(Debug)]
struct Seat {
    newest: Option<Arc<Link>>,
    /// Superseded, in the order of their generations.
    draining: Vec<Arc<Link>>,
    /// When the newest ended.
    left: Instant,
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
        let replaced = self.take_seat(link)?;
        if let Some(old) = replaced {
            tracing::warn!(workspace = %link.workspace, old = old.generation.0,
                new = link.generation.0, "another connector with this identity took over");
            old.tell(ToConnector::Replaced { by: link.instance });
        }
        Some(Registration {
            links: self.clone(),
            workspace: link.workspace,
            generation: link.generation,
        })
    }

    /// Answers the link of another process that must make way; `None`: `link` is redundant.
    fn take_seat(&self, link: &Arc<Link>) -> Option<Option<Arc<Link>>> {
        let mut seat = self.inner.seats.entry(link.workspace).or_insert_with(|| Seat {
            newest: None,
            draining: Vec::new(),
            left: Instant::now(),
        });
        // A closed link that nobody has cleared away yet has no rights left.
        let live = seat.newest.as_ref().filter(|live| !live.is_closed());
        let order = live.map(|live| (live.instance, live.attempt));
        let verdict = succession(order, (link.instance, link.attempt));
        if verdict == Succession::Redundant {
            return None;
        }
        let old = seat.newest.replace(Arc::clone(link));
        if let Some(old) = &old {
            seat.draining.push(Arc::clone(old));
            if seat.draining.len() > DRAINING_MAX {
                seat.draining.remove(0).close(CloseCode::Replaced, "too many links came after it");
            }
        }
        Some(old.filter(|_| verdict == Succession::Replace))
    }

    /// How a workspace stands now.
    pub fn presence(&self, workspace: &WorkspaceId) -> Presence {
        match self.inner.seats.get(workspace).as_deref() {
            Some(Seat { newest: Some(link), .. }) => Presence::Connected(Arc::clone(link)),
            Some(Seat { left, .. }) => Presence::Left(left.elapsed()),
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

    /// Every live link, the superseded ones included.
    pub fn all(&self) -> Vec<Arc<Link>> {
        self.inner.seats.iter().flat_map(|seat| seat.links()).collect()
    }

    /// Ends every link of a workspace whose credential is no longer good, at once.
    pub fn revoke(&self, workspace: &WorkspaceId, message: &str) {
        let links = self.inner.seats.get(workspace).map(|seat| seat.links()).unwrap_or_default();
        for link in links {
            link.revoke(message);
        }
    }

    /// Ends the links of a workspace that came with this token, at once, and no others.
    pub fn revoke_credential(
        &self,
        workspace: &WorkspaceId,
        credential: CredentialId,
        message: &str,
    ) {
        let links = self.inner.seats.get(workspace).map(|seat| seat.links()).unwrap_or_default();
        for link in links.iter().filter(|link| link.token == Some(credential)) {
            link.revoke(message);
        }
    }

    /// Forgets a removed workspace.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.inner.seats.remove(workspace);
    }
}

impl Seat {
    fn links(&self) -> Vec<Arc<Link>> {
        self.draining.iter().chain(&self.newest).cloned().collect()
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
        let Some(mut seat) = self.links.inner.seats.get_mut(&self.workspace) else { return };
        seat.draining.retain(|link| link.generation != self.generation);
        if seat.newest.as_ref().is_some_and(|link| link.generation == self.generation) {
            seat.newest = None;
            seat.left = Instant::now();
        }
    }
}
