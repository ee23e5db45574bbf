//! What the relay counts, and its text for Prometheus.

pub mod platform;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use shared::wire::Binding;
use transport::Kind;

use self::platform::PlatformMetrics;
use crate::methods::A2aMethod;
use crate::shard::Home;

/// One label and its value.
type Label = (&'static str, &'static str);

/// Every metric of the relay. Counting is lock-free on the data path.
#[derive(Debug)]
pub struct Metrics {
    /// Handshakes by their result.
    pub handshakes: Handshakes,
    /// Links of agents.
    pub links: Links,
    /// Links without a credential.
    pub bootstrap_links: Links,
    /// Heartbeats that came over links.
    pub heartbeats: Counter,
    /// Exchanges that are open.
    pub streams_in_flight: Gauge,
    /// How often an exchange went on over another link.
    pub exchanges_continued: Counter,
    /// Body bytes from callers to agents.
    pub bytes_to_agents: Counter,
    /// Body bytes from agents to callers.
    pub bytes_to_callers: Counter,
    /// Events of streams that went to callers.
    pub events: Counter,
    /// Calls to the platform, where there is one.
    pub platform: PlatformMetrics,
    requests: Requests,
    a2a_requests: A2aRequests,
    first_event_seconds: Histogram,
    refusals: Family<[Label; 1], Counter>,
    request_seconds: Histogram,
    request_head_seconds: Histogram,
    workspaces: Family<[Label; 1], Gauge>,
    store_seconds: Histogram,
    shards: Mutex<Vec<Home>>,
    shard_busy_seconds: Family<[(&'static str, String); 1], Counter<f64, AtomicU64>>,
    registry: Registry,
}

/// Counts handshakes by result.
#[derive(Debug)]
pub struct Handshakes {
    /// The link was admitted.
    pub admitted: Counter,
    /// A certificate was issued.
    pub enrolled: Counter,
    /// The first message was refused.
    pub refused: Counter,
    /// TLS or QUIC failed.
    pub failed: Counter,
    /// It took too long.
    pub timed_out: Counter,
}

/// Counts links of one kind.
#[derive(Debug)]
pub struct Links {
    live_over_quic: Gauge,
    live_over_tcp: Gauge,
    ups: Counter,
    downs: Counter,
    breaches: Counter,
}

impl Links {
    /// A link came up; it is down when the guard is dropped.
    pub fn up(&self, over: Kind) -> LinkUp {
        let live = match over {
            Kind::Quic => &self.live_over_quic,
            Kind::Tcp => &self.live_over_tcp,
        };
        live.inc();
        self.ups.inc();
        LinkUp { live: live.clone(), downs: self.downs.clone() }
    }

    /// A connector broke the protocol.
    pub fn broke_protocol(&self) {
        self.breaches.inc();
    }
}

/// Counts one link that is up. Dropping it counts its end.
#[derive(Debug)]
pub struct LinkUp {
    live: Gauge,
    downs: Counter,
}

impl Drop for LinkUp {
    fn drop(&mut self) {
        self.live.dec();
        self.downs.inc();
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its caller has the whole answer.
    Complete,
    /// The answer was cut.
    Cut,
    /// The relay refused.
    Refused,
    /// Its caller left before the end.
    CallerLeft,
}

impl Outcome {
    /// How many there are.
    const COUNT: usize = 4;

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Refused => "refused",
            Self::CallerLeft => "caller_left",
        }
    }
}

/// Counts exchanges by binding and outcome: each counter is at hand, and needs no search.
#[derive(Debug)]
struct Requests {
    json_rpc: Outcomes,
    http_json: Outcomes,
    grpc: Outcomes,
    /// Calls of agents over their own links that are no exchange with another one.
    own_calls: Outcomes,
}

#[derive(Debug)]
struct Outcomes {
    complete: Counter,
    cut: Counter,
    refused: Counter,
    caller_left: Counter,
}

impl Requests {
    fn new(requests: &Family<[Label; 2], Counter>) -> Self {
        let outcomes = |binding: &'static str| {
            let counter = |outcome: Outcome| {
                let labels = [("binding", binding), ("outcome", outcome.name())];
                requests.get_or_create_owned(&labels)
            };
            Outcomes {
                complete: counter(Outcome::Complete),
                cut: counter(Outcome::Cut),
                refused: counter(Outcome::Refused),
                caller_left: counter(Outcome::CallerLeft),
            }
        };
        Self {
            json_rpc: outcomes(Binding::JsonRpc.name()),
            http_json: outcomes(Binding::HttpJson.name()),
            grpc: outcomes(Binding::Grpc.name()),
            own_calls: outcomes("api"),
        }
    }

    const fn of(&self, binding: Binding) -> &Outcomes {
        match binding {
            Binding::JsonRpc => &self.json_rpc,
            Binding::HttpJson => &self.http_json,
            Binding::Grpc => &self.grpc,
        }
    }
}

impl Outcomes {
    const fn counter(&self, outcome: Outcome) -> &Counter {
        match outcome {
            Outcome::Complete => &self.complete,
            Outcome::Cut => &self.cut,
            Outcome::Refused => &self.refused,
            Outcome::CallerLeft => &self.caller_left,
        }
    }
}

/// Counts exchanges by binding, method and outcome. A series begins with its first exchange, and then
/// needs no search.
#[derive(Debug, Default)]
struct A2aRequests {
    family: Family<[Label; 3], Counter>,
    series: [[[OnceLock<Counter>; Outcome::COUNT]; A2aMethod::COUNT]; BINDINGS],
}

/// How many bindings there are.
const BINDINGS: usize = 3;

impl A2aRequests {
    fn count(&self, binding: Binding, method: A2aMethod, outcome: Outcome) {
        let series = self.series.get(binding as usize).and_then(|of| of.get(method.number()));
        let Some(series) = series.and_then(|of| of.get(outcome as usize)) else { return };
        let begin = || {
            let labels = [
                ("binding", binding.name()),
                ("method", method.word()),
                ("outcome", outcome.name()),
            ];
            self.family.get_or_create_owned(&labels)
        };
        series.get_or_init(begin).inc();
    }
}

/// From a fast local call to a half-hour turn, seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("relay");
        let handshakes = Family::<[Label; 1], Counter>::default();
        let links = Family::<[Label; 2], Gauge>::default();
        let link_events = Family::<[Label; 2], Counter>::default();
        let bytes = Family::<[Label; 1], Counter>::default();
        let requests = Family::default();
        let handshake = |result| handshakes.get_or_create_owned(&[("result", result)]);
        let links_of = |kind| {
            let event =
                |event| link_events.get_or_create_owned(&[("event", event), ("kind", kind)]);
            let live = |over: Kind| {
                links.get_or_create_owned(&[("transport", over.name()), ("kind", kind)])
            };
            Links {
                live_over_quic: live(Kind::Quic),
                live_over_tcp: live(Kind::Tcp),
                ups: event("up"),
                downs: event("down"),
                breaches: event("protocol_breach"),
            }
        };
        let direction = |direction| bytes.get_or_create_owned(&[("direction", direction)]);
        let metrics = Self {
            handshakes: Handshakes {
                admitted: handshake("admitted"),
                enrolled: handshake("enrolled"),
                refused: handshake("refused"),
                failed: handshake("failed"),
                timed_out: handshake("timed_out"),
            },
            links: links_of("agent"),
            bootstrap_links: links_of("bootstrap"),
            heartbeats: Counter::default(),
            streams_in_flight: Gauge::default(),
            exchanges_continued: Counter::default(),
            bytes_to_agents: direction("to_agent"),
            bytes_to_callers: direction("to_caller"),
            events: Counter::default(),
            platform: PlatformMetrics::default(),
            requests: Requests::new(&requests),
            a2a_requests: A2aRequests::default(),
            first_event_seconds: Histogram::new(BUCKETS),
            refusals: Family::default(),
            request_seconds: Histogram::new(BUCKETS),
            request_head_seconds: Histogram::new(BUCKETS),
            workspaces: Family::default(),
            store_seconds: Histogram::new(BUCKETS),
            shards: Mutex::default(),
            shard_busy_seconds: Family::default(),
            registry: Registry::default(),
        };
        registry.register("links", "Live links", links);
        registry.register("link_events", "What happened to links", link_events);
        registry.register("handshakes", "Handshakes of links, by result", handshakes);
        registry.register("heartbeats", "Heartbeats over links", metrics.heartbeats.clone());
        registry.register("bytes", "Body bytes forwarded", bytes);
        registry.register("workspaces", "Workspaces, by status", metrics.workspaces.clone());
        registry.register(
            "streams_in_flight",
            "Exchanges that are open",
            metrics.streams_in_flight.clone(),
        );
        registry.register(
            "exchanges_continued",
            "How often an exchange went on over another link, since its own was lost",
            metrics.exchanges_continued.clone(),
        );
        registry.register(
            "requests",
            "Exchanges with agents, and calls of agents to the relay's API, by outcome",
            requests,
        );
        registry.register(
            "a2a_requests",
            "Exchanges with agents, by method and outcome",
            metrics.a2a_requests.family.clone(),
        );
        registry.register("events", "Events of streams passed to callers", metrics.events.clone());
        registry.register_with_unit(
            "first_event",
            "From a request's head to the first event of its answer",
            Unit::Seconds,
            metrics.first_event_seconds.clone(),
        );
        registry.register("refusals", "Refusals, by code", metrics.refusals.clone());
        registry.register_with_unit(
            "request",
            "From a request's head to the end of its answer",
            Unit::Seconds,
            metrics.request_seconds.clone(),
        );
        registry.register_with_unit(
            "request_head",
            "From a request's head to the head of its answer",
            Unit::Seconds,
            metrics.request_head_seconds.clone(),
        );
        registry.register_with_unit(
            "store",
            "Round trips to the store",
            Unit::Seconds,
            metrics.store_seconds.clone(),
        );
        registry.register_with_unit(
            "shard_busy",
            "Time that the thread of a shard has worked",
            Unit::Seconds,
            metrics.shard_busy_seconds.clone(),
        );
        metrics.platform.register(&mut registry);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The relay's software", build);
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// Counts an exchange that ended.
    pub fn request(&self, binding: Binding, method: A2aMethod, outcome: Outcome, total: Duration) {
        self.a2a_requests.count(binding, method, outcome);
        self.requests.of(binding).counter(outcome).inc();
        self.request_seconds.observe(total.as_secs_f64());
    }

    /// Counts a call over an agent's own link that ended and was no exchange.
    pub fn own_call(&self, outcome: Outcome, total: Duration) {
        self.requests.own_calls.counter(outcome).inc();
        self.request_seconds.observe(total.as_secs_f64());
    }

    /// Notes how long the head of an answer took.
    pub fn answer_head(&self, took: Duration) {
        self.request_head_seconds.observe(took.as_secs_f64());
    }

    /// Notes how long the first event of a stream took.
    pub fn first_event(&self, took: Duration) {
        self.first_event_seconds.observe(took.as_secs_f64());
    }

    /// Counts a refusal.
    pub fn refusal(&self, code: &'static str) {
        self.refusals.get_or_create(&[("code", code)]).inc();
    }

    /// Notes a round trip to the store.
    pub fn store_round_trip(&self, took: Duration) {
        self.store_seconds.observe(took.as_secs_f64());
    }

    /// Notes how many workspaces have a status now.
    pub fn workspaces(&self, status: &'static str, count: usize) {
        self.workspaces
            .get_or_create(&[("status", status)])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Tells the working time of a shard from now on.
    pub fn watch(&self, shard: Home) {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(shard);
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        for shard in self.shards.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let busy = shard.runtime().metrics().worker_total_busy_duration(0).as_secs_f64();
            let label = [("shard", shard.shard().to_string())];
            self.shard_busy_seconds.get_or_create(&label).inner().store(busy.to_bits(), Relaxed);
        }
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
