//! Calls that come up a link: answered like those at the public listener, and bounded; who breaks the
//! protocol on one harms that one only.

use serde_json::{Value, json};
use shared::codes::{AbortCode, StreamCode};
use shared::ids::{ExchangeId, InstanceId};
use shared::limits::{CREDIT_MAX, FIRST_CREDIT, OUTBOUND_MAX};
use shared::wire::{Frame, FrameKind, RequestHead, Target};
use std::time::Duration;
use tests::{
    RawIdentity, RawLink, World,
    raw_connector::{
        calls::{CallEnd, call_head},
        frames::{data, encode, end, head, raw_frame},
    },
    until,
    world::message,
};
use tokio::time::timeout;

const A_MOMENT: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(10);

/// A well-behaved world with a neighbour in it that calls.
struct Street {
    world: World,
    link: RawLink,
    instance: InstanceId,
    admin: String,
}

impl Street {
    async fn open() -> Street {
        let world = World::new().await;
        let neighbour = world.relay.add_workspace("neighbour", &[]).await;
        let identity = RawIdentity::join(&neighbour.join).await;
        let admin = format!("Bearer {}", world.relay.admin_token());
        Street { link: identity.online().await, instance: identity.hello().instance, world, admin }
    }

    /// The head of a call of the operator: nothing in it says whose link it crosses.
    fn head(&self, number: u64, method: &str, path: &str) -> RequestHead {
        let fields = [("authorization", &self.admin[..]), ("content-type", "application/json")];
        call_head(self.instance, number, method, path, &fields)
    }

    fn whole(&self, number: u64, method: &str, path: &str, body: &str) -> Vec<u8> {
        let head = Frame::RequestHead(Box::new(self.head(number, method, path)));
        match body {
            "" => encode(&[head, end(0)]),
            body => encode(&[head, data(body), end(body.len() as u64)]),
        }
    }

    /// The link is whole, and so is everybody else's.
    async fn assert_unharmed(&self, what: &str) {
        let listed = self.link.call(&self.whole(1 << 40, "GET", "/workspaces", "")).await;
        assert_eq!(listed.status(), 200, "after {what}: {listed:?}");
        let other = self.world.call(message("message/send", "m-1", "hello")).await;
        assert_eq!(other.status, 200, "after {what}: {other:?}");
    }
}

fn json_of(end: &CallEnd) -> Value {
    let CallEnd::Answer(_, body) = end else { panic!("no answer: {end:?}") };
    serde_json::from_slice(body).unwrap_or_else(|e| panic!("{e}: {end:?}"))
}

#[tokio::test]
async fn a_call_up_the_link_is_answered_as_at_the_public_listener() {
    let street = Street::open().await;
    let made = json!({"name": "made over the link"}).to_string();
    let made = street.link.call(&street.whole(0, "POST", "/workspaces", &made)).await;
    assert_eq!(made.status(), 201, "{made:?}");
    let id = json_of(&made)["id"].as_str().map(str::to_owned);
    let id = id.or_else(|| json_of(&made)["workspace_id"].as_str().map(str::to_owned));
    let path = format!("/workspaces/{}", id.expect("an id"));
    let shown = street.link.call(&street.whole(1, "GET", &path, "")).await;
    assert_eq!(shown.status(), 200, "{shown:?}");
    let CallEnd::Answer(head, body) = &shown else { panic!("{shown:?}") };
    assert_eq!(head.fields["content-length"].to_str().expect("text"), body.len().to_string());
    assert!(head.fields.contains_key("x-request-id"));

    let bodiless = RequestHead { has_body: false, ..street.head(2, "HEAD", &path) };
    let bodiless = Frame::RequestHead(Box::new(bodiless));
    let looked = street.link.call(&encode(&[bodiless, end(0)])).await;
    assert!(matches!(&looked, CallEnd::Answer(_, body) if body.is_empty()), "{looked:?}");

    let nobody = call_head(street.instance, 3, "GET", "/workspaces", &[]);
    let nobody = street.link.call(&encode(&[Frame::RequestHead(Box::new(nobody)), end(0)])).await;
    assert_eq!(nobody.status(), 403, "the agent's own call, which lists nobody: {nobody:?}");
    assert_eq!(json_of(&nobody)["code"], "RELAY_FORBIDDEN");
    let nothing = street.link.call(&street.whole(4, "GET", "/nothing/here", "")).await;
    assert_eq!(nothing.status(), 404, "{nothing:?}");
}

#[tokio::test]
async fn a_connector_has_64_calls_open_and_no_more() {
    let street = Street::open().await;
    let mut open = Vec::new();
    for number in 0..u64::from(OUTBOUND_MAX) {
        let mut call = timeout(SOON, street.link.open()).await.expect("one of 64");
        let head = street.head(number, "POST", "/workspaces");
        assert!(call.send(&encode(&[Frame::RequestHead(Box::new(head))])).await);
        open.push(call);
    }
    let ended = street.link.call(&street.whole(64, "GET", "/workspaces", "")).await;
    assert!(matches!(ended, CallEnd::Reset(Some(StreamCode::Refused))), "a 65th: {ended:?}");
    let mut first = open.remove(0);
    first.send(&encode(&[end(0)])).await;
    first.finish();
    assert_eq!(first.end().await.status(), 400, "a workspace without a name");
    for number in 0..100 {
        let short = street.whole(100 + number, "GET", "/workspaces", "");
        let short = timeout(SOON, street.link.call(&short))
            .await
            .expect("63 long calls leave room for short ones");
        assert_eq!(short.status(), 200, "{short:?}");
    }
    drop(open);
    street.assert_unharmed("64 calls").await;
}

#[tokio::test]
async fn a_body_grows_with_its_acks_up_to_the_limit_of_the_api() {
    let mut street = Street::open().await;
    let mut call = street.link.open().await;
    let head = Frame::RequestHead(Box::new(street.head(0, "POST", "/workspaces")));
    call.send(&encode(&[head])).await;
    let (mut sent, mut limit, megabyte) = (0, FIRST_CREDIT, 1 << 20);
    let piece = Frame::Data(vec![b' '; 16 << 10].into());
    while sent <= megabyte {
        while sent + (16 << 10) <= limit && sent <= megabyte {
            call.send(&encode(std::slice::from_ref(&piece))).await;
            sent += 16 << 10;
        }
        if sent <= megabyte {
            let ack = street.link.acks().await.pop().expect("an ACK");
            assert!(ack.offset <= sent, "{ack:?}");
            limit = ack.limit;
        }
    }
    let refused = call.end().await;
    assert_eq!(refused.status(), 413, "{refused:?}");
    assert_eq!(json_of(&refused)["code"], "RELAY_BODY_TOO_LARGE");
    drop(call);
    street.assert_unharmed("a large body").await;
}

#[tokio::test]
async fn what_breaks_the_protocol_on_a_call_ends_that_call_only() {
    let street = Street::open().await;
    let right = street.head(0, "GET", "/workspaces");
    let framed = |head: RequestHead| encode(&[Frame::RequestHead(Box::new(head)), end(0)]);
    let with_name = |instance, counter| RequestHead {
        exchange: ExchangeId { instance: InstanceId(instance), counter },
        ..right.clone()
    };
    let begun = encode(&[Frame::RequestHead(Box::new(right.clone()))]);
    let behind = |frames: &[Frame]| [begun.clone(), encode(frames)].concat();
    let exchange = right.exchange;
    let late = Frame::Continue { exchange, has_head: false, response_offset: 0 };
    let flood = data(&"x".repeat(FIRST_CREDIT as usize + 1));
    for (what, bytes) in [
        ("nothing at all", vec![]),
        ("garbage", b"GET /workspaces HTTP/1.1\r\n\r\n".to_vec()),
        ("an unknown frame kind", vec![0x7f, 0]),
        ("a frame of the control stream", encode(&[Frame::Done(vec![1])])),
        ("the head of an answer", encode(&[head(200, &[]), end(0)])),
        ("half a head", begun[..9].to_vec()),
        ("an oversized head", raw_frame(FrameKind::RequestHead, &vec![0; 60_000])),
        ("DATA before the head", encode(&[data("x")])),
        ("END before the head", encode(&[end(0)])),
        ("CONTINUE", encode(std::slice::from_ref(&late))),
        ("another process", framed(with_name(99, exchange.counter))),
        ("a counter of the relay's", framed(with_name(street.instance.0, 1))),
        ("the target ENDPOINT", framed(RequestHead { target: Target::Endpoint, ..right.clone() })),
        ("the target CARD", framed(RequestHead { target: Target::Card, ..right.clone() })),
        (
            "more credit than the relay gives",
            framed(RequestHead { request_credit: CREDIT_MAX, ..right.clone() }),
        ),
        ("no END", begun.clone()),
        ("a wrong total", behind(&[data("xyz"), end(4)])),
        ("a second head", behind(&[Frame::RequestHead(Box::new(right.clone()))])),
        ("CONTINUE behind the head", behind(&[late])),
        ("more than the credit", behind(&[flood])),
        ("half a frame", behind(&[]).into_iter().chain([3, 9, 1]).collect()),
    ] {
        let ended = street.link.call(&bytes).await;
        let CallEnd::Abort(abort) = &ended else { panic!("{what}: {ended:?}") };
        assert_eq!(abort.code, AbortCode::Protocol, "{what}: {abort:?}");
        assert!(street.link.is_open(), "{what} ended the link");
    }
    street.assert_unharmed("all of it").await;
}

#[tokio::test]
async fn two_open_calls_have_two_names() {
    let street = Street::open().await;
    let begun = encode(&[Frame::RequestHead(Box::new(street.head(7, "POST", "/workspaces")))]);
    let mut first = street.link.open().await;
    first.send(&begun).await;
    tokio::time::sleep(A_MOMENT).await;
    let second = street.link.call(&[begun, encode(&[end(0)])].concat()).await;
    let CallEnd::Abort(abort) = &second else { panic!("{second:?}") };
    assert_eq!(abort.code, AbortCode::Protocol, "{abort:?}");
    first.send(&encode(&[end(0)])).await;
    assert_eq!(first.end().await.status(), 400, "the first goes on");
    let again = street.link.call(&street.whole(7, "GET", "/workspaces", "")).await;
    assert_eq!(again.status(), 200, "the name is free again");
}

#[tokio::test]
async fn calls_that_are_given_up_leave_nothing_behind() {
    let street = Street::open().await;
    for number in 0..3 * u64::from(OUTBOUND_MAX) {
        let mut call = timeout(SOON, street.link.open()).await.expect("room again");
        let head = Frame::RequestHead(Box::new(street.head(number, "POST", "/workspaces")));
        call.send(&encode(&[head, data("{\"na")])).await;
        match number % 3 {
            0 => call.reset(StreamCode::Cancelled),
            1 => drop(call),
            _ => {
                call.reset(StreamCode::Cancelled);
                call.stop();
            }
        }
    }
    street.assert_unharmed("192 calls that nobody waits for").await;
    let listed = street.link.call(&street.whole(1 << 41, "GET", "/workspaces", "")).await;
    assert_eq!(json_of(&listed).as_array().map(Vec::len), Some(2), "{listed:?}");
}

#[tokio::test]
async fn a_call_whose_head_does_not_come_is_reset() {
    let street = Street::open().await;
    let mut silent = street.link.open().await;
    silent.send(&[1]).await;
    let ended = silent.end().await;
    assert!(matches!(ended, CallEnd::Reset(Some(StreamCode::Timeout))), "{ended:?}");
    street.assert_unharmed("a silent call").await;
}

#[tokio::test]
async fn a_revoked_link_takes_its_calls_with_it() {
    let street = Street::open().await;
    let mut call = street.link.open().await;
    let head = Frame::RequestHead(Box::new(street.head(0, "POST", "/workspaces")));
    call.send(&encode(&[head])).await;
    let revoked = street.world.relay.cli(&["workspace", "revoke", "neighbour"]).await;
    assert_eq!(revoked.code, 0, "{revoked:?}");
    until("the link is cut", Duration::from_secs(1), async || !street.link.is_open()).await;
    let other = street.world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!(other.status, 200, "{other:?}");
}
