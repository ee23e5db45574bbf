//! Links that come back, move, and make room for each other; processes that end in order.

use crate::command;
use serde_json::Value;
use std::time::{Duration, Instant};
use tests::{
    Agent, Connector, Ending, RawClient, Relay, Weather, World,
    http::{post_json, request_bytes},
    until,
    world::message,
};
use tokio::{net::TcpStream, task::JoinSet};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_connector_is_back_soon_after_its_relay_was_killed() {
    let mut world = World::builder().lasting_ports().start().await;
    let before = world.connector.until_online().await;
    world.relay.kill9();
    world.relay.start_again_on_same_ports().await;
    let listening = Instant::now();
    // The connector believes in its old link until the new relay, which knows the keys of the old
    // one, resets it; the idle limit alone would be 20 s.
    world.connector.until_online_again(&before, SOON).await;
    let took = listening.elapsed();
    assert!(took < Duration::from_secs(10), "back after {took:?}");
    assert_eq!(world.call(message("message/send", "k-1", "hello")).await.status, 200);
    world.until_quiet().await;
}

#[tokio::test]
async fn of_two_connectors_with_one_identity_the_newer_serves_and_the_older_waits() {
    let world = World::new().await;
    let newer_agent = Agent::start("a2a");
    let mut newer = Connector::without_join(newer_agent.port()).start();
    assert_eq!(newer.process().exit_code(SOON).await, 3, "it has no identity yet");
    copy(&world.connector.state_dir(), &newer.state_dir());
    newer.start_again();
    newer.until_online().await;
    let replaced = world.connector.until_state("waiting").await;
    assert_eq!(replaced.reason.as_deref(), Some("REPLACED"));
    for number in 0..5 {
        let id = format!("n-{number}");
        assert_eq!(world.call(message("message/send", &id, "hello")).await.status, 200);
        assert_eq!((newer_agent.journal().of(&id).len(), world.agent.of(&id).len()), (1, 0));
    }
    assert!(world.connector.process().is_running(), "being replaced is no reason to end");
    world.until_quiet().await;
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).expect("a copy");
        }
    }
}

#[tokio::test]
async fn status_tells_a_running_a_killed_and_a_missing_connector_apart() {
    let world = World::new().await;
    let state = world.connector.state_dir().display().to_string();
    let status =
        async || command::connector(&["status", "--json", "--state-dir", &state], "").await;
    let running = status().await;
    let told = running.json();
    assert_eq!((&told["running"], &told["state"]), (&Value::from(true), &Value::from("online")));
    assert_eq!(told["workspace_id"], world.workspace.workspace_id);
    assert_eq!(
        told["public_url"].as_str().map(|url| url.trim_end_matches('/')),
        Some(world.public_url.trim_end_matches('/'))
    );
    assert_eq!(told["transport"], tests::connector::transport());

    world.connector.kill9();
    let killed = status().await;
    assert_eq!(killed.code, 1, "{killed:?}");
    let told: Value = serde_json::from_str(&killed.stdout).expect("JSON");
    assert_eq!((&told["running"], &told["state"]), (&Value::from(false), &Value::Null));

    let nowhere = world.relay.folder().join("nowhere").display().to_string();
    let never = command::connector(&["status", "--state-dir", &nowhere], "").await;
    assert_eq!(never.code, 1, "{never:?}");
    assert!(never.stdout.contains("--join"), "{never:?}");
}

#[tokio::test]
async fn a_stream_goes_on_when_a_nat_forgets_its_mapping() {
    // With several shards the new address may lead to another one than the link's own.
    for shards in ["1", "2"] {
        move_within_a_stream(shards).await;
    }
}

async fn move_within_a_stream(shards: &str) {
    let world = World::builder().weather(Weather::default()).relay_env("RELAY_SHARDS", shards);
    let world = world.start().await;
    let before = world.connector.until_online().await;
    let pace = [("x-test-events", "40"), ("x-test-interval-ms", "50")];
    let mut stream = world.open_stream("s-1", &pace).await;
    stream.head().await.expect("a head");
    for sequence in 0..40 {
        let event = stream.next_event().await.expect("an event");
        assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
        if [5, 15, 25].contains(&sequence) {
            world.middleman.as_ref().expect("a middleman").rebind();
        }
    }
    assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    assert_eq!(world.connector.until_online().await.since, before.since, "the link is the same");
    world.until_quiet().await;
}

#[tokio::test]
async fn fifty_calls_get_through_a_lossy_slow_network() {
    let delay = Duration::from_millis(20);
    let weather = Weather { delay, ..Weather::loss(0.05) };
    let world = World::builder().weather(weather).start().await;
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let endpoint = world.endpoint();
        calls.spawn(async move {
            let call = message("message/send", &format!("l-{number}"), "hello");
            post_json(&endpoint, &call).await
        });
    }
    while let Some(answer) = calls.join_next().await {
        let answer = answer.expect("a call").expect("an answer");
        assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    }
    for number in 0..50 {
        assert_eq!(world.agent.of(&format!("l-{number}")).len(), 1, "call {number}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn an_idle_connector_ends_at_once_and_its_callers_are_told() {
    let world = World::new().await;
    let began = Instant::now();
    assert_eq!(world.connector.stop().await, 0);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    let answer = world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!(answer.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{answer:?}");
    assert_eq!(answer.delivery(), Some("not-sent"));
}

#[tokio::test]
async fn a_connector_that_is_told_to_end_finishes_what_is_open() {
    let world = World::with_agent("slow-head:1500").await;
    let call = tokio::spawn(post(&world, "o-1"));
    until("the agent has the call", SOON, async || !world.agent.of("o-1").is_empty()).await;
    world.connector.process().terminate();
    let answer = call.await.expect("a call");
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    assert_eq!(world.connector.process().exit_code(SOON).await, 0);
}

#[tokio::test]
async fn a_relay_that_is_told_to_end_waits_for_no_caller_that_has_said_nothing() {
    let relay = Relay::start().await;
    let _silent = TcpStream::connect(relay.http()).await.expect("the relay");
    // Connections are taken in their order: once a later one is answered, this one was taken.
    let url = format!("{}/healthz", relay.public_url());
    assert_eq!(tests::http::get(&url).await.expect("an answer").status, 200);
    let began = Instant::now();
    assert_eq!(relay.stop().await, 0);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
}

#[tokio::test]
async fn a_relay_that_is_told_to_end_finishes_what_is_open_and_refuses_what_is_new() {
    // With several shards most calls come in on another one than the link's own.
    for shards in ["1", "4"] {
        end_within_calls(shards).await;
    }
}

async fn end_within_calls(shards: &str) {
    let world =
        World::builder().lasting_ports().agent("slow-head:3000").relay_env("RELAY_SHARDS", shards);
    let mut world = world.start().await;
    let body = message("message/send", "o-2", "hello").to_string();
    let json = [("Content-Type", "application/json")];
    let (_, bytes) = request_bytes("POST", &world.endpoint(), &json, Some(body.as_bytes()));
    let (begun, rest) = bytes.split_at(30);
    let mut early = RawClient::connect(world.relay.http()).await.expect("the relay");
    early.send(begun).await.expect("half a head");
    let ids: Vec<String> = (0..8).map(|number| format!("c-{number}")).collect();
    let calls: Vec<_> = ids.iter().map(|id| tokio::spawn(post(&world, id))).collect();
    let there = async || ids.iter().all(|id| !world.agent.of(id).is_empty());
    until("the agent has the calls", SOON, there).await;
    let before = world.connector.until_online().await;
    world.relay.process().terminate();
    let drains = |line: &str| line.contains("drain");
    world.relay.process().wait_for_line(drains, SOON).await;

    early.send_more(rest).await.expect("the other half");
    let mut late = RawClient::connect(world.relay.http()).await.expect("the relay");
    late.send(&bytes).await.expect("a whole call");
    for mut client in [early, late] {
        let refused = client.response().await.expect("an answer");
        assert_eq!((refused.status, refused.relay_error()), (503, Some("RELAY_DRAINING")));
        assert_eq!(refused.delivery(), Some("not-sent"));
        assert_eq!(refused.header("connection"), Some("close"));
        assert_eq!(refused.json()["id"], "o-2");
    }
    let mut probe = RawClient::connect(world.relay.http()).await.expect("the relay");
    probe.send(b"GET /readyz HTTP/1.1\r\nHost: relay\r\n\r\n").await.expect("a probe");
    let unready = probe.response().await.expect("an answer");
    assert_eq!((unready.status, unready.relay_error()), (503, Some("RELAY_DRAINING")));
    assert!(unready.json()["detail"].is_string(), "{unready:?}");
    for call in calls {
        let answer = call.await.expect("a call");
        assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    }
    assert_eq!(world.relay.process().exit_code(SOON).await, 0);
    world.relay.start_again_on_same_ports().await;
    world.connector.until_online_again(&before, SOON).await;
    assert!(world.agent.of("o-2").is_empty(), "a refused call reached the agent");
}

/// A call that outlives the borrow of its world.
fn post(world: &World, id: &str) -> impl Future<Output = tests::RawResponse> + use<> {
    let (endpoint, call) = (world.endpoint(), message("message/send", id, "hello"));
    async move { post_json(&endpoint, &call).await.expect("an answer") }
}
