//! HTTP/2 callers that hold on and take nothing: each is dropped in about a minute, alone.

use super::{
    Bystander, Paths,
    http2_requests::{good, is_served, request},
};
use std::time::{Duration, Instant};
use tests::{
    World,
    baseline::Baseline,
    http::frames::{
        ACK, END_HEADERS, Fate, FrameClient, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING,
        RST_STREAM, fields, frame,
    },
    until,
};

/// 60 s without progress, and some.
const PATIENCE: Duration = Duration::from_secs(75);
/// A head has 10 s, and is looked at every 2 s.
const HEAD_PATIENCE: Duration = Duration::from_secs(14);

/// Asks for an answer that does not fit into `window`; tells after how long the relay gives it up.
async fn takes_nothing(world: &World, paths: &Paths, window: u32) -> Duration {
    let values = [(INITIAL_WINDOW_SIZE, window)];
    let client = FrameClient::connect_with(world.relay.http(), &values).await;
    let mut client = client.patience(PATIENCE);
    let big = fields(&[("x-test-behaviour", "big:1000000")]);
    let block = [good(paths, &format!("stuck-{window}")), big].concat();
    client.send(&request(1, &block)).await.expect("sent");
    let started = Instant::now();
    loop {
        // It lives: each PING is answered.
        let came = client.next().await.expect("a frame");
        match came.kind {
            PING if came.flags & ACK == 0 => {
                client.send(&frame(PING, ACK, 0, &came.payload)).await.expect("sent");
            }
            RST_STREAM => break,
            GOAWAY => panic!("the connection ended: {came:?}"),
            _ => {}
        }
    }
    let lasted = started.elapsed();
    assert!(window == 0 || is_served(&mut client, paths, 3).await, "the connection is lost");
    lasted
}

/// Begins a head and never ends it; tells after how long the connection ends.
async fn never_ends_its_head(world: &World, paths: &Paths) -> Duration {
    let mut client = FrameClient::connect(world.relay.http()).await;
    let half = frame(HEADERS, 0, 1, &good(paths, "half"));
    client.send(&half).await.expect("sent");
    let started = Instant::now();
    assert!(client.is_closed_within(PATIENCE).await, "half a head is kept");
    started.elapsed()
}

/// Begins a body and never ends it; tells what it gets.
async fn never_ends_its_body(world: &World, paths: &Paths) -> Fate {
    let client = FrameClient::connect(world.relay.http()).await;
    let mut client = client.patience(PATIENCE);
    let head = frame(HEADERS, END_HEADERS, 1, &good(paths, "half-a-body"));
    client.send(&head).await.expect("sent");
    client.fate_of(1).await
}

/// Sends PINGs and reads no answer; tells after how long the connection ends.
async fn reads_nothing(world: &World) -> Duration {
    let mut client = FrameClient::connect(world.relay.http()).await;
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(10_000);
    let started = Instant::now();
    let sending = async { while client.send(&pings).await.is_ok() {} };
    let ended = tokio::time::timeout(PATIENCE, sending).await;
    assert!(ended.is_ok(), "a caller that never reads is kept");
    started.elapsed()
}

#[tokio::test]
async fn callers_that_take_nothing_and_end_nothing_are_dropped_alone_in_about_a_minute() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let bystander = Bystander::beside(&world).await;
    let (nothing, little, half_a_head, half_a_body, deaf) = tokio::join!(
        takes_nothing(&world, &paths, 0),
        takes_nothing(&world, &paths, 1_000),
        never_ends_its_head(&world, &paths),
        never_ends_its_body(&world, &paths),
        reads_nothing(&world),
    );
    eprintln!(
        "no window {nothing:?}, a small one {little:?}, half a head {half_a_head:?}, deaf {deaf:?}"
    );
    assert!(half_a_head < HEAD_PATIENCE, "half a head lasted {half_a_head:?}");
    for lasted in [nothing, little] {
        assert!(lasted > Duration::from_secs(58), "given up after {lasted:?} already");
    }
    let Fate::Answered(answer) = half_a_body else { panic!("half a body: {half_a_body:?}") };
    let marks = (answer.status(), answer.header("x-relay-error"));
    assert_eq!(marks, (400, Some("RELAY_BAD_REQUEST")), "{answer:?}");
    bystander.assert_unharmed(&world, "callers that take nothing").await;
    until("the agent's answers are given up", Duration::from_secs(10), async || {
        Baseline::now(&world.relay).await == Some(Baseline::links(1))
    })
    .await;
}
