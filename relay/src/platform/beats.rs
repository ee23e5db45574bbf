//! When each agent's next heartbeat to the platform is due: evenly spread, and none forgotten. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use shared::ids::WorkspaceId;

/// The platform wants a heartbeat every 25 to 30 s: later than this it is late.
pub const LATE_AFTER: Duration = Duration::from_secs(30);
/// How much longer than wished a crowd waits between two: 29 s for 25.
const STRETCH: f64 = 1.16;
/// The part of the platform's limit from which on a crowd waits longer.
const CROWDED: f64 = 0.8;
/// How far apart agents begin that were all waiting for the same thing.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// How much earlier than due a beat may be, as a part of the interval, so that bunches dissolve.
const EARLIER: f64 = 0.04;
/// How much longer each failed try waits than the one before it, at first.
const RETRY: Duration = Duration::from_secs(1);

/// The heartbeats of all agents that are to have any.
#[derive(Debug)]
pub struct Beats {
    wished: Duration,
    per_minute: u32,
    of: HashMap<WorkspaceId, Beat>,
    /// Those that are not under way, by the time when they are due.
    due: BTreeSet<(Instant, WorkspaceId)>,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    /// When it is due; a late one keeps its time.
    at: Instant,
    /// The last sign of life that the platform had, or when the agent came.
    heard: Instant,
    failures: u32,
    waits: bool,
}

impl Beats {
    /// Heartbeats at this interval, to a platform that takes so many requests a minute.
    pub fn new(wished: Duration, per_minute: u32) -> Self {
        Self { wished, per_minute, of: HashMap::new(), due: BTreeSet::new() }
    }

    /// From now on this agent has heartbeats, the first within 5 s. `chance` is from 0 to 1.
    pub fn begin(&mut self, id: WorkspaceId, now: Instant, chance: f64) {
        if !self.of.contains_key(&id) {
            let within = FIRST_WITHIN.min(self.wished / 5).mul_f64(chance);
            self.put(id, Beat { at: now + within, heard: now, failures: 0, waits: true });
        }
    }

    /// From now on it has none.
    pub fn end(&mut self, id: &WorkspaceId) {
        if let Some(beat) = self.of.remove(id) {
            self.due.remove(&(beat.at, *id));
        }
    }

    /// Whose turn it is, the longest waiting first.
    pub fn first_due(&self, now: Instant) -> Option<WorkspaceId> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Its heartbeat is under way. Answers whether it is late.
    pub fn sending(&mut self, id: &WorkspaceId, now: Instant) -> bool {
        let Some(beat) = self.of.get_mut(id) else { return false };
        beat.waits = false;
        self.due.remove(&(beat.at, *id));
        is_late(beat, now)
    }

    /// The platform had a sign of life of it.
    pub fn heard(&mut self, id: &WorkspaceId, now: Instant, chance: f64) {
        let interval = self.interval().mul_f64(1.0 - EARLIER * chance);
        if self.of.contains_key(id) {
            self.put(*id, Beat { at: now + interval, heard: now, failures: 0, waits: true });
        }
    }

    /// Its heartbeat failed: the next try comes after a wait that grows.
    pub fn failed(&mut self, id: &WorkspaceId, now: Instant, chance: f64) {
        let longest = self.interval();
        let Some(beat) = self.of.get(id).copied() else { return };
        let wait = RETRY.saturating_mul(1 << beat.failures.min(5)).min(longest);
        let failures = beat.failures.saturating_add(1);
        let at = now + wait.mul_f64(0.5 + chance / 2.0);
        self.put(*id, Beat { at, failures, waits: true, ..beat });
    }

    /// All that are overdue come within so long, none before its time.
    pub fn spread(&mut self, now: Instant, within: Duration, mut chance: impl FnMut() -> f64) {
        let overdue: Vec<_> = self.due.iter().take_while(|(at, _)| *at <= now).copied().collect();
        for (_, id) in overdue {
            if let Some(beat) = self.of.get(&id).copied() {
                self.put(id, Beat { at: now + within.mul_f64(chance()), ..beat });
            }
        }
    }

    /// How many are due within this time.
    pub fn soon(&self, now: Instant, within: Duration) -> usize {
        self.due.iter().take_while(|(at, _)| *at <= now + within).count()
    }

    /// When its next one is due, and whether it is late.
    pub fn next(&self, id: &WorkspaceId, now: Instant) -> Option<(Instant, bool)> {
        self.of.get(id).map(|beat| (beat.at, is_late(beat, now)))
    }

    /// How many are late.
    pub fn late(&self, now: Instant) -> usize {
        self.of.values().filter(|beat| is_late(beat, now)).count()
    }

    /// Between two heartbeats of one agent.
    pub fn interval(&self) -> Duration {
        let agents = u32::try_from(self.of.len()).map_or(f64::MAX, f64::from);
        let room = f64::from(self.per_minute) * CROWDED / 60.0;
        let longest = self.wished.mul_f64(STRETCH);
        Duration::try_from_secs_f64(agents / room).unwrap_or(longest).clamp(self.wished, longest)
    }

    fn put(&mut self, id: WorkspaceId, beat: Beat) {
        if let Some(old) = self.of.insert(id, beat) {
            self.due.remove(&(old.at, id));
        }
        if beat.waits {
            self.due.insert((beat.at, id));
        }
    }
}

fn is_late(beat: &Beat, now: Instant) -> bool {
    now.saturating_duration_since(beat.heard) > LATE_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::budget::{Budget, Purpose};

    fn agents(count: u128) -> Vec<WorkspaceId> {
        (0..count).map(|n| WorkspaceId::new(ulid::Ulid::from_parts(1, n))).collect()
    }

    /// A stream of numbers that is the same each time (SplitMix64).
    fn chance(seed: &mut u64) -> f64 {
        *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// What happened in a world where every call takes 50 ms.
    struct Seen {
        calls: Vec<u64>,
        longest: Duration,
        others: usize,
        late: usize,
    }

    /// What other calls wait all the time.
    type Wanted = Option<fn(usize) -> Purpose>;
    const OWN: Wanted = Some(|beats_soon| Purpose::Other { beats_soon });
    const ASKED: Wanted = Some(|beats_soon| Purpose::Asked { beats_soon });

    /// So many agents for five minutes, while such other calls wait all the time.
    fn five_minutes(count: u128, wanted: Wanted) -> Seen {
        let (start, mut seed) = (Instant::now(), 7);
        let mut beats = Beats::new(Duration::from_secs(25), 600);
        let mut budget = Budget::new(600, start);
        let ids = agents(count);
        let mut heard: HashMap<_, _> = ids.iter().map(|id| (*id, start)).collect();
        for id in &ids {
            beats.begin(*id, start, chance(&mut seed));
        }
        let mut under_way: Vec<(u64, WorkspaceId)> = Vec::new();
        let mut seen = Seen { calls: Vec::new(), longest: Duration::ZERO, others: 0, late: 0 };
        for ms in (0..300_000_u64).step_by(10) {
            let now = start + Duration::from_millis(ms);
            under_way.retain(|(end, id)| {
                if *end > ms {
                    return true;
                }
                beats.heard(id, now, chance(&mut seed));
                let last = heard.insert(*id, now).unwrap();
                seen.longest = seen.longest.max(now - last);
                false
            });
            while let Some(id) = beats.first_due(now)
                && budget.take(Purpose::Beat, now).is_ok()
            {
                seen.late += usize::from(beats.sending(&id, now));
                under_way.push((ms + 50, id));
                seen.calls.push(ms);
            }
            let beats_soon = beats.soon(now, Duration::from_secs(2));
            if wanted.is_some_and(|purpose| budget.take(purpose(beats_soon), now).is_ok()) {
                seen.others += 1;
                seen.calls.push(ms);
            }
        }
        seen
    }

    fn busiest_minute(calls: &[u64]) -> usize {
        let within = |(first, ms): (usize, &u64)| {
            calls.iter().skip(first).take_while(|other| **other < ms + 60_000).count()
        };
        calls.iter().enumerate().map(within).max().unwrap_or_default()
    }

    #[test]
    fn two_hundred_and_fifty_agents_stay_within_the_limit_and_each_within_its_time() {
        for (of, wanted) in [("the relay's own", OWN), ("agents'", ASKED)] {
            let seen = five_minutes(250, wanted);
            let busiest = busiest_minute(&seen.calls);
            println!(
                "250 agents, five minutes: {} calls, {busiest} in the busiest minute, {} of them \
                 {of}, longest between two heartbeats of one agent {:.2} s, late {}",
                seen.calls.len(),
                seen.others,
                seen.longest.as_secs_f64(),
                seen.late
            );
            assert!(busiest <= 600, "{busiest}");
            assert!(seen.longest <= LATE_AFTER, "{:?}", seen.longest);
            assert_eq!(seen.late, 0);
            assert!(seen.others >= 100, "other calls find their time too: {}", seen.others);
        }
    }

    #[test]
    fn a_crowd_that_is_too_large_is_late_and_says_so() {
        let seen = five_minutes(400, None);
        assert!(busiest_minute(&seen.calls) <= 600);
        assert!(seen.late > 0 && seen.longest < Duration::from_secs(90), "{:?}", seen.longest);
    }

    #[test]
    fn beats_are_spread_evenly() {
        let seen = five_minutes(100, None);
        let last: Vec<_> = seen.calls.iter().filter(|ms| **ms >= 200_000).collect();
        let busiest = (200..300_u64)
            .map(|s| last.iter().filter(|ms| **ms / 1000 == s).count())
            .max()
            .unwrap_or_default();
        assert!(busiest <= 20, "{busiest} in one second, of 4 on the average");
    }

    #[test]
    fn beats_end_at_once_and_failures_wait_longer_each_time() {
        let (now, id) = (Instant::now(), agents(1)[0]);
        let mut beats = Beats::new(Duration::from_secs(25), 600);
        beats.begin(id, now, 0.0);
        beats.begin(id, now, 1.0);
        assert_eq!(beats.first_due(now), Some(id));
        let mut waits = Vec::new();
        let mut at = now;
        for _ in 0..8 {
            beats.sending(&id, at);
            assert_eq!(beats.first_due(at + LATE_AFTER), None, "it is under way");
            beats.failed(&id, at, 1.0);
            let (due, _) = beats.next(&id, at).unwrap();
            waits.push((due - at).as_secs());
            at = due;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 25, 25, 25]);
        assert_eq!((beats.late(at), beats.next(&id, at).unwrap().1), (1, true));
        beats.sending(&id, at);
        beats.heard(&id, at, 0.0);
        assert_eq!(beats.next(&id, at), Some((at + Duration::from_secs(25), false)));
        beats.end(&id);
        assert_eq!(beats.first_due(at + LATE_AFTER), None);
        beats.heard(&id, at, 0.0);
        assert_eq!(beats.next(&id, at), None, "an answer that comes late brings nothing back");
    }

    #[test]
    fn what_waited_for_the_platform_does_not_come_all_at_once() {
        let (now, mut seed) = (Instant::now(), 3);
        let mut beats = Beats::new(Duration::from_secs(25), 600);
        for id in agents(100) {
            beats.begin(id, now, 0.0);
        }
        let later = now + Duration::from_secs(60);
        beats.spread(later, Duration::from_secs(10), || chance(&mut seed));
        assert!(beats.soon(later, Duration::from_secs(1)) < 30);
        assert_eq!(beats.soon(later, Duration::from_secs(10)), 100);
    }
}
