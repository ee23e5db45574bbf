//! What an idle agent costs the relay: many links held by hand, and the relay's memory with them.

use crate::rows::Rows;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{RawIdentity, Relay, http, until};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

const SECTION: &str = "idle agents";
/// Enrolments and handshakes at a time: the relay's own bound is above it.
const AT_ONCE: usize = 32;
/// Memory is read this long after the last change.
const SETTLE: Duration = Duration::from_secs(3);
/// For the relay to count all links.
const COUNT: Duration = Duration::from_secs(20);

/// Enrols this many agents at a relay of their own, links them all, and reads its memory before,
/// between and after. The links send no heartbeat, carry no card and get no request.
pub(crate) async fn run(agents: usize, rows: &mut Rows) {
    let logs = tempfile::tempdir().expect("a folder");
    let relay = Relay::builder().log_file(logs.path().join("far.log")).start().await;
    let relay = Arc::new(relay);
    let memory = async || {
        sleep(SETTLE).await;
        relay.process().rss_bytes() as f64
    };
    let before = memory().await;
    let identities = bounded((0..agents).map(|number| enrol(Arc::clone(&relay), number))).await;
    let enrolled = memory().await;
    let begun = Instant::now();
    let links =
        bounded(identities.into_iter().map(|identity| async move { identity.online().await }));
    let links = links.await;
    let took = begun.elapsed();
    until("the relay counts every link", COUNT, async || {
        relay.metric("relay_links", &[]).await == Some(agents as f64)
    })
    .await;
    let linked = memory().await;
    let open = links.iter().filter(|link| link.is_open()).count();
    assert_eq!(open, agents, "links were lost while they were idle");
    let each = |from: f64, to: f64| (to - from) / agents as f64 / 1e3;
    let mut add = |name: &str, unit, value| rows.add(SECTION, name, unit, "ours", value);
    add("agents", "", agents as f64);
    add("relay memory per agent, enrolled and linked", "kB", each(before, linked));
    add("of it by the link", "kB", each(enrolled, linked));
    add("links made in a row, 32 at a time", "1/s", agents as f64 / took.as_secs_f64());
}

async fn enrol(relay: Arc<Relay>, number: usize) -> RawIdentity {
    let url = format!("http://{}/workspaces", relay.http());
    let token = format!("Bearer {}", relay.admin_token());
    let fields = [("Content-Type", "application/json"), ("Authorization", token.as_str())];
    let body = serde_json::json!({ "name": format!("crowd-{number}") }).to_string();
    let answer = http::post(&url, &fields, body.as_bytes()).await.expect("the relay answers");
    assert_eq!(answer.status, 201, "{answer:?}");
    let json = answer.json();
    RawIdentity::join(json["join"].as_str().expect("a join string")).await
}

/// Runs all of them, few at a time.
async fn bounded<F>(all: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for one in all {
        let permit = Arc::clone(&permits).acquire_owned().await.expect("it is never closed");
        running.spawn(async move {
            let output = one.await;
            drop(permit);
            output
        });
    }
    running.join_all().await
}
