//! Tells what changed between two views of a workspace, but for what moves by itself. Pure.

use std::hash::{BuildHasher, RandomState};

use serde_json::{Map, Value};

use crate::admin::presence::Status;

/// Seconds that pass are no change: whoever shows them counts on by itself.
const MOVING: [&str; 2] = ["last_seen_seconds", "uptime_seconds"];
/// What an agent reports of its work.
const REPORTED: [&str; 5] =
    ["active_tasks", "current_task", "error_rate", "sample_error", "runtime_state"];
/// What the relay does for an agent on a platform from minute to minute.
const PLATFORM: &str = "platform";
const PASSING: [&str; 2] = ["last", "next"];
const CARD: &str = "agent_card";
const REASON: &str = "reason";
const SAMPLE_ERROR: &str = "sample_error";

/// What kind of change an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is new, has another status, or was changed by the operator.
    Stands(Status),
    /// Its agent has another card.
    Card,
    /// Its agent reports something else.
    Task,
    /// It is no more.
    Removed,
}

impl Kind {
    /// Its name in events.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stands(Status::Online) => "WORKSPACE_ONLINE",
            Self::Stands(Status::Offline) => "WORKSPACE_OFFLINE",
            Self::Stands(Status::Paused) => "WORKSPACE_PAUSED",
            Self::Stands(Status::Degraded) => "WORKSPACE_DEGRADED",
            Self::Stands(Status::Provisioning) => "WORKSPACE_PROVISIONING",
            Self::Card => "AGENT_CARD_UPDATED",
            Self::Task => "TASK_UPDATED",
            Self::Removed => "WORKSPACE_REMOVED",
        }
    }
}

/// What is remembered of a view to compare the next one with: digests, however large the view is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glance {
    status: Status,
    rest: u64,
    card: u64,
    report: u64,
}

impl Glance {
    /// The glance at a view. The digests are for this process alone, and for one `hashes`.
    pub(super) fn at(view: &Value, hashes: &RandomState) -> Self {
        let empty = Map::new();
        let view = view.as_object().unwrap_or(&empty);
        let named = |status: &Status| view.get("status").is_some_and(|own| own == status.name());
        let status = Status::ALL.into_iter().find(named).unwrap_or(Status::Offline);
        let reason = view.get(REASON).and_then(Value::as_str).map(without_seconds);
        // A sentence of ours in the agent's place counts its seconds too.
        let told = match view.get(SAMPLE_ERROR) {
            told if told == view.get(REASON) => reason.clone().unwrap_or_default(),
            told => told.and_then(Value::as_str).unwrap_or_default().to_owned(),
        };
        let reported = REPORTED.map(|field| view.get(field).filter(|_| field != SAMPLE_ERROR));
        let platform = view.get(PLATFORM).and_then(Value::as_object).map(|platform| {
            let stays = platform.iter().filter(|(field, _)| !PASSING.contains(&field.as_str()));
            stays.collect::<Vec<_>>()
        });
        let rest: Vec<_> = view
            .iter()
            .filter(|(field, _)| {
                let field = field.as_str();
                ![CARD, REASON, PLATFORM].contains(&field)
                    && !MOVING.contains(&field)
                    && !REPORTED.contains(&field)
            })
            .collect();
        Self {
            status,
            rest: hashes.hash_one((rest, reason, platform)),
            card: hashes.hash_one(view.get(CARD)),
            report: hashes.hash_one((reported, told)),
        }
    }

    /// What happened since the glance `before`; `None` if nothing did.
    pub(super) fn since(&self, before: Option<&Self>) -> Option<Kind> {
        match before {
            Some(before) if before == self => None,
            Some(before) if (before.status, before.rest) != (self.status, self.rest) => {
                Some(Kind::Stands(self.status))
            }
            Some(before) if before.card != self.card => Some(Kind::Card),
            Some(_) => Some(Kind::Task),
            None => Some(Kind::Stands(self.status)),
        }
    }
}

/// The sentence without its numbers of seconds.
fn without_seconds(sentence: &str) -> String {
    let words = sentence.split(' ').collect::<Vec<_>>();
    let next = words.iter().skip(1).chain([&""]);
    let kept = words.iter().zip(next).filter(|(word, next)| {
        next.trim_end_matches(['.', ';', ',']) != "s" || word.parse::<u64>().is_err()
    });
    kept.map(|(word, _)| *word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view() -> Value {
        json!({
            "name": "a", "status": "offline", "reason": "Its connector's link ended 3 s ago.", "last_seen_seconds": 3,
            "uptime_seconds": 7, "active_tasks": 1, "current_task": "", "error_rate": 0.0,
            "sample_error": "", "runtime_state": "", "agent_card": {"name": "a", "skills": []},
        })
    }

    #[test]
    fn calls_to_a_platform_are_no_change_and_what_it_thinks_is() {
        let hashes = RandomState::new();
        let with = |platform: Value| {
            let mut view = view();
            view["platform"] = platform;
            Glance::at(&view, &hashes)
        };
        let first = with(json!({"status": "online", "last": {"at_ms": 1}, "next": null}));
        let later = with(json!({"status": "online", "last": {"at_ms": 2}, "next": {"at_ms": 3}}));
        assert_eq!(later.since(Some(&first)), None);
        let paused = with(json!({"status": "paused", "last": {"at_ms": 2}, "next": null}));
        assert_eq!(paused.since(Some(&first)), Some(Kind::Stands(Status::Offline)));
    }

    #[test]
    fn each_change_has_its_event_and_passing_time_has_none() {
        let (hashes, first) = (RandomState::new(), view());
        let before = Glance::at(&first, &hashes);
        for (case, change, event) in [
            ("nothing", json!({}), None),
            ("time", json!({"last_seen_seconds": 4, "uptime_seconds": 8}), None),
            ("a later word", json!({"reason": "Its connector's link ended 44 s ago."}), None),
            ("another word", json!({"reason": "It is away."}), Some("WORKSPACE_OFFLINE")),
            ("no word", json!({"status": "online", "reason": null}), Some("WORKSPACE_ONLINE")),
            ("degraded", json!({"status": "degraded"}), Some("WORKSPACE_DEGRADED")),
            ("paused", json!({"status": "paused", "active_tasks": 9}), Some("WORKSPACE_PAUSED")),
            ("new", json!({"status": "provisioning"}), Some("WORKSPACE_PROVISIONING")),
            ("renamed", json!({"name": "b"}), Some("WORKSPACE_OFFLINE")),
            ("a card", json!({"agent_card": {"name": "b"}}), Some("AGENT_CARD_UPDATED")),
            ("no card", json!({"agent_card": null}), Some("AGENT_CARD_UPDATED")),
            ("a task", json!({"current_task": "t"}), Some("TASK_UPDATED")),
            ("more tasks", json!({"active_tasks": 2}), Some("TASK_UPDATED")),
            ("an error", json!({"sample_error": "after 3 s"}), Some("TASK_UPDATED")),
        ] {
            let mut now = first.clone();
            for (field, value) in change.as_object().unwrap() {
                now[field] = value.clone();
            }
            let kind = Glance::at(&now, &hashes).since(Some(&before));
            assert_eq!(kind.map(Kind::name), event, "{case}");
        }
        assert_eq!(before.since(None).map(Kind::name), Some("WORKSPACE_OFFLINE"));
        assert_eq!(Kind::Removed.name(), "WORKSPACE_REMOVED");
    }

    #[test]
    fn our_own_sentence_in_the_agents_place_counts_seconds_too() {
        let hashes = RandomState::new();
        let glance = |reason: &str, told: &str| {
            let mut view = view();
            view["reason"] = reason.into();
            view["sample_error"] = told.into();
            Glance::at(&view, &hashes)
        };
        let (early, late) = ("It has refused for 11 s.", "It has refused for 12 s.");
        assert_eq!(glance(early, early), glance(late, late));
        assert_ne!(glance(early, "failed 11 s in"), glance(early, "failed 12 s in"));
    }
}
