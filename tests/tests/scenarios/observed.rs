//! What the relay tells of its requests as A2A, in its log and in its metrics, and what it never does.

use serde_json::{Value, json};
use std::time::Duration;
use tests::{RawResponse, World, http, until, world::message};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A call of this method about a task and its context.
fn about(method: &str, task: &str, context: &str) -> Value {
    let mut call = message(method, "m-1", "words of the canary");
    call["params"]["message"]["taskId"] = task.into();
    call["params"]["message"]["contextId"] = context.into();
    call
}

async fn post(world: &World, headers: &[(&str, &str)], body: &Value) -> RawResponse {
    let headers = [&[JSON], headers].concat();
    let body = body.to_string();
    http::post(&world.endpoint(), &headers, body.as_bytes()).await.expect("an answer")
}

/// The one line that is written of a request with this trace.
async fn line_of_trace(world: &World, trace: &str) -> Value {
    let line = format!("\"trace\":\"{trace}\"");
    let soon = Duration::from_secs(20);
    let line = world.relay.process().wait_for_line(|told| told.contains(&line), soon).await;
    serde_json::from_str::<Value>(&line).expect("JSON")["fields"].clone()
}

#[tokio::test]
async fn a_line_of_the_log_tells_what_a_request_was_as_a2a() {
    let world = World::builder().connector_args(&["--allow", "/v1"]).start().await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = [("traceparent", parent.as_str()), ("x-test-id", "traced")];
    let answer = post(&world, &headers, &about("SendMessage", "task-1", "context-1")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let line = world.relay.access_line(&answer).await;
    for (field, value) in [
        ("binding", json!("jsonrpc")),
        ("method", json!("send")),
        ("task", json!("task-1")),
        ("context", json!("context-1")),
        ("trace", json!(TRACE)),
        ("stream", json!(false)),
        ("events", Value::Null),
        ("outcome", json!("complete")),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["first_ms"].is_u64(), "{line}");
    assert_eq!(world.agent.of("traced")[0].header("traceparent"), Some(parent.as_str()));

    // Without one the relay begins a trace, which the agent is told as well.
    let answer = post(&world, &[("x-test-id", "begun")], &message("tasks/get", "m", "x")).await;
    let line = world.relay.access_line(&answer).await;
    assert_eq!((&line["method"], &line["task"]), (&json!("get"), &Value::Null), "{line}");
    let begun = world.agent.of("begun")[0].header("traceparent").expect("a trace").to_owned();
    assert_eq!(line["trace"].as_str(), begun.split('-').nth(1), "{line}");

    for (method, word) in [("dance", "other"), ("Tasks/CANCEL", "cancel")] {
        let answer = post(&world, &[], &message(method, "m", "x")).await;
        assert_eq!(world.relay.access_line(&answer).await["method"], word);
    }
    let card = http::get(&world.workspace.card()).await.expect("an answer");
    let line = world.relay.access_line(&card).await;
    assert_eq!(
        (&line["method"], &line["binding"]),
        (&json!("card"), &json!("http+json")),
        "{line}"
    );
    let other = http::get(&format!("{}v1/x", world.public_url)).await.expect("an answer");
    assert_eq!(world.relay.access_line(&other).await["method"], "other");
    let sends = [("binding", "jsonrpc"), ("method", "send"), ("outcome", "complete")];
    assert_eq!(world.relay.metric("relay_a2a_requests_total", &sends).await, Some(1.0));

    // Nor is a refusal told without its method.
    assert_eq!(world.connector.stop().await, 0);
    let refused = post(&world, &[], &about("message/stream", "task-2", "context-2")).await;
    let refused = world.relay.access_line(&refused).await;
    for (field, value) in [
        ("method", json!("stream")),
        ("task", json!("task-2")),
        ("code", json!("RELAY_AGENT_OFFLINE")),
        ("outcome", json!("refused")),
    ] {
        assert_eq!(refused[field], value, "{field}: {refused}");
    }
}

#[tokio::test]
async fn the_events_of_a_stream_are_counted_and_the_first_is_timed() {
    let world = World::new().await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let pace =
        [("x-test-events", "4"), ("x-test-interval-ms", "50"), ("traceparent", parent.as_str())];
    let mut stream = world.open_stream("s", &pace).await;
    stream.head().await.expect("a head");
    while stream.next_event().await.is_ok() {}
    let line = line_of_trace(&world, TRACE).await;
    assert_eq!((&line["method"], &line["stream"]), (&json!("stream"), &json!(true)), "{line}");
    assert_eq!((&line["events"], &line["outcome"]), (&json!(4), &json!("complete")), "{line}");
    assert!(line["first_ms"].as_u64() < line["ms"].as_u64(), "the stream went on: {line}");
    assert_eq!(world.relay.metric("relay_events_total", &[]).await, Some(4.0));
    assert_eq!(world.relay.metric("relay_first_event_seconds_count", &[]).await, Some(1.0));

    // A caller that leaves leaves a line as well.
    let left = TRACE.replace('0', "1");
    let parent = format!("00-{left}-b7ad6b7169203331-01");
    let pace = [
        ("x-test-events", "100000"),
        ("x-test-interval-ms", "20"),
        ("traceparent", parent.as_str()),
    ];
    let mut stream = world.open_stream("left", &pace).await;
    stream.head().await.expect("a head");
    for _ in 0..3 {
        stream.next_event().await.expect("an event");
    }
    drop(stream);
    let line = line_of_trace(&world, &left).await;
    assert_eq!(line["outcome"], "caller_left", "{line}");
    assert!(line["events"].as_u64().is_some_and(|events| events >= 3), "{line}");
}

#[tokio::test]
async fn no_body_no_credential_and_no_address_is_told() {
    let world = World::builder()
        .relay_env("RELAY_LOG", "info,relay=trace")
        .workspace_args(&["--callers", "token"])
        .start()
        .await;
    let id = &world.workspace.workspace_id;
    let made = world.relay.cli(&["caller", "add", id, "partner", "--json"]).await.json();
    let token = made["caller_token"].as_str().expect("a token").to_owned();
    let address = world.workspace.public_url.trim_end_matches('/').rsplit('/').next();
    let address = address.expect("an address").to_owned();
    let own = format!("Bearer {token}");
    let headers = [
        JSON,
        ("X-Relay-Authorization", own.as_str()),
        ("Authorization", "Bearer canary-of-the-agent"),
        ("Cookie", "session=canary-of-the-cookie"),
        ("traceparent", "canary-of-the-trace"),
    ];
    let long = "y".repeat(500);
    let mut lines = Vec::new();
    for (task, context) in [
        (token.as_str(), address.as_str()),
        ("line\nbreak", "with space"),
        ("\"quoted\"", "\u{7}"),
        ("ünïcode", &long),
    ] {
        let body = about("message/send", task, context).to_string();
        let url = format!("{}?q=canary-of-the-query", world.endpoint());
        let answer = http::post(&url, &headers, body.as_bytes()).await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        lines.push(world.relay.access_line(&answer).await);
    }
    let body = about("canary-of-the-method", "t", "c").to_string();
    let answer = http::post(&world.endpoint(), &headers, body.as_bytes()).await.expect("an answer");
    assert_eq!(world.relay.access_line(&answer).await["method"], "other");
    let stranger = [JSON, ("Authorization", "Bearer rcall_canary")];
    let answer = http::post(&world.endpoint(), &stranger, body.as_bytes()).await;
    assert_eq!(answer.expect("an answer").status, 401);

    for line in &lines {
        assert_eq!((&line["task"], &line["trace"]), (&Value::Null, &Value::Null), "{line}");
    }
    let contexts: Vec<_> = lines.iter().map(|line| line["context"].clone()).collect();
    assert_eq!(contexts, [Value::Null, Value::Null, Value::Null, json!("y".repeat(64))]);
    let metrics = world.relay.metrics().await;
    until("the log is written", Duration::from_secs(5), async || {
        world.relay.process().lines().iter().any(|line| line.contains(&"y".repeat(64)))
    })
    .await;
    let log = world.relay.process().lines().join("\n");
    for secret in [token.as_str(), address.as_str(), "canary"] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!metrics.contains(secret), "{secret} is in the metrics");
    }
    for mark in ["task-1", "yyyy"] {
        assert!(!metrics.contains(mark), "{mark} labels a series");
    }
}
