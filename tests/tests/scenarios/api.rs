//! The registration API: it does what its description says, and answers whatever is wrong in words.

mod credentials;
mod description;
mod fields;
mod fuzzer;
mod names;
mod repeats;

use serde_json::{Value, json};
use tests::{RawResponse, Relay, http};

/// A relay with those who call its API, and those who no longer can.
struct Cast {
    relay: Relay,
    admin: String,
    /// A workspace with its token.
    own: (String, String),
    /// Another one.
    other: (String, String),
    /// One that was removed.
    removed: (String, String),
}

impl Cast {
    async fn new() -> Cast {
        // The URLs in these stories are nobody's to call.
        let relay = Relay::builder().args(["--direct-urls", "off"]).start().await;
        let (own, other) = (agent(&relay, "own").await, agent(&relay, "other").await);
        let removed = agent(&relay, "removed").await;
        relay.operate(&format!("DELETE /workspaces/{}", removed.0), None).await;
        Cast { admin: relay.admin_token(), relay, own, other, removed }
    }

    /// Makes a credential of the operator's choice; answers its text and its id.
    async fn make(&self, call: &str, field: &str, body: Value) -> (String, String) {
        let made = self.relay.operate(call, Some(&body)).await;
        (text(&made, field), text(&made, "id"))
    }

    /// One call: a method and a path, fields, a body as it is.
    async fn ask(&self, call: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> RawResponse {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let url = format!("http://{}{path}", self.relay.http());
        let answer = http::exchange(method, &url, headers, body).await;
        answer.unwrap_or_else(|cut| panic!("no answer to {call:.200}: {cut}"))
    }

    /// The same with a credential, and with JSON where the method takes any.
    async fn ask_as(&self, token: &str, call: &str, body: &str) -> RawResponse {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let body = (!call.starts_with("GET ")).then_some(body.as_bytes());
        self.ask(call, &headers, body).await
    }
}

async fn agent(relay: &Relay, name: &str) -> (String, String) {
    let made = relay.operate("POST /workspaces", Some(&json!({ "name": name }))).await;
    let id = text(&made, "id");
    let token = relay.operate(&format!("POST /workspaces/{id}/tokens"), None).await;
    (id, text(&token, "auth_token"))
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}

/// What an answer says, but for the name of its request.
fn said(answer: &RawResponse) -> String {
    answer.text().replace(answer.header("x-request-id").expect("a name"), "…")
}

/// A refusal of the API in the form of problem details; yields its sentence.
#[track_caller]
fn assert_problem(answer: &RawResponse, status: u16, code: &str, what: &str) -> String {
    let marks = (answer.status, answer.relay_error());
    assert_eq!(marks, (status, Some(code)), "{what:.300}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what:.300}");
    assert!(answer.header("x-request-id").is_some() && answer.is_complete(), "{what:.300}");
    // Whatever was sent, it does not come back.
    assert!(answer.body.len() < 2_000, "{what:.300}: {answer:?}");
    let body = answer.json();
    assert_eq!((&body["status"], &body["code"]), (&json!(status), &json!(code)), "{what:.300}");
    assert_eq!(body["error"], body["detail"], "{what:.300}");
    let sentence = text(&body, "detail");
    assert!(sentence.ends_with('.'), "no sentence: {sentence}");
    sentence
}
