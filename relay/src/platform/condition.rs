//! How the platform is, by what its answers are: there, down, or in trouble with some calls.

use std::time::{Duration, Instant};

use super::answer::CallError;
use super::board::chance;

/// The longest wait between two looks at a platform that does not answer.
const DOWN_WAIT_MAX: Duration = Duration::from_secs(30);
/// Calls that fail one after the other until the platform is taken for down.
const STRIKES: u32 = 3;

/// How the platform is.
#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Since when it does not answer, and when it is looked at next.
    pub(super) down: Option<Down>,
    strikes: u32,
    failures: u32,
    /// What is wrong with all calls, as a sentence.
    pub(super) trouble: Option<String>,
    /// Why it does not list its workspaces, as a sentence.
    pub(super) no_list: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Down {
    pub(super) since: Instant,
    pub(super) look_at: Instant,
}

impl Condition {
    /// Takes the outcome of a call. Answers whether the platform has come back with it.
    pub(super) fn hear(&mut self, outcome: Result<(), &CallError>, now: Instant) -> bool {
        match outcome {
            Err(error @ CallError::Unreachable(_)) => {
                self.strikes = STRIKES;
                self.strike(error, now);
                false
            }
            Err(error @ (CallError::NoAnswer(_) | CallError::Trouble(_))) => {
                self.strikes = self.strikes.saturating_add(1);
                self.strike(error, now);
                false
            }
            // Whatever it says, it says something.
            Ok(()) | Err(_) => {
                self.strikes = 0;
                self.failures = 0;
                let back = self.down.take().is_some();
                if back || outcome.is_ok() {
                    self.trouble = None;
                }
                back
            }
        }
    }

    /// What is wrong with all calls, or with the list, as a sentence.
    pub(super) fn told(&self) -> Option<String> {
        self.trouble.clone().or_else(|| self.no_list.clone())
    }

    /// It is there again, as far as a look tells: calls will show how it is.
    pub(super) fn answers(&mut self) {
        self.strikes = STRIKES - 1;
        self.down = None;
        self.trouble = None;
    }

    fn strike(&mut self, error: &CallError, now: Instant) {
        if self.strikes < STRIKES {
            return;
        }
        let wait = Duration::from_millis(500).saturating_mul(1 << self.failures.min(8));
        let wait = wait.min(DOWN_WAIT_MAX).mul_f64(0.5 + chance() / 2.0);
        self.failures = self.failures.saturating_add(1);
        let since = self.down.map_or(now, |down| down.since);
        self.down = Some(Down { since, look_at: now + wait });
        self.trouble = Some(error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_not_the_platforms_and_three_in_a_row_are() {
        let now = Instant::now();
        let trouble = CallError::Trouble(500);
        let mut condition = Condition::default();
        for _ in 0..2 {
            assert!(!condition.hear(Err(&trouble), now) && condition.down.is_none());
        }
        condition.hear(Err(&CallError::Unauthorized(401)), now);
        condition.hear(Err(&trouble), now);
        assert!(condition.down.is_none(), "it said something in between");
        for _ in 0..2 {
            condition.hear(Err(&trouble), now);
        }
        let down = condition.down.expect("three in a row");
        assert!(down.look_at > now && condition.told().is_some());
        assert!(condition.hear(Ok(()), now), "it is back");
        assert!(condition.down.is_none() && condition.told().is_none());
        condition.hear(Err(&CallError::Unreachable(String::new())), now);
        assert!(condition.down.is_some(), "nobody listens");
        condition.answers();
        condition.hear(Err(&trouble), now);
        assert!(condition.down.is_some(), "it answers looks, and not calls");
    }
}
