//! Full, draining, too slow, too fast: what a caller gets, and which request is sent once more.

use shared::codes::{AbortCode, Delivery};
use shared::control::{ToConnector, ToRelay};
use shared::wire::{Abort, Frame};
use std::time::{Duration, Instant};
use tests::{
    Call, Ending, RawClient, RawIdentity, RawLink, Refusal, Relay, World,
    http::{begin, post, request_bytes, send},
    operator::WorkspaceHandle,
    raw_connector::{
        RawExchange,
        frames::{data, encode, head},
    },
    refusal::{call_with_id, post_with_id},
};

const ID: &str = "18446744073709551617";
const DRAINING: Refusal = Refusal::new(503, "RELAY_AGENT_DRAINING").retry_after("1");

/// An agent whose connector does what a story says, and its link.
struct Puppet {
    _relay: Relay,
    workspace: WorkspaceHandle,
    identity: RawIdentity,
    link: RawLink,
}

impl Puppet {
    async fn online() -> Puppet {
        let relay = Relay::start().await;
        let workspace = relay.add_workspace("puppet", &[]).await;
        let identity = RawIdentity::join(&workspace.join).await;
        let link = identity.online().await;
        Puppet { _relay: relay, workspace, identity, link }
    }

    /// The same connector's next link, which takes new exchanges from now on.
    async fn next_link(&self) -> RawLink {
        let mut link = self.identity.connect().await;
        let mut hello = self.identity.hello();
        hello.attempt = 2;
        link.send(&ToRelay::Hello(Box::new(hello))).await;
        assert!(matches!(link.next().await, ToConnector::Welcome(_)));
        link
    }

    /// A call, and what the first link got of it.
    async fn call(&self) -> (Call, RawExchange) {
        let json = [("Content-Type", "application/json")];
        let call = call_with_id(ID);
        let caller = send("POST", &self.workspace.endpoint(), &json, Some(&call)).await;
        (caller.expect("the relay is there"), self.link.accept().await)
    }
}

/// A connector's no, as it stands on the wire.
fn abort(code: AbortCode, delivery: Delivery) -> Vec<u8> {
    encode(&[Frame::Abort(Abort { code, delivery, message: "The puppet says no.".into() })])
}

async fn refuse(mut exchange: RawExchange) {
    assert!(exchange.send(&abort(AbortCode::Refused, Delivery::NotSent)).await);
    exchange.finish();
}

#[tokio::test]
async fn what_a_draining_connector_refuses_goes_once_to_the_next_link() {
    let puppet = Puppet::online().await;
    let (mut caller, refused) = puppet.call().await;
    let next = puppet.next_link().await;
    refuse(refused).await;
    let again = next.accept().await;
    assert_eq!(again.body, call_with_id(ID));
    again.answer("{\"fine\":true}").await;
    let answer = caller.response().await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"fine\":true}"), "{answer:?}");
}

#[tokio::test]
async fn what_two_links_refuse_is_refused() {
    let puppet = Puppet::online().await;
    let (mut caller, refused) = puppet.call().await;
    let next = puppet.next_link().await;
    refuse(refused).await;
    refuse(next.accept().await).await;
    DRAINING.assert_json_rpc(&caller.response().await.expect("an answer"), ID);
    // Nor is it sent again on the link that refused it.
    let endpoint = puppet.workspace.endpoint();
    let alone = async { refuse(next.accept().await).await };
    let (answer, ()) = tokio::join!(post_with_id(&endpoint, "alone", ID), alone);
    DRAINING.assert_json_rpc(&answer, ID);
}

#[tokio::test]
async fn a_body_that_was_under_way_when_it_was_refused_arrives_whole_on_the_next_link() {
    let puppet = Puppet::online().await;
    let json = [("Content-Type", "application/json")];
    let begun = begin("POST", &puppet.workspace.endpoint(), &json, None).await;
    let (mut caller, mut upload) = begun.expect("the relay");
    upload.send_bytes("first").await.expect("sent");
    let (mut answer, mut request) = puppet.link.accept_unread().await;
    request.read_chunk(4096, true).await.expect("the head").expect("bytes");
    upload.send_bytes(", second").await.expect("sent");
    let next = puppet.next_link().await;
    let no = abort(AbortCode::Refused, Delivery::NotSent);
    answer.write_all(&no).await.expect("sent");
    answer.finish().expect("open");
    upload.send_bytes(", third").await.expect("sent");
    upload.end().await.expect("sent");
    let again = next.accept().await;
    assert_eq!(again.body, b"first, second, third");
    again.answer("{}").await;
    assert_eq!(caller.response().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn what_drain_says_was_not_begun_goes_to_the_next_link_and_the_rest_may_have_been_done() {
    let mut puppet = Puppet::online().await;
    let (mut begun, first) = puppet.call().await;
    let (mut late, second) = puppet.call().await;
    let last_exchange = first.head.exchange.counter;
    assert!(second.head.exchange.counter > last_exchange);
    puppet.link.send(&ToRelay::Drain { last_exchange }).await;
    // Answered in order: with the PONG, the relay knows.
    puppet.link.send(&ToRelay::Ping { seq: 1 }).await;
    assert!(matches!(puppet.link.next().await, ToConnector::Pong { .. }));
    let asks = post_with_id(&puppet.workspace.endpoint(), "asks", ID).await;
    DRAINING.assert_json_rpc(&asks, ID);
    let next = puppet.next_link().await;
    puppet.link.connection.close(0u32.into(), b"gone");
    next.accept().await.answer("{}").await;
    assert_eq!(late.response().await.expect("an answer").status, 200);
    let lost = Refusal::maybe(502, "RELAY_TUNNEL_LOST");
    lost.assert_json_rpc(&begun.response().await.expect("an answer"), ID);
}

#[tokio::test]
async fn an_agent_that_its_connector_gave_up_or_that_is_full_is_a_refusal_of_its_own() {
    let puppet = Puppet::online().await;
    for (code, delivery, refusal) in [
        (
            AbortCode::UpstreamTimeout,
            Delivery::Maybe,
            Refusal::maybe(504, "RELAY_UPSTREAM_TIMEOUT"),
        ),
        (
            AbortCode::Busy,
            Delivery::NotSent,
            Refusal::new(503, "RELAY_AGENT_BUSY").retry_after("30"),
        ),
    ] {
        let (mut caller, mut exchange) = puppet.call().await;
        exchange.send(&abort(code, delivery)).await;
        exchange.finish();
        refusal.assert_json_rpc(&caller.response().await.expect("an answer"), ID);
    }
}

#[tokio::test]
async fn a_full_relay_says_so_and_serves_again_when_there_is_room() {
    let world = World::builder().relay_args(&["--max-in-flight", "2"]).start().await;
    let pace = [("x-test-events", "2"), ("x-test-interval-ms", "1500")];
    let mut streams = Vec::new();
    for id in ["one", "two"] {
        let mut stream = world.open_stream(id, &pace).await;
        assert_eq!(stream.head().await.expect("a head").status, 200);
        streams.push(stream);
    }
    let answer = post_with_id(&world.endpoint(), "third", ID).await;
    assert_eq!(
        (answer.status, answer.relay_error()),
        (503, Some("RELAY_OVERLOADED")),
        "{answer:?}"
    );
    assert_eq!((answer.delivery(), answer.json()["id"].is_null()), (Some("not-sent"), true));
    let wait: u32 = answer.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=5).contains(&wait), "{wait}");
    for stream in &mut streams {
        while stream.next_event().await.is_ok() {}
    }
    world.until_quiet().await;
    assert_eq!(post_with_id(&world.endpoint(), "fourth", ID).await.status, 200);
    world.assert_unseen("third");
}

#[tokio::test]
async fn who_tries_too_many_urls_that_do_not_fit_is_told_so_and_nobody_else_is() {
    let world = World::new().await;
    let mut client = RawClient::connect(world.relay.http()).await.expect("the relay");
    let wrong = format!("{}/agents/nobody/a2a", world.relay.public_url());
    let call = call_with_id("1");
    let json = [("Content-Type", "application/json")];
    let guess = request_bytes("POST", &wrong, &json, Some(&call)).1;
    let (mut unknown, mut limited) = (0, 0);
    // More come back with time, so the limit is met somewhere behind it.
    while limited == 0 && unknown < 20_000 {
        client.send(&guess.repeat(64)).await.expect("sent");
        for _ in 0..64 {
            let answer = client.response().await.expect("an answer");
            match answer.status {
                404 => unknown += 1,
                429 => {
                    limited += 1;
                    let refusal = Refusal::new(429, "RELAY_RATE_LIMITED").retry_after("1");
                    refusal.assert_json_rpc(&answer, "1");
                }
                other => panic!("{other}: {answer:?}"),
            }
        }
    }
    assert!(unknown >= 1024 && limited > 0, "{unknown} unknown, {limited} limited");
    assert_eq!(post_with_id(&world.endpoint(), "valid", "2").await.status, 200);
}

#[tokio::test]
async fn a_caller_that_says_how_long_it_waits_waits_no_longer() {
    let world = World::new().await;
    let headers = |timeout| {
        [
            ("Content-Type", "application/json"),
            ("x-test-behaviour", "never"),
            ("x-test-id", "patience"),
            ("X-Timeout", timeout),
        ]
    };
    let call = call_with_id(ID);
    let answer = post(&world.endpoint(), &headers("0.4"), &call).await.expect("an answer");
    let sentence = Refusal::maybe(504, "RELAY_DEADLINE").assert_json_rpc(&answer, ID);
    assert!(sentence.contains("0.4 s"), "{sentence}");
    world.assert_seen_once("patience");
    world.agent.until_abandoned("patience").await;

    let answer = post(&world.endpoint(), &headers("soon"), &call).await.expect("an answer");
    Refusal::new(400, "RELAY_BAD_REQUEST").assert_json_rpc(&answer, ID);
    world.assert_seen_once("patience");

    let pace = [("x-test-events", "100"), ("x-test-interval-ms", "100"), ("X-Timeout", "1")];
    let mut stream = world.open_stream("s", &pace).await;
    assert_eq!(stream.head().await.expect("a head").status, 200);
    let mut last = None;
    let ending = loop {
        match stream.next_event().await {
            Ok(event) => last = Some(event),
            Err(ending) => break ending,
        }
    };
    assert!(matches!(ending, Ending::Cut(_)), "{ending:?}");
    let last = last.expect("events").json();
    assert_eq!(last["error"]["data"][0]["reason"], "RELAY_STREAM_LOST", "{last}");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_caller_that_says_how_long_it_waits_waits_no_longer_for_a_card_that_stops() {
    let puppet = Puppet::online().await;
    let asked = Instant::now();
    let patience = [("X-Timeout", "0.4")];
    let caller = send("GET", &puppet.workspace.card(), &patience, None).await;
    let mut caller = caller.expect("the relay");
    let mut exchange = puppet.link.accept().await;
    let json = [("content-type", "application/json")];
    assert!(exchange.send(&encode(&[head(200, &json), data("{\"name\":")])).await);
    let answer = caller.response().await.expect("an answer");
    Refusal::maybe(504, "RELAY_DEADLINE").assert_marks(&answer);
    assert!(answer.text().contains("0.4 s"), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "after {:?}", asked.elapsed());
}
