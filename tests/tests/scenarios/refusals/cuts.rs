//! What is lost under way: before the head, within a body, within a stream, and callers who leave.

use std::time::Duration;
use tests::{
    Call, Cut, Direction, Ending, Fingerprint, Middleman, RawBehaviour, RawResponse, Refusal,
    Weather, World, fingerprint,
    http::{Piece, send},
    refusal::{call_with_id, post_with_id},
};

const LOST: Refusal = Refusal::maybe(502, "RELAY_TUNNEL_LOST");
const ID: &str = "340282366920938463463374607431768211456";
/// A lost link is noticed after the 20 s of its idle limit, and another one waited for during 30 s more; on a
/// busy machine both take a little longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Sends a call that the agent thinks about for ever, once it has it.
async fn think(world: &World, id: &str) -> Call {
    let headers =
        [("Content-Type", "application/json"), ("x-test-behaviour", "never"), ("x-test-id", id)];
    let body = call_with_id(ID);
    let call = send("POST", &world.endpoint(), &headers, Some(&body)).await.expect("the relay");
    world.agent.until_whole(id).await;
    call.patience(PATIENCE)
}

#[tokio::test]
async fn a_killed_connector_is_noticed_and_nobody_claims_to_know_what_the_agent_did() {
    let world = World::new().await;
    let mut caller = think(&world, "k").await;
    world.connector.kill9();
    LOST.assert_json_rpc(&caller.response().await.expect("an answer"), ID);
    world.assert_seen_once("k");
    world.agent.until_abandoned("k").await;
    let offline = Refusal::new(503, "RELAY_AGENT_OFFLINE").retry_after("5");
    offline.assert_json_rpc(&post_with_id(&world.endpoint(), "after", "1").await, "1");
    world.assert_unseen("after");
}

#[tokio::test]
async fn a_black_hole_is_noticed_at_both_ends_and_healing_brings_the_agent_back() {
    let world = World::builder().middleman(Middleman::start(Weather::default())).start().await;
    let middleman = world.middleman.as_ref().expect("a middleman");
    let mut caller = think(&world, "hole").await;
    middleman.black_hole(Direction::Both, true);
    LOST.assert_json_rpc(&caller.response().await.expect("an answer"), ID);
    world.assert_seen_once("hole");
    world.agent.until_abandoned("hole").await;
    middleman.black_hole(Direction::Both, false);
    tests::until("the agent answers again", PATIENCE, async || {
        post_with_id(&world.endpoint(), "healed", "1").await.status == 200
    })
    .await;
    world.assert_seen_once("healed");
}

#[tokio::test]
async fn a_connector_that_comes_back_ends_what_its_predecessor_had_at_once() {
    let mut world = World::new().await;
    let mut caller = think(&world, "k").await;
    let restarted = std::time::Instant::now();
    world.connector.start_again();
    LOST.assert_json_rpc(&caller.response().await.expect("an answer"), ID);
    assert!(restarted.elapsed() < Duration::from_secs(15), "the newest link did not win");
    world.connector.until_online().await;
    assert_eq!(post_with_id(&world.endpoint(), "next", "1").await.status, 200);
    world.assert_seen_once("k");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_replaced_connector_that_lives_finishes_what_it_has() {
    let world = World::new().await;
    // Longer than the relay waits for a sign of life.
    let pace = [("x-test-events", "10"), ("x-test-interval-ms", "700")];
    let mut stream = world.open_stream("old", &pace).await;
    assert_eq!(stream.head().await.expect("a head").status, 200);
    let (slow, body) = ([("x-test-behaviour", "slow-head:6000")], call_with_id(ID));
    let slow = world.call_as("slow", &slow, &body);
    let replace = async {
        world.agent.until_whole("slow").await;
        let again = world.relay.cli(&["workspace", "join", "first", "--json"]).await.json();
        let join = again["join"].as_str().expect("a join string");
        world.another_connector(join).start_online().await
    };
    let (slow, _newer) = tokio::join!(slow, replace);
    let slow = slow.expect("an answer");
    assert!(slow.status == 200 && slow.is_complete(), "{slow:?}");
    for sequence in 0..10 {
        let event = stream.next_event().await.expect("an event");
        assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
    }
    assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    world.assert_seen_once("slow");
}

#[tokio::test]
async fn a_link_lost_within_a_body_never_leaves_it_looking_complete() {
    for behaviour in ["big:50000000", "big-chunked:50000000"] {
        let mut world = World::with_agent(behaviour).await;
        let body = call_with_id("1");
        let json = [("Content-Type", "application/json"), ("x-test-id", "b")];
        let caller = send("POST", &world.endpoint(), &json, Some(&body)).await.expect("the relay");
        let mut caller = caller.patience(PATIENCE);
        let head = caller.head().await.expect("a head");
        assert_eq!(head.status, 200, "{head:?}");
        let Piece::Data(first) = caller.piece().await else {
            panic!("{behaviour}: no first bytes")
        };
        world.connector.start_again();
        let rest = caller.rest_of(head).await;
        assert!(!rest.is_complete(), "{behaviour} looked complete: {rest:?}");
        assert_ne!(rest.ending, Ending::Cut(Cut::Timeout), "{behaviour}");
        let whole = [&first[..], &rest.body].concat();
        assert!(whole.len() < 50_000_000, "{behaviour}");
        let sent = fingerprint::pattern(0, whole.len());
        assert_eq!(Fingerprint::of(&whole), Fingerprint::of(&sent), "{behaviour}: other bytes");
        world.connector.until_online().await;
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_lost_between_events_says_so_in_a_last_event() {
    let mut world = World::new().await;
    let pace = [("x-test-events", "1000"), ("x-test-interval-ms", "200")];
    let stream = world.open_stream("s-1", &pace).await;
    let mut stream = stream.patience(PATIENCE);
    assert_eq!(stream.head().await.expect("a head").status, 200);
    let mut next = 0;
    while next < 3 {
        let event = stream.next_event().await.expect("an event");
        assert_eq!(event.json()["result"]["metadata"]["sequence"], next);
        next += 1;
    }
    world.connector.start_again();
    let last = loop {
        let event = stream.next_event().await.expect("a last event");
        if event.json().get("error").is_some() {
            break event;
        }
        assert_eq!(event.json()["result"]["metadata"]["sequence"], next);
        next += 1;
    };
    assert_explains(&last.data, "\"s-1\"");
    let end = stream.next_event().await.expect_err("the end");
    assert!(matches!(end, Ending::Cut(cut) if cut != Cut::Timeout), "an unclean end");
    world.agent.until_abandoned("s-1").await;
    world.connector.until_online().await;
    world.until_quiet().await;
}

/// The error of a last event: the agent had the request, the stream is what was lost.
fn assert_explains(data: &str, id: &str) {
    let event: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(event["error"]["data"][0]["reason"], "RELAY_STREAM_LOST", "{data}");
    assert_eq!(event["error"]["data"][0]["metadata"]["delivery"], "delivered", "{data}");
    assert!(data.contains(&format!("\"id\":{id},")), "{data}");
}

async fn broken_stream(events: &str) -> (World, RawResponse) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let wire = format!("{head}{:x}\r\n{events}\r\n", events.len()).into_bytes();
    let world = World::builder().raw_agent(RawBehaviour::Bytes(wire)).start().await;
    let answer = post_with_id(&world.endpoint(), "b", ID).await;
    (world, answer)
}

#[tokio::test]
async fn a_stream_that_the_agent_breaks_between_events_is_explained_and_within_one_only_cut() {
    for events in ["data: 1\n\n", "data: 1\r\n\r\n: comment\n\n", ""] {
        let events = if events.is_empty() { ": only a comment\n\n" } else { events };
        let (world, answer) = broken_stream(events).await;
        assert!(answer.status == 200 && !answer.is_complete(), "{answer:?}");
        let text = answer.text();
        let last = text.strip_prefix(events).expect("the agent's own events first");
        let data = last.strip_prefix("data: ").and_then(|last| last.strip_suffix("\n\n"));
        assert_explains(data.expect("one last event"), ID);
        world.assert_seen_once("b");
    }
    for events in ["data: 1\n\ndata: 2", "data: 1\n", "data", ": half a comment"] {
        let (_world, answer) = broken_stream(events).await;
        assert!(answer.status == 200 && !answer.is_complete(), "{answer:?}");
        assert_eq!(answer.text(), events, "something was put into an event");
    }
}

#[tokio::test]
async fn the_agent_notices_that_its_caller_left_while_it_thinks_and_within_a_stream() {
    let world = World::new().await;
    for (round, by_reset) in [false, true].into_iter().enumerate() {
        let leave = |caller: Call| if by_reset { caller.reset() } else { drop(caller) };
        let (thought, streamed) = (format!("t-{round}"), format!("s-{round}"));
        let caller = think(&world, &thought).await;
        leave(caller);
        world.agent.until_abandoned(&thought).await;
        let pace = [("x-test-events", "10000"), ("x-test-interval-ms", "50")];
        let mut stream = world.open_stream(&streamed, &pace).await;
        assert_eq!(stream.head().await.expect("a head").status, 200);
        for _ in 0..2 {
            stream.next_event().await.expect("an event");
        }
        leave(stream);
        world.agent.until_abandoned(&streamed).await;
    }
    world.until_quiet().await;
}
