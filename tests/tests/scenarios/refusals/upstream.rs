//! The local agent fails: refuses, resets, hangs up, talks garbage, or speaks in the relay's name.

use std::time::Duration;
use tests::{
    RawBehaviour, RawResponse, Refusal, World,
    agent::{BodySeen, End},
    http::begin,
    refusal::{call_with_id, post_with_id},
};

/// The id that must come back as it stands.
const ID: &str = r#""q\u0022\/9""#;

async fn ask(behaviour: RawBehaviour) -> (World, RawResponse) {
    let world = World::builder().raw_agent(behaviour).start().await;
    let answer = post_with_id(&world.endpoint(), "r", ID).await;
    (world, answer)
}

#[tokio::test]
async fn a_closed_port_is_named_and_nothing_was_sent() {
    let (world, answer) = ask(RawBehaviour::Refuse).await;
    let refused = Refusal::new(503, "RELAY_UPSTREAM_REFUSED").retry_after("5");
    let sentence = refused.assert_json_rpc(&answer, ID);
    let address = format!("127.0.0.1:{}", world.agent.port());
    assert!(sentence.contains(&address), "{sentence}");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_refusal_waits_a_moment_for_the_id_of_a_body_that_lags_behind_its_head() {
    let (world, _) = ask(RawBehaviour::Refuse).await;
    let body = call_with_id(ID);
    for length in [Some(body.len() as u64), None] {
        let json = [("Content-Type", "application/json")];
        let begun = begin("POST", &world.endpoint(), &json, length).await;
        let (mut call, mut upload) = begun.expect("the relay");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (first, rest) = body.split_at(5);
        for piece in [first, rest] {
            upload.send_bytes(piece.to_vec()).await.expect("sent");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let refused = Refusal::new(503, "RELAY_UPSTREAM_REFUSED").retry_after("5");
        refused.assert_json_rpc(&call.response().await.expect("an answer"), ID);
    }
}

#[tokio::test]
async fn an_agent_that_resets_or_hangs_up_may_have_acted() {
    for behaviour in [RawBehaviour::Reset, RawBehaviour::Hangup] {
        let (world, answer) = ask(behaviour).await;
        Refusal::maybe(502, "RELAY_UPSTREAM_RESET").assert_json_rpc(&answer, ID);
        world.assert_seen_once("r");
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn an_agent_that_answers_with_no_http_may_have_acted() {
    let too_many = "X-Field: 1\r\n".repeat(200);
    for nonsense in [
        RawBehaviour::Garbage,
        RawBehaviour::Bytes(b"220 mail.example ESMTP\r\n".to_vec()),
        RawBehaviour::Bytes(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec(),
        ),
        RawBehaviour::Bytes(format!("HTTP/1.1 200 OK\r\n{too_many}\r\n").into_bytes()),
    ] {
        let shown = format!("{nonsense:.60?}");
        let (world, answer) = ask(nonsense).await;
        assert_eq!(answer.relay_error(), Some("RELAY_UPSTREAM_PROTOCOL"), "{shown}: {answer:?}");
        Refusal::maybe(502, "RELAY_UPSTREAM_PROTOCOL").assert_json_rpc(&answer, ID);
        world.assert_seen_once("r");
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn interim_answers_end_at_the_relay() {
    let (world, answer) = ask(RawBehaviour::InterimFlood { count: 50 }).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{answer:?}");
    assert!(answer.head.interims.is_empty(), "{answer:?}");
    assert!(answer.is_complete());
    world.until_quiet().await;
}

#[tokio::test]
async fn an_agent_cannot_speak_as_the_relay_or_to_the_callers_connection() {
    let (world, answer) = ask(RawBehaviour::Forged).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{answer:?}");
    assert!(answer.is_complete(), "{answer:?}");
    assert_eq!(answer.header("x-end-to-end"), Some("kept"));
    let hop = ["x-hop", "keep-alive", "proxy-authenticate", "upgrade"];
    let forged = |name: &str| name.starts_with("x-relay-") || hop.contains(&name);
    let names = answer.head.headers.iter().map(|(name, _)| name.to_lowercase());
    let crossed: Vec<_> = names.filter(|name| forged(name)).collect();
    assert!(crossed.is_empty(), "{crossed:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_cut_answer_of_the_agent_is_a_cut_answer_at_the_caller() {
    let half = |end| RawBehaviour::Half { promised: 1_000, sent: 400, end };
    let chunks = |end| RawBehaviour::ChunksCut { chunks: 3, end };
    for behaviour in [half(End::Fin), chunks(End::Fin), half(End::Reset), chunks(End::Reset)] {
        let shown = format!("{behaviour:?}");
        let (world, answer) = ask(behaviour).await;
        // A reset may overtake the head; then there is a refusal instead.
        if answer.status == 502 {
            assert!(shown.contains("Reset"), "{shown}: {answer:?}");
            Refusal::maybe(502, "RELAY_UPSTREAM_RESET").assert_json_rpc(&answer, ID);
        } else {
            assert_eq!(answer.status, 200, "{shown}: {answer:?}");
            assert!(!answer.is_complete(), "{shown}: looked complete: {answer:?}");
            assert!(
                [400, 15].contains(&answer.body.len()) || shown.contains("Reset"),
                "{answer:?}"
            );
        }
        let seen = world.agent.of("r");
        assert!(matches!(seen[..], [ref one] if one.body != BodySeen::Reading), "{seen:?}");
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_cut_the_answer_short() {
    let both = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n\r\n";
    let (world, answer) = ask(RawBehaviour::Bytes(both.to_vec())).await;
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    assert_eq!(answer.text(), "hello");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_cut_event_stream_of_announced_length_ends_short_of_it() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 600\r\n\r\n";
    let answer = [head, "data: 1\n\n"].concat().into_bytes();
    let (world, answer) = ask(RawBehaviour::Bytes(answer)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.is_complete(), "an event filled it up: {answer:?}");
    world.until_quiet().await;
}
