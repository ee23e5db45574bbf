//! What the bridge knows at this moment, of the platform and of each workspace: in memory alone.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shared::ids::{Generation, WorkspaceId};

use super::answer::CallError;
use super::answer::Row;
use super::beats::Beats;
use super::config::Pace;
use super::reconcile::{Making, Next, Ours, Place, Stage, Standing, Theirs};
use crate::clock::unix_ms;
use crate::registry::{Bond, BondStep};

/// Without a sign of life for so long the platform may have missed an agent: it does after 90 s.
const LAPSED_AFTER: Duration = Duration::from_secs(60);
/// A refused token is tried again after this time: somebody may have repaired the platform.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// How long a creation whose answer was lost may take to show in the list: longer than it is waited for.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(15);
/// The longest wait between two tries of one workspace.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// The longest wait between two looks at a platform that does not answer.
const DOWN_WAIT_MAX: Duration = Duration::from_secs(30);
/// Calls that fail one after the other until the platform is taken for down.
const STRIKES: u32 = 3;

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

/// A call that was made.
#[derive(Debug, Clone)]
pub(super) struct Last {
    pub(super) call: &'static str,
    /// The status, or what went wrong.
    pub(super) answer: String,
    pub(super) at_ms: i64,
}

/// What is known of one workspace.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) making: Making,
    /// A creation was answered with nothing that could be used: only a search may tell what became of it.
    pub(super) blind: bool,
    pub(super) theirs: Theirs,
    /// The platform's own word.
    pub(super) word: Option<String>,
    pub(super) seen: Option<Instant>,
    /// When the platform last took a sign of life.
    pub(super) heard: Option<Instant>,
    /// When its own row was last asked for.
    pub(super) looked: Option<Instant>,
    /// Whether the last list had it.
    pub(super) listed: bool,
    /// The card that was registered, as a digest.
    pub(super) card: Option<u64>,
    /// The card of the last heartbeat.
    pub(super) card_now: Option<u64>,
    /// What it needs next, heartbeats apart.
    pub(super) wants: Option<Next>,
    /// A step is under way.
    pub(super) busy: bool,
    pub(super) not_before: Instant,
    pub(super) failures: u32,
    /// Registrations since the platform last had the agent where it is.
    pub(super) registrations: u32,
    refusals: u32,
    refused: Option<(Instant, i64)>,
    since: Instant,
    pub(super) last: Option<Last>,
    /// What is wrong, as a sentence.
    pub(super) trouble: Option<String>,
    /// Which link was told that the agent's calls are held back, and what.
    pub(super) told: Option<(Generation, bool)>,
}

impl Track {
    /// Of a workspace that was found in the store, or just made.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            // What the process before this one sent is unknown.
            making: Making::Perhaps,
            blind: false,
            theirs: Theirs::Unknown,
            word: None,
            seen: None,
            heard: None,
            looked: None,
            listed: false,
            card: None,
            card_now: None,
            wants: None,
            busy: false,
            not_before: now,
            failures: 0,
            registrations: 0,
            refusals: 0,
            refused: None,
            since: now,
            last: None,
            trouble: None,
            told: None,
        }
    }

    /// How far the workspace has come. `removed` is whether it is no more here.
    pub(super) fn stage(&self, bond: Option<&Bond>, removed: bool) -> Stage {
        let Some(bond) = bond else {
            return if removed { Stage::Gone } else { Stage::Unbound };
        };
        let worked = bond.step == BondStep::Registered;
        match bond.step {
            BondStep::Gone => Stage::Gone,
            BondStep::Leaving => Stage::Leaving { known: bond.upstream.is_some() },
            BondStep::Begun => Stage::Begun(self.making),
            BondStep::Made | BondStep::Registered if !bond.has_token => Stage::TokenLost,
            BondStep::Made | BondStep::Registered if self.is_refused(bond) => {
                Stage::TokenRefused { worked }
            }
            BondStep::Made => Stage::Made,
            BondStep::Registered => Stage::Registered,
        }
    }

    /// Its state here.
    pub(super) fn ours(
        &self,
        bond: Option<&Bond>,
        removed: bool,
        here: bool,
        now: Instant,
    ) -> Ours {
        let silent = |heard| now.saturating_duration_since(heard) > LAPSED_AFTER;
        Ours {
            stage: self.stage(bond, removed),
            here,
            held: bond.is_some_and(|bond| bond.paused),
            lapsed: self.heard.is_none_or(silent),
            new_card: self.card.is_some() && self.card_now.is_some() && self.card != self.card_now,
        }
    }

    /// Takes a row of the platform, whose agent it calls at `url` if all is well.
    pub(super) fn see(&mut self, row: &Row, url: &str, now: Instant) {
        self.theirs = Theirs::of(row, url);
        self.word = Some(row.status.clone());
        self.seen = Some(now);
        if let Theirs::Row(Standing::Online | Standing::Degraded, Place::Ours) = self.theirs {
            self.registrations = 0;
        }
    }

    /// The platform took a registration. If it does not last, the next one waits longer.
    pub(super) fn registered(&mut self, card: u64, now: Instant) {
        self.theirs = Theirs::Row(Standing::Online, Place::Ours);
        self.word = Some("online".to_owned());
        (self.seen, self.heard, self.card) = (Some(now), Some(now), Some(card));
        self.registrations = self.registrations.saturating_add(1);
        let wait = Duration::from_secs(1).saturating_mul(1 << self.registrations.min(16));
        self.not_before = now + wait.min(WAIT_MAX);
    }

    /// The platform refused the token; answers whether it was refused before, and so is no good.
    pub(super) fn refuse(&mut self, version: i64, now: Instant) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals < 2 {
            return false;
        }
        self.refused = Some((now, version));
        true
    }

    /// The platform took the token.
    pub(super) fn accept(&mut self) {
        self.refusals = 0;
        self.refused = None;
        self.trouble = None;
    }

    fn is_refused(&self, bond: &Bond) -> bool {
        self.refused.is_some_and(|(_, version)| version == bond.version)
    }

    /// Gives a refused token another try when its time is over.
    pub(super) fn forgive(&mut self, now: Instant) {
        if self.refused.is_some_and(|(since, _)| now.duration_since(since) > REFUSED_FOR) {
            self.accept();
        }
    }

    /// Whether a creation whose answer was lost would show in a list that is asked for now.
    pub(super) fn is_settled(&self, bond: &Bond, now: Instant) -> bool {
        let settled_ms = i64::try_from(SETTLED_AFTER.as_millis()).unwrap_or(i64::MAX);
        now.saturating_duration_since(self.since) >= SETTLED_AFTER
            || unix_ms().saturating_sub(bond.begun_at_ms) >= settled_ms
    }

    /// A creation is about to be sent.
    pub(super) fn begun(&mut self, now: Instant) {
        self.making = Making::Perhaps;
        self.since = now;
    }

    /// The next step waits longer after each that failed.
    pub(super) fn wait(&mut self, now: Instant, trouble: String) {
        let wait = Duration::from_secs(1).saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait.min(WAIT_MAX).mul_f64(0.5 + chance() / 2.0);
        self.trouble = Some(trouble);
    }

    /// A step was done.
    pub(super) fn done(&mut self, now: Instant) {
        self.failures = 0;
        self.not_before = now;
        // A token that is no good stays so, whatever else goes well.
        if self.refused.is_none() {
            self.trouble = None;
        }
    }

    /// Notes a call and its answer.
    pub(super) fn note(&mut self, call: &'static str, answer: String) {
        self.last = Some(Last { call, answer, at_ms: unix_ms() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::fresh_address;

    fn bond(step: BondStep, upstream: Option<&str>, version: i64) -> Bond {
        Bond {
            platform: "https://platform.example.com".into(),
            workspace: "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            address: fresh_address().unwrap(),
            adopted: false,
            step,
            begun_at_ms: unix_ms(),
            upstream: upstream.map(str::to_owned),
            paused: false,
            has_token: version > 0,
            version,
            report: None,
        }
    }

    #[test]
    fn what_is_stored_and_what_is_known_make_the_stage() {
        let mut track = Track::new(Instant::now());
        let at = |track: &Track, bond: &Bond| track.stage(Some(bond), false);
        assert_eq!(track.stage(None, false), Stage::Unbound);
        assert_eq!(track.stage(None, true), Stage::Gone);
        let begun = bond(BondStep::Begun, None, 0);
        assert_eq!(at(&track, &begun), Stage::Begun(Making::Perhaps), "of an earlier process");
        track.making = Making::Unsent;
        assert_eq!(at(&track, &begun), Stage::Begun(Making::Unsent));
        assert_eq!(at(&track, &bond(BondStep::Made, Some("u-1"), 0)), Stage::TokenLost);
        assert_eq!(at(&track, &bond(BondStep::Made, Some("u-1"), 1)), Stage::Made);
        assert_eq!(at(&track, &bond(BondStep::Registered, Some("u-1"), 1)), Stage::Registered);
        for (upstream, known) in [(None, false), (Some("u-1"), true)] {
            let leaving = bond(BondStep::Leaving, upstream, 0);
            assert_eq!(track.stage(Some(&leaving), true), Stage::Leaving { known });
        }
    }

    #[test]
    fn a_token_is_no_good_when_it_was_refused_twice_until_there_is_another() {
        let now = Instant::now();
        let mut track = Track::new(now);
        let first = bond(BondStep::Registered, Some("u-1"), 1);
        assert!(!track.refuse(1, now), "it is read anew first");
        assert_eq!(track.stage(Some(&first), false), Stage::Registered);
        assert!(track.refuse(1, now));
        let refused = Stage::TokenRefused { worked: true };
        assert_eq!(track.stage(Some(&first), false), refused);
        track.trouble = Some("refused".into());
        track.done(now);
        assert!(track.trouble.is_some(), "a look that goes well repairs nothing");
        let second = bond(BondStep::Registered, Some("u-1"), 2);
        assert_eq!(track.stage(Some(&second), false), Stage::Registered);
        track.forgive(now + REFUSED_FOR);
        assert_eq!(track.stage(Some(&first), false), refused);
        track.forgive(now + REFUSED_FOR + Duration::from_secs(1));
        assert_eq!(track.stage(Some(&first), false), Stage::Registered, "it is tried again");
    }

    #[test]
    fn a_lost_creation_settles_before_there_is_another() {
        let now = Instant::now();
        let mut track = Track::new(now);
        let mut begun = bond(BondStep::Begun, None, 0);
        assert!(!track.is_settled(&begun, now));
        assert!(track.is_settled(&begun, now + SETTLED_AFTER));
        track.begun(now + SETTLED_AFTER);
        assert!(!track.is_settled(&begun, now + SETTLED_AFTER));
        // A clock that was set back makes nobody hasty.
        begun.begun_at_ms = unix_ms() + 3_600_000;
        assert!(!track.is_settled(&begun, now));
        begun.begun_at_ms = unix_ms() - 60_000;
        assert!(track.is_settled(&begun, now), "it was begun long before this process");
    }

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
