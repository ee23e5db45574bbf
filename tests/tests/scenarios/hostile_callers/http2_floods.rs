//! HTTP/2 connections that send too much of something: ended with a code, or slowed to what costs
//! nobody else anything.

use super::{
    Bystander, Paths,
    http2_requests::{good, is_served, request},
};
use std::time::{Duration, Instant};
use tests::{
    World,
    http::frames::{
        ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Fate,
        FrameClient, HEADERS, INITIAL_WINDOW_SIZE, PING, PRIORITY, REFUSED_STREAM, RST_STREAM,
        SETTINGS, WINDOW_UPDATE, field, frame, settings,
    },
    until,
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
/// Frames that are sent at a time.
const BATCH: usize = 200;
/// Connections with the same flood.
const ROUNDS: usize = 25;
/// Streams that one connection may have open.
const STREAMS_MAX: u32 = 250;

/// A stream that is begun and reset at once.
fn reset_at_once(stream: u32, block: &[u8]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, stream, block);
    [head, frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
}

#[tokio::test]
async fn floods_that_no_honest_caller_sends_end_their_connection() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let bystander = Bystander::beside(&world).await;
    let block = good(&paths, "flood");
    let open = frame(HEADERS, END_HEADERS, 1, &block);
    let begun = frame(HEADERS, 0, 1, &block);
    let resets: Vec<u8> = (0..1_000).flat_map(|at| reset_at_once(2 * at + 1, &block)).collect();
    let kilobyte = field("x-more", &"v".repeat(1_000));
    for (what, bytes) in [
        ("1,000 streams reset at once", resets),
        ("empty DATA without end", [&open[..], &frame(DATA, 0, 1, &[]).repeat(10_000)].concat()),
        (
            "CONTINUATION of nothing",
            [&begun[..], &frame(CONTINUATION, 0, 1, &[]).repeat(5_000)].concat(),
        ),
        (
            "CONTINUATION of a kilobyte",
            [&begun[..], &frame(CONTINUATION, 0, 1, &kilobyte).repeat(5_000)].concat(),
        ),
        (
            "CONTINUATION of a byte",
            [&begun[..], &frame(CONTINUATION, 0, 1, &[0x10]).repeat(5_000)].concat(),
        ),
    ] {
        for round in 0..ROUNDS {
            let mut client = FrameClient::connect(world.relay.http()).await;
            let _ = client.send(&bytes).await;
            let fate = client.fate_of(u32::MAX).await;
            // A reset of the connection may overtake the word.
            let ended = [Fate::GoneAway(ENHANCE_YOUR_CALM), Fate::Closed];
            assert!(ended.contains(&fate), "{what}, round {round}: {fate:?}");
            assert!(client.is_closed_within(SOON).await, "{what}: the connection stays");
        }
    }
    bystander.assert_unharmed(&world, "floods").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn streams_that_are_reset_as_fast_as_they_begin_end_their_connection() {
    let world = World::new().await;
    let bystander = Bystander::beside(&world).await;
    let never = field("x-test-behaviour", "never");
    let block = [good(&Paths::of(&world), "reset"), never].concat();
    let mut client = FrameClient::connect(world.relay.http()).await;
    let mut sent = 0;
    while sent < 10_000 && client.send(&reset_at_once(2 * sent + 1, &block)).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 10_000, "the relay took {sent} of them");
    let reached = world.agent.of("reset").len();
    eprintln!("{reached} of {sent} streams reached the agent");
    assert!(reached < 1_000, "{reached} of {sent} streams reached the agent");
    bystander.assert_unharmed(&world, "streams that are reset").await;
    world.until_quiet().await;
}

/// Sends a frame again and again, and reads what it is answered if it is; tells when the connection
/// ended, if it did within [`SOON`], and how many frames went out.
async fn repeat(world: &World, bytes: &[u8], answer: Option<u8>) -> (Option<Duration>, usize) {
    let mut client = FrameClient::connect(world.relay.http()).await;
    let (started, bytes, mut sent) = (Instant::now(), bytes.repeat(BATCH), 0);
    while started.elapsed() < SOON {
        if client.send(&bytes).await.is_err() {
            return (Some(started.elapsed()), sent);
        }
        sent += BATCH;
        let mut answered = 0;
        while answer.is_some() && answered < BATCH {
            let Ok(frame) = client.next().await else { return (Some(started.elapsed()), sent) };
            answered += usize::from(Some(frame.kind) == answer && frame.flags & ACK != 0);
        }
    }
    (None, sent)
}

#[tokio::test]
async fn floods_of_frames_that_carry_nothing_end_their_connection_and_disturb_nobody() {
    let world = World::new().await;
    let bystander = Bystander::beside(&world).await;
    for (what, bytes, answer) in [
        ("PING", frame(PING, 0, 0, b"ping-pon"), Some(PING)),
        ("SETTINGS", settings(&[(INITIAL_WINDOW_SIZE, 65_535)]), Some(SETTINGS)),
        ("answers to a PING that nobody sent", frame(PING, ACK, 0, &[7; 8]), None),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 7]), None),
        ("frames of no kind", frame(0xfa, 0, 0, &[0; 64]), None),
    ] {
        let (ended, sent) = repeat(&world, &bytes, answer).await;
        eprintln!("{sent} times {what}: ended after {ended:?}");
        assert!(ended.is_some(), "{sent} times {what} in {SOON:?}");
    }
    bystander.assert_unharmed(&world, "frames that carry nothing").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_cost_no_memory() {
    let world = World::new().await;
    let bystander = Bystander::beside(&world).await;
    let mut held = Vec::new();
    for bytes in [frame(PING, 0, 0, &[0; 8]), settings(&[])] {
        let mut client = FrameClient::connect(world.relay.http()).await;
        // Once nothing goes any more, the flood is over as well.
        let _ = timeout(SOON, client.send(&bytes.repeat(200_000))).await;
        held.push(client);
    }
    bystander.assert_unharmed(&world, "answers that nobody reads").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn many_small_windows_are_no_flood() {
    let world = World::new().await;
    let mut client = FrameClient::connect(world.relay.http()).await;
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    client.send(&window.repeat(200_000)).await.expect("sent");
    assert!(is_served(&mut client, &Paths::of(&world), 1).await);
}

#[tokio::test]
async fn streams_that_are_reset_one_by_one_leave_nothing_behind() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let bystander = Bystander::beside(&world).await;
    let mut client = FrameClient::connect(world.relay.http()).await;
    for at in 0..500 {
        client.send(&reset_at_once(2 * at + 1, &good(&paths, "one-by-one"))).await.expect("sent");
        // The answer shows that the relay has seen the reset.
        client.send(&frame(PING, 0, 0, &[0; 8])).await.expect("sent");
        while client.next().await.expect("an answer").kind != PING {}
    }
    assert!(is_served(&mut client, &paths, 2_001).await);
    world.until_quiet().await;
    bystander.assert_unharmed(&world, "500 resets one by one").await;
}

#[tokio::test]
async fn the_251st_stream_is_refused_and_the_others_go_on() {
    let world = World::with_agent("never").await;
    let paths = Paths::of(&world);
    let mut client = FrameClient::connect(world.relay.http()).await;
    let last = 2 * STREAMS_MAX - 1;
    for stream in (1..=last).step_by(2) {
        client.send(&request(stream, &good(&paths, "held"))).await.expect("sent");
    }
    until("250 requests are at the agent", SOON, async || world.agent.of("held").len() == 250)
        .await;
    client.send(&request(last + 2, &good(&paths, "one-more"))).await.expect("sent");
    assert_eq!(client.fate_of(last + 2).await, Fate::Reset(REFUSED_STREAM));
    world.assert_unseen("one-more");
    let metric = world.relay.metric("relay_streams_in_flight", &[]).await;
    assert_eq!(metric, Some(250.0), "the others are not there any more");
    // Who gives one up may begin another.
    client.send(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())).await.expect("sent");
    let head = frame(HEADERS, END_HEADERS | END_STREAM, last + 4, &good(&paths, "instead"));
    client.send(&head).await.expect("sent");
    until("the next request is at the agent", SOON, async || !world.agent.of("instead").is_empty())
        .await;
    client.reset();
    world.until_quiet().await;
}
