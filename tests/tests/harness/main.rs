//! The mock agent as a process: its journal outlives a kill, and it returns on its port.

use std::time::Duration;
use tests::{AgentProcess, Fingerprint, http::Version::Http1};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_journal_outlives_a_kill() {
    let mut agent = AgentProcess::start(env!("CARGO_BIN_EXE_mock-agent"), "never").await;
    let url = format!("http://127.0.0.1:{}/a2a", agent.port());
    let client = Http1.send("POST", &url, &[("x-test-id", "a")], Some(b"abc")).await.expect("sent");
    agent.until_head("a", SOON).await;
    agent.kill9();
    assert!(client.patience(SOON).response().await.is_err());
    assert!(Http1.post(&url, &[], b"").await.is_err(), "nobody listens");
    agent.start_again().await;
    let fields = [("x-test-id", "b"), ("x-test-behaviour", "hash")];
    assert_eq!(Http1.post(&url, &fields, b"xyz").await.expect("an answer").status, 200);
    let deliveries = agent.deliveries();
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(deliveries[1].whole_body(), Some(&Fingerprint::of(b"xyz")));
}
