//! What the relay counts of its calls to the platform that it bridges to.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Label;

/// Calls to the platform, and how it is.
#[derive(Debug, Default)]
pub struct PlatformMetrics {
    calls: Family<[Label; 2], Counter>,
    /// Heartbeats that were sent later than they should.
    pub late_beats: Counter,
    late: Gauge,
    up: Gauge,
    left: Gauge,
}

impl PlatformMetrics {
    /// Tells them by their names.
    pub(super) fn register(&self, registry: &mut Registry) {
        let calls = "Calls to the platform, by what they were answered";
        registry.register("platform_calls", calls, self.calls.clone());
        let late_beats = "Heartbeats to the platform that were sent late";
        registry.register("platform_late_beats", late_beats, self.late_beats.clone());
        let late = "Agents whose heartbeat to the platform is late now";
        registry.register("platform_late_agents", late, self.late.clone());
        registry.register("platform_up", "Whether the platform answers", self.up.clone());
        let left = "Requests that the platform last said were left in its minute";
        registry.register("platform_requests_left", left, self.left.clone());
    }

    /// Counts a call.
    pub fn call(&self, call: &'static str, answer: &'static str) {
        self.calls.get_or_create(&[("call", call), ("answer", answer)]).inc();
    }

    /// Tells how the platform is.
    pub fn tell(&self, up: bool, left: Option<u32>, late: usize) {
        self.up.set(i64::from(up));
        self.late.set(i64::try_from(late).unwrap_or(i64::MAX));
        if let Some(left) = left {
            self.left.set(left.into());
        }
    }
}
