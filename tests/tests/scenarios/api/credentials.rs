//! Credentials that are missing, wrong, doubled, too long, revoked or out of time, at every call.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use tests::{http::Version, until};

use super::{Cast, agent, description::operations, said};

/// A body that would do for every call.
const BODY: &[u8] = br#"{"name":"x","scope":"read","key":"K","value":"v"}"#;

#[tokio::test]
async fn every_call_refuses_every_credential_that_opens_nothing_in_the_same_words() {
    let cast = Cast::new().await;
    let (own, admin) = (&cast.own.0, &cast.admin);
    let revoked = agent(&cast.relay, "revoked").await;
    cast.relay.operate(&format!("DELETE /workspaces/{}/tokens", revoked.0), None).await;
    let key = json!({ "name": "k", "scope": "admin" });
    let (key, id) = cast.make("POST /keys", "key", key).await;
    cast.relay.operate(&format!("DELETE /keys/{id}"), None).await;
    let call = format!("POST /workspaces/{own}/callers");
    let caller = json!({ "name": "c", "expires_seconds": 1 });
    let (caller, _) = cast.make(&call, "caller_token", caller).await;
    until("the caller token ends", Duration::from_secs(10), async || {
        let list = cast.relay.operate(&call.replace("POST", "GET"), None).await;
        list["callers"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    let bearer = |text: &str| ("Authorization", format!("Bearer {text}"));
    let beside = |text: &str| ("X-Relay-Authorization", format!("Bearer {text}"));
    let rows = [
        ("none", vec![]),
        ("an empty one", vec![bearer("")]),
        ("no scheme", vec![("Authorization", admin.clone())]),
        ("another scheme", vec![("Authorization", format!("Basic {admin}"))]),
        ("a foreign one", vec![bearer("eyJhbGciOiJIUzI1NiJ9.e30.x")]),
        ("nearly the admin token", vec![bearer(&format!("{admin}x"))]),
        ("a made-up token", vec![bearer("rtok_01ARZ3NDEKTSV4RRFFQ69G5FAV")]),
        ("the prefix alone", vec![bearer("okey_")]),
        ("one of a removed workspace", vec![bearer(&cast.removed.1)]),
        ("a revoked token", vec![bearer(&revoked.1)]),
        ("a revoked key", vec![bearer(&key)]),
        ("one out of time", vec![bearer(&caller)]),
        ("the admin token twice", vec![bearer(admin), bearer(admin)]),
        ("two good ones", vec![bearer(admin), bearer(&cast.own.1)]),
        ("two in the other field", vec![beside(admin), beside(admin)]),
        ("a bad one before a good one", vec![beside("x"), bearer(admin)]),
        ("20 KB", vec![bearer(&format!("rtok_{}", "x".repeat(20_000)))]),
    ];
    let mut tried = 0;
    for operation in operations(&cast.relay).await.iter().filter(|one| !one.open) {
        let call = operation.of(own);
        let body = (operation.method != "GET").then_some(BODY);
        let mut answers = BTreeSet::new();
        for (what, credentials) in &rows {
            let mut headers = vec![("Content-Type", "application/json")];
            headers.extend(credentials.iter().map(|(name, value)| (*name, value.as_str())));
            if operation.path == "/a2a" {
                headers.push(("X-Workspace-ID", own));
            }
            let answer = cast.ask(&call, &headers, body).await;
            let marks = (answer.status, answer.relay_error());
            assert_eq!(marks, (401, Some("RELAY_UNAUTHENTICATED")), "{call}, {what}: {answer:?}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer realm=\"relay\""), "{call}, {what}");
            answers.insert(said(&answer));
            tried += 1;
        }
        assert_eq!(answers.len(), 1, "{call}: one answer for all: {answers:?}");
    }
    eprintln!("{tried} calls refused");
}

#[tokio::test]
async fn a_credential_of_40_kb_is_refused_unread() {
    let cast = Cast::new().await;
    let before = cast.relay.process().rss_bytes();
    let long = format!("Bearer rtok_{}", "x".repeat(40_000));
    for operation in operations(&cast.relay).await {
        let call = operation.of(&cast.own.0);
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let url = format!("http://{}{path}", cast.relay.http());
        for field in ["Authorization", "X-Relay-Authorization", "X-Workspace-ID"] {
            let answer = Version::Http1.exchange(method, &url, &[(field, &long)], None).await;
            let answer = answer.unwrap_or_else(|cut| panic!("{call} {field}: {cut}"));
            let marks = (answer.status, answer.relay_error());
            assert_eq!(marks, (431, Some("RELAY_HEADERS_TOO_LARGE")), "{call}: {answer:?}");
        }
    }
    let after = cast.relay.process().rss_bytes();
    assert!(after < before + 16 * 1024 * 1024, "memory grew from {before} to {after}");
}

/// Who registers first gets nothing: a token goes to the operator, or to nobody.
#[tokio::test]
async fn nobody_gets_a_token_by_being_first() {
    let cast = Cast::new().await;
    let fresh = cast.relay.operate("POST /workspaces", Some(&json!({ "name": "fresh" }))).await;
    let id = super::text(&fresh, "id");
    let body = json!({ "id": id, "url": "https://a.example", "agent_card": {} }).to_string();
    let caller = format!("POST /workspaces/{id}/callers");
    let (caller, _) = cast.make(&caller, "caller_token", json!({ "name": "c" })).await;
    let headers = [("Content-Type", "application/json")];
    let answer = cast.ask("POST /registry/register", &headers, Some(body.as_bytes())).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    for token in [&cast.own.1, &caller] {
        let answer = cast.ask_as(token, "POST /registry/register", &body).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    for scope in ["call", "read"] {
        let key = json!({ "name": scope, "scope": scope });
        let (key, _) = cast.make("POST /keys", "key", key).await;
        let answer = cast.ask_as(&key, "POST /registry/register", &body).await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    let first = cast.ask_as(&cast.admin, "POST /registry/register", &body).await.json();
    let token = super::text(&first, "auth_token");
    for token in [&cast.admin, &token] {
        let again = cast.ask_as(token, "POST /registry/register", &body).await.json();
        assert_eq!((&again["status"], again.get("auth_token")), (&json!("registered"), None));
        assert!(again["note"].is_string(), "{again}");
    }
}
