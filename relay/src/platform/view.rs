//! What the operator sees of the bridge: per workspace what the platform thinks, the last call and its
//! answer, and the next one due.

use std::time::Instant;

use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::Bridge;
use super::steps::name_of;
use super::track::Track;
use crate::clock::unix_ms;

impl Bridge {
    /// The object `platform` of a workspace's row.
    pub fn view(&self, id: &WorkspaceId) -> Value {
        let bond = self.bond(id);
        let (now, now_ms) = (Instant::now(), unix_ms());
        let at_ms = |at: Instant| {
            let ahead = at.saturating_duration_since(now).as_millis();
            now_ms.saturating_add(i64::try_from(ahead).unwrap_or(i64::MAX))
        };
        let board = self.board();
        let track = board.tracks.get(id);
        let beat = board.beats.next(id, now);
        let step = track.and_then(|track| Some((track.wants?, track.not_before)));
        let next = match (board.condition.down, beat, step) {
            // Nothing else is tried before it answers.
            (Some(down), ..) => Some(("health", down.look_at)),
            (None, Some((at, _)), Some((_, not_before))) if at < not_before => {
                Some(("heartbeat", at))
            }
            (None, _, Some((step, not_before))) => Some((name_of(step), not_before)),
            (None, Some((at, _)), None) => Some(("heartbeat", at)),
            (None, None, None) => track.and_then(Track::tries_again).map(|at| ("heartbeat", at)),
        };
        let own = track.and_then(|track| track.trouble.clone());
        json!({
            "url": *self.inner.name,
            "id": bond.as_ref().and_then(|bond| bond.upstream.clone()),
            "step": bond.as_ref().map_or("none", |bond| bond.step.as_str()),
            "adopted": bond.as_ref().is_some_and(|bond| bond.adopted),
            "paused": bond.as_ref().is_some_and(|bond| bond.paused),
            "status": track.and_then(|track| track.word.clone()),
            "reachable": board.condition.down.is_none(),
            "late": beat.is_some_and(|(_, late)| late),
            "trouble": own.or_else(|| board.condition.told()),
            "last": track.and_then(|track| track.last.as_ref()).map(|last| {
                json!({ "call": last.call, "answer": last.answer, "at_ms": last.at_ms })
            }),
            "next": next.map(|(call, at)| json!({ "call": call, "at_ms": at_ms(at) })),
        })
    }

    /// How the platform is, as a sentence, if something is wrong with all calls to it.
    pub fn trouble(&self) -> Option<String> {
        self.board().condition.told()
    }
}
