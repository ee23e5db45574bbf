//! Floods of frames: they end the connection that they come on, and cost nobody else anything.

use super::SOON;
use std::time::Duration;
use tests::{
    Cut, World,
    http::{FrameClient, Reason, literals},
    refusal::call_with_id,
    until,
};
use tokio::time::timeout;

/// What the relay may grow by, bytes.
const GROWTH: u64 = 16 * 1024 * 1024;

async fn connect(world: &World) -> FrameClient {
    FrameClient::connect(world.relay.http()).await.expect("the relay")
}

/// The fields of a call that the agent never answers.
fn thought<'a>(host: &'a str, path: &'a str) -> [(&'a str, &'a str); 7] {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
        ("content-type", "application/json"),
        ("x-test-id", "flood"),
        ("x-test-behaviour", "never"),
    ]
}

/// How the server ends the connection.
async fn end(client: &mut FrameClient) -> Cut {
    loop {
        match client.next().await {
            Ok(frame) if frame.kind == FrameClient::GOAWAY => {
                let code = frame.payload.get(4..8).and_then(|code| code.try_into().ok());
                return Cut::GoAway(u32::from_be_bytes(code.expect("a code")).into());
            }
            Ok(_) => {}
            Err(cut) => return cut,
        }
    }
}

async fn assert_unharmed(world: &World, before: u64) {
    let answer = world.call_as("after", &[], &call_with_id("1")).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    world.until_quiet().await;
    let grown = world.relay.process().rss_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "the relay grew by {grown} bytes");
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_their_connection() {
    let world = World::new().await;
    let (host, endpoint) = (world.relay.http().to_string(), world.endpoint());
    let fields = thought(&host, &endpoint[endpoint.find("/agents/").expect("a path")..]);
    let before = world.relay.process().rss_bytes();
    let mut client = connect(&world).await;
    let mut sent = 0;
    for stream in (1..200_000).step_by(2) {
        let cancel = u32::from(Reason::CANCEL).to_be_bytes();
        if client.request(stream, &fields).await.is_err()
            || client.send(FrameClient::RST_STREAM, 0, stream, &cancel).await.is_err()
        {
            break;
        }
        sent += 1;
    }
    assert!(sent < 10_000, "the relay took {sent} of them");
    let seen = world.agent.of("flood").len();
    assert!(seen < 1_000, "{seen} of them reached the agent");
    assert_unharmed(&world, before).await;
}

#[tokio::test]
async fn a_head_without_end_ends_its_connection() {
    let world = World::new().await;
    let before = world.relay.process().rss_bytes();
    let mut client = connect(&world).await;
    let _ = client.send(FrameClient::HEADERS, 0, 1, b"\x83").await;
    let more = literals(&[("x-more", &"m".repeat(1_000))]);
    let mut sent = 0;
    while sent < 100_000 && client.send(FrameClient::CONTINUATION, 0, 1, &more).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 10_000, "the relay took {sent} pieces of one head");
    assert_ne!(end(&mut client).await, Cut::Timeout);
    assert_unharmed(&world, before).await;
}

#[tokio::test]
async fn pings_and_settings_cost_no_memory_though_nobody_reads_what_they_are_answered() {
    let world = World::new().await;
    let before = world.relay.process().rss_bytes();
    for (kind, payload) in [(FrameClient::PING, &[0; 8][..]), (FrameClient::SETTINGS, b"")] {
        let mut client = connect(&world).await;
        let flood = async {
            for _ in 0..200_000 {
                if client.send(kind, 0, 0, payload).await.is_err() {
                    break;
                }
            }
        };
        // Once nothing goes any more, the flood is over as well.
        let _ = timeout(SOON, flood).await;
        assert_unharmed(&world, before).await;
    }
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_and_may_be_sent_again() {
    let world = World::new().await;
    let (host, endpoint) = (world.relay.http().to_string(), world.endpoint());
    let fields = thought(&host, &endpoint[endpoint.find("/agents/").expect("a path")..]);
    let mut client = connect(&world).await;
    for stream in (1..=2 * 300).step_by(2) {
        client.request(stream, &fields).await.expect("sent");
    }
    let mut refused = Vec::new();
    while refused.len() < 50 {
        let frame = client.next().await.expect("a frame");
        if frame.kind == FrameClient::RST_STREAM {
            assert_eq!(frame.payload[..], u32::from(Reason::REFUSED_STREAM).to_be_bytes());
            refused.push(frame.stream);
        }
    }
    assert!(refused.iter().all(|stream| *stream > 2 * 250), "{refused:?}");
    until("the others are at the agent", SOON, async || world.agent.of("flood").len() == 250).await;
    while let Ok(frame) = timeout(Duration::from_millis(300), client.next()).await {
        let frame = frame.expect("the connection stays");
        let ends = [FrameClient::RST_STREAM, FrameClient::GOAWAY];
        assert!(!ends.contains(&frame.kind), "one too many: {frame:?}");
    }
    drop(client);
    world.until_quiet().await;
}
