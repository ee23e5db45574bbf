//! Bodies one byte over the limit: refused so that it can be read, never whole at the agent.

use super::Paths;
use tests::{
    RawClient, Refusal, World,
    http::frames::{DATA, END_HEADERS, END_STREAM, Fate, FrameClient, HEADERS, fields, frame},
    refusal::call_with_id,
};

const LIMIT: usize = 100_000;
const ROUNDS: usize = 20;
const TOO_LARGE: Refusal = Refusal::new(413, "RELAY_BODY_TOO_LARGE");
const ID: &str = "9007199254740993";

/// How a body says where it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Length,
    Chunks,
    LengthExpected,
    ChunksExpected,
}
use Framing::{Chunks, ChunksExpected, Length, LengthExpected};

/// A call that was blown up to this length.
fn body(length: usize) -> Vec<u8> {
    let mut body = call_with_id(ID);
    body.resize(length, b' ');
    body
}

/// The head of a call and its body, framed.
fn request(paths: &Paths, id: &str, framing: Framing, body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let expected = matches!(framing, LengthExpected | ChunksExpected);
    let expect = if expected { "Expect: 100-continue\r\n" } else { "" };
    let (says, body) = match framing {
        Length | LengthExpected => (format!("Content-Length: {}", body.len()), body.to_vec()),
        Chunks | ChunksExpected => {
            // The last byte comes in a chunk of its own.
            let (most, last) = body.split_at(body.len() - 1);
            let size = format!("{:x}\r\n", most.len());
            let chunks = [size.as_bytes(), most, b"\r\n1\r\n", last, b"\r\n0\r\n\r\n"].concat();
            ("Transfer-Encoding: chunked".to_owned(), chunks)
        }
    };
    let head = format!(
        "POST {{path}} HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: application/json\r\n\
        x-test-id: {id}\r\nx-test-behaviour: hash\r\n{expect}{says}\r\n\r\n"
    );
    (paths.fill(&head), body)
}

#[tokio::test]
async fn one_byte_over_the_limit_is_refused_readably_every_time() {
    let world = World::builder().relay_args(&["--max-body", &LIMIT.to_string()]).start().await;
    let paths = Paths::of(&world);
    for framing in [Length, Chunks, LengthExpected, ChunksExpected] {
        for round in 0..ROUNDS {
            let (head, body) = request(&paths, "over", framing, &body(LIMIT + 1));
            let mut client = RawClient::connect(&paths.host).await.expect("the relay");
            client.send(&head).await.expect("sent");
            if framing == ChunksExpected {
                assert_eq!(client.interim().await.expect("an interim answer"), 100);
            }
            // Who announces too much is refused before it is asked for any of it.
            if framing != LengthExpected {
                let _ = client.send_more(&body).await;
            }
            let answer = client.response().await;
            let answer = answer.unwrap_or_else(|cut| panic!("{framing:?}, round {round}: {cut}"));
            // Without its body nobody knows its id.
            let id = if matches!(framing, Length | Chunks) { ID } else { "null" };
            TOO_LARGE.assert_json_rpc(&answer, id);
            assert!(answer.head.interims.is_empty(), "{framing:?}: {answer:?}");
        }
    }
    let whole = |seen: &tests::agent::Delivery| seen.whole_body().is_some();
    assert!(!world.agent.of("over").iter().any(whole), "a body over the limit was delivered");
    for framing in [Length, Chunks] {
        let id = format!("fits-{framing:?}");
        let (head, body) = request(&paths, &id, framing, &body(LIMIT));
        let mut client = RawClient::connect(&paths.host).await.expect("the relay");
        client.send(&[head, body].concat()).await.expect("sent");
        let answer = client.response().await.expect("an answer");
        assert_eq!((answer.status, answer.json()["length"].as_u64()), (200, Some(LIMIT as u64)));
        world.assert_seen_once(&id);
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn one_byte_over_the_limit_is_refused_readably_on_http_2_and_costs_one_stream() {
    let world = World::builder().relay_args(&["--max-body", &LIMIT.to_string()]).start().await;
    let paths = Paths::of(&world);
    let mut client = FrameClient::connect(world.relay.http()).await;
    client.until_allowed().await;
    let over = body(LIMIT + 1);
    for round in 0..2 * ROUNDS as u32 {
        let stream = 2 * round + 1;
        let length = over.len().to_string();
        let (path, announced) = (paths.endpoint(), [("content-length", length.as_str())]);
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", &paths.host),
            (":path", &path),
            ("content-type", "application/json"),
            ("x-test-id", "over-2"),
            ("x-test-behaviour", "hash"),
        ];
        let head = [&head[..], &announced[..usize::from(round % 2 == 0)]].concat();
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &fields(&head));
        for piece in over.chunks(16_000) {
            bytes.extend(frame(DATA, 0, stream, piece));
        }
        bytes.extend(frame(DATA, END_STREAM, stream, &[]));
        client.send(&bytes).await.expect("sent");
        let fate = client.fate_of(stream).await;
        let Fate::Answered(answer) = fate else { panic!("round {round}: {fate:?}") };
        let marks = (answer.status(), answer.header("x-relay-error"));
        assert_eq!(marks, (413, Some("RELAY_BODY_TOO_LARGE")), "round {round}: {answer:?}");
        let text = String::from_utf8_lossy(&answer.body);
        TOO_LARGE.assert_error(&text, ID);
    }
    let whole = |seen: &tests::agent::Delivery| seen.whole_body().is_some();
    assert!(!world.agent.of("over-2").iter().any(whole), "a body over the limit was delivered");
    world.until_quiet().await;
}
