//! What each of many may have open, and how fast it may begin: callers that the relay knows by a
//! credential, and agents whose operator set limits.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use dashmap::DashMap;

/// Those that are remembered while they have nothing open, some 100 bytes each.
const IDLE_MAX: usize = 16 * 1024;

/// What one of them may have. A limit that changes holds from its next request on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Requests that are open at a time; `None` for any number.
    pub in_flight: Option<usize>,
    /// How fast they begin; `None` for as fast as they come.
    pub pace: Option<Pace>,
}

/// How fast requests may begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Requests that come back each second, more than 0.
    pub per_s: f64,
    /// Requests that may begin at once, at least 1.
    pub burst: f64,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// So many are open.
    InFlight(usize),
    /// They came too fast; the next may begin in so many seconds, at least 1.
    Pace(u32),
}

/// The budgets of all that are named so.
#[derive(Debug)]
pub struct Budgets<K: Eq + Hash>(DashMap<K, Budget>);

impl<K: Eq + Hash> Default for Budgets<K> {
    fn default() -> Self {
        Self(DashMap::default())
    }
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    open: usize,
    /// Requests that were begun and did not come back yet.
    spent: f64,
    /// Up to this moment…
    at: Instant,
    /// … and so many do each second from there.
    per_s: f64,
}

impl Budget {
    const fn fresh(now: Instant) -> Self {
        Self { open: 0, spent: 0.0, at: now, per_s: 0.0 }
    }

    fn at(self, now: Instant) -> Self {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_s;
        Self { spent: (self.spent - regained).max(0.0), at: now, ..self }
    }

    /// Whether it says no more than that nothing was asked.
    fn is_idle(self, now: Instant) -> bool {
        self.open == 0 && self.at(now).spent <= 0.0
    }

    fn take(&mut self, limits: Limits) -> Result<(), Over> {
        if let Some(most) = limits.in_flight
            && self.open >= most
        {
            return Err(Over::InFlight(most));
        }
        if let Some(Pace { per_s, burst }) = limits.pace {
            let lacking = self.spent + 1.0 - burst;
            if lacking > 0.0 {
                return Err(Over::Pace(whole_seconds(lacking / per_s)));
            }
            self.spent += 1.0;
        }
        self.open += 1;
        Ok(())
    }
}

/// The next whole number of seconds, at least 1.
fn whole_seconds(seconds: f64) -> u32 {
    format!("{:.0}", seconds.ceil()).parse().unwrap_or(u32::MAX).max(1)
}

/// One open request. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit<K: Eq + Hash> {
    budgets: Arc<Budgets<K>>,
    name: K,
}

impl<K: Eq + Hash + Clone> Budgets<K> {
    /// Lets one more request of `name` begin.
    pub fn enter(
        self: &Arc<Self>,
        name: K,
        limits: Limits,
        now: Instant,
    ) -> Result<Permit<K>, Over> {
        if self.0.len() >= IDLE_MAX {
            self.0.retain(|_, budget| !budget.is_idle(now));
        }
        let mut budget = self.0.entry(name.clone()).or_insert(Budget::fresh(now));
        *budget = budget.at(now);
        budget.per_s = limits.pace.map_or(0.0, |pace| pace.per_s);
        if limits.pace.is_none() {
            budget.spent = 0.0;
        }
        budget.take(limits)?;
        Ok(Permit { budgets: Arc::clone(self), name })
    }
}

impl<K: Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        if let Some(mut budget) = self.budgets.0.get_mut(&self.name) {
            budget.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CALLER: Limits =
        Limits { in_flight: Some(32), pace: Some(Pace { per_s: 200.0, burst: 400.0 }) };

    #[test]
    fn a_caller_that_asks_too_fast_waits_for_its_refill() {
        let (budgets, now) = (Arc::new(Budgets::default()), Instant::now());
        let asks = |caller: &'static str, now| {
            (0..1_000).filter(|_| budgets.enter(caller, CALLER, now).is_ok()).count()
        };
        assert_eq!(asks("one", now), 400);
        assert_eq!(asks("one", now), 0);
        assert_eq!(asks("other", now), 400, "each has its own");
        assert_eq!(asks("one", now + Duration::from_secs(1)), 200);
        assert_eq!(asks("one", now), 0, "time that goes back gives nothing");
    }

    #[test]
    fn who_comes_too_fast_is_told_when_to_come_again() {
        let (budgets, now) = (Arc::new(Budgets::default()), Instant::now());
        let slow = Limits { in_flight: None, pace: Some(Pace { per_s: 0.1, burst: 1.0 }) };
        let seconds = Duration::from_secs;
        assert!(budgets.enter("one", slow, now).is_ok());
        let again = |later: u64| budgets.enter("one", slow, now + seconds(later)).err();
        assert_eq!(again(0), Some(Over::Pace(10)));
        assert_eq!(again(3), Some(Over::Pace(7)));
        assert_eq!(again(10), None);
        assert_eq!(again(10), Some(Over::Pace(10)));
    }

    #[test]
    fn limits_hold_as_they_are_at_each_request() {
        let (budgets, now) = (Arc::new(Budgets::default()), Instant::now());
        let two = Limits { in_flight: Some(2), pace: None };
        let open = |limits| budgets.enter("one", limits, now);
        let (first, second) = (open(two).unwrap(), open(two).unwrap());
        assert_eq!(open(two).unwrap_err(), Over::InFlight(2));
        let third = open(Limits::default()).unwrap();
        drop((first, second));
        let _fourth = open(two).unwrap();
        assert_eq!(open(two).unwrap_err(), Over::InFlight(2), "the third is open still");
        drop(third);
        assert!(open(two).is_ok());
        let paced = Limits { in_flight: None, pace: Some(Pace { per_s: 1.0, burst: 2.0 }) };
        assert_eq!((0..9).filter(|_| open(paced).is_ok()).count(), 2);
        assert!(open(Limits::default()).is_ok() && open(paced).is_ok(), "it was lifted");
    }

    #[test]
    fn those_that_are_gone_are_forgotten() {
        let (budgets, now) = (Arc::new(Budgets::default()), Instant::now());
        let kept = budgets.enter(usize::MAX, CALLER, now).unwrap();
        for caller in 0..2 * IDLE_MAX {
            let later = now + Duration::from_millis(caller as u64);
            drop(budgets.enter(caller, CALLER, later));
        }
        assert!(budgets.0.len() <= IDLE_MAX + 1);
        assert!(budgets.0.contains_key(&usize::MAX));
        drop(kept);
    }
}
