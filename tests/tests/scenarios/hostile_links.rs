//! A connector that breaks the rules of a link loses its own link, and nobody else anything.

use data_encoding::HEXLOWER;
use shared::codes::{CloseCode, RefusalCode};
use shared::control::{ToConnector, ToRelay};
use shared::wire::{Ack, Frame, FrameKind};
use std::time::Duration;
use tests::{
    RawIdentity, World,
    chance::Chance,
    http::{begin, get},
    raw_connector::frames::{data, encode, head, raw_frame},
    until,
    world::message,
};
use tokio::{net::UdpSocket, time::timeout};

const SOON: Duration = Duration::from_secs(10);

async fn stranger(world: &World, name: &str) -> RawIdentity {
    RawIdentity::join(&world.relay.add_workspace(name, &[]).await.join).await
}

async fn assert_served(world: &World, after: &str) {
    let answer = world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!((answer.status, answer.is_complete()), (200, true), "after {after}: {answer:?}");
}

#[tokio::test]
async fn a_broken_control_stream_ends_its_link_with_the_code_that_says_so() {
    let world = World::new().await;
    let identity = stranger(&world, "stranger").await;
    let control = |payload: &[u8]| raw_frame(FrameKind::Control, payload);
    let oversized = [vec![FrameKind::Control.number()], vec![0x80, 0x10, 0, 0]].concat();
    for (what, bytes) in [
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("an unknown frame kind", vec![0x7f, 0]),
        ("an oversized length", oversized),
        ("a head", encode(&[head(200, &[])])),
        ("DATA", encode(&[data("x")])),
        ("no JSON", control(b"{kind:ping}")),
        ("a list", control(b"[\"ping\", 1]")),
        ("a message without a kind", control(b"{}")),
        ("a PING without its number", control(b"{\"kind\":\"ping\"}")),
        ("bytes that are no text", control(&[0xff; 40])),
        ("half an ACK", raw_frame(FrameKind::Acks, &[1, 1])),
    ] {
        let mut link = identity.online().await;
        link.send_bytes(&bytes).await;
        let (code, words) = link.until_closed(SOON).await;
        assert_eq!(code, Some(CloseCode::Protocol), "{what}: {words}");
        assert!(!words.is_empty(), "{what}: the close says nothing");
        assert_served(&world, what).await;
    }
    identity.online().await;
}

#[tokio::test]
async fn a_broken_first_message_is_refused_and_closed() {
    let world = World::new().await;
    let identity = stranger(&world, "stranger").await;
    let ping = encode(&[Frame::Control(br#"{"kind":"ping","seq":1}"#[..].into())]);
    for (what, bytes) in [
        ("garbage", b"\x7f\x7f".to_vec()),
        ("a PING", ping),
        ("an ACK", encode(&[Frame::Acks(vec![])])),
    ] {
        let mut link = identity.connect().await;
        link.send_bytes(&bytes).await;
        let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
        assert_eq!(refusal.code, RefusalCode::Malformed, "{what}: {refusal:?}");
        assert_eq!(link.until_closed(SOON).await.0, Some(CloseCode::Protocol), "{what}");
    }
    // Whoever says nothing at all is not waited for.
    let silent = identity.connect().await;
    let ended = until("the silent link is closed", SOON, async || silent.connection.close_reason());
    let ended = ended.await.to_string();
    assert!(ended.contains("time") || ended.contains("TIMEOUT") || ended.contains("24"), "{ended}");
    assert_served(&world, "all of it").await;
}

#[tokio::test]
async fn nobody_becomes_another_by_saying_so() {
    let world = World::new().await;
    let before = world.connector.until_online().await;
    let thief = stranger(&world, "thief").await;
    let mut hello = thief.hello();
    hello.workspace_id = Some(world.workspace.workspace_id.parse().expect("an id"));
    hello.attempt = u64::MAX;
    let mut link = thief.connect().await;
    link.send(&ToRelay::Hello(Box::new(hello))).await;
    let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
    assert_eq!(refusal.code, RefusalCode::WrongWorkspace, "{refusal:?}");
    assert_eq!(link.until_closed(SOON).await.0, Some(CloseCode::WrongWorkspace));
    assert_eq!(
        world.connector.until_online().await.since,
        before.since,
        "the victim's link is the same"
    );
    assert_served(&world, "the theft").await;

    let mut second = thief.online().await;
    let mut claim = thief.hello();
    claim.workspace_id = Some(world.workspace.workspace_id.parse().expect("an id"));
    second.send(&ToRelay::Hello(Box::new(claim))).await;
    assert!(matches!(second.next().await, ToConnector::Unsupported { .. }), "HELLO comes once");
    assert_served(&world, "a second HELLO").await;
}

#[tokio::test]
async fn acks_for_what_is_not_ones_own_change_nothing() {
    let world = World::with_agent("slow-head:300").await;
    let mut link = stranger(&world, "stranger").await.online().await;
    let endpoint = world.endpoint();
    let call = tokio::spawn(async move {
        let call = message("message/send", "m-1", "hello");
        tests::http::post_json(&endpoint, &call).await
    });
    until("the agent has the call", SOON, async || !world.agent.of("m-1").is_empty()).await;
    let acks = (1..200).map(|exchange| Ack { exchange, offset: 1 << 40, limit: 1 << 50 }).collect();
    let done = Frame::Done((1..200).collect());
    assert!(link.send_bytes(&encode(&[Frame::Acks(acks), done])).await);
    let answer = call.await.expect("a call").expect("an answer");
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    link.send(&ToRelay::Ping { seq: 1 }).await;
    assert_eq!(link.next().await, ToConnector::Pong { seq: 1 });
}

#[tokio::test]
async fn a_lying_ack_ends_the_liars_link() {
    let world = World::new().await;
    let workspace = world.relay.add_workspace("liar", &[]).await;
    let mut link = RawIdentity::join(&workspace.join).await.online().await;
    let json = [("Content-Type", "application/json")];
    let begun = begin("POST", &workspace.endpoint(), &json, Some(20_000)).await;
    let (mut call, mut upload) = begun.expect("the relay");
    upload.send(10_000).await.expect("half a body");
    let (_send, mut recv) = link.accept_unread().await;
    let mut reader = shared::wire::FrameReader::default();
    let exchange = loop {
        let chunk = recv.read_chunk(4096, true).await.expect("a chunk").expect("more");
        let mut bytes = chunk.bytes;
        if let Some(Frame::RequestHead(head)) = reader.next(&mut bytes).expect("a frame") {
            break head.exchange.counter;
        }
    };
    let lie = Ack { exchange, offset: 1 << 30, limit: 1 << 40 };
    link.send_bytes(&encode(&[Frame::Acks(vec![lie])])).await;
    assert_eq!(link.until_closed(SOON).await.0, Some(CloseCode::Protocol));
    let lost = call.response().await.expect("an answer");
    assert_eq!((lost.status, lost.relay_error()), (502, Some("RELAY_TUNNEL_LOST")), "{lost:?}");
    assert_served(&world, "the lie").await;
}

#[tokio::test]
async fn a_connector_that_opens_streams_gets_few_and_no_memory() {
    let world = World::new().await;
    let link = stranger(&world, "flood").await.online().await;
    let before = world.relay.process().rss_bytes();
    let mut opened = Vec::new();
    let megabyte = vec![7; 1 << 20];
    while let Ok(stream) = timeout(Duration::from_millis(300), link.connection.open_bi()).await {
        let (mut send, recv) = stream.expect("the link is up");
        for _ in 0..8 {
            if timeout(Duration::from_millis(200), send.write_all(&megabyte)).await.is_err() {
                break;
            }
        }
        opened.push((send, recv));
        assert!(opened.len() <= 80, "the relay lets a connector open {} streams", opened.len());
    }
    assert!(timeout(Duration::from_millis(300), link.connection.open_uni()).await.is_err());
    let grown = world.relay.process().rss_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the relay keeps {} MiB for one connector", grown >> 20);
    assert_served(&world, "the flood").await;
}

#[tokio::test]
async fn a_connector_that_never_reads_loses_its_link() {
    let world = World::new().await;
    let mut link = stranger(&world, "deaf").await.online().await;
    let pings: Vec<Frame> = (0..2_000)
        .map(|seq| Frame::Control(format!("{{\"kind\":\"ping\",\"seq\":{seq}}}").into()))
        .collect();
    let pings = encode(&pings);
    let sending = async { while link.send_bytes(&pings).await {} };
    let ended = timeout(Duration::from_secs(60), sending).await;
    assert!(ended.is_ok(), "the relay waits for a connector that never reads");
    assert!(!link.is_open());
    assert_served(&world, "the deaf connector").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn junk_at_the_tunnels_port_does_nothing() {
    let world = World::new().await;
    let before = world.connector.until_online().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let mut chance = Chance::seeded(tests::chance::seed("junk"));
    // The long header of a QUIC Initial, so that some of it is looked into.
    let initial = HEXLOWER.decode(b"c00000000108000102030405060708").expect("hex");
    for number in 0..20_000 {
        let length = usize::try_from(chance.below(1_400)).expect("small") + 1;
        let mut junk: Vec<u8> = (0..length).map(|_| chance.next_u64().to_le_bytes()[0]).collect();
        if number % 2 == 0 && length > initial.len() {
            junk[..initial.len()].copy_from_slice(&initial);
        }
        socket.send_to(&junk, world.relay.tunnel()).await.expect("sent");
        if number % 2_000 == 0 {
            assert_served(&world, "junk").await;
        }
    }
    assert_eq!(world.connector.until_online().await.since, before.since, "the link is the same");
    let health = get(&format!("http://{}/healthz", world.relay.http())).await.expect("health");
    assert_eq!(health.status, 200);
    let said = world.relay.process().lines().len();
    assert!(said < 200, "the relay wrote {said} lines");
    world.until_quiet().await;
}
