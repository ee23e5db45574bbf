//! Callers on HTTP/2: many calls on one connection, each with an end of its own.

use serde_json::Value;
use std::time::Duration;
use tests::{
    Call, Cut, Ending, Fingerprint, RawBehaviour, Refusal, World,
    agent::{Answer, End},
    http::{Connection, Piece, Reason, Version},
    refusal::call_with_id,
    until,
};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(10);
const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn connect(world: &World) -> Connection {
    Connection::connect(&world.relay.http().to_string()).await.expect("the relay")
}

/// Sends a call to the agent, with an id for its journal and its answer, and what it shall do.
async fn send(connection: &Connection, world: &World, id: &str, behaviour: &str) -> Call {
    let headers = [JSON, ("x-test-id", id), ("x-test-behaviour", behaviour)];
    let body = call_with_id(&format!("\"{id}\""));
    let call = connection.send("POST", &world.endpoint(), &headers, Some(&body)).await;
    call.expect("a stream")
}

/// The connection serves.
async fn assert_serves(connection: &Connection, world: &World, after: &str) {
    let mut call = send(connection, world, after, "a2a").await;
    let answer = call.response().await.unwrap_or_else(|cut| panic!("after {after}: {cut}"));
    assert_eq!((answer.status, answer.is_complete()), (200, true), "after {after}: {answer:?}");
    assert_eq!(answer.json()["id"], after);
}

#[tokio::test]
async fn a_slow_call_holds_up_no_other_on_its_connection() {
    let world = World::new().await;
    let connection = connect(&world).await;
    let mut calls = JoinSet::new();
    for number in 0..60 {
        let id = format!("m-{number}");
        let behaviour = if number == 0 { "slow-head:4000" } else { "a2a" };
        let mut call = send(&connection, &world, &id, behaviour).await;
        calls.spawn(async move { (id, call.response().await) });
    }
    let mut answered = Vec::new();
    while let Some(call) = calls.join_next().await {
        let (id, answer) = call.expect("a call");
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.is_complete()), (200, true), "{id}: {answer:?}");
        assert_eq!(answer.json()["id"], *id, "an answer of another stream");
        world.assert_seen_once(&id);
        answered.push(id);
    }
    assert_eq!(answered.last().map(String::as_str), Some("m-0"), "{answered:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_up_no_other_on_its_connection() {
    let world = World::new().await;
    let connection = connect(&world).await;
    let mut unread = Vec::new();
    for number in 0..5 {
        let id = format!("unread-{number}");
        let mut call = send(&connection, &world, &id, "big:100000000").await;
        assert_eq!(call.head().await.expect("a head").status, 200);
        unread.push(call);
    }
    for number in 0..10 {
        assert_serves(&connection, &world, &format!("read-{number}")).await;
    }
    drop(unread);
    for number in 0..5 {
        world.agent.until_abandoned(&format!("unread-{number}")).await;
    }
    assert_serves(&connection, &world, "last").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn trailers_come_exactly_as_the_agent_sends_them_whether_asked_for_or_not() {
    let head = "HTTP/1.1 200 OK\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n";
    let some = "X-Checksum: abc\r\nX-Other: 1\r\nX-Relay-Error: forged\r\n";
    let sum = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let both = vec![sum("x-checksum", "abc"), sum("x-other", "1")];
    for (sent, expected) in [(some, both), ("", Vec::new())] {
        let wire = format!("{head}{sent}\r\n").into_bytes();
        let world = World::builder().raw_agent(RawBehaviour::Bytes(wire)).start().await;
        for asked in [&[JSON, ("TE", "trailers")][..], &[JSON]] {
            let answer = Version::Http2.post(&world.endpoint(), asked, b"{}").await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{answer:?}");
            assert!(answer.is_complete(), "{answer:?}");
            let mut trailers = answer.trailers.clone();
            trailers.sort();
            assert_eq!(trailers, expected, "asked {asked:?}: {answer:?}");
        }
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn a_stream_that_its_caller_resets_ends_at_the_agent_and_no_other_does() {
    let world = World::new().await;
    let connection = connect(&world).await;
    let stays = send(&connection, &world, "stays", "never").await;
    let thinks = send(&connection, &world, "thinks", "never").await;
    let mut streams = send(&connection, &world, "streams", "big-chunked:100000000").await;
    assert_eq!(streams.head().await.expect("a head").status, 200);
    for id in ["stays", "thinks", "streams"] {
        world.agent.until_whole(id).await;
    }
    let headers = [JSON, ("x-test-id", "uploads"), ("x-test-behaviour", "hash")];
    let begun = connection.begin("POST", &world.endpoint(), &headers, None).await;
    let (uploads, mut upload) = begun.expect("a stream");
    upload.send(100_000).await.expect("sent");
    until("it has reached the agent", SOON, async || !world.agent.of("uploads").is_empty()).await;

    drop(upload);
    for call in [thinks, streams, uploads] {
        call.reset();
    }
    world.agent.until_abandoned("thinks").await;
    world.agent.until_abandoned("streams").await;
    world.agent.until_cut("uploads").await;
    assert_eq!(world.agent.of("stays")[0].answer, Answer::Pending, "it was not reset");
    assert_serves(&connection, &world, "resets").await;
    drop(stays);
    world.agent.until_abandoned("stays").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn an_answer_that_the_agent_cuts_is_a_stream_that_is_reset() {
    let half = RawBehaviour::Half { promised: 1_000, sent: 400, end: End::Fin };
    let chunks = RawBehaviour::ChunksCut { chunks: 3, end: End::Fin };
    for behaviour in [half, chunks] {
        let shown = format!("{behaviour:?}");
        let world = World::builder().raw_agent(behaviour).start().await;
        let connection = connect(&world).await;
        for round in 0..3 {
            let mut call = send(&connection, &world, &format!("c-{round}"), "").await;
            let answer = call.response().await.expect("a head");
            assert_eq!(answer.status, 200, "{shown}: {answer:?}");
            assert!(answer.body.len() <= 400, "{shown}: {answer:?}");
            let Ending::Cut(Cut::Reset(Some(code))) = answer.ending else {
                panic!("{shown}: no reset: {answer:?}")
            };
            assert!(code != Reason::NO_ERROR && code != Reason::CANCEL, "{shown}: {code:?}");
        }
        world.until_quiet().await;
    }
}

#[tokio::test]
async fn a_body_that_differs_from_its_length_is_never_whole_with_what_is_too_much_or_missing() {
    let world = World::with_agent("hash").await;
    let connection = connect(&world).await;
    for (said, sent) in [(10, 5), (10, 15), (100_000, 99_999), (0, 5)] {
        let id = format!("{sent}-of-{said}");
        let headers = [JSON, ("x-test-id", &id)];
        let begun = connection.begin("POST", &world.endpoint(), &headers, Some(said)).await;
        let (mut call, mut upload) = begun.expect("a stream");
        // The relay may have reset the stream before it takes all.
        let _ = upload.send(sent).await;
        let _ = upload.end().await;
        let ended = call.response().await.map(|answer| answer.status);
        assert!(matches!(ended, Ok(400) | Err(Cut::Reset(Some(_)))), "{id}: {ended:?}");
        assert_serves(&connection, &world, &format!("after {id}")).await;
        // With too much, the length said may have been forwarded before the rest was seen.
        let said = |seen: &Fingerprint| sent > said && seen.length == said;
        let seen = world.agent.of(&id);
        assert!(seen.iter().filter_map(|seen| seen.whole_body()).all(said), "{id}: {seen:?}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn cookies_in_several_fields_are_one_field_for_the_agent() {
    let world = World::new().await;
    // HTTP/2 may split them, HTTP/1.1 must not (RFC 9113, section 8.2.3).
    let headers = [JSON, ("x-test-id", "c"), ("cookie", "a=1"), ("cookie", "b=2")];
    let answer = Version::Http2.post(&world.endpoint(), &headers, &call_with_id("1")).await;
    assert_eq!(answer.expect("an answer").status, 200);
    let [seen] = &world.agent.of("c")[..] else { panic!("not seen once") };
    let cookies: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "cookie").collect();
    assert_eq!(cookies, [&("cookie".to_owned(), "a=1; b=2".to_owned())]);
}

#[tokio::test]
async fn a_connection_outlives_refusals_and_lost_links() {
    let mut world = World::builder().relay_args(&["--max-body", "100000"]).start().await;
    let connection = connect(&world).await;
    let refused = async |url: &str, length: u64| {
        let begun = connection.begin("POST", url, &[JSON], Some(length)).await;
        let (mut call, mut upload) = begun.expect("a stream");
        // The relay may have refused by now, and take no more.
        let _ = upload.send_bytes(call_with_id("7")).await;
        call.response().await.expect("an answer")
    };
    let unknown = world.endpoint().replace("/a2a", "/nothing");
    Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&refused(&unknown, 50_000).await);
    assert_serves(&connection, &world, "unknown").await;
    let large = refused(&world.endpoint(), 100_001).await;
    Refusal::new(413, "RELAY_BODY_TOO_LARGE").assert_marks(&large);
    assert_serves(&connection, &world, "large").await;

    let mut thinks = send(&connection, &world, "thinks", "never").await;
    let mut streams = send(&connection, &world, "streams", "big:100000000").await;
    assert_eq!(streams.head().await.expect("a head").status, 200);
    world.agent.until_whole("thinks").await;
    world.connector.start_again();
    let lost = thinks.response().await.expect("an answer");
    Refusal::maybe(502, "RELAY_TUNNEL_LOST").assert_json_rpc(&lost, "\"thinks\"");
    let cut = loop {
        if let Piece::End(ending) = streams.piece().await {
            break ending;
        }
    };
    assert!(matches!(cut, Ending::Cut(Cut::Reset(Some(_)))), "{cut:?}");
    world.connector.until_online().await;
    assert_serves(&connection, &world, "lost").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn a_stream_of_events_that_is_lost_says_so_and_is_reset() {
    let mut world = World::new().await;
    let connection = connect(&world).await;
    let pace = [("x-test-events", "1000"), ("x-test-interval-ms", "200"), ("x-test-id", "s")];
    let body = tests::world::message("message/stream", "s-1", "stream").to_string();
    let headers = [&[JSON][..], &pace].concat();
    let call = connection.send("POST", &world.endpoint(), &headers, Some(body.as_bytes())).await;
    let mut stream = call.expect("a stream").patience(Duration::from_secs(60));
    assert_eq!(stream.head().await.expect("a head").status, 200);
    stream.next_event().await.expect("an event");
    world.connector.start_again();
    let mut last = Value::Null;
    let end = loop {
        match stream.next_event().await {
            Ok(event) => last = event.json(),
            Err(end) => break end,
        }
    };
    let told = &last["error"]["data"][0];
    assert_eq!((&last["id"], &told["reason"]), (&"s-1".into(), &"RELAY_STREAM_LOST".into()));
    assert_eq!(told["metadata"]["delivery"], "delivered", "{last}");
    assert!(matches!(end, Ending::Cut(Cut::Reset(Some(_)))), "{end:?}");
    world.connector.until_online().await;
    assert_serves(&connection, &world, "the loss").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn both_versions_of_http_are_served_on_one_port() {
    let world = World::new().await;
    let connection = connect(&world).await;
    until("the relay says its limit", SOON, async || connection.streams_max() == 250).await;
    let mut calls = JoinSet::new();
    for number in 0..20 {
        let (version, shown) =
            [(Version::Http1, "HTTP/1.1"), (Version::Http2, "HTTP/2.0")][number % 2];
        let (endpoint, id) = (world.endpoint(), number.to_string());
        calls.spawn(async move {
            let answer = version.post(&endpoint, &[JSON], &call_with_id(&id)).await;
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.head.version.as_str()), (200, shown), "{answer:?}");
            assert_eq!(answer.json()["id"].to_string(), id);
        });
    }
    while let Some(call) = calls.join_next().await {
        call.expect("a call");
    }
    for version in [Version::Http1, Version::Http2] {
        let card = version.get(&world.workspace.card()).await.expect("a card");
        assert_eq!(card.status, 200, "{version:?}: {card:?}");
    }
    assert_serves(&connection, &world, "all of it").await;
    world.until_quiet().await;
}

#[tokio::test]
async fn a_relay_that_is_told_to_end_finishes_the_calls_of_a_connection() {
    let world = World::with_agent("slow-head:3000").await;
    let connection = connect(&world).await;
    let mut calls = Vec::new();
    for number in 0..5 {
        let id = format!("o-{number}");
        calls.push(send(&connection, &world, &id, "slow-head:3000").await);
        world.agent.until_whole(&id).await;
    }
    let idle = connect(&world).await;
    world.relay.process().terminate();
    world.relay.process().wait_for_line(|line| line.contains("drain"), SOON).await;
    // A call that comes too late is told so, or finds its connection closed to it.
    let late = connection.send("POST", &world.endpoint(), &[JSON], Some(b"{}")).await;
    let late = match late {
        Ok(mut late) => late.response().await,
        Err(cut) => Err(cut),
    };
    if let Ok(late) = late {
        Refusal::new(503, "RELAY_DRAINING").retry_after("1").assert_marks(&late);
    }
    for mut call in calls {
        let answer = call.response().await.expect("an answer");
        assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    }
    drop(idle);
    assert_eq!(world.relay.process().exit_code(Duration::from_secs(20)).await, 0);
}
