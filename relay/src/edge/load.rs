//! How many requests the relay carries at a time, and how many of them for one caller that it knows
//! and for one agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shared::ids::WorkspaceId;

use super::budgets::{Budgets, Limits, Pace, Permit};
use super::failure::Failure;
use crate::principal::Principal;
use crate::registry::{Allowance, Rate, Workspace};

/// Requests of one caller that are open at a time, unless its token says otherwise: a lively
/// conversation has a few.
const CALLER_IN_FLIGHT: usize = 32;
/// How fast they may begin, unless its token says otherwise.
const CALLER_PACE: Pace = Pace { per_s: 200.0, burst: 400.0 };

/// The open requests of the relay. Clones are handles to the same count.
#[derive(Debug, Clone)]
pub struct Load {
    open: Arc<AtomicUsize>,
    max: usize,
    callers: Arc<Budgets<String>>,
    agents: Arc<Budgets<WorkspaceId>>,
}

/// Counts one open request. Dropping it makes room.
#[derive(Debug)]
pub struct Place {
    open: Arc<AtomicUsize>,
    _of_caller: Option<Permit<String>>,
    _of_agent: Option<Permit<WorkspaceId>>,
}

impl Load {
    /// At most `max` requests.
    pub fn new(max: usize) -> Self {
        Self { open: Arc::default(), max, callers: Arc::default(), agents: Arc::default() }
    }

    /// A place for one more, unless all are taken.
    pub fn enter(&self) -> Result<Place, Failure> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let place = Place { open: Arc::clone(&self.open), _of_caller: None, _of_agent: None };
        if before >= self.max { Err(Failure::Overloaded) } else { Ok(place) }
    }

    /// A place for a request to an agent, unless its caller or the agent has as many as it may. The
    /// operator has no budget of a caller, and whoever shows no credential is bounded with all others.
    pub fn enter_for(
        &self,
        caller: Option<&Principal>,
        workspace: &Workspace,
    ) -> Result<Place, Failure> {
        let mut place = self.enter()?;
        if let Some(caller) = caller.filter(|caller| **caller != Principal::Operator) {
            let permit = self.callers.enter(caller.name(), of_caller(caller), Instant::now());
            place._of_caller = Some(permit.map_err(Failure::CallerBusy)?);
        }
        // Most agents have no limits of their own, and cost nothing here.
        let limits = of_agent(&workspace.allowance);
        if limits != Limits::default() {
            let permit = self.agents.enter(workspace.id, limits, Instant::now());
            let limited = |over| Failure::AgentLimited(workspace.id, over);
            place._of_agent = Some(permit.map_err(limited)?);
        }
        Ok(place)
    }
}

/// What one caller may have, as its token says.
fn of_caller(caller: &Principal) -> Limits {
    let said = caller.credential().map(|credential| credential.allowance).unwrap_or_default();
    let Limits { in_flight, pace } = of_agent(&said);
    Limits { in_flight: in_flight.or(Some(CALLER_IN_FLIGHT)), pace: pace.or(Some(CALLER_PACE)) }
}

/// What one agent may be asked, as its operator says.
fn of_agent(allowance: &Allowance) -> Limits {
    let pace = |rate: Rate| Pace { per_s: rate.requests_per_s(), burst: rate.burst() };
    Limits {
        in_flight: allowance.in_flight.and_then(|most| usize::try_from(most).ok()),
        pace: allowance.rate.map(pace),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::budgets::Over;
    use crate::registry::NewCredential;

    #[test]
    fn each_place_is_given_back_once() {
        let load = Load::new(2);
        let (first, second) = (load.enter().unwrap(), load.enter().unwrap());
        assert_eq!(load.enter().unwrap_err(), Failure::Overloaded);
        assert!(load.enter().is_err(), "a refusal takes no place");
        drop(first);
        let third = load.enter().unwrap();
        assert!(load.enter().is_err());
        drop((second, third));
        assert_eq!(load.open.load(Ordering::Relaxed), 0);
    }

    fn many(load: &Load, caller: Option<&Principal>, workspace: &Workspace) -> Vec<Place> {
        (0..100).map_while(|_| load.enter_for(caller, workspace).ok()).collect()
    }

    #[test]
    fn a_known_caller_has_its_own_budget_and_the_operator_none() {
        let (load, any) = (Load::new(1_000), Workspace::sample());
        let agent = Principal::Workspace("ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(), None);
        let places = many(&load, Some(&agent), &any);
        assert_eq!(places.len(), 32);
        assert_eq!(many(&load, Some(&Principal::Operator), &any).len(), 100);
        assert_eq!(many(&load, None, &any).len(), 100);
        drop(places);
        assert_eq!(many(&load, Some(&agent), &any).len(), 32);
        assert_eq!(load.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_token_may_allow_its_holder_more_or_less() {
        let (load, any) = (Load::new(1_000), Workspace::sample());
        for (in_flight, open) in [(Some(3), 3), (Some(64), 64), (None, 32)] {
            let (new, _) = NewCredential::caller_token(any.id, "ci".into(), None, 0).unwrap();
            let new = new.allowed(Allowance { in_flight, ..Allowance::default() });
            let caller = Principal::Caller(any.id, Arc::new(new.credential));
            assert_eq!(many(&load, Some(&caller), &any).len(), open);
        }
    }

    #[test]
    fn the_limits_of_an_agent_bind_all_of_its_callers_together() {
        let load = Load::new(1_000);
        let allowance = Allowance { in_flight: Some(5), ..Allowance::default() };
        let narrow = Workspace { allowance, ..Workspace::sample() };
        let id = "ws_01BX5ZZKBKACTAV9WEVGEMMVRZ".parse().unwrap();
        let other = Workspace { id, ..Workspace::sample() };
        let two = many(&load, Some(&Principal::Operator), &narrow);
        assert_eq!(two.len(), 5);
        let refused = load.enter_for(None, &narrow).unwrap_err();
        assert_eq!(refused, Failure::AgentLimited(narrow.id, Over::InFlight(5)));
        let verdict = refused.verdict();
        assert_eq!((verdict.code, verdict.retry_after), ("RELAY_RATE_LIMITED", Some(1)));
        assert_eq!(many(&load, None, &other).len(), 100);
        drop(two);
        assert_eq!(many(&load, None, &narrow).len(), 5);
        assert_eq!(load.open.load(Ordering::Relaxed), 0);
    }
}
