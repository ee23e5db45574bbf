//! A workspace as the API shows it.

use std::time::Duration;

use serde_json::{Value, json};
use shared::control::Status as Report;

use super::api::Api;
use super::presence::{Sight, Standing, Status, standing};
use crate::registry::Workspace;
use crate::tunnel::Presence;

/// What the tunnel knows of one workspace at one moment.
struct Seen {
    standing: Standing,
    /// Since its last sign of life.
    last_seen: Option<Duration>,
    report: Report,
    card: Value,
}

impl Api {
    /// The status of a workspace now.
    pub(super) fn status_of(&self, workspace: &Workspace) -> Status {
        self.seen(workspace).standing.status
    }

    fn seen(&self, workspace: &Workspace) -> Seen {
        let without_link = |sight, last_seen| Seen {
            standing: standing(workspace.paused, sight),
            last_seen,
            report: Report::default(),
            card: Value::Null,
        };
        let link = match self.live.presence(&workspace.id) {
            Presence::Connected(link) if !link.is_closed() => link,
            // Closed, and not cleared away yet.
            Presence::Connected(_) => {
                return without_link(Sight::Left(Duration::ZERO), Some(Duration::ZERO));
            }
            Presence::Left(ago) => return without_link(Sight::Left(ago), Some(ago)),
            Presence::Never if self.registry.has_joined(&workspace.id) => {
                return without_link(Sight::Away, None);
            }
            Presence::Never => return without_link(Sight::Never, None),
        };
        let reported = link.reported();
        let sight = Sight::Link {
            report: &reported.status,
            refusing: reported.refusing_since.map(|since| since.elapsed()),
            draining: link.is_draining(),
        };
        Seen {
            standing: standing(workspace.paused, sight),
            last_seen: Some(Duration::ZERO),
            report: reported.status,
            card: link.announced().card.clone(),
        }
    }

    /// The row of a workspace, for the operator.
    pub(super) fn view(&self, workspace: &Workspace) -> Value {
        let Seen { standing, last_seen, report, card } = self.seen(workspace);
        let public_url = self.public.base_of(workspace);
        // The agent's own words win: they say more than that its port refuses.
        let sample_error = match &standing.reason {
            Some(reason)
                if standing.status == Status::Degraded && report.sample_error.is_empty() =>
            {
                reason
            }
            _ => &report.sample_error,
        };
        json!({
            "id": workspace.id,
            "workspace_id": workspace.id,
            "org_id": workspace.org,
            "parent_id": workspace.parent,
            "name": workspace.name,
            "alias": workspace.alias,
            "runtime": "external",
            "external": true,
            "status": standing.status.name(),
            "reason": standing.reason,
            "connected": standing.connected,
            "transport": standing.connected.then_some("quic"),
            "last_seen_seconds": last_seen.map(|ago| ago.as_secs()),
            "paused": workspace.paused,
            "url": public_url,
            "public_url": public_url,
            "tunnel": self.endpoints.first(),
            "relay_ca": self.relay_ca,
            "callers": workspace.callers,
            "expose": workspace.expose,
            "created_at_ms": workspace.created_at_ms,
            "error_rate": report.error_rate,
            "active_tasks": report.active_tasks,
            "current_task": report.current_task,
            "uptime_seconds": report.uptime_seconds,
            "sample_error": sample_error,
            "runtime_state": report.runtime_state,
            "agent_card": card,
        })
    }

    /// How many workspaces have each status now, for the metrics.
    pub(super) fn count_workspaces(&self) {
        let statuses: Vec<_> =
            self.registry.workspaces().iter().map(|workspace| self.status_of(workspace)).collect();
        for status in Status::ALL {
            let count = statuses.iter().filter(|one| **one == status).count();
            self.metrics.workspaces(status.name(), count);
        }
    }
}
