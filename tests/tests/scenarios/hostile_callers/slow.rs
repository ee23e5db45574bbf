//! Callers that hold on to connections without using them: closed in time, and in nobody's way.

use super::{Bystander, Paths, is_usable};
use std::time::{Duration, Instant};
use tests::{Cut, RawClient, Refusal, World};

const SLOW_HEADS: usize = 200;
const IDLE: usize = 200;
const STALLED: usize = 50;
/// A head has 10 s, and is looked at every 2 s.
const HEAD_PATIENCE: Duration = Duration::from_secs(14);
/// A body may stop for 30 s.
const BODY_PATIENCE: Duration = Duration::from_secs(40);
/// 64 KiB for each caller, bytes.
const GROWTH_MAX: u64 = (SLOW_HEADS + IDLE + STALLED) as u64 * (64 << 10);
const BAD: Refusal = Refusal::new(400, "RELAY_BAD_REQUEST");

/// Begins a request with these bytes on a connection of its own.
async fn begin(paths: &Paths, template: &str) -> RawClient {
    let mut client = RawClient::connect(&paths.host).await.expect("the relay");
    client.send(&paths.fill(template)).await.expect("sent");
    client.patience(BODY_PATIENCE)
}

/// Sends one byte a second to each until all are closed.
async fn trickle(mut clients: Vec<RawClient>) -> Duration {
    let started = Instant::now();
    while !clients.is_empty() && started.elapsed() < 2 * HEAD_PATIENCE {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut open = Vec::new();
        for mut client in clients {
            let sent = client.send_more(b"x").await.is_ok();
            if sent && !client.is_closed_within(Duration::ZERO).await {
                open.push(client);
            }
        }
        clients = open;
    }
    started.elapsed()
}

#[tokio::test]
async fn slow_heads_idle_connections_and_stalled_bodies_cost_nobody_else_anything() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    let bystander = Bystander::beside(&world).await.growth_max(GROWTH_MAX);
    let (mut heads, mut idle, mut stalled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..SLOW_HEADS {
        heads.push(begin(&paths, "{post}X-Slow: ").await);
    }
    for _ in 0..IDLE {
        let mut client = begin(&paths, "").await;
        assert!(is_usable(&mut client, &paths).await);
        idle.push(client);
    }
    for number in 0..STALLED {
        // Half of them send nothing of their body, and half of them some.
        let some = if number % 2 == 0 { "" } else { "{\"id\":1," };
        stalled.push(begin(&paths, &format!("{{post}}Content-Length: 100\r\n\r\n{some}")).await);
    }
    let closed_after = trickle(heads).await;
    assert!(closed_after < HEAD_PATIENCE, "slow heads lasted {closed_after:?}");
    for client in &mut idle {
        assert!(is_usable(client, &paths).await, "an idle connection was closed");
    }
    for client in &mut stalled {
        let answer = client.response().await.expect("an answer to half a body");
        BAD.assert_marks(&answer);
    }
    bystander.assert_unharmed(&world, "450 slow callers").await;
    let whole = |seen: &tests::agent::Delivery| seen.whole_body().is_some();
    assert!(!world.agent.of("hostile").iter().any(whole), "half a body was delivered");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_preface_of_http_2_that_trickles_in_has_ten_seconds() {
    let world = World::new().await;
    let mut client = begin(&Paths::of(&world), "P").await;
    let started = Instant::now();
    let mut closed = false;
    // One byte a second: the whole of it would take 24.
    for byte in &tests::http::frames::PREFACE[1..] {
        closed = client.is_closed_within(Duration::from_secs(1)).await
            || client.send_more(&[*byte]).await.is_err();
        if closed {
            break;
        }
    }
    let lasted = started.elapsed();
    assert!(closed && lasted < HEAD_PATIENCE, "closed: {closed}, after {lasted:?}");
    assert_ne!(client.head().await.err(), Some(Cut::Timeout));
}
