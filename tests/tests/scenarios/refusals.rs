//! What the relay says no to by itself: who may call, whom, and with how much.

mod as_200;
mod cuts;
mod heads;
mod limits;
mod upstream;

use serde_json::Value;
use std::time::{Duration, Instant};
use tests::{
    Connector, RawResponse, Refusal, Relay, World,
    baseline::Baseline,
    http::{begin, exchange},
    refusal::{call_with_id, post_with_id},
};

/// Ids that a careless relay changes: above 2^53, with escapes, a number's spelling, nothing.
const IDS: [&str; 6] = [
    "12345678901234567890123",
    r#""a\"b\\\u00e9\n""#,
    "-1.50e+3",
    "null",
    r#""""#,
    "9007199254740993",
];
const UNAUTHENTICATED: Refusal = Refusal::new(401, "RELAY_UNAUTHENTICATED");
const UNKNOWN: Refusal = Refusal::new(404, "RELAY_UNKNOWN_WORKSPACE");
const OFFLINE: Refusal = Refusal::new(503, "RELAY_AGENT_OFFLINE").retry_after("5");
const TOO_LARGE: Refusal = Refusal::new(413, "RELAY_BODY_TOO_LARGE");

/// The error of a refusal without what names this one request.
fn error_but_for_its_request(answer: &RawResponse) -> Value {
    let mut error = answer.json()["error"].take();
    let request = error["data"][0]["metadata"]["requestId"].take();
    assert_eq!(request.as_str(), answer.header("x-request-id"));
    error
}

#[tokio::test]
async fn without_a_good_credential_all_doors_look_the_same() {
    let alias = ["--alias", "closed", "--callers", "link"];
    let world = World::builder().workspace_args(&alias).start().await;
    let agents = format!("{}/agents/", world.relay.public_url());
    let by_id = format!("{agents}{}/a2a", world.workspace.workspace_id);
    let by_alias = format!("{agents}closed/a2a");
    let stale = [("Authorization", "Bearer rcall_AAAAAAAAAAAAAAAAAAAAAAAAAA")];
    let mut bodies = Vec::new();
    for (url, credential) in [
        (&by_id, &[][..]),
        (&by_alias, &[]),
        (&by_alias, &stale),
        (&by_alias, &[("Authorization", "bearer rcall_")]),
        (&by_alias, &[("X-Relay-Authorization", "Bearer anything")]),
        (&world.endpoint(), &stale),
    ] {
        let headers = [&[("Content-Type", "application/json"), ("x-test-id", "no")], credential];
        let body = call_with_id("7");
        let answer =
            exchange("POST", url, &headers.concat(), Some(&body)).await.expect("an answer");
        UNAUTHENTICATED.assert_json_rpc(&answer, "7");
        assert!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")));
        bodies.push(error_but_for_its_request(&answer));
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "they differ: {bodies:#?}");
    world.assert_unseen("no");
    assert_eq!(post_with_id(&world.endpoint(), "yes", "7").await.status, 200);
    world.assert_seen_once("yes");
}

#[tokio::test]
async fn an_unknown_address_is_404_and_a_removed_workspace_gone() {
    let world = World::new().await;
    let endpoint = world.endpoint();
    let at = endpoint.find("/a_").expect("an address") + 3;
    let other = if endpoint[at..].starts_with('b') { "c" } else { "b" };
    let unknown = format!("{}{other}{}", &endpoint[..at], &endpoint[at + 1..]);
    for id in IDS {
        UNKNOWN.assert_json_rpc(&post_with_id(&unknown, "x", id).await, id);
    }
    let by_id = format!("{}/agents/{}/a2a", world.relay.public_url(), world.workspace.workspace_id);
    UNAUTHENTICATED.assert_json_rpc(&post_with_id(&by_id, "x", "1").await, "1");
    let removed = world.relay.cli(&["workspace", "remove", &world.workspace.workspace_id]).await;
    assert_eq!(removed.code, 0, "{removed:?}");
    UNKNOWN.assert_json_rpc(&post_with_id(&endpoint, "x", "1").await, "1");
    let gone = Refusal::new(410, "RELAY_WORKSPACE_GONE");
    gone.assert_json_rpc(&post_with_id(&by_id, "x", "1").await, "1");
    world.assert_unseen("x");
    assert_eq!(world.connector.process().exit_code(Duration::from_secs(20)).await, 4);
}

#[tokio::test]
async fn an_agent_that_is_away_is_told_at_once_with_the_callers_own_id() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("away", &[]).await;
    for id in IDS {
        let sentence =
            OFFLINE.assert_json_rpc(&post_with_id(&workspace.endpoint(), "", id).await, id);
        assert!(sentence.contains(&workspace.workspace_id), "{sentence}");
        assert!(sentence.contains("not seen since"), "{sentence}");
    }
    let agent = tests::Agent::start("a2a");
    let connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
    assert_eq!(post_with_id(&workspace.endpoint(), "on", "1").await.status, 200);
    assert_eq!(connector.stop().await, 0);
    Baseline::links(0).until_back(&relay).await;
    let answer = post_with_id(&workspace.endpoint(), "off", "1").await;
    let sentence = OFFLINE.assert_json_rpc(&answer, "1");
    assert!(sentence.contains("last seen"), "{sentence}");
    assert!(agent.journal().of("off").is_empty());
}

#[tokio::test]
async fn a_body_that_is_said_to_be_too_large_never_leaves_and_its_caller_can_read_why() {
    let world = World::builder().relay_args(&["--max-body", "100000"]).start().await;
    let headers = [("Content-Type", "application/json"), ("x-test-id", "large")];
    let mut body = call_with_id("\"i-1\"");
    body.resize(300_000, b' ');
    for _ in 0..10 {
        let answer = exchange("POST", &world.endpoint(), &headers, Some(&body)).await;
        let answer = answer.expect("a readable refusal");
        let sentence = TOO_LARGE.assert_json_rpc(&answer, "\"i-1\"");
        assert!(sentence.contains("100000"), "{sentence}");
    }
    let before = Instant::now();
    let unsent = begin("POST", &world.endpoint(), &headers, Some(100_001)).await;
    let (mut call, _unsent) = unsent.expect("the relay");
    TOO_LARGE.assert_json_rpc(&call.response().await.expect("an answer"), "null");
    assert!(before.elapsed() < Duration::from_secs(10), "it waited for the body");
    world.assert_unseen("large");
    body.truncate(100_000);
    let answer = world.call_as("fits", &[("x-test-behaviour", "hash")], &body).await;
    assert_eq!(answer.expect("an answer").json()["length"], 100_000);
}

#[tokio::test]
async fn a_body_of_no_said_length_that_grows_too_large_is_never_whole_at_the_agent() {
    let world = World::builder().relay_args(&["--max-body", "100000"]).start().await;
    for round in 0..10 {
        let id = format!("grows-{round}");
        let headers = [
            ("Content-Type", "application/json"),
            ("x-test-behaviour", "hash"),
            ("x-test-id", &id),
        ];
        let begun = begin("POST", &world.endpoint(), &headers, None).await;
        let (mut call, mut upload) = begun.expect("the relay");
        // The relay may have answered by now, and take no more.
        let _ = upload.send_bytes(call_with_id("12345678901234567890")).await;
        for _ in 0..20 {
            let _ = upload.send_bytes(vec![b' '; 10_000]).await;
        }
        let _ = upload.end().await;
        let answer = call.response().await.expect("a readable refusal");
        TOO_LARGE.assert_json_rpc(&answer, "12345678901234567890");
        if !world.agent.of(&id).is_empty() {
            world.agent.until_cut(&id).await;
        }
    }
    let whole = |delivery: &tests::agent::Delivery| delivery.whole_body().is_some();
    assert!(
        !world.agent.deliveries().iter().any(|seen| seen.id.starts_with("grows") && whole(seen))
    );
    world.until_quiet().await;
}
