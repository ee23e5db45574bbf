//! What the bridge knows at this moment, of the platform and of each workspace: in memory alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shared::ids::WorkspaceId;

use super::beats::Beats;
use super::condition::Condition;
use super::config::Pace;
use super::reconcile::Theirs;
use super::track::Track;

/// A number from 0 to 1. Chance only spreads calls, so a system without any is no failure.
pub(super) fn chance() -> f64 {
    f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX)
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) tracks: HashMap<WorkspaceId, Track>,
    pub(super) beats: Beats,
    pub(super) condition: Condition,
}

impl Board {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            tracks: HashMap::new(),
            beats: Beats::new(pace.beat, pace.per_minute),
            condition: Condition::default(),
        }
    }

    /// All calls may go on: nothing comes at once.
    pub(super) fn resume(&mut self, now: Instant) {
        let each = Duration::from_millis(50);
        let agents = u32::try_from(self.tracks.len()).unwrap_or(u32::MAX);
        let within = each.saturating_mul(agents).min(Duration::from_secs(10));
        self.beats.spread(now, within, chance);
        for track in self.tracks.values_mut() {
            track.failures = 0;
            track.not_before = now + within.mul_f64(chance());
            if track.theirs == Theirs::Unreachable {
                track.theirs = Theirs::Unknown;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_comes_back_jittered() {
        let now = Instant::now();
        let mut board = Board::new(Pace::default());
        for n in 0..100 {
            let id = WorkspaceId::new(ulid::Ulid::from_parts(1, n));
            let mut track = Track::new(now);
            track.wait(now, "down".into());
            board.tracks.insert(id, track);
        }
        board.resume(now);
        let within = |ms| {
            let end = now + Duration::from_millis(ms);
            board.tracks.values().filter(|track| track.not_before <= end).count()
        };
        assert!(within(500) < 40 && within(5_000) == 100, "{}", within(500));
    }
}
