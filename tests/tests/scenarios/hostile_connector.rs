//! A connector that answers wrongly harms the one exchange, and nobody else's.

use shared::codes::StreamCode;
use shared::wire::{Frame, FrameKind};
use tests::{
    Call, Ending, RawIdentity, RawLink, RawResponse, World,
    http::{Piece, send},
    operator::WorkspaceHandle,
    raw_connector::frames::{data, encode, end, head, raw_frame},
    world::message,
};

/// A well-behaved world with a hostile neighbour in it.
struct Street {
    world: World,
    neighbour: WorkspaceHandle,
    link: RawLink,
}

impl Street {
    async fn open() -> Street {
        let world = World::new().await;
        let neighbour = world.relay.add_workspace("neighbour", &[]).await;
        let link = RawIdentity::join(&neighbour.join).await.online().await;
        Street { world, neighbour, link }
    }

    /// Sends a call to the neighbour, whose answer is still to be read.
    async fn call(&self) -> Call {
        let body = message("message/send", "h-1", "hello").to_string();
        let json = [("Content-Type", "application/json")];
        let call = send("POST", &self.neighbour.endpoint(), &json, Some(body.as_bytes())).await;
        call.expect("the relay is there")
    }

    /// Answers one call with these bytes, and the stream's end.
    async fn answer_with(&self, what: &str, bytes: &[u8]) -> RawResponse {
        let mut client = self.call().await;
        let mut exchange = self.link.accept().await;
        exchange.send(bytes).await;
        exchange.finish();
        client.response().await.unwrap_or_else(|cut| panic!("{what}: {cut}"))
    }

    /// The link is whole, and so is everybody else's.
    async fn assert_unharmed(&self, what: &str) {
        let mut client = self.call().await;
        self.link.accept().await.answer("{\"fine\":true}").await;
        let answer = client.response().await.expect("an answer");
        assert_eq!((answer.status, answer.is_complete()), (200, true), "after {what}: {answer:?}");
        let other = self.world.call(message("message/send", "m-1", "hello")).await;
        assert_eq!(other.status, 200, "after {what}: {other:?}");
    }
}

/// The payload of a response head with one field, whatever its bytes are.
fn one_field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 200, 1, 0];
    for part in [name, value] {
        payload.push(u8::try_from(part.len()).expect("a short part"));
        payload.extend_from_slice(part);
    }
    raw_frame(FrameKind::ResponseHead, &payload)
}

#[tokio::test]
async fn an_answer_that_breaks_the_protocol_is_a_typed_refusal() {
    let street = Street::open().await;
    let many: Vec<(String, &str)> = (0..200).map(|number| (format!("x-{number}"), "y")).collect();
    let many: Vec<(&str, &str)> =
        many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let large = "y".repeat(40_000);
    let cases = [
        ("nothing at all", vec![]),
        ("garbage", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        ("an unknown frame kind", vec![0x7f, 0]),
        ("a frame of the control stream", encode(&[Frame::Done(vec![1])])),
        (
            "a frame that only a relay sends",
            encode(&[Frame::Continue {
                exchange: shared::ids::ExchangeId {
                    instance: shared::ids::InstanceId(1),
                    counter: 1,
                },
                has_head: false,
                response_offset: 0,
            }]),
        ),
        ("an oversized head", raw_frame(FrameKind::ResponseHead, &vec![0; 60_000])),
        ("half a head", encode(&[head(200, &[])])[..2].to_vec()),
        ("200 fields", encode(&[head(200, &many)])),
        ("a header list over its limit", encode(&[head(200, &[("x-large", &large)])])),
        ("a line feed in a value", one_field(b"x-a", b"1\r\nx-relay-error: FAKE")),
        ("a NUL in a value", one_field(b"x-a", b"1\0")),
        ("a line feed in a name", one_field(b"x-a\r\nx-b", b"1")),
        ("an empty name", one_field(b"", b"1")),
        ("an upper-case name", one_field(b"X-A", b"1")),
        ("status 42", raw_frame(FrameKind::ResponseHead, &[0, 42, 0])),
        ("status 101", encode(&[head(101, &[])])),
        ("two lengths", encode(&[head(200, &[("content-length", "3"), ("content-length", "4")])])),
        ("a length that is none", encode(&[head(200, &[("content-length", "+3")])])),
        ("DATA before HEAD", encode(&[data("early"), head(200, &[]), end(5)])),
        ("END before HEAD", encode(&[end(0)])),
    ];
    for (what, bytes) in cases {
        let answer = street.answer_with(what, &bytes).await;
        let seen = (answer.status, answer.relay_error(), answer.delivery());
        assert_eq!(
            seen,
            (502, Some("RELAY_UPSTREAM_PROTOCOL"), Some("maybe")),
            "{what}: {answer:?}"
        );
        assert_eq!(answer.json()["id"], "h-1", "{what}");
        assert!(street.link.is_open(), "{what} ended the link");
    }
    street.assert_unharmed("all of it").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_behind_its_head_never_looks_whole() {
    let street = Street::open().await;
    let begin = [head(200, &[("content-type", "text/plain")]), data("abc")];
    let much = "x".repeat(200_000);
    for (what, rest) in [
        ("FIN without END", vec![]),
        ("END with too large a total", vec![end(4)]),
        ("END with too small a total", vec![end(2)]),
        ("a second HEAD", vec![head(200, &[]), end(3)]),
        ("more DATA than the credit", vec![data(&much)]),
        ("an INTERIM behind the head", vec![interim()]),
    ] {
        let mut client = street.call().await;
        let mut exchange = street.link.accept().await;
        assert!(exchange.send(&encode(&begin)).await);
        let answer_head = client.head().await.expect("a head");
        assert_eq!(answer_head.status, 200);
        exchange.send(&encode(&rest)).await;
        exchange.finish();
        let answer = client.rest_of(answer_head).await;
        assert_ne!(answer.ending, Ending::Complete, "{what}: {answer:?}");
        assert!(answer.body.starts_with(b"abc"), "{what}: {answer:?}");
        assert!(street.link.is_open(), "{what} ended the link");
    }
    street.assert_unharmed("all of it").await;
}

#[tokio::test]
async fn an_answer_that_is_all_wrong_behind_its_head_still_gets_its_caller_an_answer() {
    let street = Street::open().await;
    for (what, bytes) in [
        ("HEAD and FIN", encode(&[head(200, &[])])),
        ("HEAD and a wrong END", encode(&[head(200, &[]), end(7)])),
        ("HEAD and garbage", [encode(&[head(200, &[])]), vec![0x7f; 9]].concat()),
    ] {
        let mut client = street.call().await;
        let mut exchange = street.link.accept().await;
        exchange.send(&bytes).await;
        exchange.finish();
        let answer = client.response().await.unwrap_or_else(|cut| panic!("{what}: {cut}"));
        match answer.status {
            200 => assert_ne!(answer.ending, Ending::Complete, "{what}: {answer:?}"),
            status => assert_eq!(
                (status, answer.relay_error()),
                (502, Some("RELAY_UPSTREAM_PROTOCOL")),
                "{what}"
            ),
        }
    }
    street.assert_unharmed("all of it").await;
}

#[tokio::test]
async fn a_reset_within_an_answer_is_a_cut_and_within_events_an_explained_one() {
    let street = Street::open().await;
    for (media, explained) in [("text/plain", false), ("text/event-stream", true)] {
        let mut client = street.call().await;
        let mut exchange = street.link.accept().await;
        let begin = [head(200, &[("content-type", media)]), data("data: 1\n\n")];
        assert!(exchange.send(&encode(&begin)).await);
        client.head().await.expect("a head");
        assert!(matches!(client.piece().await, Piece::Data(first) if first == "data: 1\n\n"));
        exchange.reset(StreamCode::Cancelled);
        let mut rest = Vec::new();
        let ending = loop {
            match client.piece().await {
                Piece::Data(more) => rest.extend_from_slice(&more),
                Piece::End(ending) => break ending,
            }
        };
        assert_ne!(ending, Ending::Complete, "{media}");
        let rest = String::from_utf8(rest).expect("text");
        assert_eq!(rest.contains("RELAY_STREAM_LOST"), explained, "{media}: {rest}");
    }
    street.assert_unharmed("two resets").await;
}

#[tokio::test]
async fn a_few_interim_answers_end_at_the_relay_and_a_flood_ends_the_exchange() {
    let street = Street::open().await;
    let mut client = street.call().await;
    let mut exchange = street.link.accept().await;
    assert!(exchange.send(&encode(&vec![interim(); 20])).await);
    exchange.answer("{}").await;
    let answer = client.response().await.expect("an answer");
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    assert!(answer.head.interims.is_empty(), "{answer:?}");

    let mut client = street.call().await;
    let mut exchange = street.link.accept().await;
    let flood = encode(&vec![interim(); 1_000]);
    for _ in 0..20 {
        // The relay may stop the stream before it has all of it.
        let _ = exchange.send(&flood).await;
    }
    let answer = client.response().await.expect("an answer");
    assert_eq!(answer.relay_error(), Some("RELAY_UPSTREAM_PROTOCOL"), "{answer:?}");
    street.assert_unharmed("the flood").await;
}

fn interim() -> Frame {
    let Frame::ResponseHead(head) = head(103, &[("link", "</style.css>")]) else {
        unreachable!("a head is a head")
    };
    Frame::Interim(head)
}

#[tokio::test]
async fn an_answer_cannot_speak_as_the_relay_or_to_the_callers_connection() {
    let street = Street::open().await;
    let forged = [
        ("x-relay-error", "RELAY_FAKE"),
        ("x-relay-delivery", "not-sent"),
        ("x-relay-card", "rewritten"),
        ("x-request-id", "forged"),
        ("connection", "close, x-named"),
        ("x-named", "1"),
        ("keep-alive", "timeout=1"),
        ("proxy-authenticate", "Basic"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("x-own", "kept"),
    ];
    let answer = street
        .answer_with("forged fields", &encode(&[head(200, &forged), data("ok"), end(2)]))
        .await;
    assert_eq!(
        (answer.status, answer.is_complete(), &answer.text()[..]),
        (200, true, "ok"),
        "{answer:?}"
    );
    for gone in [
        "x-relay-error",
        "x-relay-delivery",
        "x-relay-card",
        "x-named",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
    ] {
        assert_eq!(answer.header(gone), None, "{gone} crossed: {answer:?}");
    }
    assert_ne!(answer.header("x-request-id"), Some("forged"));
    assert_eq!(answer.header("x-own"), Some("kept"));
    street.assert_unharmed("forged fields").await;
}
