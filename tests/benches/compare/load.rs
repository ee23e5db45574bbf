//! Load: what is sent where, what counts as an answer, and what one stretch of it amounted to.

use crate::{
    agent, closed,
    cpu::{Reading, Used},
    message, paced,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};
use tests::http::request_bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Load runs this long before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// An answer that has not come by then never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts of a connection that failed.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// The kinds of load.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// So many keep-alive connections, each with one request at a time, as fast as answers come.
    Closed(usize),
    /// So many requests a second, whatever the answers do; latency counts from when each was due.
    Paced(u32),
}

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Target {
    /// Who takes the connection.
    pub(crate) address: SocketAddr,
    /// The whole request.
    pub(crate) request: Arc<[u8]>,
}

impl Target {
    /// The request of every caller, to this URL.
    pub(crate) fn new(url: &str) -> Target {
        let fields = [("Content-Type", "application/json"), ("Accept", "application/json")];
        let (authority, bytes) = request_bytes("POST", url, &fields, Some(&agent::request_body()));
        Target { address: authority.parse().expect("an address"), request: bytes.into() }
    }
}

/// What is going on, for all callers at once.
#[derive(Clone, Default)]
pub(crate) struct Phase(Arc<AtomicU8>);

impl Phase {
    const COUNTING: u8 = 1;
    const OVER: u8 = 2;

    /// Whether what happens now counts.
    pub(crate) fn is_counting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::COUNTING
    }

    /// Whether no more requests are sent.
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::OVER
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }
}

/// What came of requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Latencies of the good answers.
    pub(crate) latencies_ns: Vec<u64>,
    /// Requests without a good answer.
    pub(crate) errors: u64,
    /// What was wrong with one of them.
    pub(crate) example: Option<String>,
}

impl Tally {
    /// A good answer.
    pub(crate) fn answered(&mut self, latency: Duration) {
        self.latencies_ns.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// None.
    pub(crate) fn failed(&mut self, why: impl FnOnce() -> String) {
        self.errors += 1;
        self.example.get_or_insert_with(why);
    }

    fn add(&mut self, other: Tally) {
        self.latencies_ns.extend(other.latencies_ns);
        self.errors += other.errors;
        self.example = self.example.take().or(other.example);
    }
}

/// One stretch of load.
pub(crate) struct Stretch {
    /// Good answers.
    pub(crate) answers: u64,
    /// Requests without one.
    pub(crate) errors: u64,
    /// What was wrong with one of them.
    pub(crate) example: Option<String>,
    /// How long it was.
    pub(crate) took: Duration,
    /// What the processes used.
    pub(crate) used: Used,
    latencies_ns: Vec<u64>,
}

impl Stretch {
    /// Good answers per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }

    /// The latency that this share of the good answers did not exceed, µs; 0 without any.
    pub(crate) fn latency_us(&self, share: f64) -> f64 {
        let last = self.latencies_ns.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies_ns.get(at).map_or(0.0, |ns| *ns as f64 / 1_000.0)
    }

    /// Microseconds per good answer.
    pub(crate) fn per_answer(&self, us: f64) -> f64 {
        us / (self.answers.max(1)) as f64
    }
}

/// Puts this load on the targets for so long, connections spread evenly, and watches the processes
/// (and this one, which calls).
/// It ends within the stretch, the warm-up and the patience together.
pub(crate) async fn run(kind: Kind, targets: &[Target], length: Duration, pids: &[u32]) -> Stretch {
    let pids = &[pids, &[std::process::id()]].concat();
    let phase = Phase::default();
    let mut callers = JoinSet::new();
    match kind {
        Kind::Closed(connections) => {
            for target in targets.iter().cycle().take(connections) {
                callers.spawn(closed::call(target.clone(), phase.clone()));
            }
        }
        Kind::Paced(per_second) => {
            let target = targets.first().expect("a target").clone();
            callers.spawn(paced::call(target, per_second, phase.clone()));
        }
    }
    sleep(WARM_UP).await;
    let before = Reading::of(pids);
    phase.set(Phase::COUNTING);
    let begun = Instant::now();
    sleep(length).await;
    phase.set(Phase::OVER);
    let took = begun.elapsed();
    let used = Reading::of(pids).since(&before);
    let mut tally = Tally::default();
    let all = async {
        while let Some(caller) = callers.join_next().await {
            tally.add(caller.expect("a caller does not panic"));
        }
    };
    timeout(PATIENCE * 2, all).await.expect("callers end by their own patience");
    let Tally { mut latencies_ns, errors, example } = tally;
    latencies_ns.sort_unstable();
    Stretch { answers: latencies_ns.len() as u64, errors, example, took, used, latencies_ns }
}

/// Reads one answer, which must be 200 and exactly the agent's.
///
/// # Errors
/// What was wrong with it.
pub(crate) async fn answer(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    expected: &[u8],
) -> Result<(), String> {
    loop {
        if let Some(answer) = message::first(buffer)? {
            if !answer.first_line.starts_with(b"HTTP/1.1 200") {
                return Err(String::from_utf8_lossy(answer.first_line).into_owned());
            }
            if *answer.body != *expected {
                return Err(format!("a body of {} other bytes", answer.body.len()));
            }
            let bytes = answer.bytes;
            buffer.drain(..bytes);
            return Ok(());
        }
        match stream.read_buf(buffer).await {
            Ok(0) => return Err("the connection ended".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("the connection broke: {error}")),
        }
    }
}
