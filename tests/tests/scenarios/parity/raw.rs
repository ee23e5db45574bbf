//! What no SDK sends: odd calls, all headers, both bindings of both versions, byte by byte.

use super::Stage;
use tests::http::Version;
use tests::sdk::Sdk;

/// One request, below the base.
struct Ask {
    method: &'static str,
    path: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    body: Option<String>,
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const A2A_JSON: (&str, &str) = ("Content-Type", "application/a2a+json");
const V1: (&str, &str) = ("A2A-Version", "1.0");
const KNOWN: (&str, &str) = ("Authorization", "Bearer let-me-in");
const NO_TASK: &str = "00000000-0000-4000-8000-000000000000";

fn ask(method: &'static str, path: &'static str, fields: &[(&'static str, &'static str)]) -> Ask {
    let fields = [&[("User-Agent", "raw")], fields].concat();
    Ask { method, path, fields, body: None }
}

fn post(
    path: &'static str,
    fields: &[(&'static str, &'static str)],
    body: impl Into<String>,
) -> Ask {
    let fields = if fields.iter().any(|(name, _)| *name == JSON.0) {
        fields.to_vec()
    } else {
        [&[JSON], fields].concat()
    };
    Ask { body: Some(body.into()), ..ask("POST", path, &fields) }
}

/// A JSON-RPC call whose id is written as it is here.
fn call(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc": "2.0", "id":{id}, "method" :"{method}","params":{params}}}"#)
}

fn message_03(text: &str) -> String {
    format!(
        r#"{{"message":{{"kind":"message","role":"user","messageId":"m-1","parts":[{{"kind":"text","text":"{text}"}}]}}}}"#
    )
}

fn message_1(text: &str) -> String {
    format!(
        r#"{{"message":{{"role":"ROLE_USER","messageId":"m-1","parts":[{{"text":"{text}"}}]}}}}"#
    )
}

/// JSON-RPC, of both versions.
fn json_rpc() -> Vec<Ask> {
    let extensions = [V1, ("A2A-Extensions", "https://x.example/e1, https://x.example/e2")];
    let odd = [
        V1,
        ("A2A-Extensions", "https://x.example/e1"),
        ("A2A-Extensions", "https://x.example/e2"),
        ("X-A2A-Extensions", "https://x.example/e3"),
        ("X-Custom", "a"),
        ("X-Custom", "b"),
        ("Cookie", "a=1; b=2"),
        ("Authorization", "Bearer the-agents-own"),
        ("X-Api-Key", "k"),
        ("Idempotency-Key", "i-1"),
        ("Last-Event-ID", "7"),
        ("Cache-Control", "no-cache"),
        ("Accept-Language", "de, *;q=0.1"),
        ("Tracestate", "v=1"),
        ("Baggage", "k=v"),
        ("Accept", "application/json, text/event-stream"),
    ];
    let task = |id: &str| format!(r#"{{"id":"{id}"}}"#);
    vec![
        post("/a2a", &[V1], call("1", "SendMessage", &message_1("hello"))),
        post(
            "/a2a",
            &[],
            call("\"two\"", "message/send", &message_03("h\u{e9}llo 漢字 🦀 \\u00e9")),
        ),
        post("/a2a", &[V1], call("3", "SendStreamingMessage", &message_1("stream"))),
        post("/a2a", &[], call("4", "message/stream", &message_03("stream"))),
        post("/a2a", &[V1], call("5", "GetTask", &task(NO_TASK))),
        post("/a2a", &[], call("6", "tasks/get", &task(NO_TASK))),
        post("/a2a", &[V1], call("7", "CancelTask", &task(NO_TASK))),
        post("/a2a", &[], call("8", "tasks/cancel", &task(NO_TASK))),
        post("/a2a", &[V1], call("9", "SubscribeToTask", &task(NO_TASK))),
        post("/a2a", &[], call("10", "tasks/resubscribe", &task(NO_TASK))),
        post("/a2a", &[V1], call("11", "ListTasks", r#"{"contextId":"none"}"#)),
        post("/a2a", &[V1], call("12", "Dance", "{}")),
        post("/a2a", &[], call("13", "dance", "{}")),
        post("/a2a", &[("A2A-Version", "0.9")], call("14", "SendMessage", &message_1("hello"))),
        post("/a2a", &[("A2A-Version", "2.0")], call("15", "SendMessage", &message_1("hello"))),
        post("/a2a?A2A-Version=1.0&a=1&a=%20", &[], call("16", "SendMessage", &message_1("hello"))),
        post("/a2a", &extensions, call("17", "SendMessage", &message_1("hello"))),
        post("/a2a", &odd, call("18", "SendMessage", &message_1("hello"))),
        post("/a2a", &[V1], call("null", "SendMessage", &message_1("hello"))),
        post("/a2a", &[V1], call("1.50e+3", "SendMessage", &message_1("hello"))),
        post(
            "/a2a",
            &[V1],
            format!("[{},{}]", call("1", "GetTask", "{}"), call("2", "GetTask", "{}")),
        ),
        post("/a2a", &[V1], r#"{"jsonrpc":"2.0","id":1}"#),
        post("/a2a", &[V1], "{\"jsonrpc\":"),
        post("/a2a", &[V1], ""),
        post("/a2a", &[V1], "\u{feff}{}"),
        post("/a2a", &[V1, KNOWN], call("19", "GetExtendedAgentCard", "{}")),
        post("/a2a", &[V1], call("20", "GetExtendedAgentCard", "{}")),
        post("/a2a", &[KNOWN], call("21", "agent/getAuthenticatedExtendedCard", "{}")),
        post(
            "/a2a",
            &[V1, ("Content-Type", "application/json; charset=utf-8")],
            call("22", "SendMessage", &message_1(&"ß".repeat(300_000))),
        ),
    ]
}

/// HTTP+JSON, of both versions.
fn http_json() -> Vec<Ask> {
    vec![
        post("/message:send", &[V1, A2A_JSON], message_1("hello")),
        post("/message:stream", &[V1, A2A_JSON], message_1("stream")),
        post("/acme/message:send", &[V1], message_1("by a tenant")),
        post(
            "/v1/message:send",
            &[],
            r#"{"request":{"role":"ROLE_USER","messageId":"m-1","content":[{"text":"hé"}]}}"#,
        ),
        post(
            "/v1/message:stream",
            &[],
            r#"{"request":{"role":"ROLE_USER","messageId":"m-1","content":[{"text":"stream"}]}}"#,
        ),
        post("/message:send", &[V1], "{"),
        post("/message:send", &[("A2A-Version", "0.9")], message_1("hello")),
        ask("GET", "/tasks?contextId=%E2%82%AC&pageSize=1", &[V1]),
        ask("GET", "/tasks/a%20b%C3%A9?historyLength=1", &[V1]),
        ask("GET", "/v1/tasks/none", &[]),
        ask("GET", "/tasks/none:subscribe", &[V1]),
        post("/tasks/none:cancel", &[V1], "{}"),
        post("/tasks/none:cancel", &[V1], ""),
        ask("GET", "/tasks/none/pushNotificationConfigs", &[V1]),
        ask("DELETE", "/tasks/none/pushNotificationConfigs/p-1", &[V1]),
        ask("PUT", "/message:send", &[V1]),
        ask("OPTIONS", "/message:send", &[("Origin", "https://x.example")]),
        ask("GET", "/extendedAgentCard", &[V1]),
        ask("GET", "/extendedAgentCard", &[V1, KNOWN, ("Accept-Encoding", "gzip")]),
        ask("GET", "/v1/card", &[KNOWN]),
    ]
}

/// The public card; validators are those of what is served, so they are asked for without one.
fn cards() -> Vec<Ask> {
    vec![
        ask("GET", "/.well-known/agent-card.json", &[V1]),
        ask("GET", "/.well-known/agent-card.json?x=%20&x=1", &[("Accept-Encoding", "gzip")]),
        ask("GET", "/.well-known/agent-card.json", &[("If-None-Match", "*")]),
        ask("HEAD", "/.well-known/agent-card.json", &[]),
    ]
}

#[tokio::test]
async fn what_no_sdk_sends_crosses_as_it_is() {
    let Some(stage) = Stage::new(Sdk::Python).await else { return };
    let asks: Vec<Ask> = [json_rpc(), http_json(), cards()].into_iter().flatten().collect();
    let (twice, ..) = stage
        .twice(async |base| {
            let through = !base.starts_with(&stage.bases.local);
            let version = if through { Version::of_callers() } else { Version::Http1 };
            for ask in &asks {
                let url = format!("{}{}", base.trim_end_matches('/'), ask.path);
                let body = ask.body.as_ref().map(String::as_bytes);
                let answer = version.exchange(ask.method, &url, &ask.fields, body).await;
                let answer = answer.unwrap_or_else(|cut| panic!("{} {url}: {cut}", ask.method));
                assert!(answer.is_complete(), "{} {url}: {answer:?}", ask.method);
            }
        })
        .await;
    stage.assert_nobody_went_round(&twice);
    let verdict = stage.compare(&twice);
    for call in &twice.outside {
        let body = String::from_utf8_lossy(&call.answer.body);
        let is_card = call.answer.field("x-relay-card").is_some();
        assert!(!is_card || !body.contains(&stage.bases.local), "a private URL: {body}");
    }
    let cards = twice.outside.iter().filter(|call| call.answer.field("x-relay-card").is_some());
    assert_eq!(cards.count(), 8, "public and extended cards were made public, for HEAD too");
    verdict.print("requests that no SDK sends", asks.len());
}
