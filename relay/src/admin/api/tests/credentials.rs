//! Tests of credentials: what each opens, how they are made, listed and revoked.

use serde_json::json;

use super::*;

#[tokio::test]
async fn each_tier_opens_its_own_and_nothing_above() {
    let desk = Desk::open();
    let id = text(&desk.add(json!({"name": "a"})).await, "id");
    let mut keys = Vec::new();
    for scope in ["admin", "call", "read"] {
        let body = json!({"name": scope, "scope": scope}).to_string();
        let (status, made) = desk.ask("POST /keys", &body).await;
        assert_eq!((status, &made["scope"]), (201, &json!(scope)));
        keys.push(text(&made, "key"));
    }
    let at = format!("/workspaces/{id}");
    let (_, token) = desk.ask(&format!("POST {at}/tokens"), "").await;
    let (_, caller) = desk.ask(&format!("POST {at}/callers"), r#"{"name":"ci"}"#).await;
    let askers =
        [&keys[0], &keys[1], &keys[2], &text(&token, "auth_token"), &text(&caller, "caller_token")];
    for (call, statuses) in [
        ("GET /workspaces".to_owned(), [200, 403, 200, 403, 403]),
        (format!("GET {at}"), [200, 403, 200, 200, 403]),
        (format!("GET {at}/state"), [200, 403, 403, 200, 403]),
        (format!("GET {at}/tokens"), [200, 403, 403, 200, 403]),
        (format!("GET {at}/callers"), [200, 403, 403, 403, 403]),
        (format!("GET {at}/secrets"), [200, 403, 403, 200, 403]),
        (format!("GET {at}/secrets/values"), [403, 403, 403, 200, 403]),
        (format!("POST {at}/pause"), [200, 403, 403, 403, 403]),
        (format!("POST {at}/join"), [200, 403, 403, 403, 403]),
        ("GET /keys".to_owned(), [200, 403, 403, 403, 403]),
        ("GET /events".to_owned(), [200, 403, 200, 403, 403]),
    ] {
        for (asker, expected) in askers.iter().zip(statuses) {
            let (status, answer) = desk.ask_as(asker, &call, "").await;
            assert_eq!(status, expected, "{call} with {:.5}: {answer}", asker);
        }
    }
}

#[tokio::test]
async fn several_tokens_live_side_by_side_until_one_is_revoked() {
    let desk = Desk::open();
    let id = text(&desk.add(json!({"name": "a"})).await, "id");
    let at = format!("/workspaces/{id}/tokens");
    let (_, first) = desk.ask(&format!("POST {at}"), "").await;
    let old = text(&first, "auth_token");
    // The agent makes the next one itself, switches, and revokes the old one: no gap.
    let (status, second) = desk.ask_as(&old, &format!("POST {at}"), "").await;
    assert_eq!(status, 201, "{second}");
    let new = text(&second, "auth_token");
    let (_, list) = desk.ask_as(&new, &format!("GET {at}"), "").await;
    assert_eq!(list["tokens"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains(&old[31..]), "no list shows a token: {list}");
    assert!(text(&list["tokens"][0], "prefix").starts_with("rtok_"));
    assert!(list["tokens"][0]["last_used_at"].is_string());

    let call = format!("DELETE {at}/{}", text(&first, "id"));
    assert_eq!(desk.ask_as(&new, &call, "").await.0, 200);
    assert_eq!(desk.ask_as(&old, &format!("GET {at}"), "").await.0, 401);
    assert_eq!(desk.ask_as(&new, &format!("GET {at}"), "").await.0, 200);
    for wrong in ["nonsense", "01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        assert_eq!(desk.ask(&format!("DELETE {at}/{wrong}"), "").await.0, 404, "{wrong}");
    }
}

#[tokio::test]
async fn the_trail_tells_who_did_what_and_no_secret() {
    let desk = Desk::open();
    let id = text(&desk.add(json!({"name": "a"})).await, "id");
    let at = format!("/workspaces/{id}");
    let (_, token) = desk.ask(&format!("POST {at}/tokens"), "").await;
    desk.ask(&format!("PUT {at}/secrets/KEY"), r#"{"value":"sk-canary"}"#).await;
    desk.ask(&format!("DELETE {at}"), "").await;
    let (status, trail) = desk.ask(&format!("GET /events?workspace={id}"), "").await;
    assert_eq!(status, 200, "{trail}");
    let actions: Vec<_> =
        trail["events"].as_array().unwrap().iter().map(|e| text(e, "action")).collect();
    let expected =
        ["workspace.removed", "secret.set", "token.issued", "join.issued", "workspace.created"];
    assert_eq!(actions, expected);
    assert_eq!(trail["events"][0]["actor"], "operator");
    let all = trail.to_string();
    assert!(!all.contains("sk-canary") && !all.contains(&text(&token, "auth_token")), "{all}");

    let fields = [("authorization", "Bearer radm_test")];
    let answer = desk.raw("GET /events?format=jsonl&limit=2", &fields, "").await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/x-ndjson");
    let lines: Vec<Value> = std::str::from_utf8(answer.body())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(desk.ask("GET /events?limit=x", "").await.0, 400);
}
