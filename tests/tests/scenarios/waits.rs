//! Requests that wait for an agent that is about to return, because their callers prefer to.

use std::time::{Duration, Instant};
use tests::{
    RawClient, Refusal, World, http::post, http::request_bytes, refusal::call_with_id, until,
};

/// Until the relay has one request in hand.
async fn until_held(world: &World) {
    until("the request is held", Duration::from_secs(20), async || {
        (world.relay.metric("relay_streams_in_flight", &[]).await == Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_is_held_until_its_agent_is_back_and_reaches_it_once() {
    let mut world = World::new().await;
    world.connector.stop().await;
    let headers = [
        ("Content-Type", "application/json"),
        ("x-test-id", "held"),
        ("Prefer", "return=minimal, wait=30"),
    ];
    let (endpoint, call) = (world.endpoint(), call_with_id("7"));
    let held = tokio::spawn(async move { post(&endpoint, &headers, &call).await });
    until_held(&world).await;
    world.assert_unseen("held");
    world.connector.start_again();
    let answer = held.await.expect("it does not panic").expect("an answer");
    assert_eq!((answer.status, answer.json()["id"].as_u64()), (200, Some(7)), "{answer:?}");
    let [seen] = &world.agent.of("held")[..] else { panic!("not seen once") };
    assert_eq!(
        seen.header("prefer"),
        Some("return=minimal, wait=30"),
        "it may mean more to the agent"
    );
    world.until_quiet().await;
}

#[tokio::test]
async fn who_waits_in_vain_is_told_so_when_the_time_is_over() {
    let mut world = World::new().await;
    world.connector.stop().await;
    // The caller's own limit for the whole answer holds as well.
    for (number, (wait, limit)) in [("wait=1", "60"), ("wait=30", "1")].into_iter().enumerate() {
        let id = format!("vain-{number}");
        let headers = [
            ("Content-Type", "application/json"),
            ("x-test-id", id.as_str()),
            ("Prefer", wait),
            ("X-Timeout", limit),
        ];
        let asked = Instant::now();
        let answer =
            post(&world.endpoint(), &headers, &call_with_id("7")).await.expect("an answer");
        assert!(asked.elapsed() >= Duration::from_secs(1), "it was held for {:?}", asked.elapsed());
        Refusal::new(503, "RELAY_AGENT_OFFLINE").retry_after("5").assert_json_rpc(&answer, "7");
        world.assert_unseen(&id);
    }
    world.connector.start_again();
    world.connector.until_online().await;
    world.until_quiet().await;
}

#[tokio::test]
async fn who_leaves_while_it_waits_asks_nothing_of_the_agent() {
    let mut world = World::new().await;
    world.connector.stop().await;
    let headers =
        [("Content-Type", "application/json"), ("x-test-id", "left"), ("Prefer", "wait=30")];
    let (_, bytes) = request_bytes("POST", &world.endpoint(), &headers, Some(&call_with_id("7")));
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    client.send(&bytes).await.expect("sent");
    until_held(&world).await;
    client.reset();
    until("nobody waits", Duration::from_secs(20), async || {
        (world.relay.metric("relay_streams_in_flight", &[]).await == Some(0.0)).then_some(())
    })
    .await;
    world.connector.start_again();
    world.connector.until_online().await;
    world.until_quiet().await;
    world.assert_unseen("left");
}
