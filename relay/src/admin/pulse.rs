//! The heartbeats that agents send over HTTP, beside those that their links carry.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::control::Status as Report;
use shared::ids::WorkspaceId;

use crate::health::is_degraded;

/// Three missed heartbeats of 30 s: then an agent without a link is offline.
pub const SILENT_AFTER: Duration = Duration::from_secs(90);

/// What one heartbeat says. What it leaves out is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beat {
    /// Failed share of recent tasks, 0 to 1.
    pub error_rate: Option<f64>,
    /// Tasks in work.
    pub active_tasks: Option<u32>,
    /// Seconds since the agent started.
    pub uptime_seconds: Option<u64>,
    /// What it works on.
    pub current_task: Option<String>,
    /// One recent error.
    pub sample_error: Option<String>,
    /// `wedged` and the like.
    pub runtime_state: Option<String>,
    /// Capabilities and overrides, as the agent states them.
    pub runtime_metadata: Option<Value>,
    /// What the agent has spent this month, in the currency of its platform.
    pub monthly_spend: Option<f64>,
}

impl Beat {
    /// Puts what it says over what the connector reports.
    pub fn over(&self, report: &mut Report) {
        let Self { error_rate, active_tasks, uptime_seconds, .. } = self;
        report.error_rate = error_rate.unwrap_or(report.error_rate);
        report.active_tasks = active_tasks.unwrap_or(report.active_tasks);
        report.uptime_seconds = uptime_seconds.unwrap_or(report.uptime_seconds);
        for (said, field) in [
            (&self.current_task, &mut report.current_task),
            (&self.sample_error, &mut report.sample_error),
            (&self.runtime_state, &mut report.runtime_state),
        ] {
            if let Some(said) = said {
                field.clone_from(said);
            }
        }
        if let Some(said) = &self.runtime_metadata {
            report.runtime_metadata.clone_from(said);
        }
    }
}

/// The last heartbeat of an agent.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// When it came.
    pub at: Instant,
    /// What it said.
    pub beat: Beat,
    /// Whether its error rate makes the agent degraded; `None` where it names none.
    pub degraded: Option<bool>,
}

impl Pulse {
    /// Whether its time has not run out.
    pub fn is_fresh(&self) -> bool {
        self.at.elapsed() < SILENT_AFTER
    }
}

/// The last heartbeats of all agents that send any. At most one for each workspace.
#[derive(Debug, Default)]
pub struct Pulses {
    last: DashMap<WorkspaceId, Pulse>,
}

impl Pulses {
    /// Takes a heartbeat of a workspace that was `degraded` or not before it.
    pub fn beat(&self, workspace: WorkspaceId, beat: Beat, degraded: bool) {
        let degraded = beat.error_rate.map(|rate| is_degraded(degraded, rate));
        self.last.insert(workspace, Pulse { at: Instant::now(), beat, degraded });
    }

    /// A heartbeat that came before the relay started, `ago`.
    pub fn restore(&self, workspace: WorkspaceId, ago: Duration) {
        if let Some(at) = Instant::now().checked_sub(ago) {
            let pulse = Pulse { at, beat: Beat::default(), degraded: None };
            self.last.insert(workspace, pulse);
        }
    }

    /// The last heartbeat of a workspace.
    pub fn last(&self, workspace: &WorkspaceId) -> Option<Pulse> {
        self.last.get(workspace).map(|pulse| pulse.clone())
    }

    /// Forgets a workspace that was removed.
    pub fn forget(&self, workspace: &WorkspaceId) {
        self.last.remove(workspace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_wins_where_it_says_something() {
        let mut report = Report {
            error_rate: 0.2,
            active_tasks: 3,
            current_task: "reading".into(),
            ..Report::default()
        };
        let beat =
            Beat { active_tasks: Some(0), current_task: Some(String::new()), ..Beat::default() };
        beat.over(&mut report);
        assert_eq!((report.active_tasks, report.current_task.as_str()), (0, ""));
        assert!((report.error_rate - 0.2).abs() < f64::EPSILON, "it said nothing of errors");
    }
}
