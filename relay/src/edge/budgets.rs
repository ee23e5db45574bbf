//! What each caller that the relay knows by a credential may have open, and how fast it may ask.

use std::sync::Arc;
use std::time::Instant;

use dashmap::DashMap;

use super::failure::Failure;

/// Requests of one caller that are open at a time: a lively conversation has a few.
const IN_FLIGHT_MAX: usize = 32;
/// Requests that a caller may begin at once…
const BURST: f64 = 400.0;
/// … and those that it gets back each second.
const REFILL_PER_S: f64 = 200.0;
/// Callers that are remembered while they have nothing open, some 100 bytes each.
const IDLE_MAX: usize = 16 * 1024;

/// The budgets of all callers.
#[derive(Debug, Default)]
pub struct Budgets {
    callers: DashMap<String, Budget>,
}

#[derive(Debug, Clone, Copy)]
struct Budget {
    open: usize,
    left: f64,
    at: Instant,
}

impl Budget {
    const fn fresh(now: Instant) -> Self {
        Self { open: 0, left: BURST, at: now }
    }

    fn at(self, now: Instant) -> Self {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * REFILL_PER_S;
        Self { left: (self.left + regained).min(BURST), at: now, ..self }
    }
}

/// One open request of a caller. Dropping it gives it back.
#[derive(Debug)]
pub struct Permit {
    budgets: Arc<Budgets>,
    caller: String,
}

impl Budgets {
    /// Lets a caller begin one more request.
    pub fn enter(self: &Arc<Self>, caller: &str, now: Instant) -> Result<Permit, Failure> {
        if self.callers.len() >= IDLE_MAX {
            self.callers.retain(|_, budget| budget.open > 0 || budget.at(now).left < BURST);
        }
        let mut budget = self.callers.entry(caller.to_owned()).or_insert(Budget::fresh(now));
        *budget = budget.at(now);
        if budget.open >= IN_FLIGHT_MAX {
            return Err(Failure::CallerBusy("has 32 requests open; end one of them"));
        }
        if budget.left < 1.0 {
            return Err(Failure::CallerBusy("has sent more than 200 requests a second; slow down"));
        }
        budget.left -= 1.0;
        budget.open += 1;
        Ok(Permit { budgets: Arc::clone(self), caller: caller.to_owned() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(mut budget) = self.budgets.callers.get_mut(&self.caller) {
            budget.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_caller_that_asks_too_fast_waits_for_its_refill() {
        let (budgets, now) = (Arc::new(Budgets::default()), Instant::now());
        let asks =
            |caller: &str, now| (0..1_000).filter(|_| budgets.enter(caller, now).is_ok()).count();
        assert_eq!(asks("one", now), 400);
        assert_eq!(asks("one", now), 0);
        assert_eq!(asks("other", now), 400, "each has its own");
        assert_eq!(asks("one", now + Duration::from_secs(1)), 200);
    }

    #[test]
    fn callers_that_are_gone_are_forgotten() {
        let (budgets, now) = (Arc::new(Budgets::default()), Instant::now());
        let kept = budgets.enter("kept", now).unwrap();
        for caller in 0..2 * IDLE_MAX {
            drop(budgets.enter(&caller.to_string(), now + Duration::from_millis(caller as u64)));
        }
        assert!(budgets.callers.len() <= IDLE_MAX + 1);
        assert!(budgets.callers.contains_key("kept"));
        drop(kept);
    }
}
