//! Drives the bridge: compares here and there, and makes the calls that are due, within the budget.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::control::ToConnector;
use shared::ids::WorkspaceId;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::answer::{CallError, Row};
use super::board::{Board, chance};
use super::budget::Purpose;
use super::reconcile::{Next, Ours, Theirs, next};
use super::steps::{Done, Failed};
use super::track::Track;
use super::{Bridge, agent};
use crate::admin::Api;
use crate::registry::{Bond, BondStep, Workspace};

/// Between two comparisons, besides those after each answer.
const TICK: Duration = Duration::from_millis(200);
/// Heartbeats under way at a time.
const BEATS_AT_A_TIME: usize = 24;
/// Other calls under way at a time.
const STEPS_AT_A_TIME: usize = 8;
/// Heartbeats that are due this soon have their places kept.
pub(super) const SOON: Duration = Duration::from_secs(2);
/// Between two lists, however much one is wanted.
pub(super) const LIST_AFTER: Duration = Duration::from_secs(1);

/// What came of a call.
pub(super) enum Outcome {
    Listed { began: Instant, rows: Result<Vec<Row>, CallError> },
    Probed(Result<(), CallError>),
    Beat(Result<Option<u64>, Failed>),
    Step(Next, Result<Done, Failed>),
}

/// Which call it was.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    List,
    Probe,
    Beat(WorkspaceId, i64),
    /// Its token was this version.
    Step(WorkspaceId, i64),
}

/// Both sides, and the calls under way.
pub(super) struct Driver {
    pub(super) bridge: Bridge,
    pub(super) api: Arc<Api>,
    calls: JoinSet<Outcome>,
    keys: HashMap<Id, Key>,
    pub(super) list: List,
}

/// When the list of all workspaces is asked for.
pub(super) struct List {
    pub(super) at: Instant,
    wanted: bool,
    last: Option<Instant>,
    pub(super) failures: u32,
    /// Whether one was answered, well or not.
    pub(super) tried: bool,
}

/// A step that is due.
struct Due {
    since: Instant,
    id: WorkspaceId,
    step: Next,
    ours: Ours,
}

/// Serves the bridge until the future is dropped, which ends the calls under way.
pub async fn run(bridge: Bridge, api: Arc<Api>) {
    let list = List { at: Instant::now(), wanted: true, last: None, failures: 0, tried: false };
    let (calls, keys) = (JoinSet::new(), HashMap::new());
    let mut driver = Driver { bridge: bridge.clone(), api, calls, keys, list };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = bridge.inner.wake.notified() => {}
            Some(ended) = driver.calls.join_next_with_id() => driver.ended(ended),
        }
        while let Some(ended) = driver.calls.try_join_next_with_id() {
            driver.ended(ended);
        }
        driver.compare(Instant::now());
    }
}

impl Driver {
    /// Looks at every workspace, and begins what is due.
    fn compare(&mut self, now: Instant) {
        let bridge = self.bridge.clone();
        let mut board = bridge.board();
        let registry = &bridge.inner.registry;
        let workspaces: HashMap<_, _> =
            registry.workspaces().into_iter().map(|one| (one.id, one)).collect();
        let bonds: HashMap<_, _> = registry
            .bonds(&bridge.inner.name)
            .into_iter()
            .map(|bond| (bond.workspace, bond))
            .collect();
        let leaving = bonds.values().filter(|bond| bond.step == BondStep::Leaving);
        let ids: Vec<_> =
            workspaces.keys().copied().chain(leaving.map(|bond| bond.workspace)).collect();
        let Board { tracks, beats, .. } = &mut *board;
        tracks.retain(|id, _| {
            let stays = workspaces.contains_key(id)
                || bonds.get(id).is_some_and(|bond| bond.step == BondStep::Leaving);
            if !stays {
                beats.end(id);
                bridge.inner.tokens.remove(id);
            }
            stays
        });
        let mut due = Vec::new();
        for id in ids {
            let (workspace, bond) = (workspaces.get(&id), bonds.get(&id));
            due.extend(self.consider(&mut board, id, workspace, bond.map(|bond| &**bond), now));
        }
        self.tell_metrics(&board, now);
        if let Some(down) = board.condition.down {
            if now >= down.look_at && !self.is_under_way(|key| matches!(key, Key::Probe)) {
                let client = bridge.client().clone();
                self.spawn(Key::Probe, async move { Outcome::Probed(client.health().await) });
            }
            return;
        }
        self.send_beats(&mut board, &workspaces, now);
        self.take_steps(&mut board, due, &workspaces, &bonds, now);
        self.ask_for_list(&board, now);
    }

    /// Decides for one workspace; answers the step that is due.
    fn consider(
        &mut self,
        board: &mut Board,
        id: WorkspaceId,
        workspace: Option<&Arc<Workspace>>,
        bond: Option<&Bond>,
        now: Instant,
    ) -> Option<Due> {
        let Board { tracks, beats, condition } = board;
        let track = tracks.entry(id).or_insert_with(|| Track::new(now));
        track.forgive(now);
        let stale = self.bridge.inner.pace.look.saturating_mul(5);
        if track.seen.is_some_and(|seen| now.duration_since(seen) > stale) {
            (track.theirs, track.seen) = (Theirs::Unknown, None);
        }
        let here = workspace.is_some_and(|workspace| agent::is_here(&self.api, workspace));
        let itself = workspace.is_some_and(|workspace| agent::beats_itself(&self.api, workspace));
        let mut ours = track.ours(bond, workspace.is_none(), here, now);
        // Its own heartbeats are not seen here.
        ours.lapsed &= !itself;
        tell_connector(&self.api, track, &id, ours.held);
        let down = condition.down.is_some();
        let plan = next(ours, if down { Theirs::Unreachable } else { track.theirs }, false);
        if itself {
            beats.end(&id);
        } else if plan.contains(&Next::Beat) {
            beats.begin(id, now, chance());
        } else if !here || !down {
            beats.end(&id);
        }
        track.wants = plan.into_iter().find(|step| *step != Next::Beat);
        // What the list will say of all need not be asked for each.
        let covered = track.theirs == Theirs::Unknown && !self.list.tried;
        let step = track.wants.filter(|step| !(covered && *step == Next::Look))?;
        let ready = !track.busy && now >= track.not_before;
        ready.then_some(Due { since: track.not_before, id, step, ours })
    }

    fn send_beats(
        &mut self,
        board: &mut Board,
        workspaces: &HashMap<WorkspaceId, Arc<Workspace>>,
        now: Instant,
    ) {
        while let Some(id) = board.beats.first_due(now) {
            let Some(workspace) = workspaces.get(&id) else {
                board.beats.end(&id);
                continue;
            };
            let busy = self.count(|key| matches!(key, Key::Beat(..))) >= BEATS_AT_A_TIME;
            if busy || self.bridge.client().take(Purpose::Beat).is_err() {
                return;
            }
            if board.beats.sending(&id, now) {
                self.bridge.inner.metrics.platform.late_beats.inc();
            }
            let key = Key::Beat(id, self.version(&id));
            let beat = self.bridge.clone().beat(Arc::clone(&self.api), Arc::clone(workspace));
            self.spawn(key, async move { Outcome::Beat(beat.await) });
        }
    }

    fn take_steps(
        &mut self,
        board: &mut Board,
        mut due: Vec<Due>,
        workspaces: &HashMap<WorkspaceId, Arc<Workspace>>,
        bonds: &HashMap<WorkspaceId, Arc<Bond>>,
        now: Instant,
    ) {
        due.sort_by_key(|due| due.since);
        for Due { id, step, ours, .. } in due {
            if step == Next::Search {
                self.list.wanted = true;
                continue;
            }
            let calls = !matches!(step, Next::Hold | Next::Release | Next::Bury);
            let full = self.count(|key| matches!(key, Key::Step(..))) >= STEPS_AT_A_TIME;
            let beats_soon = board.beats.soon(now, SOON);
            if full || (calls && self.bridge.client().take(Purpose::Other { beats_soon }).is_err())
            {
                return;
            }
            let bond = bonds.get(&id).cloned();
            self.begin_step(board, id, step, ours, workspaces.get(&id).cloned(), bond);
        }
    }

    fn begin_step(
        &mut self,
        board: &mut Board,
        id: WorkspaceId,
        step: Next,
        ours: Ours,
        workspace: Option<Arc<Workspace>>,
        bond: Option<Arc<Bond>>,
    ) {
        let Some(track) = board.tracks.get_mut(&id) else { return };
        track.busy = true;
        let key = Key::Step(id, self.version(&id));
        let (bridge, api) = (self.bridge.clone(), Arc::clone(&self.api));
        if step == Next::Create {
            track.begun(Instant::now());
        }
        self.spawn(key, async move {
            let outcome = match (step, workspace, bond) {
                (Next::Create, Some(workspace), _) => bridge.create(workspace).await,
                (Next::Mint, _, Some(bond)) => bridge.mint(bond).await,
                (Next::Look | Next::Register, _, Some(bond)) => bridge.look(api, bond, ours).await,
                (Next::UpdateCard, _, Some(bond)) => bridge.update_card(api, bond).await,
                (Next::Delete, _, Some(bond)) => bridge.delete(bond).await,
                (Next::Hold, ..) => bridge.hold(id, true).await,
                (Next::Release, ..) => bridge.hold(id, false).await,
                (Next::Bury, ..) => bridge.bury(api, id).await,
                // The workspace went meanwhile; the next comparison sees it.
                _ => Ok(Done::Stored),
            };
            Outcome::Step(step, outcome)
        });
    }

    fn ask_for_list(&mut self, board: &Board, now: Instant) {
        let rested = self.list.last.is_none_or(|last| now.duration_since(last) >= LIST_AFTER);
        let wanted = self.list.wanted && self.list.failures == 0 && rested;
        let due = now >= self.list.at || wanted;
        if !due || board.tracks.is_empty() || self.is_under_way(|key| matches!(key, Key::List)) {
            return;
        }
        let beats_soon = board.beats.soon(now, SOON);
        if self.bridge.client().take(Purpose::Other { beats_soon }).is_err() {
            return;
        }
        self.list.wanted = false;
        self.list.last = Some(now);
        let client = self.bridge.client().clone();
        let list = async move { Outcome::Listed { began: now, rows: client.list().await } };
        self.spawn(Key::List, list);
    }

    /// Takes the outcome of a call.
    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, Some(outcome)),
            Err(error) => {
                tracing::error!(%error, "a call to the platform panicked");
                (error.id(), None)
            }
        };
        let Some(key) = self.keys.remove(&task) else { return };
        let (bridge, now) = (self.bridge.clone(), Instant::now());
        let mut board = bridge.board();
        match (key, outcome) {
            (Key::List, Some(Outcome::Listed { began, rows })) => {
                self.listed(&mut board, rows, began, now);
            }
            (Key::Probe, Some(Outcome::Probed(probed))) => {
                bridge.count_call("health", probed.as_ref().err());
                match probed {
                    Err(error) if error.is_silence() => {
                        board.condition.hear(Err(&error), now);
                    }
                    Ok(()) | Err(_) => {
                        board.condition.answers();
                        board.resume(now);
                        (self.list.at, self.list.failures) = (now, 0);
                    }
                }
            }
            (Key::Beat(id, version), Some(Outcome::Beat(beaten))) => {
                bridge.take_beat(&mut board, id, version, beaten, now);
            }
            (Key::Step(id, ..), None) => {
                if let Some(track) = board.tracks.get_mut(&id) {
                    track.busy = false;
                    track.wait(now, "The relay failed inside; look into its log.".to_owned());
                }
            }
            (Key::Beat(id, _), None) => board.beats.failed(&id, now, chance()),
            (Key::Step(id, version), Some(Outcome::Step(step, outcome))) => {
                bridge.take_step(&mut board, id, step, version, outcome, now);
            }
            _ => {}
        }
    }

    fn tell_metrics(&self, board: &Board, now: Instant) {
        let bridge = &self.bridge.inner;
        let (left, _) = bridge.client.limits();
        let up = board.condition.down.is_none();
        bridge.metrics.platform.tell(up, left, board.beats.late(now));
    }

    /// Which token of the workspace is the newest.
    fn version(&self, id: &WorkspaceId) -> i64 {
        self.bridge.bond(id).map(|bond| bond.version).unwrap_or_default()
    }

    pub(super) fn spawn(&mut self, key: Key, call: impl Future<Output = Outcome> + Send + 'static) {
        let task = self.calls.spawn(call);
        self.keys.insert(task.id(), key);
    }

    fn count(&self, is: impl Fn(&Key) -> bool) -> usize {
        self.keys.values().filter(|key| is(key)).count()
    }

    fn is_under_way(&self, is: impl Fn(&Key) -> bool) -> bool {
        self.keys.values().any(is)
    }
}

/// Tells a connector that the platform holds its agent's calls back, or no longer; once per link.
fn tell_connector(api: &Api, track: &mut Track, id: &WorkspaceId, held: bool) {
    let Some(link) = api.live.newest(id) else { return };
    let told = track.told.filter(|(link_told, _)| *link_told == link.generation);
    if told.map_or(held, |(_, told)| told != held) {
        let message = if held { "The platform paused this workspace." } else { "" };
        link.tell(ToConnector::Paused { paused: held, message: message.to_owned() });
        track.told = Some((link.generation, held));
    }
}
