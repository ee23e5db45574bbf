//! What the sample agent says: its card, and its answers by JSON-RPC (A2A v0.3).

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The answer to one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// One JSON-RPC response.
    One(String),
    /// One JSON-RPC response for each event.
    Events(Vec<String>),
    /// To a notification.
    Nothing,
}

/// A JSON-RPC request; its id is given back byte for byte.
#[derive(Deserialize)]
struct Call<'a> {
    jsonrpc: String,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: String,
    #[serde(default)]
    params: Value,
}

/// The card, for readers of v0.3 and of v1.0, with the URLs that the agent knows of itself.
pub(super) fn card(address: SocketAddr) -> String {
    let endpoint = format!("http://{address}/a2a");
    json!({
        "name": "Demo agent",
        "description": "Says politely what it was told.",
        "version": env!("CARGO_PKG_VERSION"),
        "protocolVersion": "0.3.0",
        "url": endpoint,
        "preferredTransport": "JSONRPC",
        "additionalInterfaces": [{"url": endpoint, "transport": "JSONRPC"}],
        "supportedInterfaces": [
            {"url": endpoint, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}
        ],
        "capabilities": {"streaming": true, "pushNotifications": false},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{
            "id": "echo",
            "name": "Echo",
            "description": "Says politely what it was told.",
            "tags": ["demo"],
        }],
    })
    .to_string()
}

/// Answers the body of a request (JSON-RPC 2.0, 5).
pub(super) fn reply(body: &[u8]) -> Reply {
    let Ok(document) = serde_json::from_slice::<&RawValue>(body) else {
        return Reply::One(error("null", -32700, "This is not JSON."));
    };
    let call = match serde_json::from_str::<Call<'_>>(document.get()) {
        Ok(call) if call.jsonrpc == "2.0" => call,
        _ => return Reply::One(error("null", -32600, "This is not a JSON-RPC 2.0 request.")),
    };
    let Some(id) = call.id.map(RawValue::get) else { return Reply::Nothing };
    let text = text_of(&call.params);
    match call.method.as_str() {
        "message/send" => Reply::One(result(id, &message(&polite(&text)))),
        "message/stream" => {
            Reply::Events(updates(&text).iter().map(|update| result(id, update)).collect())
        }
        other => {
            let sentence = format!("The demo agent has no method `{other}`.");
            Reply::One(error(id, -32601, &sentence))
        }
    }
}

/// What the caller's message says.
fn text_of(params: &Value) -> String {
    let parts = params.pointer("/message/parts").and_then(Value::as_array);
    let texts = parts.into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
    texts.collect::<Vec<_>>().join(" ")
}

fn polite(text: &str) -> String {
    format!("Thank you for your message. You said: {text}")
}

fn message(text: &str) -> Value {
    json!({
        "kind": "message",
        "role": "agent",
        "messageId": "demo-answer",
        "parts": [{"kind": "text", "text": text}],
    })
}

/// A task from its beginning to its end, in five steps.
fn updates(text: &str) -> Vec<Value> {
    let steps = [
        ("submitted", "I have got your message.".to_owned()),
        ("working", "I am reading it.".to_owned()),
        ("working", "I am thinking about it.".to_owned()),
        ("working", "I am writing my answer.".to_owned()),
        ("completed", polite(text)),
    ];
    let update = |(state, said): &(&str, String)| {
        json!({
            "kind": "status-update",
            "taskId": "demo-task",
            "contextId": "demo-context",
            "status": {"state": state, "message": message(said)},
            "final": *state == "completed",
        })
    };
    steps.iter().map(update).collect()
}

fn result(id: &str, result: &Value) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}

fn error(id: &str, code: i32, sentence: &str) -> String {
    let error = json!({ "code": code, "message": sentence });
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(body: &str) -> Value {
        match reply(body.as_bytes()) {
            Reply::One(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_message_is_answered_politely_under_its_own_id() {
        let body = r#"{"jsonrpc":"2.0","id":1e2,"method":"message/send",
            "params":{"message":{"parts":[{"kind":"text","text":"hi"}]}}}"#;
        let Reply::One(text) = reply(body.as_bytes()) else { panic!("one answer") };
        assert!(text.contains("\"id\":1e2,"), "{text}");
        assert_eq!(one(body)["result"]["parts"][0]["text"], polite("hi"));
    }

    #[test]
    fn a_stream_has_five_events_and_the_last_is_final() {
        let body = r#"{"jsonrpc":"2.0","id":"s","method":"message/stream","params":{}}"#;
        let Reply::Events(texts) = reply(body.as_bytes()) else { panic!("events") };
        let ends: Vec<Value> = texts
            .iter()
            .map(|text| serde_json::from_str::<Value>(text).unwrap()["result"]["final"].clone())
            .collect();
        assert_eq!(ends, [false, false, false, false, true]);
        assert!(texts.iter().all(|text| !text.contains('\n')));
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        assert_eq!(one("{")["error"]["code"], -32700);
        assert_eq!(one("[]")["error"]["code"], -32600);
        assert_eq!(one(r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#)["error"]["code"], -32600);
        let unknown = one(r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#);
        assert_eq!((&unknown["error"]["code"], &unknown["id"]), (&json!(-32601), &json!(7)));
        assert_eq!(reply(br#"{"jsonrpc":"2.0","method":"message/send"}"#), Reply::Nothing);
    }
}
