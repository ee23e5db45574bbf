//! Agents at their own URLs that break off, break the rules, or get too much.

use super::{Homed, laboratory};
use tests::{
    Agent, Ending, Fingerprint, RawAgent, RawBehaviour, Refusal, Relay,
    agent::{BodySeen, End},
    baseline::Baseline,
    fingerprint::Running,
    http::{Piece, begin, send},
    until,
};

/// What a relay may need for bodies that pass through it, bytes.
const GROWTH: u64 = 16 * 1024 * 1024;

async fn raw(relay: &Relay, behaviour: RawBehaviour) -> (RawAgent, Homed) {
    let agent = RawAgent::start(behaviour);
    let homed = Homed::at(relay, &format!("http://127.0.0.1:{}", agent.port())).await;
    (agent, homed)
}

#[tokio::test]
async fn each_trouble_has_its_code_and_its_delivery() {
    let relay = laboratory().await;
    let too_many = "X-Field: 1\r\n".repeat(200);
    let bytes = |text: &str| RawBehaviour::Bytes(text.as_bytes().to_vec());
    let refused = Refusal::new(503, "RELAY_UPSTREAM_REFUSED").retry_after("5");
    let reset = Refusal::maybe(502, "RELAY_UPSTREAM_RESET");
    let protocol = Refusal::maybe(502, "RELAY_UPSTREAM_PROTOCOL");
    for (behaviour, refusal) in [
        (RawBehaviour::Refuse, refused),
        (RawBehaviour::Reset, reset),
        (RawBehaviour::Hangup, reset),
        (RawBehaviour::Garbage, protocol),
        (bytes("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), protocol),
        (bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), protocol),
        (bytes("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), protocol),
        (bytes(&format!("HTTP/1.1 200 OK\r\n{too_many}\r\n")), protocol),
    ] {
        let shown = format!("{behaviour:.60?}");
        let (agent, homed) = raw(&relay, behaviour).await;
        let answer = homed.say("r").await;
        assert!(answer.relay_error().is_some(), "{shown}: {answer:?}");
        refusal.assert_json_rpc(&answer, "\"r\"");
        let came = usize::from(answer.delivery() == Some("maybe"));
        assert_eq!(agent.journal().of("r").len(), came, "{shown}");
    }
    let (_agent, homed) = raw(&relay, RawBehaviour::InterimFlood { count: 50 }).await;
    assert_eq!(homed.say("i").await.text(), "ok");
    let (_agent, homed) = raw(&relay, RawBehaviour::Forged).await;
    let answer = homed.say("f").await;
    let forged = |name: &str| name.starts_with("x-relay-") || name == "x-hop";
    assert!(
        !answer.head.headers.iter().any(|(name, _)| forged(&name.to_lowercase())),
        "{answer:?}"
    );
    Baseline::links(0).until_back(&relay).await;
}

#[tokio::test]
async fn a_cut_answer_is_a_cut_answer_at_the_caller() {
    let relay = laboratory().await;
    for (behaviour, sent) in [
        (RawBehaviour::Half { promised: 1_000, sent: 400, end: End::Fin }, 400),
        (RawBehaviour::ChunksCut { chunks: 3, end: End::Fin }, 15),
    ] {
        let (_agent, homed) = raw(&relay, behaviour.clone()).await;
        let answer = homed.say("c").await;
        assert_eq!((answer.status, answer.is_complete()), (200, false), "{behaviour:?} {answer:?}");
        assert_eq!(answer.body.len(), sent);
    }
    // An event stream is told why, between two events.
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
    let (_agent, homed) = raw(&relay, RawBehaviour::Bytes(events.into())).await;
    let answer = homed.say("s").await;
    assert!(!answer.is_complete() && answer.text().contains("RELAY_STREAM_LOST"), "{answer:?}");
    // Only the end of the connection ends it, and that is an end.
    let whole = RawBehaviour::Http10 { body: "all of it".into(), end: End::Fin };
    let (_agent, homed) = raw(&relay, whole).await;
    let answer = homed.say("h").await;
    assert_eq!((answer.text().as_str(), answer.is_complete()), ("all of it", true));
    Baseline::links(0).until_back(&relay).await;
}

#[tokio::test]
async fn large_bodies_pass_both_ways_at_once_and_are_held_nowhere() {
    let length = 64 * 1024 * 1024;
    let limit = ["--direct-urls", "all", "--max-body", "67108864"];
    let (relay, agent) = (Relay::builder().args(limit).start().await, Agent::start("echo"));
    let homed = Homed::at(&relay, &agent.origin()).await;
    assert_eq!(homed.post("warm", &[], b"{}").await.text(), "{}");
    let before = relay.process().peak_rss_bytes();
    let json = [("Content-Type", "application/json"), ("x-test-id", "large")];
    let (mut call, mut upload) = begin("POST", &homed.base, &json, None).await.expect("the relay");
    let upload = tokio::spawn(async move {
        upload.send(length).await.expect("all of it");
        upload.end().await.expect("its end")
    });
    assert_eq!(call.head().await.expect("a head").status, 200);
    let mut received = Running::default();
    let ending = loop {
        match call.piece().await {
            Piece::Data(bytes) => received.add(&bytes),
            Piece::End(ending) => break ending,
        }
    };
    let sent: Fingerprint = upload.await.expect("sent");
    assert_eq!((ending, received.done()), (Ending::Complete, sent));
    let grown = relay.process().peak_rss_bytes() - before;
    assert!(grown < GROWTH, "the relay grew by {grown} bytes");
    Baseline::links(0).until_back(&relay).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_never_looks_whole() {
    let limit = ["--direct-urls", "all", "--max-body", "100000"];
    let (relay, agent) = (Relay::builder().args(limit).start().await, Agent::start("hash"));
    let homed = Homed::at(&relay, &agent.origin()).await;
    let json = [("Content-Type", "application/json"), ("x-test-id", "over")];
    let (mut call, mut upload) = begin("POST", &homed.base, &json, None).await.expect("the relay");
    // The relay may close before it has all of it.
    let _ = upload.send(100_001).await;
    let answer = call.response().await.expect("an answer");
    assert_eq!((answer.status, answer.relay_error()), (413, Some("RELAY_BODY_TOO_LARGE")));
    until("the agent sees a cut", super::NOTICED, async || {
        let seen = agent.journal().of("over");
        seen.iter().all(|seen| matches!(seen.body, BodySeen::Cut { .. })).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_read_reaches_the_caller() {
    let (relay, agent) = (laboratory().await, Agent::start("early-answer"));
    let homed = Homed::at(&relay, &agent.origin()).await;
    let json = [("Content-Type", "application/json"), ("x-test-id", "early")];
    let length = 8 * 1024 * 1024;
    let begun = begin("POST", &homed.base, &json, Some(length)).await;
    let (mut call, mut upload) = begun.expect("the relay");
    let upload = tokio::spawn(async move { upload.send(length).await });
    let answer = call.response().await.expect("an answer");
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    upload.abort();
}

#[tokio::test]
async fn a_caller_that_leaves_leaves_the_agent_too() {
    let (relay, agent) = (laboratory().await, Agent::start("a2a"));
    let homed = Homed::at(&relay, &agent.origin()).await;
    for (id, behaviour) in [("head", "never"), ("body", "big-chunked:1000000000")] {
        let headers = [("Content-Type", "application/json"), ("x-test-id", id)];
        let headers = [&headers[..], &[("x-test-behaviour", behaviour)]].concat();
        let call = send("POST", &homed.base, &headers, Some(b"{}")).await.expect("the relay");
        agent.journal().until_complete(id, super::NOTICED).await;
        call.reset();
        agent.journal().until_abandoned(id, super::NOTICED).await;
    }
    let answer =
        homed.post("late", &[("X-Timeout", "1"), ("x-test-behaviour", "never")], b"{}").await;
    Refusal::maybe(504, "RELAY_DEADLINE").assert_marks(&answer);
    agent.journal().until_abandoned("late", super::NOTICED).await;
    Baseline::links(0).until_back(&relay).await;
}
