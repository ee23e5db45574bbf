//! A call whose answer was lost is made again under the same `Idempotency-Key`: nothing is done twice.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tests::{Call, RawResponse, Relay, http, until};

use super::{agent, assert_problem, text};

const SOON: Duration = Duration::from_secs(20);

/// Calls under keys, with one credential.
struct Caller<'r> {
    relay: &'r Relay,
    token: String,
}

impl<'r> Caller<'r> {
    fn operator(relay: &'r Relay) -> Caller<'r> {
        Caller { relay, token: relay.admin_token() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.relay.http())
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> RawResponse {
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", key),
        ];
        let answer = http::post(&self.url(path), &headers, body.to_string().as_bytes()).await;
        answer.expect("an answer")
    }

    /// Sends a call, whose answer nobody has read.
    async fn post_unread(&self, path: &str, key: &str, body: &Value) -> Call {
        let (bearer, body) = (format!("Bearer {}", self.token), body.to_string());
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", key),
        ];
        let length = Some(body.len() as u64);
        let begun = http::begin("POST", &self.url(path), &headers, length).await;
        let (call, mut upload) = begun.expect("the relay");
        upload.send_bytes(body).await.expect("the body");
        upload.end().await.expect("its end");
        call
    }
}

async fn named(relay: &Relay, name: &str) -> Vec<Value> {
    let all = relay.operate("GET /workspaces", None).await;
    let rows = all.as_array().expect("a list").iter();
    rows.filter(|row| row["name"] == name).cloned().collect()
}

/// Whether some file below a folder holds this text.
fn is_on_disk(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).any(|path| {
        if path.is_dir() {
            return is_on_disk(&path, text);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn who_lost_the_answer_gets_the_same_one_by_asking_again() {
    let relay = Relay::start().await;
    let operator = Caller::operator(&relay);
    let new = json!({"name": "remote"});
    let lost = operator.post_unread("/workspaces", "make", &new).await;
    until("it is made", SOON, async || !named(&relay, "remote").await.is_empty()).await;
    drop(lost);
    let made = operator.post("/workspaces", "make", &new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (made, again) = (made.json(), operator.post("/workspaces", "make", &new).await);
    assert_eq!((again.status, again.json()), (201, made.clone()));
    let rows = named(&relay, "remote").await;
    assert_eq!((rows.len(), &rows[0]["id"]), (1, &made["id"]), "{rows:?}");

    let id = text(&made, "id");
    let me = json!({"id": id, "url": "https://agent.example.com", "agent_card": {"name": "r"}});
    let issued = format!("GET /workspaces/{id}/tokens");
    let lost = operator.post_unread("/registry/register", "make", &me).await;
    until("the agent has a token", SOON, async || {
        relay.operate(&issued, None).await["tokens"] != json!([])
    })
    .await;
    drop(lost);
    let registered = operator.post("/registry/register", "make", &me).await;
    assert_eq!(registered.status, 200, "{registered:?}");
    let token = text(&registered.json(), "auth_token");
    let again = operator.post("/registry/register", "make", &me).await;
    assert_eq!(again.json()["auth_token"], token.as_str(), "it is shown to who asked, until then");
    let without = relay.operate("POST /registry/register", Some(&me)).await;
    assert!(without["auth_token"].is_null() && without["note"].is_string(), "{without}");
    assert_eq!(relay.operate(&issued, None).await["tokens"].as_array().map(Vec::len), Some(1));
    let state = relay.api(&token, &format!("GET /workspaces/{id}/state"), None).await;
    assert_eq!(state.status, 200, "{state:?}");
    assert!(!is_on_disk(&relay.data_dir(), &token), "the token is in a file");
    assert!(!is_on_disk(&relay.data_dir(), &text(&made, "join")), "the join string is in a file");
}

#[tokio::test]
async fn equal_requests_at_a_time_are_one() {
    let relay = Relay::start().await;
    let operator = Caller::operator(&relay);
    let new = json!({"name": "remote"});
    let make = || operator.post("/workspaces", "a key", &new);
    let (one, two, three) = tokio::join!(make(), make(), make());
    let ids = [&one, &two, &three].map(|answer| text(&answer.json(), "id"));
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(named(&relay, "remote").await.len(), 1);
}

#[tokio::test]
async fn a_key_is_for_one_credential_one_path_and_one_body() {
    let relay = Relay::start().await;
    let operator = Caller::operator(&relay);
    let first = operator.post("/workspaces", "k", &json!({"name": "one"})).await;
    assert_eq!(first.status, 201, "{first:?}");
    let other = operator.post("/workspaces", "k", &json!({"name": "two"})).await;
    let said = assert_problem(&other, 409, "RELAY_DUPLICATE", "another body");
    assert!(said.contains("`Idempotency-Key`"), "{said}");
    assert!(named(&relay, "two").await.is_empty());

    let key = json!({"name": "ci", "scope": "admin"});
    let key = text(&relay.operate("POST /keys", Some(&key)).await, "key");
    let tool = Caller { relay: &relay, token: key };
    let two = tool.post("/workspaces", "k", &json!({"name": "two"})).await;
    assert_eq!(two.status, 201, "{two:?}");
    let nobody = Caller { relay: &relay, token: "radm_wrong".into() };
    let refused = nobody.post("/workspaces", "k", &json!({"name": "one"})).await;
    assert_problem(&refused, 401, "RELAY_UNAUTHENTICATED", "the key of another");
    let (_, agent) = agent(&relay, "agent").await;
    let agent = Caller { relay: &relay, token: agent };
    let refused = agent.post("/workspaces", "k", &json!({"name": "one"})).await;
    assert_problem(&refused, 403, "RELAY_FORBIDDEN", "the key of another");

    for wrong in ["", &"x".repeat(256), "a\tb"] {
        let refused = operator.post("/workspaces", wrong, &json!({"name": "three"})).await;
        let said = assert_problem(&refused, 400, "RELAY_BAD_REQUEST", wrong);
        assert!(said.contains("`Idempotency-Key`"), "{said}");
    }
    // What was refused was not done, and may be asked again.
    let wrong = operator.post("/workspaces", "later", &json!({"name": "x", "alias": "x"})).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let right = operator.post("/workspaces", "later", &json!({"name": "three"})).await;
    assert_eq!(right.status, 201, "{right:?}");
}

#[tokio::test]
async fn what_was_revoked_is_not_shown_again() {
    let relay = Relay::start().await;
    let operator = Caller::operator(&relay);
    let (id, _) = agent(&relay, "agent").await;
    let revoke = format!("DELETE /workspaces/{id}/tokens");
    relay.operate(&revoke, None).await;
    let me = json!({"id": id, "url": "https://agent.example.com", "agent_card": {"name": "r"}});
    let first = operator.post("/registry/register", "first", &me).await.json();
    relay.operate(&revoke, None).await;
    let refused = operator.post("/registry/register", "first", &me).await;
    let said = assert_problem(&refused, 409, "RELAY_DUPLICATE", "a revoked answer");
    assert!(said.contains("revoked"), "{said}");
    let second = operator.post("/registry/register", "second", &me).await.json();
    assert_ne!(text(&first, "auth_token"), text(&second, "auth_token"));
}
