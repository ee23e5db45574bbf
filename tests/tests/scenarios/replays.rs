//! A network that keeps what it carries and sends it again: nothing happens twice.

use std::time::Duration;
use tests::{Direction, Middleman, Weather, World, refusal::call_with_id, until};
use tokio::net::UdpSocket;

const SOON: Duration = Duration::from_secs(10);
/// How often all is sent again, from each address.
const ROUNDS: usize = 10;
/// What the relay may grow by, bytes.
const GROWTH_MAX: u64 = 8 << 20;

/// One more call gets through, once.
async fn assert_delivers(world: &World, id: &str) {
    let answer = world.call_as(id, &[], &call_with_id("1")).await.expect("an answer");
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{id}: {answer:?}");
    world.assert_seen_once(id);
}

/// How many handshakes of connectors had this result.
async fn handshakes(world: &World, result: &str) -> Option<f64> {
    world.relay.metric("relay_handshakes_total", &[("result", result)]).await
}

#[tokio::test]
async fn datagrams_that_are_sent_again_deliver_nothing_twice_and_make_no_link() {
    let middleman = Middleman::start(Weather::default());
    middleman.record(true);
    let world = World::builder().middleman(middleman).start().await;
    let before = world.connector.until_online().await;
    assert_delivers(&world, "recorded").await;
    let middleman = world.middleman.as_ref().expect("a middleman");
    middleman.record(false);
    let (up, all) = (middleman.recorded(Direction::Up), middleman.recorded(Direction::Both));
    assert!(up.len() > 10 && all.len() > 20, "{} of {} datagrams", up.len(), all.len());

    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let rss_before = world.relay.process().rss_bytes();
    for round in 0..ROUNDS {
        let sent = middleman.counters(Direction::Both).sent;
        middleman.replay();
        until("all is sent again", SOON, async || {
            middleman.counters(Direction::Both).sent >= sent + all.len() as u64
        })
        .await;
        for datagram in &up {
            stranger.send_to(datagram, world.relay.tunnel()).await.expect("sent");
        }
        assert_delivers(&world, &format!("round-{round}")).await;
    }
    world.until_quiet().await;
    world.assert_seen_once("recorded");
    let posts = world.agent.deliveries().iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 1 + ROUNDS, "at the agent");
    assert_eq!(world.connector.until_online().await.since, before.since, "the link is the same");
    for result in ["admitted", "enrolled"] {
        assert_eq!(handshakes(&world, result).await, Some(1.0), "{result}");
    }
    let grown = world.relay.process().rss_bytes().saturating_sub(rss_before);
    eprintln!("{} datagrams {ROUNDS} times: {} KiB more", all.len() + up.len(), grown >> 10);
    assert!(grown < GROWTH_MAX, "the relay grew by {grown} bytes");
}
