//! What is known of one workspace at this moment: what the platform thinks, and what went wrong.

use std::time::{Duration, Instant};

use shared::ids::Generation;

use super::answer::Row;
use super::board::chance;
use super::reconcile::{Making, Next, Ours, Place, Stage, Standing, Theirs};
use crate::clock::unix_ms;
use crate::registry::{Bond, BondStep};

/// Without a sign of life for so long the platform may have missed an agent: it does after 90 s.
const LAPSED_AFTER: Duration = Duration::from_secs(60);
/// A refused token is tried again after this time: somebody may have repaired the platform.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// How long a creation whose answer was lost may take to show in the list: longer than it is waited for.
const SETTLED_AFTER: Duration = Duration::from_secs(15);
/// The longest wait between two tries of one workspace.
const WAIT_MAX: Duration = Duration::from_secs(300);

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
    /// Since when the platform says that it does not know it.
    unknown: Option<Instant>,
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
            unknown: None,
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
        // A token that the operator gave is the operator's to give again: the id may be wrong as well.
        let worked = bond.step == BondStep::Registered || bond.adopted;
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
        if self.unknown.take().is_some() {
            self.trouble = None;
        }
        self.theirs = Theirs::of(row, url);
        self.word = Some(row.status.clone());
        self.seen = Some(now);
        if let Theirs::Row(Standing::Online | Standing::Degraded, Place::Ours) = self.theirs {
            self.registrations = 0;
        }
    }

    /// It is deleted on the platform.
    pub(super) fn missing(&mut self, now: Instant) {
        self.theirs = Theirs::Missing;
        (self.word, self.seen) = (Some("removed".to_owned()), Some(now));
    }

    /// The platform says that it knows nothing of it. A deletion cannot be undone here, and a platform
    /// that is being repaired says so of all: only what it says again after `settled` counts.
    pub(super) fn unknown(&mut self, settled: Duration, now: Instant) {
        let since = *self.unknown.get_or_insert(now);
        if now.saturating_duration_since(since) >= settled {
            return self.missing(now);
        }
        self.theirs = Theirs::Unknown;
        self.not_before = now + settled;
        self.trouble = Some(
            "The platform does not know this workspace (404). If it says so again, the workspace is \
             deleted there."
                .to_owned(),
        );
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
        // It takes heartbeats of workspaces that it does not know, too.
        if self.unknown.is_none() {
            self.trouble = None;
        }
    }

    fn is_refused(&self, bond: &Bond) -> bool {
        self.refused.is_some_and(|(_, version)| version == bond.version)
    }

    /// Gives a refused token another try when its time is over.
    pub(super) fn forgive(&mut self, now: Instant) {
        if self.tries_again().is_some_and(|at| now > at) {
            self.accept();
        }
    }

    /// When a refused token is tried again.
    pub(super) fn tries_again(&self) -> Option<Instant> {
        self.refused.map(|(since, _)| since + REFUSED_FOR)
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
    fn what_the_platform_does_not_know_is_gone_when_it_says_so_again() {
        let (now, settled) = (Instant::now(), Duration::from_secs(20));
        let at = |seconds| now + Duration::from_secs(seconds);
        let row = |status: &str| Row { status: status.into(), ..Row::default() };
        let mut track = Track::new(now);
        track.unknown(settled, now);
        assert_eq!((track.theirs, track.not_before), (Theirs::Unknown, at(20)));
        track.accept();
        assert!(track.trouble.is_some(), "a heartbeat that is taken says nothing");
        track.unknown(settled, at(19));
        assert_eq!(track.theirs, Theirs::Unknown, "it was asked too early");
        track.see(&row("online"), "", at(25));
        assert_eq!(track.trouble, None);
        track.unknown(settled, at(30));
        assert_eq!(track.theirs, Theirs::Unknown, "it was there in between");
        track.unknown(settled, at(50));
        assert_eq!((track.theirs, track.word.as_deref()), (Theirs::Missing, Some("removed")));
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
}
