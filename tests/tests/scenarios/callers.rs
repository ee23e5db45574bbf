//! Callers' connections: kept alive, pipelined, slow with their head, and careful with their body.

use std::time::{Duration, Instant};
use tests::{RawClient, Refusal, Relay, World, http::request_bytes, refusal::call_with_id};

/// The bytes of a call with this id.
fn call(endpoint: &str, id: usize) -> Vec<u8> {
    let name = format!("c-{id}");
    let headers = [("Content-Type", "application/json"), ("x-test-id", &name)];
    request_bytes("POST", endpoint, &headers, Some(&call_with_id(&id.to_string()))).1
}

#[tokio::test]
async fn one_connection_carries_many_requests_one_after_the_other() {
    let world = World::new().await;
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    for id in 0..20 {
        client.send(&call(&world.endpoint(), id)).await.expect("sent");
        let answer = client.response().await.expect("an answer");
        assert_eq!((answer.status, answer.json()["id"].as_u64()), (200, Some(id as u64)));
        world.assert_seen_once(&format!("c-{id}"));
    }
    // A refusal whose body was read does not cost the connection either.
    let unknown = world.endpoint().replace("/a2a", "/nothing");
    client.send(&call(&unknown, 20)).await.expect("sent");
    Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&client.response().await.expect("an answer"));
    client.send(&call(&world.endpoint(), 21)).await.expect("sent");
    assert_eq!(client.response().await.expect("an answer").status, 200);
    world.until_quiet().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_delivered_once() {
    let world = World::new().await;
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    let all: Vec<u8> = (0..10).flat_map(|id| call(&world.endpoint(), id)).collect();
    client.send(&all).await.expect("sent");
    for id in 0..10_u64 {
        let answer = client.response().await.expect("an answer");
        assert_eq!((answer.status, answer.json()["id"].as_u64()), (200, Some(id)));
    }
    for id in 0..10 {
        world.assert_seen_once(&format!("c-{id}"));
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn a_head_that_trickles_in_has_ten_seconds() {
    let relay = Relay::start().await;
    let mut client = RawClient::connect(relay.http()).await.expect("the relay");
    let started = Instant::now();
    client.send(b"POST /agents/x/a2a HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.expect("sent");
    // Each further byte is progress, and yet none of them buys time.
    let mut closed = false;
    while !closed && started.elapsed() < Duration::from_secs(20) {
        closed = client.send_more(b"x").await.is_err()
            || client.is_closed_within(Duration::from_millis(500)).await;
    }
    let lasted = started.elapsed();
    assert!(closed, "the connection is still open after {lasted:?}");
    assert!(lasted >= Duration::from_secs(9), "closed after {lasted:?} already");
}

#[tokio::test]
async fn a_caller_that_waits_for_100_gets_it_only_when_its_body_is_wanted() {
    let world = World::builder().relay_args(&["--max-body", "100000"]).start().await;
    let head = |endpoint: &str, length: usize| {
        let length = length.to_string();
        let headers = [
            ("Content-Type", "application/json"),
            ("x-test-id", "expects"),
            ("Content-Length", &length),
            ("Expect", "100-continue"),
        ];
        request_bytes("POST", endpoint, &headers, None).1
    };
    let connect = async || RawClient::connect(world.relay.http()).await.expect("the relay");
    let body = call_with_id("\"e\"");

    let mut client = connect().await;
    client.send(&head(&world.endpoint(), body.len())).await.expect("sent");
    assert_eq!(client.interim().await.expect("an interim answer"), 100);
    client.send_more(&body).await.expect("sent");
    let answer = client.response().await.expect("an answer");
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("e")), "{answer:?}");
    world.assert_seen_once("expects");

    let mut client = connect().await;
    client.send(&head(&world.endpoint(), 100_001)).await.expect("sent");
    let answer = client.response().await.expect("an answer");
    Refusal::new(413, "RELAY_BODY_TOO_LARGE").assert_json_rpc(&answer, "null");
    assert!(answer.head.interims.is_empty(), "{answer:?}");

    let away = world.relay.add_workspace("away", &[]).await;
    let mut client = connect().await;
    client.send(&head(&away.endpoint(), body.len())).await.expect("sent");
    let answer = client.response().await.expect("an answer");
    let offline = Refusal::new(503, "RELAY_AGENT_OFFLINE").retry_after("5");
    offline.assert_json_rpc(&answer, "null");
    assert!(answer.head.interims.is_empty(), "{answer:?}");
    world.assert_seen_once("expects");
}
