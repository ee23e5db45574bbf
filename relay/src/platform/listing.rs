//! What a list of all workspaces tells: of each that has its id there, and of those that are looked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{CallError, Row};
use super::board::{Board, chance};
use super::driver::{Driver, Key, LIST_AFTER, Outcome};
use super::enrol::{self, Found};
use super::outcome::OPERATOR_REFUSED;
use super::reconcile::{Making, Next, Theirs};
use super::track::Track;
use crate::registry::{Bond, BondStep};

/// The longest wait after a list that failed.
const LIST_WAIT_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a workspace that the list leaves out.
const LEFT_OUT: Duration = Duration::from_secs(60);

impl Driver {
    /// Takes a list, or why there is none. It was asked for when it `began`.
    pub(super) fn listed(
        &mut self,
        board: &mut Board,
        rows: Result<Vec<Row>, CallError>,
        began: Instant,
        now: Instant,
    ) {
        self.list.tried = true;
        self.bridge.count_call("list", rows.as_ref().err());
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                let wait = LIST_AFTER.saturating_mul(1 << self.list.failures.min(8));
                self.list.failures = self.list.failures.saturating_add(1);
                self.list.at = now + wait.min(LIST_WAIT_MAX).mul_f64(0.5 + chance() / 2.0);
                // A platform that cannot list may take heartbeats all the same.
                if let CallError::Unreachable(_) = error {
                    board.condition.hear(Err(&error), now);
                }
                board.condition.no_list = Some(match error {
                    CallError::Unauthorized(_) => OPERATOR_REFUSED.to_owned(),
                    error => error.to_string(),
                });
                return;
            }
        };
        self.list.failures = 0;
        board.condition.no_list = None;
        self.list.at = now + self.bridge.inner.pace.look.mul_f64(0.9 + 0.2 * chance());
        if board.condition.hear(Ok(()), now) {
            board.resume(now);
        }
        let left_out = |track: &Track| {
            track.looked.is_none_or(|at| now.saturating_duration_since(at) > LEFT_OUT)
        };
        let by_id: HashMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
        let bonds = self.bridge.inner.registry.bonds(&self.bridge.inner.name);
        for bond in bonds.into_iter().filter(|bond| bond.step != BondStep::Gone) {
            let Some(track) = board.tracks.get_mut(&bond.workspace) else { continue };
            match bond.upstream.as_deref().map(|id| by_id.get(id)) {
                // What an own look or a registration said since is newer.
                Some(_) if track.seen.is_some_and(|seen| seen > began) => {}
                Some(Some(row)) => {
                    track.listed = true;
                    track.see(row, &self.bridge.url(&bond), now);
                }
                Some(None) if std::mem::take(&mut track.listed) || left_out(track) => {
                    track.theirs = Theirs::Unknown;
                    track.looked = Some(now);
                }
                Some(None) => {}
                None if track.busy || track.making == Making::Unsent => {}
                None => self.search(track, bond, &rows, began, now),
            }
        }
    }

    /// Looks for a counterpart whose id was never seen.
    fn search(
        &mut self,
        track: &mut Track,
        bond: Arc<Bond>,
        rows: &[Row],
        began: Instant,
        now: Instant,
    ) {
        let id = bond.workspace;
        match enrol::find(rows, &id) {
            Found::One(upstream) => {
                track.busy = true;
                let kept = self.bridge.clone().keep(bond, upstream);
                let key = Key::Step(id, 0);
                self.spawn(key, async move { Outcome::Step(Next::Search, kept.await) });
            }
            Found::Unusable => track.trouble = Some(
                "The platform has a workspace with this one's mark, and no id of it that can be used."
                    .to_owned(),
            ),
            Found::None if !track.is_settled(&bond, began) => {}
            Found::None if bond.step == BondStep::Leaving => {
                track.busy = true;
                let buried = self.bridge.clone().bury(Arc::clone(&self.api), id);
                let key = Key::Step(id, 0);
                self.spawn(key, async move { Outcome::Step(Next::Bury, buried.await) });
            }
            Found::None if track.blind => {}
            Found::None => {
                track.making = Making::Unsent;
                track.not_before = track.not_before.max(now);
            }
        }
    }
}
