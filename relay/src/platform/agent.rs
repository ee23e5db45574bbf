//! What the relay knows of an agent when it speaks for it: whether it is there, its report, its card.

use serde_json::{Value, json};
use shared::control::Status as Report;

use crate::admin::Api;
use crate::admin::presence::REFUSES_AFTER;
use crate::admin::pulse::Beat;
use crate::registry::{Bond, Workspace};
use crate::tunnel::Link;

/// Whether an agent is there and takes calls. One whose port refuses for longer than a restart of it
/// takes is gone, whatever its connector says.
pub(super) fn is_here(api: &Api, workspace: &Workspace) -> bool {
    let takes = |link: &Link| {
        let since = link.reported().refusing_since;
        !link.is_draining() && since.is_none_or(|since| since.elapsed() <= REFUSES_AFTER)
    };
    !workspace.paused && api.live.newest(&workspace.id).is_some_and(|link| takes(&link))
}

/// Whether an agent sends its heartbeats to the platform itself: one of the relay's says less than its own.
pub(super) fn beats_itself(api: &Api, workspace: &Workspace) -> bool {
    api.live.newest(&workspace.id).is_some_and(|link| link.announced().beats_itself)
}

/// The last full report of an agent, as the platform's heartbeat has it. What the agent said over HTTP
/// wins over what its connector sees, and stays until it says something else: a heartbeat replaces
/// everything that the platform knew.
pub(super) fn report(api: &Api, workspace: &Workspace, bond: &Bond) -> Value {
    let link = api.live.newest(&workspace.id);
    let mut report = link.as_ref().map(|link| link.reported().status).unwrap_or_default();
    // The relay sees calls that began since the connector last counted.
    let open = link.map_or(0, |link| u32::try_from(link.in_flight()).unwrap_or(u32::MAX));
    report.active_tasks = report.active_tasks.max(open);
    let pulse = api.pulses.last(&workspace.id).filter(|pulse| pulse.beat != Beat::default());
    let beat = match &pulse {
        Some(pulse) => Some(pulse.beat.clone()),
        // From before this process.
        None => said(bond),
    };
    let spend = beat.as_ref().and_then(|beat| beat.monthly_spend);
    if let Some(beat) = beat {
        beat.over(&mut report);
        if let Some(pulse) = pulse.filter(|pulse| pulse.beat.uptime_seconds.is_some()) {
            report.uptime_seconds += pulse.at.elapsed().as_secs();
        }
    }
    heartbeat(bond.upstream.as_deref().unwrap_or_default(), &report, spend)
}

/// What the agent said over HTTP in this process, if it is not what is stored: to be stored.
pub(super) fn news(api: &Api, workspace: &Workspace, bond: &Bond) -> Option<Value> {
    let pulse = api.pulses.last(&workspace.id).filter(|pulse| pulse.beat != Beat::default())?;
    // Time that passes is no news.
    let beat = Beat { uptime_seconds: None, ..pulse.beat };
    if beat == Beat::default() || Some(&beat) == said(bond).as_ref() {
        return None;
    }
    serde_json::to_value(beat).ok()
}

fn said(bond: &Bond) -> Option<Beat> {
    serde_json::from_value(bond.report.as_deref()?.clone()).ok()
}

fn heartbeat(id: &str, report: &Report, monthly_spend: Option<f64>) -> Value {
    let rate = if report.error_rate.is_finite() { report.error_rate } else { 0.0 };
    let mut beat = json!({
        "workspace_id": id,
        "error_rate": rate,
        "sample_error": report.sample_error,
        "active_tasks": report.active_tasks,
        "uptime_seconds": report.uptime_seconds,
        "current_task": report.current_task,
        // 0 is to keep what there is.
        "monthly_spend": monthly_spend.unwrap_or_default(),
        "runtime_state": report.runtime_state,
    });
    if let Value::Object(fields) = &mut beat
        && report.runtime_metadata.is_object()
    {
        fields.insert("runtime_metadata".into(), report.runtime_metadata.clone());
    }
    beat
}

/// The agent's card: as its connector read it, else as the agent registered it.
pub(super) fn card(api: &Api, workspace: &Workspace) -> Option<Value> {
    let announced = api.live.newest(&workspace.id).map(|link| link.announced().card.clone());
    let announced = announced.filter(|card| !card.is_null());
    announced.or_else(|| workspace.card.as_deref().cloned())
}
