//! How many requests are open at agents' own URLs, each agent by itself.

use std::sync::Arc;

use dashmap::DashMap;
use shared::ids::WorkspaceId;

/// Open requests of one agent. Each has a connection, and with it a descriptor, of its own.
const OPEN_MAX: usize = 1024;

/// The open requests. An agent that has none takes no room.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    open: DashMap<WorkspaceId, usize>,
}

/// Counts one open request. Dropping it makes room.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    workspace: WorkspaceId,
}

impl Crowd {
    /// A place for one more at this agent, unless all are taken.
    pub(super) fn enter(self: &Arc<Self>, workspace: WorkspaceId) -> Option<Seat> {
        let mut open = self.open.entry(workspace).or_insert(0);
        if *open >= OPEN_MAX {
            return None;
        }
        *open += 1;
        Some(Seat { crowd: Arc::clone(self), workspace })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(mut open) = self.crowd.open.get_mut(&self.workspace) {
            *open -= 1;
        }
        self.crowd.open.remove_if(&self.workspace, |_, open| *open == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_has_its_own_room_and_gives_it_back() {
        let crowd = Arc::new(Crowd::default());
        let [one, other] = ["ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ"]
            .map(|id| id.parse::<WorkspaceId>().unwrap());
        let mut seats: Vec<_> = (0..OPEN_MAX).map(|_| crowd.enter(one).unwrap()).collect();
        assert!(crowd.enter(one).is_none());
        assert!(crowd.enter(other).is_some());
        seats.pop();
        assert!(crowd.enter(one).is_some());
        drop(seats);
        assert!(crowd.open.is_empty(), "{crowd:?}");
    }
}
