//! The last refusals of each workspace, for its operator: bounded, in memory alone.

use std::collections::VecDeque;

use dashmap::DashMap;
use serde_json::{Value, json};
use shared::ids::WorkspaceId;

use super::view::rfc3339;

/// Refusals that are kept of one workspace: what a panel shows.
const KEPT: usize = 20;

/// One call that was refused.
#[derive(Debug, Clone)]
pub struct Refused {
    /// When, unix milliseconds.
    pub at_ms: i64,
    /// The status of the answer.
    pub status: u16,
    /// Its code.
    pub code: &'static str,
    /// How far the request came: `not-sent`, `maybe` or `delivered`.
    pub delivery: &'static str,
    /// The request's id, as the caller has it.
    pub request: String,
}

/// The last refusals.
#[derive(Debug, Default)]
pub struct Refusals {
    of: DashMap<WorkspaceId, VecDeque<Refused>>,
}

impl Refusals {
    /// Notes one; the oldest makes way. Workspaces are bounded by the registry: call only for a
    /// known one, and [`Refusals::forget`] a removed one.
    pub fn note(&self, workspace: WorkspaceId, refused: Refused) {
        let mut last = self.of.entry(workspace).or_default();
        last.truncate(KEPT - 1);
        last.push_front(refused);
    }

    /// Forgets a removed workspace.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.of.remove(workspace);
    }

    /// The last ones, the newest first, as `GET /workspaces/{id}/refusals` has them.
    pub fn list(&self, workspace: &WorkspaceId) -> Value {
        let rows: Vec<Value> = self.of.get(workspace).map_or_else(Vec::new, |last| {
            last.iter()
                .map(|one| {
                    json!({
                        "at": rfc3339(one.at_ms), "status": one.status, "code": one.code,
                        "delivery": one.delivery, "request_id": one.request,
                    })
                })
                .collect()
        });
        json!({ "refusals": rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_refusals_are_kept_and_a_removed_workspace_has_none() {
        let refusals = Refusals::default();
        let id: WorkspaceId = "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        for at_ms in 0..30 {
            let (code, delivery, request) = ("RELAY_AGENT_OFFLINE", "not-sent", at_ms.to_string());
            refusals.note(id, Refused { at_ms, status: 503, code, delivery, request });
        }
        let list = refusals.list(&id);
        assert_eq!(list["refusals"].as_array().unwrap().len(), KEPT);
        assert_eq!(list["refusals"][0]["request_id"], "29");
        assert_eq!(list["refusals"][0]["delivery"], "not-sent");
        refusals.forget(&id);
        assert_eq!(refusals.list(&id), json!({"refusals": []}));
    }
}
