//! The middleman between a plain client and a plain echo, over real sockets.

use super::{Direction, Middleman, Weather};
use crate::{backstage::Backstage, until};
use std::{
    collections::HashSet,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(10);

/// Sends each datagram back to whoever it came from.
fn echo() -> (SocketAddr, Backstage) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("does not block");
    let address = socket.local_addr().expect("bound");
    let server = Backstage::open("udp-echo", move || async move {
        let socket = UdpSocket::from_std(socket).expect("a socket");
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // The sender's port is told first, so that a rebinding shows.
            let told = [from.port().to_be_bytes().as_slice(), &buffer[..length]].concat();
            let _ = socket.send_to(&told, from).await;
        }
    });
    (address, server)
}

struct Setup {
    middleman: Middleman,
    client: UdpSocket,
    _echo: Backstage,
}

async fn setup(weather: Weather) -> Setup {
    let middleman = Middleman::start(weather);
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    client.connect(middleman.address()).await.expect("connected");
    let (address, echo) = echo();
    middleman.lead_to(address);
    Setup { middleman, client, _echo: echo }
}

impl Setup {
    /// The port that the echo saw, or `None` when nothing came back within the time.
    async fn ask(&self, byte: u8, within: Duration) -> Option<u16> {
        self.client.send(&[byte]).await.expect("sent");
        let mut buffer = [0; 16];
        loop {
            let read =
                timeout(within, self.client.recv(&mut buffer)).await.ok()?.expect("received");
            if (read, buffer[2]) == (3, byte) {
                return Some(u16::from_be_bytes([buffer[0], buffer[1]]));
            }
        }
    }
}

#[tokio::test]
async fn fair_weather_carries_all_and_a_rebinding_changes_the_port() {
    let setup = setup(Weather::default()).await;
    let before = setup.ask(1, SOON).await.expect("an echo");
    assert_eq!(setup.ask(2, SOON).await, Some(before));
    setup.middleman.rebind();
    let after = setup.ask(3, SOON).await.expect("an echo");
    assert_ne!(after, before);
}

#[tokio::test]
async fn what_was_recorded_is_carried_again_between_the_same_addresses() {
    let setup = setup(Weather::default()).await;
    setup.middleman.record(true);
    let port = setup.ask(1, SOON).await.expect("an echo");
    setup.middleman.record(false);
    assert!(setup.ask(2, SOON).await.is_some());
    assert_eq!(setup.middleman.recorded(Direction::Up), [[1]]);
    assert_eq!(setup.middleman.recorded(Direction::Both).len(), 2);
    setup.middleman.replay();
    let told = [&port.to_be_bytes()[..], &[1]].concat();
    // The copy of the echo, and the echo of the copy.
    for _ in 0..2 {
        let mut buffer = [0; 16];
        let read = timeout(SOON, setup.client.recv(&mut buffer)).await.expect("a datagram");
        assert_eq!(buffer[..read.expect("received")], told);
    }
}

#[tokio::test]
async fn a_black_hole_swallows_in_one_direction_and_ends() {
    let setup = setup(Weather::default()).await;
    let middleman = &setup.middleman;
    let swallowed = |direction| middleman.counters(direction).swallowed;
    middleman.black_hole(Direction::Down, true);
    setup.client.send(&[1]).await.expect("sent");
    until("the way down swallows", SOON, async || swallowed(Direction::Down) == 1).await;
    assert_eq!(middleman.counters(Direction::Down).sent, 0);
    assert_eq!(swallowed(Direction::Up), 0);
    middleman.black_hole(Direction::Both, true);
    setup.client.send(&[2]).await.expect("sent");
    until("the way up swallows", SOON, async || swallowed(Direction::Up) == 1).await;
    assert_eq!(setup.ask(3, Duration::from_millis(50)).await, None);
    middleman.black_hole(Direction::Both, false);
    assert!(setup.ask(4, SOON).await.is_some());
}

#[tokio::test]
async fn loss_and_duplicates_come_at_their_rates() {
    let setup = setup(Weather::default()).await;
    let bad = Weather { loss: 0.25, duplicate: 0.25, ..Weather::default() };
    setup.middleman.set(Direction::Up, bad);
    for _ in 0..20 {
        for _ in 0..50 {
            setup.client.send(&[9]).await.expect("sent");
        }
        let sent = setup.middleman.counters(Direction::Up).received;
        let middleman = &setup.middleman;
        until("more come in", SOON, async || middleman.counters(Direction::Up).received > sent)
            .await;
    }
    let up = setup.middleman.counters(Direction::Up);
    let share = |part: u64| part as f64 / up.received as f64;
    assert!((0.18..0.32).contains(&share(up.lost)), "{up:?}");
    assert!((0.12..0.26).contains(&share(up.duplicated)), "{up:?}");
}

#[tokio::test]
async fn delay_is_added_and_the_queue_is_bounded() {
    let delay = Duration::from_millis(60);
    let setup = setup(Weather { delay, queue_max: 10, ..Weather::default() }).await;
    let begin = Instant::now();
    setup.ask(1, SOON).await.expect("an echo");
    assert!(begin.elapsed() >= delay * 2, "{:?}", begin.elapsed());
    for _ in 0..100 {
        setup.client.send(&[2]).await.expect("sent");
    }
    let middleman = &setup.middleman;
    until("the queue is full", SOON, async || middleman.counters(Direction::Up).overflowed > 0)
        .await;
    let slow = Weather { size_max: 100, ..Weather::default() };
    middleman.set(Direction::Both, slow);
    setup.client.send(&[3; 200]).await.expect("sent");
    until("too large", SOON, async || middleman.counters(Direction::Up).oversized == 1).await;
}

#[tokio::test]
async fn jitter_keeps_the_order_and_reordering_does_not() {
    let order = async |weather: Weather| {
        let setup = setup(weather).await;
        for byte in 0..60u8 {
            setup.client.send(&[byte]).await.expect("sent");
        }
        let (mut seen, mut buffer) = (Vec::new(), [0; 16]);
        while seen.len() < 60 {
            timeout(SOON, setup.client.recv(&mut buffer)).await.expect("in time").expect("read");
            seen.push(buffer[2]);
        }
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 60);
        seen.is_sorted()
    };
    let ms = Duration::from_millis;
    assert!(order(Weather { delay: ms(5), jitter: ms(30), ..Weather::default() }).await);
    assert!(!order(Weather { delay: ms(30), reorder: 0.3, ..Weather::default() }).await);
}

#[tokio::test]
async fn tcp_passes_through_only_when_it_may() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let refused = Middleman::start(Weather::default());
    refused.lead_to(server.local_addr().expect("bound"));
    assert!(TcpStream::connect(refused.address()).await.is_err());
    let middleman = Middleman::with_tcp(Weather::default());
    middleman.lead_to(server.local_addr().expect("bound"));
    let mut near = TcpStream::connect(middleman.address()).await.expect("connected");
    let (mut far, _) = server.accept().await.expect("accepted");
    near.write_all(b"hi").await.expect("written");
    let mut buffer = [0; 2];
    far.read_exact(&mut buffer).await.expect("read");
    middleman.block_tcp(true);
    let ended = timeout(SOON, near.read(&mut buffer)).await.expect("in time");
    assert!(matches!(ended, Ok(0) | Err(_)));
}
