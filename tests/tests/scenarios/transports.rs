//! Links over TCP: where UDP does not get through, back to QUIC where it does, and hostile peers.

use std::time::{Duration, Instant};
use tests::{Direction, Ending, Middleman, Weather, World, http::get, until, world::message};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);

/// A world whose UDP vanishes, and whose connector may take either transport.
async fn without_udp() -> World {
    let middleman = Middleman::with_tcp(Weather::default());
    middleman.black_hole(Direction::Both, true);
    World::builder().middleman(middleman).over("auto").start().await
}

fn transport(world: &World) -> Option<String> {
    world.connector.status()?.transport
}

#[tokio::test]
async fn a_connector_is_online_over_tcp_where_udp_is_dropped() {
    let mut world = without_udp().await;
    assert_eq!(transport(&world).as_deref(), Some("tcp"));
    assert_eq!(world.relay.show_workspace("first").await["transport"], "tcp");
    assert_eq!(world.call(message("message/send", "t-1", "hello")).await.status, 200);
    // A handshake of QUIC would go on for five seconds before anything else was tried.
    let began = Instant::now();
    world.connector.start_again();
    world.connector.until_online().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "online after {took:?}");
    println!("online over TCP {} ms after its start", took.as_millis());
    world.until_quiet().await;
}

#[tokio::test]
async fn a_connector_goes_back_to_quic_and_no_event_of_an_open_stream_is_lost() {
    const STREAMS: usize = 20;
    const EVENTS: usize = 300;
    let world = without_udp().await;
    assert_eq!(transport(&world).as_deref(), Some("tcp"));
    let pace = [("x-test-events", "300"), ("x-test-interval-ms", "100")];
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let mut stream = world.open_stream(&format!("b-{number}"), &pace).await;
        stream.head().await.expect("a head");
        streams.push(stream);
    }
    world.middleman.as_ref().expect("a middleman").black_hole(Direction::Both, false);
    let began = Instant::now();
    let back = async || transport(&world).as_deref() == Some("quic");
    until("the link is over QUIC", Duration::from_secs(30), back).await;
    println!("back on QUIC {} ms after UDP came through", began.elapsed().as_millis());
    // What is new takes the new link, while the older one carries its streams to their ends.
    assert_eq!(world.call(message("message/send", "b-new", "hello")).await.status, 200);
    assert_eq!(world.relay.show_workspace("first").await["transport"], "quic");
    for (number, stream) in streams.iter_mut().enumerate() {
        for sequence in 0..EVENTS {
            let event = stream.next_event().await.expect("an event");
            assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence, "{number}");
        }
        assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
        assert_eq!(world.agent.of(&format!("b-{number}")).len(), 1);
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn a_path_that_goes_silent_is_left_for_what_is_new_and_kept_for_what_is_open() {
    const EVENTS: usize = 150;
    let world = World::builder().middleman(Middleman::with_tcp(Weather::default())).over("auto");
    let world = world.start().await;
    // On a busy machine TCP may have been the first.
    let on = async |name| transport(&world).as_deref() == Some(name);
    until("the link is over QUIC", Duration::from_secs(30), async || on("quic").await).await;
    let pace = [("x-test-events", "150"), ("x-test-interval-ms", "100")];
    let mut streams = Vec::new();
    for number in 0..20 {
        let mut stream = world.open_stream(&format!("s-{number}"), &pace).await;
        stream.head().await.expect("a head");
        streams.push(stream);
    }
    let middleman = world.middleman.as_ref().expect("a middleman");
    middleman.black_hole(Direction::Both, true);
    until("a second link is up, over TCP", SOON, async || on("tcp").await).await;
    assert_eq!(world.call(message("message/send", "s-new", "hello")).await.status, 200);
    middleman.black_hole(Direction::Both, false);
    for (number, stream) in streams.iter_mut().enumerate() {
        for sequence in 0..EVENTS {
            let event = stream.next_event().await.expect("an event");
            assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence, "{number}");
        }
        assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    }
    until("the link is over QUIC", Duration::from_secs(30), async || on("quic").await).await;
    world.until_quiet().await;
}

#[tokio::test]
async fn over_tcp_the_end_of_a_relay_is_noticed_at_once() {
    let mut world = World::builder().lasting_ports().over("tcp").start().await;
    let before = world.connector.until_online().await;
    world.relay.kill9();
    let killed = Instant::now();
    world.connector.until_state("dialing").await;
    let noticed = killed.elapsed();
    assert!(noticed < Duration::from_secs(3), "noticed after {noticed:?}");
    world.relay.start_again_on_same_ports().await;
    world.connector.until_online_again(&before, SOON).await;
    assert_eq!(world.call(message("message/send", "k-1", "hello")).await.status, 200);
    world.until_quiet().await;
}

#[tokio::test]
async fn peers_that_say_nothing_or_nonsense_on_the_tunnels_port_harm_only_themselves() {
    let world = World::builder().over("tcp").start().await;
    let tunnel = world.relay.tunnel();
    let mut silent = Vec::new();
    for number in 0..200_usize {
        let mut stream = TcpStream::connect(tunnel).await.expect("the relay");
        let words: &[u8] = match number % 4 {
            0 => b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n",
            1 => &[0; 600],
            // The beginning of a ClientHello, and no more of it.
            2 => &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
            _ => b"",
        };
        stream.write_all(words).await.expect("a write");
        silent.push(stream);
    }
    let began = Instant::now();
    assert_eq!(world.call(message("message/send", "h-1", "hello")).await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(5));
    // Others come in beside them.
    let second = world.relay.add_workspace("second", &[]).await;
    let agent = tests::Agent::start("a2a");
    let connector = tests::Connector::builder(&second.join, agent.port()).over("tcp");
    let connector = connector.start_online().await;
    assert_eq!(connector.status().expect("a status").transport.as_deref(), Some("tcp"));
    for mut stream in silent {
        let mut rest = Vec::new();
        let ended = timeout(SOON, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a silent peer is sent away");
    }
    let health = get(&format!("{}/healthz", world.relay.public_url())).await.expect("an answer");
    assert_eq!(health.status, 200);
    drop(connector);
    world.until_quiet().await;
}
