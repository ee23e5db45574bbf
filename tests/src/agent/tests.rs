//! The mock agents, asked directly: what they do, and what their journals say of it.

use super::{Agent, Answer, BodySeen, End, RawAgent, RawBehaviour};
use crate::{
    Cut, Ending, Fingerprint, RawClient, RawResponse, fingerprint::pattern, http::Version::Http1,
};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

async fn ask(agent: &Agent, behaviour: &str, id: &str, body: &[u8]) -> RawResponse {
    let url = format!("{}/a2a", agent.origin());
    let headers = [("x-test-id", id), ("x-test-behaviour", behaviour), ("Content-Type", "a/b")];
    Http1.post(&url, &headers, body).await.expect("an answer")
}

#[tokio::test]
async fn echo_gives_back_the_bytes_and_journals_them() {
    let agent = Agent::start("a2a");
    let body = pattern(0, 300_000);
    let answer = ask(&agent, "echo", "one", &body).await;
    assert!(answer.is_complete());
    assert_eq!(answer.header("content-type"), Some("a/b"));
    assert_eq!(answer.fingerprint(), Fingerprint::of(&body));
    let seen = agent.journal().until_complete("one", SOON).await;
    assert_eq!(seen.whole_body(), Some(&Fingerprint::of(&body)));
    assert_eq!(agent.journal().of("one").len(), 1);
}

#[tokio::test]
async fn echo_of_a_broken_upload_is_cut_on_both_sides() {
    let agent = Agent::start("echo");
    let url = format!("{}/a2a", agent.origin());
    let headers = [("x-test-id", "half"), ("Content-Length", "100")];
    let client = RawClient::request("POST", &url, &headers, None).await;
    let mut client = client.expect("a connection");
    client.send_more(b"only this").await.expect("sent");
    client.finish_sending().await.expect("ended");
    let answer = client.response().await;
    assert!(answer.is_err() || !answer.expect("a head").is_complete());
    let cut = || async { agent.journal().of("half")[0].body == BodySeen::Cut { length: 9 } };
    crate::until("the journal says cut", SOON, cut).await;
}

#[tokio::test]
async fn hash_big_status_and_early_answers() {
    let agent = Agent::start("a2a");
    let hash: Fingerprint = serde_json::from_slice(&ask(&agent, "hash", "h", b"abc").await.body)
        .expect("a fingerprint");
    assert_eq!(hash, Fingerprint::of(b"abc"));
    for (behaviour, length) in [("big:100000", Some("100000")), ("big-chunked:100000", None)] {
        let answer = ask(&agent, behaviour, behaviour, b"").await;
        assert_eq!((answer.is_complete(), answer.header("content-length")), (true, length));
        assert_eq!(answer.fingerprint(), Fingerprint::of(&pattern(0, 100_000)));
    }
    assert_eq!(ask(&agent, "status:418", "s", b"").await.status, 418);
    assert_eq!(ask(&agent, "nonsense", "n", b"").await.status, 400);
    let url = format!("{}/a2a", agent.origin());
    let headers =
        [("x-test-id", "e"), ("x-test-behaviour", "early-answer"), ("Content-Length", "50")];
    let client = RawClient::request("POST", &url, &headers, None).await;
    let mut client = client.expect("a connection");
    let early = client.response().await.expect("an answer before the body");
    assert_eq!((early.status, early.text().as_str()), (200, "early"));
    assert!(client.is_closed_within(SOON).await);
    assert!(agent.journal().of("e")[0].whole_body().is_none());
}

#[tokio::test]
async fn a_caller_that_leaves_is_noticed() {
    let agent = Agent::start("never");
    let url = format!("{}/a2a", agent.origin());
    let client = Http1.send("POST", &url, &[("x-test-id", "gone")], Some(b"x")).await;
    agent.journal().until_complete("gone", SOON).await;
    drop(client);
    agent.journal().until_abandoned("gone", SOON).await;
}

#[tokio::test]
async fn json_rpc_keeps_the_id_and_streams_event_by_event() {
    let agent = Agent::start("a2a");
    let url = format!("{}/a2a", agent.origin());
    let message = r#"{"message":{"messageId":"m-1","parts":[{"kind":"text","text":"hi"}]}}"#;
    let call = |method: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1.50e3,"method":"{method}","params":{message}}}"#)
    };
    let answer = Http1.post(&url, &[], call("message/send").as_bytes()).await.expect("an answer");
    assert!(answer.text().contains(r#""id":1.50e3,"result""#), "{}", answer.text());
    assert_eq!(answer.json()["result"]["parts"][0]["text"], "hi");
    assert_eq!(agent.journal().of("m-1").len(), 1);
    let fields = [("x-test-events", "3"), ("x-test-interval-ms", "50"), ("x-test-id", "s")];
    let body = call("message/stream");
    let client = Http1.send("POST", &url, &fields, Some(body.as_bytes())).await;
    let mut client = client.expect("connected");
    assert_eq!(
        client.head().await.expect("a head").header("content-type"),
        Some("text/event-stream")
    );
    let mut times = Vec::new();
    for sequence in 0..3 {
        let event = client.next_event().await.expect("an event");
        assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
        times.push(event.at);
    }
    assert_eq!(client.next_event().await.expect_err("the end"), Ending::Complete);
    assert!(times[2] - times[0] >= Duration::from_millis(60), "events came in one lump");
    assert_eq!(agent.journal().of("s")[0].answer, Answer::Finished);
    let unknown =
        Http1.post_json(&url, &json!({"jsonrpc": "2.0", "id": 1, "method": "dance"})).await;
    assert_eq!(unknown.expect("an answer").json()["error"]["code"], -32601);
}

#[tokio::test]
async fn the_card_is_hybrid_and_local() {
    let agent = Agent::start("echo");
    let card = Http1.get(&format!("{}/.well-known/agent-card.json", agent.origin())).await;
    let card = card.expect("a card").json();
    assert_eq!(card["url"], card["supportedInterfaces"][0]["url"]);
    assert!(super::texts(&card).iter().any(|text| text.contains(&agent.origin())));
}

#[tokio::test]
async fn raw_agents_break_one_rule_each() {
    let ask = async |behaviour: RawBehaviour| {
        let agent = RawAgent::start(behaviour);
        let url = format!("http://127.0.0.1:{}/a2a", agent.port());
        let answer = Http1.post(&url, &[("x-test-id", "r")], b"abc").await;
        (answer, agent.journal().of("r"))
    };
    let (answer, seen) = ask(RawBehaviour::Refuse).await;
    assert!(answer.is_err() && seen.is_empty());
    let (answer, seen) = ask(RawBehaviour::Reset).await;
    assert_eq!((answer.expect_err("no head"), seen.len()), (Cut::Reset(None), 1));
    let (answer, seen) = ask(RawBehaviour::Hangup).await;
    assert_eq!(answer.expect_err("no head"), Cut::Eof(None));
    assert_eq!(seen[0].whole_body(), Some(&Fingerprint::of(b"abc")));
    let (answer, _) = ask(RawBehaviour::Garbage).await;
    assert!(matches!(answer.expect_err("no head"), Cut::NotHttp(_)));
    let half = RawBehaviour::Half { promised: 9, sent: 4, end: End::Fin };
    let answer = ask(half).await.0.expect("a head");
    assert_eq!((answer.body.len(), answer.ending), (4, Ending::Cut(Cut::Eof(Some(5)))));
    let half = RawBehaviour::Half { promised: 9, sent: 4, end: End::Reset };
    let answer = ask(half).await.0;
    assert!(answer.is_err() || !answer.expect("a head").is_complete());
    let chunks = RawBehaviour::ChunksCut { chunks: 2, end: End::Fin };
    let answer = ask(chunks).await.0.expect("a head");
    assert_eq!((answer.chunks.len(), answer.ending), (2, Ending::Cut(Cut::Eof(None))));
    let old = RawBehaviour::Http10 { body: "old".to_owned(), end: End::Fin };
    let answer = ask(old).await.0.expect("a head");
    assert_eq!((answer.text().as_str(), answer.ending), ("old", Ending::Cut(Cut::Unframed)));
    let answer = ask(RawBehaviour::InterimFlood { count: 50 }).await.0.expect("a head");
    assert_eq!((answer.head.interims.len(), answer.text().as_str()), (50, "ok"));
    let answer = ask(RawBehaviour::Forged).await.0.expect("a head");
    assert_eq!((answer.relay_error(), answer.is_complete()), (Some("RELAY_FORGED"), true));
}
