//! Tests of what the API refuses whoever asks: credentials, paths, bodies, a store that is gone.

use http::header::{ALLOW, WWW_AUTHENTICATE};
use serde_json::json;

use super::*;

#[tokio::test]
async fn only_the_admin_token_opens_anything() {
    let desk = Desk::open();
    desk.add(json!({"name": "a"})).await;
    let right = format!("Bearer {TOKEN}");
    let mut bodies = std::collections::HashSet::new();
    for call in [
        "GET /workspaces",
        "POST /workspaces",
        "GET /workspaces/a",
        "GET /workspaces/nobody",
        "PATCH /workspaces/a",
        "DELETE /workspaces/a",
        "POST /workspaces/a/join",
        "DELETE /workspaces/a/tokens",
        "POST /workspaces/a/pause",
        "POST /workspaces/a/resume",
        "POST /registry/register",
        "POST /registry/heartbeat",
        "POST /registry/update-card",
        "GET /registry/discover/a",
        "GET /registry/a/peers",
        "GET /workspaces/a/state",
        "GET /workspaces/a/secrets",
        "GET /workspaces/a/secrets/values",
        "PUT /workspaces/a/secrets/KEY",
        "GET /workspaces/a/tokens",
        "POST /workspaces/a/tokens",
        "DELETE /workspaces/a/tokens/01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "GET /workspaces/a/callers",
        "GET /keys",
        "POST /keys",
        "GET /events",
        "POST /backups",
    ] {
        for credentials in [
            &[][..],
            &[("authorization", "Bearer wrong")],
            &[("authorization", "Basic cmFkbV90ZXN0")],
            &[("authorization", TOKEN)],
            &[("authorization", "Bearer rtok_01ARZ3NDEKTSV4RRFFQ69G5FAVx")],
            &[("authorization", "Bearer okey_")],
            &[("x-relay-authorization", "Bearer rcall_x")],
            &[("authorization", right.as_str()), ("authorization", "Bearer x")],
        ] {
            let answer = desk.raw(call, credentials, "").await;
            assert_eq!(answer.status(), 401, "{call} with {credentials:?}");
            assert!(answer.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
            assert_eq!(answer.headers()["x-relay-error"], "RELAY_UNAUTHENTICATED");
            assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
            bodies.insert(answer.body().clone());
        }
    }
    assert_eq!(bodies.len(), 1, "one body for every wrong credential");
    let lower = [("authorization", "bearer radm_test")];
    assert_eq!(desk.raw("GET /workspaces", &lower, "").await.status(), 200);
}

#[tokio::test]
async fn paths_and_methods_are_refused_in_that_order() {
    let desk = Desk::open();
    for call in ["GET /registry", "POST /a2a", "PUT /workspaces/a/b", "GET /workspaces/"] {
        let (status, code, _) = desk.refused(call, "").await;
        assert_eq!((status, code.as_str()), (404, "RELAY_NOT_FOUND"), "{call}");
    }
    let answer = desk.raw("PUT /workspaces", &[], "").await;
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()[ALLOW], "GET, HEAD, POST");
}

#[tokio::test]
async fn a_wrong_body_is_refused_and_its_field_is_named() {
    let desk = Desk::open();
    desk.add(json!({"name": "a"})).await;
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(256));
    for (body, part) in [
        ("", "`name`"),
        ("{", "cannot be read"),
        ("[]", "object"),
        ("{}", "`name`"),
        (r#"{"name":1}"#, "`name`"),
        (r#"{"name":""}"#, "`name`"),
        (r#"{"name":"  "}"#, "`name`"),
        (r#"{"name":"a\u0007"}"#, "`name`"),
        (long.as_str(), "`name`"),
        (r#"{"name":"a","name":"b"}"#, "`name`"),
        (r#"{"name":"a","alias":"A B","callers":"open"}"#, "`alias`"),
        (r#"{"name":"a","callers":"everyone"}"#, "`callers`"),
        (r#"{"name":"a","expose":"nothing"}"#, "`expose`"),
        (r#"{"name":"a","parent_id":"x"}"#, "`parent_id`"),
        (r#"{"name":"a","parent_id":"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#, "`parent_id`"),
        (r#"{"name":"a","runtime":"docker"}"#, "`runtime`"),
        (r#"{"name":"a","external":false}"#, "`external`"),
        (r#"{"name":"a","url":7}"#, "`url`"),
        (r#"{"name":"a","url":"https://a:99999/"}"#, "`url`"),
        (r#"{"name":"a","url":"https://a/\u0085"}"#, "`url`"),
        (r#"{"name":"\ud800"}"#, "`name`"),
        (r#"{"x":{"y":1,"y":2}}"#, "`x`"),
    ] {
        let (status, code, detail) = desk.refused("POST /workspaces", body).await;
        assert_eq!((status, code.as_str()), (400, "RELAY_BAD_REQUEST"), "{body}");
        assert!(detail.contains(part), "{body}: {detail}");
    }
    let (status, ..) = desk.refused("PATCH /workspaces/a", r#"{"new_address":"yes"}"#).await;
    assert_eq!(status, 400);
    let bearer = format!("Bearer {TOKEN}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
    let answer = desk.raw("POST /workspaces", &fields, "{}").await;
    assert_eq!(answer.status(), 415);
    assert_eq!(answer.headers()["x-relay-error"], "RELAY_UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn what_a_path_or_a_query_names_is_judged_too() {
    let desk = Desk::open();
    desk.add(json!({"name": "a"})).await;
    let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(64 * 1024 + 1));
    for (call, body, part) in [
        ("PUT /workspaces/a/secrets/K", long.as_str(), "`value`"),
        ("PUT /workspaces/a/secrets/1", r#"{"value":""}"#, "`key`"),
        // Its own path is another one's.
        ("POST /workspaces/a/secrets", r#"{"key":"values","value":""}"#, "`key`"),
        ("GET /events?limit=0", "", "`limit`"),
        ("GET /events?limit=1001", "", "`limit`"),
        ("GET /events?format=xml", "", "`format`"),
    ] {
        let (status, code, detail) = desk.refused(call, body).await;
        assert_eq!((status, code.as_str()), (400, "RELAY_BAD_REQUEST"), "{call}: {detail}");
        assert!(detail.contains(part), "{call}: {detail}");
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_a_503_with_a_time() {
    let desk = Desk::open();
    desk.add(json!({"name": "a"})).await;
    desk.api.registry.close().await;
    let bearer = format!("Bearer {TOKEN}");
    let answer = desk.raw("DELETE /workspaces/a", &[("authorization", bearer.as_str())], "").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    assert_eq!(answer.headers()["x-relay-error"], "RELAY_STORE_UNAVAILABLE");
    assert!(crate::admin::readiness(&desk.api).await.is_err());
    // Lookups go on.
    assert_eq!(desk.ask("GET /workspaces/a", "").await.0, 200);
}
