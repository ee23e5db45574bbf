//! Paths that change under a link over QUIC: a NAT that forgets, a hole for large datagrams, a card that
//! refuses segmentation.

use std::time::{Duration, Instant};
use tests::{
    Call, Direction, Ending, Middleman, Weather, World,
    disk::Faults,
    fingerprint::Running,
    http::{self, Piece},
    until,
};
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
const STREAMS: usize = 20;

/// For how long the NAT forgets every two seconds.
fn rebinding() -> Duration {
    let told = std::env::var("HARNESS_REBINDING_SECS").ok();
    Duration::from_secs(
        told.map_or(8, |secs| secs.parse().expect("HARNESS_REBINDING_SECS is a number")),
    )
}

#[tokio::test]
async fn no_event_is_lost_and_no_link_is_new_while_a_nat_forgets_every_two_seconds() {
    let events = usize::try_from(rebinding().as_secs() * 10).expect("a number");
    let world = World::builder().weather(Weather::default()).start().await;
    let before = world.connector.until_online().await;
    let pace = [("x-test-events", &*events.to_string()), ("x-test-interval-ms", "100")];
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let mut stream = world.open_stream(&format!("r-{number}"), &pace).await;
        stream.head().await.expect("a head");
        streams.push(tokio::spawn(read_whole(stream, events)));
    }
    let middleman = world.middleman.as_ref().expect("a middleman");
    let mut rebound = 0;
    while !streams.iter().all(tokio::task::JoinHandle::is_finished) {
        middleman.rebind();
        rebound += 1;
        sleep(Duration::from_secs(2)).await;
    }
    let mut worst = Duration::ZERO;
    for stream in streams {
        worst = worst.max(stream.await.expect("a whole stream"));
    }
    println!("{STREAMS} streams of {events} events, {rebound} new ports, longest pause {worst:?}");
    assert_eq!(world.connector.until_online().await.since, before.since, "the link is the same");
    world.until_quiet().await;
}

/// Reads a stream to its end; yields the longest pause between two events.
async fn read_whole(mut stream: Call, events: usize) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    for sequence in 0..events {
        let event = stream.next_event().await.expect("an event");
        assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    longest
}

/// Sends so many bytes to an agent that sends them back; `meanwhile` is done once both ways are under way.
async fn there_and_back(world: &World, length: u64, meanwhile: impl AsyncFnOnce()) {
    let headers = [("Content-Type", "application/json"), ("x-test-id", "large")];
    let begun = http::begin("POST", &world.endpoint(), &headers, Some(length)).await;
    let (call, mut upload) = begun.expect("the relay");
    let mut call = call.patience(PATIENCE);
    let upload = tokio::spawn(async move {
        upload.send(length).await.expect("all of it");
        upload.end().await.expect("its end")
    });
    assert_eq!(call.head().await.expect("a head").status, 200);
    let mut received = Running::default();
    let mut meanwhile = Some(meanwhile);
    let ending = loop {
        match call.piece().await {
            Piece::Data(bytes) => received.add(&bytes),
            Piece::End(ending) => break ending,
        }
        if received.length() > length / 8
            && let Some(meanwhile) = meanwhile.take()
        {
            meanwhile().await;
        }
    };
    assert_eq!(ending, Ending::Complete, "after {} bytes", received.length());
    assert_eq!(received.done(), upload.await.expect("sent"));
    world.assert_seen_once("large");
}

#[tokio::test]
async fn a_path_that_is_clamped_to_1280_in_mid_transfer_carries_it_to_its_end() {
    let middleman = Middleman::start(Weather::default());
    let world = World::builder().agent("echo").middleman(middleman).start().await;
    let before = world.connector.until_online().await;
    let middleman = world.middleman.as_ref().expect("a middleman");
    let began = Instant::now();
    there_and_back(&world, 16_000_000, async || {
        // What IPv4 and UDP leave of 1,280.
        middleman.set(Direction::Both, Weather { size_max: 1_252, ..Weather::default() });
    })
    .await;
    let lost = middleman.counters(Direction::Both).oversized;
    println!("there and back in {:?}; {lost} datagrams were too large", began.elapsed());
    assert!(lost > 0, "larger ones went before");
    assert_eq!(world.connector.until_online().await.since, before.since, "the link is the same");
}

#[tokio::test]
async fn a_card_that_refuses_segmentation_costs_a_moment() {
    let world = World::builder().agent("echo").over("quic").start().await;
    let before = world.connector.until_online().await;
    let inject = "sendmsg,sendmmsg:error=EIO:when=1";
    let Some(faults) = Faults::inject(world.connector.process(), inject, &[]).await else { return };
    there_and_back(&world, 2_000_000, async || {}).await;
    until("the refusal was seen", SOON, async || faults.count() > 0).await;
    faults.end().await;
    assert_eq!(world.connector.until_online().await.since, before.since, "the link is the same");
}
