//! A caller who does nothing wrong, on a thread of its own, and how long its small calls take.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tests::{RawClient, World, backstage::Backstage, http::request_bytes, until};

const SOON: Duration = Duration::from_secs(10);
/// Between two of its calls.
const PAUSE: Duration = Duration::from_millis(5);
/// What a busy machine and a debug build may cost. Without an attack it is 1 ms.
const MEDIAN_MAX: Duration = Duration::from_millis(50);
const WORST_MAX: Duration = Duration::from_secs(1);
/// How much the relay may grow under an attack, bytes.
const GROWTH_MAX: u64 = 16 << 20;
/// Warnings that it may write about one.
const WARNINGS_MAX: usize = 10;

/// Calls on until it is asked how it fared.
pub(super) struct Bystander {
    times: Arc<Mutex<Vec<Duration>>>,
    rss_before: u64,
    growth_max: u64,
    _calling: Backstage,
}

impl Bystander {
    /// Starts after a few calls of its own, so that the relay's memory is what it usually is.
    pub(super) async fn beside(world: &World) -> Bystander {
        let times = Arc::new(Mutex::new(Vec::new()));
        let headers = [("Content-Type", "application/json"), ("x-test-id", "bystander")];
        let (host, request) = request_bytes("POST", &world.endpoint(), &headers, Some(b"{}"));
        let noted = Arc::clone(&times);
        let calling = Backstage::open("bystander", move || call_on(host, request, noted));
        let (rss_before, growth_max) = (0, GROWTH_MAX);
        let mut bystander = Bystander { times, rss_before, growth_max, _calling: calling };
        bystander.until_served(20).await;
        bystander.rss_before = world.relay.process().rss_bytes();
        bystander
    }

    /// Lets the relay grow by so many bytes, for attacks that hold connections.
    pub(super) fn growth_max(self, bytes: u64) -> Bystander {
        Bystander { growth_max: bytes, ..self }
    }

    /// Waits until so many more calls are answered.
    async fn until_served(&self, more: usize) {
        let count = || self.times.lock().unwrap_or_else(PoisonError::into_inner).len();
        let enough = count() + more;
        until("the bystander is served", SOON, async || count() >= enough).await;
    }

    /// # Panics
    /// When its calls took too long, or the relay has grown or written too much.
    pub(super) async fn assert_unharmed(self, world: &World, attack: &str) {
        // The call that is under way counts, however long it takes.
        self.until_served(2).await;
        let mut times =
            std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        let grown = world.relay.process().rss_bytes().saturating_sub(self.rss_before);
        eprintln!(
            "beside {attack}: {} calls, median {median:?}, worst {worst:?}, {} KiB more",
            times.len(),
            grown >> 10
        );
        let lines = world.relay.process().lines();
        let warnings = lines.iter().filter(|line| line.contains("WARN")).count();
        assert!(warnings < WARNINGS_MAX, "{attack}: the relay wrote {warnings} warnings");
        assert!(median < MEDIAN_MAX && worst < WORST_MAX, "{attack}: {median:?}, {worst:?}");
        assert!(grown < self.growth_max, "{attack}: the relay grew by {grown} bytes");
    }
}

async fn call_on(host: String, request: Vec<u8>, times: Arc<Mutex<Vec<Duration>>>) {
    let mut client = RawClient::connect(&host).await.expect("the relay");
    loop {
        let started = Instant::now();
        client.send(&request).await.expect("sent");
        let answer = client.response().await.expect("an answer");
        assert_eq!(answer.status, 200, "the bystander got {answer:?}");
        times.lock().unwrap_or_else(PoisonError::into_inner).push(started.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
}
