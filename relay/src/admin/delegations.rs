//! Tasks that agents give each other and do not wait for: accepted here, carried by whoever takes them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use shared::ids::WorkspaceId;
use tokio::sync::mpsc;

/// Tasks that wait to be carried.
const WAITING_MAX: usize = 256;
/// Keys that are remembered, so that a task that is given again is not done again…
const KEYS_MAX: usize = 4096;
/// … and for how long.
const KEYS_KEPT: Duration = Duration::from_secs(10 * 60);

/// One task, from one agent to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Its name, which is also that of the message that carries it.
    pub id: String,
    /// Whose agent gives it.
    pub sender: WorkspaceId,
    /// Whose agent gets it.
    pub target: WorkspaceId,
    /// What is to be done.
    pub task: String,
}

/// What waits to be carried.
pub type Waiting = mpsc::Receiver<Delegation>;

/// As many tasks wait as may, or the system gives no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAccepted;

/// Where tasks are given.
#[derive(Debug)]
pub struct Delegations {
    waiting: mpsc::Sender<Delegation>,
    given: Mutex<VecDeque<Given>>,
}

/// A task that was given under a key of its sender's.
#[derive(Debug)]
struct Given {
    key: [u8; 32],
    at: Instant,
    id: String,
}

impl Delegations {
    /// Where tasks are given, and where they come out.
    pub fn new() -> (Self, Waiting) {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        (Self { waiting, given: Mutex::default() }, taken)
    }

    /// Accepts a task; answers its name. One that its sender gave before under the same key has the
    /// name that it had, and is not carried again.
    pub fn accept(
        &self,
        sender: WorkspaceId,
        target: WorkspaceId,
        task: &str,
        key: Option<&str>,
    ) -> Result<String, NotAccepted> {
        let now = Instant::now();
        let key: Option<[u8; 32]> =
            key.map(|key| Sha256::digest(format!("{sender}\n{key}")).into());
        let mut given = self.given();
        while given.front().is_some_and(|oldest| now - oldest.at > KEYS_KEPT)
            || given.len() >= KEYS_MAX
        {
            given.pop_front();
        }
        if let Some(before) = given.iter().find(|one| Some(one.key) == key) {
            return Ok(before.id.clone());
        }
        let (high, low) = (getrandom::u64(), getrandom::u64());
        let (Ok(high), Ok(low)) = (high, low) else { return Err(NotAccepted) };
        let id = format!("d_{high:016x}{low:016x}");
        let task = Delegation { id: id.clone(), sender, target, task: task.to_owned() };
        self.waiting.try_send(task).map_err(|_| NotAccepted)?;
        given.extend(key.map(|key| Given { key, at: now, id: id.clone() }));
        Ok(id)
    }

    fn given(&self) -> MutexGuard<'_, VecDeque<Given>> {
        // Nothing panics while it holds this lock, so a poisoned one is still whole.
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_given_again_is_not_done_again() {
        let (delegations, mut waiting) = Delegations::new();
        let one: WorkspaceId = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let other: WorkspaceId = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ".parse().unwrap();
        let first = delegations.accept(one, other, "count", Some("k")).unwrap();
        assert_eq!(delegations.accept(one, other, "count", Some("k")), Ok(first.clone()));
        assert_ne!(delegations.accept(other, one, "count", Some("k")), Ok(first.clone()));
        assert_ne!(delegations.accept(one, other, "count", None), Ok(first.clone()));
        let carried: Vec<_> = std::iter::from_fn(|| waiting.try_recv().ok()).collect();
        assert_eq!(carried.len(), 3);
        assert_eq!((&carried[0].id, carried[0].target), (&first, other));
    }

    #[test]
    fn so_many_tasks_wait_and_so_many_keys_are_known() {
        let (delegations, mut waiting) = Delegations::new();
        let id: WorkspaceId = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        for _ in 0..WAITING_MAX {
            delegations.accept(id, id, "x", None).unwrap();
        }
        assert_eq!(delegations.accept(id, id, "x", None), Err(NotAccepted));
        for number in 0..2 * KEYS_MAX {
            waiting.try_recv().unwrap();
            delegations.accept(id, id, "x", Some(&number.to_string())).unwrap();
        }
        assert!(delegations.given().len() <= KEYS_MAX);
    }
}
