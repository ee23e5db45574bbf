//! The rate limit of a platform, shared by all agents of the relay: what may be sent, and when. Pure.
//!
//! The platform counts requests of one address. Heartbeats come before everything else, so that a busy
//! hour of enrolments makes no agent look gone.

use std::time::{Duration, Instant};

/// The part of the rate that comes as a steady flow; the rest may come at once. Both together never
/// pass the limit, in whichever minute it is counted.
const FLOW: f64 = 0.95;
/// The part of what may come at once that is kept for heartbeats at most.
const RESERVE: f64 = 0.6;
/// The part of it that is kept for what the relay has to do, where others ask for something: however
/// much that is, workspaces are made and looked after.
const RESERVE_OF_OWN: f64 = 0.2;
/// The longest that a platform's word holds back all calls: its window is a minute.
const HELD_MAX: Duration = Duration::from_secs(90);

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A heartbeat.
    Beat,
    /// Anything else that the relay does; so many heartbeats are due within the next two seconds.
    Other {
        /// How many.
        beats_soon: usize,
    },
    /// What agents ask of the platform, and peers lead it to ask; so many heartbeats are due then.
    Asked {
        /// How many.
        beats_soon: usize,
    },
}

/// What an answer says of the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// How many requests are left.
    pub remaining: Option<u32>,
    /// After how long there will be more.
    pub reset: Option<Duration>,
    /// The request was over the limit: come again after this time.
    pub limited: Option<Duration>,
}

/// A bucket of requests.
#[derive(Debug)]
pub struct Budget {
    per_second: f64,
    burst: f64,
    level: f64,
    at: Instant,
    held_until: Option<Instant>,
    remaining: Option<u32>,
}

impl Budget {
    /// A bucket for a limit of so many requests a minute. It is empty: what the process before this one
    /// sent is unknown, and one that is started again and again sends no more than one that stays.
    pub fn new(per_minute: u32, now: Instant) -> Self {
        let limit = f64::from(per_minute);
        let burst = (limit * (1.0 - FLOW)).max(1.0);
        let per_second = limit * FLOW / 60.0;
        Self { per_second, burst, level: 0.0, at: now, held_until: None, remaining: None }
    }

    /// Takes one request out, or tells after how long to ask again.
    pub fn take(&mut self, purpose: Purpose, now: Instant) -> Result<(), Duration> {
        if let Some(until) = self.held_until {
            if now < until {
                return Err(until.saturating_duration_since(now));
            }
            self.held_until = None;
        }
        self.refill(now);
        let behind = |beats_soon, own: f64| {
            let soon = u32::try_from(beats_soon).map_or(f64::MAX, f64::from);
            let kept = soon.min(self.burst * RESERVE) + self.burst * own;
            // A small limit has no room to keep much.
            (1.0 + kept).min(self.burst)
        };
        let needed = match purpose {
            Purpose::Beat => 1.0,
            Purpose::Other { beats_soon } => behind(beats_soon, 0.0),
            Purpose::Asked { beats_soon } => behind(beats_soon, RESERVE_OF_OWN),
        };
        if self.level >= needed {
            self.level -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((needed - self.level) / self.per_second))
    }

    /// Takes what an answer says: the platform may know of others who call from the same address.
    pub fn hear(&mut self, told: Told, now: Instant) {
        self.refill(now);
        let hold = |wait: Duration| now.checked_add(wait.min(HELD_MAX));
        if let Some(remaining) = told.remaining {
            self.remaining = Some(remaining);
            self.level = self.level.min(f64::from(remaining));
            if remaining == 0 {
                self.held_until = self.held_until.max(told.reset.and_then(hold));
            }
        }
        if let Some(wait) = told.limited {
            self.level = 0.0;
            self.held_until = self.held_until.max(hold(wait));
        }
    }

    /// How many requests the platform last said were left.
    pub const fn remaining(&self) -> Option<u32> {
        self.remaining
    }

    /// For how much longer the platform holds all calls back.
    pub fn held(&self, now: Instant) -> Option<Duration> {
        self.held_until.map(|until| until.saturating_duration_since(now)).filter(|d| !d.is_zero())
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.level = self.burst.min(self.level + passed.as_secs_f64() * self.per_second);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Purpose = Purpose::Other { beats_soon: 0 };

    /// One that had the time to fill.
    fn full(now: Instant) -> Budget {
        let mut budget = Budget::new(600, now);
        budget.level = budget.burst;
        budget
    }

    #[test]
    fn no_minute_has_more_than_the_limit_however_often_the_relay_starts() {
        for life_ms in [200_000, 61_000, 7_000, 1_000, 150, 50] {
            let start = Instant::now();
            let mut budget = full(start);
            let mut taken = Vec::new();
            for ms in 0..180_000_u64 {
                let now = start + Duration::from_millis(ms);
                if ms > 0 && ms.is_multiple_of(life_ms) {
                    budget = Budget::new(600, now);
                }
                while budget.take(OTHER, now).is_ok() {
                    taken.push(ms);
                }
            }
            for (first, ms) in taken.iter().enumerate() {
                let later = taken.iter().skip(first);
                let within = later.take_while(|other| **other < ms + 60_000).count();
                assert!(within <= 600, "{within} from {ms} ms on, in lives of {life_ms} ms");
            }
            let fewest = if life_ms > 180_000 { 3 * 560 } else { 0 };
            assert!(taken.len() >= fewest, "{} in three minutes", taken.len());
        }
    }

    #[test]
    fn a_start_has_its_first_heartbeats_at_once_and_all_of_a_crowd_in_time() {
        let start = Instant::now();
        let mut budget = Budget::new(600, start);
        assert!(budget.take(Purpose::Beat, start + Duration::from_millis(110)).is_ok());
        // The platform misses an agent after 90 s.
        let beats = (0..90_000_u64)
            .filter(|ms| budget.take(Purpose::Beat, start + Duration::from_millis(*ms)).is_ok());
        assert!(beats.count() > 800);
    }

    #[test]
    fn what_others_ask_leaves_room_for_what_the_relay_does() {
        let now = Instant::now();
        let mut budget = full(now);
        while budget.take(Purpose::Asked { beats_soon: 0 }, now).is_ok() {}
        assert!(budget.take(OTHER, now).is_ok());
        for per_minute in [10, 60, 600] {
            let mut budget = Budget::new(per_minute, now);
            let later = now + Duration::from_secs(60);
            assert!(budget.take(Purpose::Asked { beats_soon: 1_000 }, later).is_ok(), "in the end");
        }
    }

    #[test]
    fn heartbeats_come_before_everything_else() {
        let now = Instant::now();
        let mut budget = full(now);
        let crowded = Purpose::Other { beats_soon: 1_000 };
        while budget.take(crowded, now).is_ok() {}
        let beats = (0..1_000).take_while(|_| budget.take(Purpose::Beat, now).is_ok()).count();
        assert!(beats >= 18, "{beats} were left for beats");
        let wait = budget.take(Purpose::Beat, now).unwrap_err();
        assert!(wait <= Duration::from_millis(110), "{wait:?}");
        assert!(budget.take(Purpose::Beat, now + wait).is_ok());
    }

    #[test]
    fn the_platforms_word_is_obeyed() {
        let now = Instant::now();
        let seconds = Duration::from_secs;
        let mut budget = full(now);
        budget.hear(Told { remaining: Some(2), ..Told::default() }, now);
        assert!(budget.take(OTHER, now).is_ok() && budget.take(OTHER, now).is_ok());
        assert!(budget.take(OTHER, now).is_err());
        budget.hear(Told { limited: Some(seconds(7)), ..Told::default() }, now);
        assert_eq!(budget.take(Purpose::Beat, now), Err(seconds(7)));
        assert_eq!(budget.held(now), Some(seconds(7)));
        assert!(budget.take(Purpose::Beat, now + seconds(7)).is_ok());
        let reset = Some(seconds(3));
        budget.hear(Told { remaining: Some(0), reset, limited: None }, now + seconds(10));
        assert_eq!(budget.take(Purpose::Beat, now + seconds(10)), Err(seconds(3)));
        budget.hear(Told { limited: Some(seconds(9_999)), ..Told::default() }, now + seconds(20));
        assert!(budget.held(now + seconds(20)) <= Some(HELD_MAX), "no word holds for ever");
    }
}
