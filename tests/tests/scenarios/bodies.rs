//! Bodies: large ones both ways in bounded memory, cut ones never whole, stuck ones in nobody's way.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};
use tests::{
    Call, Ending, Fingerprint, RawBehaviour, World, agent,
    agent::End,
    fingerprint::Running,
    http::{self, Piece, Upload, Version::Http1, send},
    until,
};

/// How much either process may grow while a body passes that is many times as large.
const GROWTH: u64 = 32 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

/// Begins a request whose body is still to be sent, of this length or of one not said before.
async fn begin(world: &World, id: &str, behaviour: &str, length: Option<u64>) -> (Call, Upload) {
    let headers =
        [("Content-Type", "application/json"), ("x-test-behaviour", behaviour), ("x-test-id", id)];
    let begun = http::begin("POST", &world.endpoint(), &headers, length).await;
    let (call, upload) = begun.expect("the relay");
    (call.patience(PATIENCE), upload)
}

#[tokio::test]
async fn two_hundred_megabytes_go_both_ways_at_once_in_bounded_memory() {
    let length = 200_000_000;
    let limit = ["--max-body", "200000000"];
    let world = World::builder().agent("echo").relay_args(&limit).start().await;
    let (relay, connector) = (world.relay.process(), world.connector.process());
    assert_eq!(world.call_as("warm", &[], b"{}").await.expect("an answer").text(), "{}");
    let before = (relay.peak_rss_bytes(), connector.peak_rss_bytes());
    let started = Instant::now();
    let (mut call, mut upload) = begin(&world, "large", "echo", Some(length)).await;
    let upload = tokio::spawn(async move {
        upload.send(length).await.expect("all of it");
        upload.end().await.expect("its end")
    });
    assert_eq!(call.head().await.expect("a head").status, 200);
    let mut received = Running::default();
    let (ending, back_before_all_was_sent) = loop {
        match call.piece().await {
            Piece::Data(bytes) => received.add(&bytes),
            Piece::End(ending) => break (ending, received.length()),
        }
    };
    assert_eq!(ending, Ending::Complete, "after {back_before_all_was_sent} bytes");
    let sent = upload.await.expect("sent");
    let grown = (relay.peak_rss_bytes() - before.0, connector.peak_rss_bytes() - before.1);
    eprintln!("{length} bytes each way in {:?}; grown by {grown:?}", started.elapsed());
    assert_eq!(received.done(), sent);
    assert_eq!(world.agent.until_whole("large").await.whole_body(), Some(&sent));
    assert!(grown.0 < GROWTH && grown.1 < GROWTH, "relay and connector grew by {grown:?} bytes");
    world.until_quiet().await;
}

#[tokio::test]
async fn uploads_of_every_size_arrive_whole_with_a_length_and_without() {
    let world = World::with_agent("hash").await;
    for length in [0, 1, 4_095, 4_096, 4_097, 65_535, 65_536, 65_537, 1_000_000, 7_000_001] {
        for said in [true, false] {
            let id = format!("u-{length}-{said}");
            let (mut call, mut upload) = begin(&world, &id, "hash", said.then_some(length)).await;
            upload.send(length).await.expect("sent");
            let sent = upload.end().await.expect("sent");
            let answer = call.response().await.expect("an answer");
            assert_eq!(answer.status, 200, "{id}: {answer:?}");
            let seen: Fingerprint = serde_json::from_value(answer.json()).expect("a fingerprint");
            assert_eq!(seen, sent, "{id}");
            world.assert_seen_once(&id);
        }
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn a_body_that_its_caller_cuts_is_never_whole_at_the_agent() {
    let world = World::with_agent("hash").await;
    for (round, (length, sent, by_reset)) in [
        (Some(1_000_000), 400_000, false),
        (Some(1_000_000), 999_999, false),
        (Some(1_000_000), 999_999, true),
        (Some(100), 99, false),
        (None, 400_000, false),
        (None, 400_000, true),
        (None, 3, false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("cut-{round}");
        let (call, mut upload) = begin(&world, &id, "hash", length).await;
        upload.send(sent).await.expect("sent");
        let fact = format!("{id} has reached the agent");
        until(&fact, PATIENCE, async || !world.agent.of(&id).is_empty()).await;
        drop(upload);
        if by_reset {
            call.reset()
        } else {
            drop(call)
        }
        let seen = world.agent.until_cut(&id).await;
        let agent::BodySeen::Cut { length: seen } = seen.body else { panic!("{seen:?}") };
        assert!(seen <= sent, "{id}: {seen} bytes");
        assert_eq!(world.agent.of(&id).len(), 1, "{id}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn an_early_answer_arrives_whole_and_ends_the_upload() {
    let world = World::with_agent("early-answer").await;
    for length in [Some(30_000_000), None] {
        let id = format!("early-{}", length.is_some());
        let (mut call, mut upload) = begin(&world, &id, "early-answer", length).await;
        let upload = tokio::spawn(async move { upload.send(30_000_000).await });
        let answer = call.response().await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "early"), "{id}: {answer:?}");
        assert!(answer.is_complete(), "{id}");
        let sent = tokio::time::timeout(PATIENCE, upload).await.expect("an end").expect("a task");
        assert!(sent.is_err(), "{id}: all of the upload was taken after the answer");
        let seen = world.agent.of(&id);
        assert!(seen.len() == 1 && seen[0].whole_body().is_none(), "{id}: {seen:?}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn trailers_of_an_answer_reach_a_caller_that_takes_them() {
    let wire = b"HTTP/1.1 200 OK\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\nX-Checksum: abc\r\nX-Relay-Error: forged\r\n\r\n";
    let world = World::builder().raw_agent(RawBehaviour::Bytes(wire.to_vec())).start().await;
    let headers = [("Content-Type", "application/json"), ("TE", "trailers")];
    let answer = Http1.post(&world.endpoint(), &headers, b"{}").await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{answer:?}");
    assert!(answer.is_complete(), "{answer:?}");
    assert_eq!(answer.trailers, [("x-checksum".to_owned(), b"abc".to_vec())], "{answer:?}");
    let plain = Http1.post(&world.endpoint(), &headers[..1], b"{}").await.expect("an answer");
    assert!(plain.is_complete() && plain.text() == "hello", "{plain:?}");
    assert!(plain.trailers.is_empty(), "it did not ask for trailers: {plain:?}");
}

#[tokio::test]
async fn an_answer_without_a_length_is_complete_by_an_orderly_end_alone() {
    let old = |end| RawBehaviour::Http10 { body: "old but whole".to_owned(), end };
    let world = World::builder().raw_agent(old(End::Fin)).start().await;
    let answer = world.call_as("fin", &[], b"{}").await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "old but whole"), "{answer:?}");
    assert!(answer.is_complete(), "{answer:?}");
    let world = World::builder().raw_agent(old(End::Reset)).start().await;
    let answer = world.call_as("rst", &[], b"{}").await.expect("an answer");
    // A reset may overtake the head; then there is a refusal instead.
    assert!(answer.status == 502 || !answer.is_complete(), "a reset looked complete: {answer:?}");
}

#[tokio::test]
async fn sixty_callers_that_stop_reading_delay_nobody() {
    let world = World::with_agent("a2a").await;
    let mut stuck = Vec::new();
    for number in 0..60 {
        let (id, behaviour) = (format!("stuck-{number}"), [("x-test-behaviour", "big:100000000")]);
        let headers =
            [&[("Content-Type", "application/json"), ("x-test-id", &id)], &behaviour[..]].concat();
        let call = send("POST", &world.endpoint(), &headers, Some(b"{}")).await;
        let mut call = call.expect("the relay").patience(PATIENCE);
        assert_eq!(call.head().await.expect("a head").status, 200);
        stuck.push(call);
    }
    let passed = Cell::new(f64::NAN);
    until("nothing moves for the callers that do not read", PATIENCE, async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = world.relay.metric("relay_bytes_total", &[]).await.expect("a counter");
        passed.replace(now) == now
    })
    .await;
    let mut times = Vec::new();
    for number in 0..21 {
        let started = Instant::now();
        let answer = world.call_as(&format!("small-{number}"), &[], b"{}").await;
        assert_eq!(answer.expect("an answer").status, 200);
        times.push(started.elapsed());
    }
    times.sort();
    eprintln!("beside 60 stuck callers: median {:?}, worst {:?}", times[10], times[20]);
    assert!(times[10] < Duration::from_millis(250), "{times:?}");
    assert_eq!(world.relay.metric("relay_streams_in_flight", &[]).await, Some(60.0));
    drop(stuck);
    world.until_quiet().await;
}
