//! Heads that HTTP/2 forbids or that no library sends: refused at the relay, and never at the agent.

use super::JSON;
use std::time::Duration;
use tests::{
    Cut, Refusal, Relay, World,
    http::{FrameClient, Reason, Version},
};

/// What became of a request with these fields and no body, on a connection of its own.
async fn ask(world: &World, fields: &[(&str, &str)]) -> Result<u16, Cut> {
    let mut client = FrameClient::connect(world.relay.http()).await.expect("the relay");
    client.request(1, fields).await.expect("sent");
    client.status(1).await
}

/// The path of the agent's endpoint.
fn endpoint_path(world: &World) -> String {
    let endpoint = world.endpoint();
    endpoint[endpoint.find("/agents/").expect("a path")..].to_owned()
}

/// Refused by the protocol, be it the stream or the connection, or by a status.
fn is_refused(seen: &Result<u16, Cut>) -> bool {
    matches!(
        seen,
        Ok(400)
            | Err(Cut::Reset(Some(Reason::PROTOCOL_ERROR)) | Cut::GoAway(Reason::PROTOCOL_ERROR))
    )
}

#[tokio::test]
async fn fields_that_http2_forbids_are_refused() {
    let world = World::new().await;
    let (path, host) = (endpoint_path(&world), world.relay.http().to_string());
    let pseudo =
        [(":method", "POST"), (":scheme", "http"), (":authority", &host), (":path", &path)];
    let seen = [("content-type", "application/json"), ("x-test-id", "f")];
    for wrong in [
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("X-Upper", "1"),
        ("x_y", "1"),
        ("", "1"),
        ("x-\r\nx-relay-caller", "1"),
        ("x-line", "1\r\nx-relay-caller: ws_admin"),
        ("x-null", "1\0"),
        ("content-length", "5"),
        ("content-length", "+0"),
        ("host", "other.example"),
        (":authority", "other.example"),
        (":path", "/healthz"),
        (":unknown", "1"),
    ] {
        let fields = [&pseudo[..], &seen, &[wrong]].concat();
        let answer = ask(&world, &fields).await;
        assert!(is_refused(&answer), "{wrong:?}: {answer:?}");
    }
    for missing in [":method", ":scheme", ":path"] {
        let there = pseudo.iter().copied().filter(|(name, _)| *name != missing);
        let fields: Vec<_> = there.chain(seen).collect();
        let answer = ask(&world, &fields).await;
        assert!(is_refused(&answer), "without {missing}: {answer:?}");
    }
    let late = [&pseudo[..3], &seen, &pseudo[3..]].concat();
    let answer = ask(&world, &late).await;
    assert!(is_refused(&answer), "a pseudo-field behind a field: {answer:?}");
    world.assert_unseen("f");

    let good = [&pseudo[..], &seen, &[("host", host.as_str()), ("te", "trailers")]].concat();
    assert_eq!(ask(&world, &good).await, Ok(200), "the same without anything wrong");
    world.assert_seen_once("f");
}

#[tokio::test]
async fn no_trick_with_a_path_reaches_the_agent() {
    let world = World::new().await;
    let endpoint = endpoint_path(&world);
    let (base, host) = (endpoint.trim_end_matches("/a2a"), world.relay.http().to_string());
    let card = format!("{base}/.well-known/agent-card.json");
    let ask = async |method: &str, path: &str| {
        let fields = [
            (":method", method),
            (":scheme", "http"),
            (":authority", &host),
            (":path", path),
            ("content-type", "application/json"),
            ("x-test-id", "trick"),
        ];
        ask(&world, &fields).await
    };
    for path in [
        format!("{base}/a2a/../secret"),
        format!("{base}/a2a/%2e%2e/secret"),
        format!("{base}/./a2a"),
        format!("{base}//a2a"),
        format!("/{base}/a2a"),
        format!("{base}/\\..\\secret"),
        format!("{base}/a2a%00"),
        format!("{base}/a2a\0"),
        format!("{base}/a2a HTTP/1.1\r\nx-a: b"),
        format!("{base}/%61%32%61"),
        format!("{base}/secret"),
        format!("http://{host}{base}/secret"),
        format!("http://other.example{endpoint}"),
        "*".to_owned(),
        String::new(),
        "a2a".to_owned(),
    ] {
        let answer = ask("POST", &path).await;
        assert!(answer == Ok(404) || is_refused(&answer), "{path:?}: {answer:?}");
    }
    world.assert_unseen("trick");
    assert_eq!(ask("GET", &card).await, Ok(200));
}

#[tokio::test]
async fn heads_over_the_limits_are_refused_with_a_code() {
    let world = World::new().await;
    let (long, query) = ("v".repeat(33 * 1024), "q".repeat(9 * 1024));
    let headers = [JSON, ("x-test-id", "head"), ("x-long", &long)];
    let large = Version::Http2.post(&world.endpoint(), &headers, b"{}").await.expect("an answer");
    Refusal::new(431, "RELAY_HEADERS_TOO_LARGE").assert_marks(&large);
    let url = format!("{}?{query}", world.endpoint());
    let long = Version::Http2.post(&url, &headers[..2], b"{}").await.expect("an answer");
    Refusal::new(414, "RELAY_URI_TOO_LONG").assert_marks(&long);
    world.assert_unseen("head");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_head_that_is_never_finished_has_ten_seconds() {
    let relay = Relay::start().await;
    let mut client = FrameClient::connect(relay.http()).await.expect("the relay");
    client.send(FrameClient::HEADERS, 0, 1, b"\x82").await.expect("sent");
    let closed = async { while client.next().await.is_ok() {} };
    let closed = tokio::time::timeout(Duration::from_secs(20), closed).await;
    assert!(closed.is_ok(), "the connection is still open after 20 s");
}
