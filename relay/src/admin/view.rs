//! A workspace as the API shows it.

use std::time::Duration;

use serde_json::{Value, json};
use shared::control::Status as Report;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::api::Api;
use super::presence::{self, OwnUrl, Pauser, Sight, Standing, Status, standing};
use super::pulse::Pulse;
use crate::clock::unix_ms;
use crate::registry::{CallerPolicy, Workspace};
use crate::tunnel::{Link, Presence};

/// What the relay knows of one workspace at one moment.
struct Seen {
    standing: Standing,
    transport: Option<&'static str>,
    /// Since its last sign of life.
    last_seen: Option<Duration>,
    report: Report,
    card: Value,
}

/// A stored moment as text (RFC 3339).
pub(super) fn rfc3339(unix_ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}

impl Api {
    /// The status of a workspace now.
    pub(super) fn status_of(&self, workspace: &Workspace) -> Status {
        self.seen(workspace).standing.status
    }

    /// Whether a workspace's errors made it degraded until now.
    pub(super) fn degraded_before(&self, workspace: &Workspace) -> bool {
        let pulse = self.pulses.last(&workspace.id).filter(Pulse::is_fresh);
        pulse.and_then(|pulse| pulse.degraded).unwrap_or_else(|| {
            self.live.newest(&workspace.id).is_some_and(|link| link.reported().degraded)
        })
    }

    fn seen(&self, workspace: &Workspace) -> Seen {
        let pulse = self.pulses.last(&workspace.id);
        let beat = pulse.as_ref().map(|pulse| pulse.at.elapsed());
        let (sight, link) = self.sight(workspace);
        let reported = link.as_ref().map(|link| link.reported()).unwrap_or_default();
        let (mut report, mut degraded) = (reported.status, reported.degraded);
        if let Some(pulse) = pulse.filter(Pulse::is_fresh) {
            pulse.beat.over(&mut report);
            degraded = pulse.degraded.unwrap_or(degraded);
        }
        let own_url = match &link {
            Some(_) => OwnUrl::Uncalled,
            None => self.looks.own_url(workspace),
        };
        let standing = standing(presence::Seen {
            paused: self.holding(workspace),
            sight,
            beat,
            own_url: &own_url,
            report: &report,
            degraded,
        });
        let left = match sight {
            Sight::Link { .. } => Some(Duration::ZERO),
            Sight::Left(ago) => Some(ago),
            Sight::Away | Sight::Never => self.stored_last_seen(workspace),
        };
        let announced = link.as_ref().map(|link| link.announced().card.clone());
        let registered = || workspace.card.as_deref().cloned().unwrap_or_default();
        Seen {
            standing,
            transport: link.as_ref().map(|link| link.transport()),
            last_seen: [beat, left, self.looks.last_answer(workspace)].into_iter().flatten().min(),
            report,
            card: announced.filter(|card| !card.is_null()).unwrap_or_else(registered),
        }
    }

    /// Who holds the calls of a workspace back, if anybody does.
    fn holding(&self, workspace: &Workspace) -> Option<Pauser> {
        let platform = || self.platform.as_ref().is_some_and(|one| one.is_paused(&workspace.id));
        match workspace.paused {
            true => Some(Pauser::Operator),
            false => platform().then_some(Pauser::Platform),
        }
    }

    fn sight(&self, workspace: &Workspace) -> (Sight, Option<std::sync::Arc<Link>>) {
        match self.live.presence(&workspace.id) {
            Presence::Connected(link) if !link.is_closed() => {
                let refusing = link.reported().refusing_since.map(|since| since.elapsed());
                (Sight::Link { refusing, draining: link.is_draining() }, Some(link))
            }
            // Closed, and not cleared away yet.
            Presence::Connected(_) => (Sight::Left(Duration::ZERO), None),
            Presence::Left(ago) => (Sight::Left(ago), None),
            Presence::Never
                if workspace.registered_at_ms.is_some()
                    || self.registry.has_joined(&workspace.id) =>
            {
                (Sight::Away, None)
            }
            Presence::Never => (Sight::Never, None),
        }
    }

    /// Before this process started, by the wall clock: it may have been set since.
    fn stored_last_seen(&self, workspace: &Workspace) -> Option<Duration> {
        let ms = unix_ms().saturating_sub(self.registry.last_seen(&workspace.id)?);
        Some(Duration::from_millis(u64::try_from(ms).unwrap_or_default()))
    }

    /// The row of a workspace, for the operator and its own agent.
    pub(super) fn view(&self, workspace: &Workspace) -> Value {
        let Seen { standing, transport, last_seen, report, card } = self.seen(workspace);
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
            "role": workspace.role,
            "tier": workspace.tier,
            "alias": workspace.alias,
            "alias_url": self.alias_url(workspace),
            "host_url": self.public.host_base_of(workspace),
            "runtime": "external",
            "external": true,
            "status": standing.status.name(),
            "reason": standing.reason,
            "connected": standing.connected,
            "transport": transport,
            "last_seen_seconds": last_seen.map(|ago| ago.as_secs()),
            "paused": workspace.paused,
            "platform": self.platform.as_ref().map(|platform| platform.view(&workspace.id)),
            "url": workspace.url.as_deref().unwrap_or(&public_url),
            "public_url": public_url,
            "tunnel": self.endpoints.first(),
            "relay_ca": self.relay_ca,
            "callers": workspace.callers,
            "expose": workspace.expose,
            "strict_card": workspace.strict_card,
            "keep_alive": workspace.keep_alive,
            "jsonrpc_errors_as_200": workspace.jsonrpc_errors_as_200,
            "rate": workspace.allowance.rate,
            "in_flight": workspace.allowance.in_flight,
            "methods": workspace.allowance.methods,
            "push_egress": workspace.push_egress,
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

    /// The public base by the alias, unless the policy is `link`: callers then go by the address.
    fn alias_url(&self, workspace: &Workspace) -> Option<String> {
        let alias = workspace.alias.as_ref()?;
        (workspace.callers != CallerPolicy::Link).then(|| self.public.base(alias.as_str()))
    }

    /// The row of a workspace, for another one's agent that may talk to it.
    pub(super) fn peer_view(&self, peer: &Workspace) -> Value {
        let Seen { standing, report, card, .. } = self.seen(peer);
        json!({
            "id": peer.id,
            "name": peer.name,
            "role": peer.role,
            "tier": peer.tier,
            "status": standing.status.name(),
            "url": self.url_by_id(peer),
            "parent_id": peer.parent,
            "active_tasks": report.active_tasks,
            "agent_card": self.card_for_peers(peer, &card),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_text_that_others_read() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
