//! The live links: for each workspace the one link that takes new exchanges, and the older ones
//! that still finish theirs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use shared::codes::CloseCode;
use shared::control::ToConnector;
use shared::ids::{Generation, WorkspaceId};
use shared::limits::IN_FLIGHT_MAX;
use tokio::sync::Notify;

use super::admission::{Succession, succession};
use super::link::Link;
use crate::registry::CredentialId;

/// Older links of one workspace that may still finish their exchanges. A connector that comes back
/// more often within one exchange loses the oldest.
const DRAINING_MAX: usize = 8;

/// Every live link of the relay, whichever shard owns it. Clones are handles to the same map.
#[derive(Clone, Default)]
pub struct LiveLinks {
    inner: Arc<Inner>,
}

impl fmt::Debug for LiveLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each link knows this map.
        f.debug_struct("LiveLinks").field("workspaces", &self.inner.seats.len()).finish()
    }
}

#[derive(Debug, Default)]
struct Inner {
    seats: DashMap<WorkspaceId, Seat>,
    generations: AtomicU64,
}

/// The links of one workspace.
#[derive(Debug, Default)]
struct Seat {
    newest: Option<Arc<Link>>,
    /// Superseded, in the order of their generations.
    draining: Vec<Arc<Link>>,
    /// When the newest ended, if there ever was one.
    left: Option<Instant>,
    /// Tells those who wait for a link that something changed.
    changes: Arc<Notify>,
    /// Counts the times at which every credential was revoked.
    revocations: u64,
    /// The credential that was revoked last by itself.
    revoked: Option<CredentialId>,
    /// Exchanges of the last connector process that ended while it had no link.
    done: Vec<u64>,
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
        let mut seat = self.inner.seats.entry(link.workspace).or_default();
        // A closed link that nobody has cleared away yet has no rights left.
        let live = seat.newest.as_ref().filter(|live| !live.is_closed());
        let order = live.map(|live| (live.instance, live.attempt));
        let verdict = succession(order, (link.instance, link.attempt));
        if verdict == Succession::Redundant {
            return None;
        }
        let done = std::mem::take(&mut seat.done);
        done.into_iter().for_each(|exchange| link.flow.done(exchange));
        let old = seat.newest.replace(Arc::clone(link));
        seat.changes.notify_waiters();
        if let Some(old) = &old {
            seat.draining.push(Arc::clone(old));
            if seat.draining.len() > DRAINING_MAX {
                seat.draining.remove(0).close(CloseCode::Replaced, "too many links came after it");
            }
        }
        if verdict != Succession::Replace
            && let Some(old) = &old
        {
            // If nobody answers, its path is gone, and what it carries goes on over the newer one.
            old.tell(ToConnector::Ping { seq: link.generation.0 });
        }
        Some(old.filter(|_| verdict == Succession::Replace))
    }

    /// Tells the connector, over whichever link it has or will have, that an exchange is over which `link`
    /// carried last: it waits for nobody any more.
    pub(super) fn done(&self, link: &Link, exchange: u64) {
        if !link.is_closed() {
            return link.flow.done(exchange);
        }
        let Some(mut seat) = self.inner.seats.get_mut(&link.workspace) else { return };
        match seat.newest.as_ref().filter(|newest| !newest.is_closed()) {
            Some(newest) if newest.instance == link.instance => newest.flow.done(exchange),
            Some(_) => {}
            // Another process does not know them, and ignores them.
            None if seat.done.len() < IN_FLIGHT_MAX => seat.done.push(exchange),
            None => {}
        }
    }

    /// Waits for the link that goes on with what `lost` carried: the next one of the same connector process.
    /// `None`: there will be none. Cancel safe.
    pub(super) async fn next_after(&self, lost: &Link) -> Option<Arc<Link>> {
        let before = self.inner.seats.get(&lost.workspace)?.revocations;
        loop {
            let changes = Arc::clone(&self.inner.seats.get(&lost.workspace)?.changes);
            let changed = changes.notified();
            {
                let seat = self.inner.seats.get(&lost.workspace)?;
                if seat.revocations != before
                    || (lost.token.is_some() && seat.revoked == lost.token)
                {
                    return None;
                }
                let other = |link: &&Arc<Link>| link.generation != lost.generation;
                match seat.newest.as_ref().filter(other) {
                    Some(link) if link.instance != lost.instance => return None,
                    Some(link) if !link.is_closed() => return Some(Arc::clone(link)),
                    _ => {}
                }
            }
            changed.await;
        }
    }

    /// How a workspace stands now.
    pub fn presence(&self, workspace: &WorkspaceId) -> Presence {
        match self.inner.seats.get(workspace).as_deref() {
            Some(Seat { newest: Some(link), .. }) => Presence::Connected(Arc::clone(link)),
            Some(Seat { left: Some(left), .. }) => Presence::Left(left.elapsed()),
            Some(Seat { left: None, .. }) | None => Presence::Never,
        }
    }

    /// The link that takes new exchanges of a workspace.
    pub fn newest(&self, workspace: &WorkspaceId) -> Option<Arc<Link>> {
        match self.presence(workspace) {
            Presence::Connected(link) if !link.is_closed() => Some(link),
            _ => None,
        }
    }

    /// Waits for a link that takes new exchanges of a workspace, if there is none. Cancel safe.
    pub async fn arrival(&self, workspace: &WorkspaceId) {
        let changes = Arc::clone(&self.inner.seats.entry(*workspace).or_default().changes);
        loop {
            let changed = changes.notified();
            if self.newest(workspace).is_some_and(|link| !link.is_draining()) {
                return;
            }
            changed.await;
        }
    }

    /// Every live link, the superseded ones included.
    pub fn all(&self) -> Vec<Arc<Link>> {
        self.inner.seats.iter().flat_map(|seat| seat.links()).collect()
    }

    /// Ends every link of a workspace whose credential is no longer good, at once.
    pub fn revoke(&self, workspace: &WorkspaceId, message: &str) {
        let links = self.revoked(workspace, |seat| seat.revocations += 1);
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
        let links = self.revoked(workspace, |seat| seat.revoked = Some(credential));
        for link in links.iter().filter(|link| link.token == Some(credential)) {
            link.revoke(message);
        }
    }

    /// Notes a revocation, which whoever waits for a link hears of, and answers the links.
    fn revoked(&self, workspace: &WorkspaceId, note: impl FnOnce(&mut Seat)) -> Vec<Arc<Link>> {
        let Some(mut seat) = self.inner.seats.get_mut(workspace) else { return Vec::new() };
        note(&mut seat);
        seat.changes.notify_waiters();
        seat.links()
    }

    /// Forgets a removed workspace.
    pub fn forget(&self, workspace: &WorkspaceId) {
        if let Some((_, seat)) = self.inner.seats.remove(workspace) {
            seat.changes.notify_waiters();
        }
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
            seat.left = Some(Instant::now());
        }
    }
}
