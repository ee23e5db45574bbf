//! How many requests the relay carries at a time, and how many of them for one caller that it knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::budgets::{Budgets, Permit};
use super::failure::Failure;
use crate::principal::Principal;

/// The open requests of the relay. Clones are handles to the same count.
#[derive(Debug, Clone)]
pub struct Load {
    open: Arc<AtomicUsize>,
    max: usize,
    callers: Arc<Budgets>,
}

/// Counts one open request. Dropping it makes room.
#[derive(Debug)]
pub struct Place {
    open: Arc<AtomicUsize>,
    _permit: Option<Permit>,
}

impl Load {
    /// At most `max` requests.
    pub fn new(max: usize) -> Self {
        Self { open: Arc::default(), max, callers: Arc::default() }
    }

    /// A place for one more, unless all are taken, or those of its caller. The operator has no
    /// budget, and whoever shows no credential is bounded with all others.
    pub fn enter(&self, caller: Option<&Principal>) -> Result<Place, Failure> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let mut place = Place { open: Arc::clone(&self.open), _permit: None };
        if before >= self.max {
            return Err(Failure::Overloaded);
        }
        if let Some(caller) = caller.filter(|caller| **caller != Principal::Operator) {
            let permit = self.callers.enter(&caller.name(), Instant::now())?;
            place._permit = Some(permit);
        }
        Ok(place)
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

    #[test]
    fn each_place_is_given_back_once() {
        let load = Load::new(2);
        let (first, second) = (load.enter(None).unwrap(), load.enter(None).unwrap());
        assert_eq!(load.enter(None).unwrap_err(), Failure::Overloaded);
        assert!(load.enter(None).is_err(), "a refusal takes no place");
        drop(first);
        let third = load.enter(None).unwrap();
        assert!(load.enter(None).is_err());
        drop((second, third));
        assert_eq!(load.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_known_caller_has_its_own_budget_and_the_operator_none() {
        let load = Load::new(1_000);
        let agent = Principal::Workspace("ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(), None);
        let many = |caller| (0..100).map_while(|_| load.enter(caller).ok()).collect::<Vec<_>>();
        let places = many(Some(&agent));
        assert_eq!(places.len(), 32);
        assert_eq!(many(Some(&Principal::Operator)).len(), 100);
        assert_eq!(many(None).len(), 100);
        drop(places);
        assert_eq!(many(Some(&agent)).len(), 32);
        assert_eq!(load.open.load(Ordering::Relaxed), 0);
    }
}
