//! Tests of what an agent does over HTTP: register, beat, pull secrets, find its peers.

use serde_json::json;

use super::*;

/// A workspace whose agent has registered; its id and its token.
async fn registered(desk: &Desk, name: &str) -> (String, String) {
    let id = text(&desk.add(json!({ "name": name })).await, "id");
    let (status, answer) = desk.ask("POST /registry/register", &registration(&id)).await;
    assert_eq!(status, 200, "{answer}");
    (id, text(&answer, "auth_token"))
}

fn registration(id: &str) -> String {
    json!({"id": id, "url": "https://agent.example.com",
        "agent_card": {"name": "CI Agent", "runtime": "external", "version": "1.0"}})
    .to_string()
}

#[tokio::test]
async fn a_token_is_given_once_and_again_after_a_revocation() {
    let desk = Desk::open();
    let id = text(&desk.add(json!({"name": "CI Agent", "url": "https://x.example"})).await, "id");
    let body = registration(&id);
    let (status, first) = desk.ask("POST /registry/register", &body).await;
    assert_eq!(status, 200, "{first}");
    let token = text(&first, "auth_token");
    assert!(token.starts_with("rtok_") && token.len() == 5 + 26 + 52, "{} letters", token.len());
    assert_eq!((&first["workspace_id"], &first["expires_at"]), (&json!(id), &Value::Null));
    assert!(text(&first, "org_id").starts_with("org_"));

    for asker in [TOKEN, token.as_str()] {
        let (status, again) = desk.ask_as(asker, "POST /registry/register", &body).await;
        assert_eq!((status, again.get("auth_token")), (200, None), "{again}");
        assert!(text(&again, "note").contains("revoke"));
    }
    let (status, _) = desk.ask(&format!("DELETE /workspaces/{id}/tokens"), "").await;
    assert_eq!(status, 200);
    let beat = json!({ "workspace_id": id }).to_string();
    assert_eq!(desk.ask_as(&token, "POST /registry/heartbeat", &beat).await.0, 401);
    let (_, fresh) = desk.ask("POST /registry/register", &body).await;
    assert_ne!(text(&fresh, "auth_token"), token);
}

#[tokio::test]
async fn a_registration_says_what_is_wrong_with_it() {
    let desk = Desk::open();
    let (id, token) = registered(&desk, "a").await;
    let card = json!({"name": "x"});
    for (body, part) in [
        (json!({"url": "https://x", "agent_card": card}), "`id`"),
        (json!({"id": "x", "url": "https://x", "agent_card": card}), "`id`"),
        (json!({"id": id, "agent_card": card}), "`url`"),
        (json!({"id": id, "url": "no url", "agent_card": card}), "`url`"),
        (json!({"id": id, "url": "/a2a", "agent_card": card}), "`url`"),
        (json!({"id": id, "url": "https://u:p@x", "agent_card": card}), "`url`"),
        (
            json!({"id": id, "url": format!("https://{}", "x".repeat(2048)), "agent_card": card}),
            "`url`",
        ),
        (json!({"id": id, "url": "https://x"}), "`agent_card`"),
        (json!({"id": id, "url": "https://x", "agent_card": "x"}), "`agent_card`"),
    ] {
        let (status, code, detail) =
            desk.refused("POST /registry/register", &body.to_string()).await;
        assert_eq!((status, code.as_str()), (400, "RELAY_BAD_REQUEST"), "{body}");
        assert!(detail.contains(part), "{body}: {detail}");
    }
    let unknown = registration("ws_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_eq!(desk.ask("POST /registry/register", &unknown).await.0, 404);
    assert_eq!(desk.ask_as(&token, "POST /registry/register", &unknown).await.0, 403);
    let plain = json!({"id": id, "url": "http://127.0.0.1:9", "agent_card": card}).to_string();
    let (status, answer) = desk.ask_as(&token, "POST /registry/register", &plain).await;
    assert_eq!((status, answer["warnings"].as_array().unwrap().len()), (200, 1));
}

#[tokio::test]
async fn a_heartbeat_brings_an_agent_online_and_its_words_show() {
    let desk = Desk::open();
    let (id, token) = registered(&desk, "a").await;
    let (other, _) = registered(&desk, "b").await;
    let beat = json!({"workspace_id": id, "error_rate": 0.5, "current_task": "reading",
        "active_tasks": 2, "uptime_seconds": 7, "unknown": {"x": 1}});
    let (status, answer) = desk.ask_as(&token, "POST /registry/heartbeat", &beat.to_string()).await;
    assert_eq!((status, &answer["status"]), (200, &json!("ok")));
    let (_, row) = desk.ask_as(&token, &format!("GET /workspaces/{id}"), "").await;
    assert_eq!((&row["status"], &row["connected"]), (&json!("degraded"), &json!(false)));
    assert_eq!((&row["current_task"], &row["active_tasks"]), (&json!("reading"), &json!(2)));
    assert_eq!(row["agent_card"]["name"], "CI Agent");

    let bare = json!({ "workspace_id": id }).to_string();
    assert_eq!(desk.ask_as(&token, "POST /registry/heartbeat", &bare).await.0, 200);
    let (_, row) = desk.ask(&format!("GET /workspaces/{id}"), "").await;
    assert_eq!((&row["status"], &row["current_task"]), (&json!("online"), &json!("")));

    let foreign = json!({ "workspace_id": other }).to_string();
    assert_eq!(desk.ask_as(&token, "POST /registry/heartbeat", &foreign).await.0, 403);
    for (field, value) in [
        ("error_rate", json!(1.5)),
        ("error_rate", json!("much")),
        ("active_tasks", json!(-1)),
        ("current_task", json!("x".repeat(4097))),
        ("runtime_state", json!(7)),
    ] {
        let body = json!({"workspace_id": id, field: value}).to_string();
        let (status, answer) = desk.ask_as(&token, "POST /registry/heartbeat", &body).await;
        assert_eq!(status, 400, "{field}");
        assert!(text(&answer, "detail").contains(&format!("`{field}`")), "{answer}");
    }
}

#[tokio::test]
async fn secrets_are_set_by_the_operator_and_read_by_the_agent() {
    let desk = Desk::open();
    let (id, token) = registered(&desk, "a").await;
    let (other, _) = registered(&desk, "b").await;
    let at = format!("/workspaces/{id}/secrets");
    let set = r#"{"value":"sk-canary"}"#;
    assert_eq!(desk.ask(&format!("PUT {at}/OPENAI_API_KEY"), set).await.0, 200);
    let posted = r#"{"key":"GITHUB_TOKEN","value":"ghs_canary"}"#;
    assert_eq!(desk.ask(&format!("POST {at}"), posted).await.0, 200);

    let (_, names) = desk.ask(&format!("GET {at}"), "").await;
    assert_eq!(names["secrets"].as_array().unwrap().len(), 2);
    assert!(!names.to_string().contains("canary"), "the operator sees names: {names}");
    let both = json!({"OPENAI_API_KEY": "sk-canary", "GITHUB_TOKEN": "ghs_canary"});
    let (_, pulled) = desk.ask_as(&token, &format!("GET {at}"), "").await;
    assert_eq!(pulled, json!({ "secrets": both }));
    assert_eq!(desk.ask_as(&token, &format!("GET {at}/values"), "").await.1, both);

    for call in [format!("GET /workspaces/{other}/secrets"), format!("PUT {at}/MORE")] {
        assert_eq!(desk.ask_as(&token, &call, set).await.0, 403, "{call}");
    }
    assert_eq!(desk.ask(&format!("PUT {at}/1-WRONG"), set).await.0, 400);
    assert_eq!(desk.ask(&format!("PUT {at}/RIGHT"), "{}").await.0, 400);
    assert_eq!(desk.ask(&format!("DELETE {at}/NOTHING"), "").await.0, 404);
    assert_eq!(desk.ask(&format!("DELETE {at}/GITHUB_TOKEN"), "").await.0, 200);
    let (_, left) = desk.ask_as(&token, &format!("GET {at}/values"), "").await;
    assert_eq!(left, json!({"OPENAI_API_KEY": "sk-canary"}));
}

#[tokio::test]
async fn an_agent_finds_those_it_may_talk_to_and_no_others() {
    let desk = Desk::open();
    let (root, token) = registered(&desk, "root").await;
    let (sibling, _) = registered(&desk, "sibling").await;
    let child = text(&desk.add(json!({"name": "child", "parent_id": sibling})).await, "id");
    let (_, peers) = desk.ask_as(&token, &format!("GET /registry/{root}/peers"), "").await;
    let names: Vec<_> = peers.as_array().unwrap().iter().map(|peer| &peer["name"]).collect();
    assert_eq!(names, ["sibling"]);
    let url = format!("https://relay.example.com/agents/{sibling}/");
    assert_eq!(peers[0]["url"], json!(url), "by its id: the address is its owner's");
    let (_, none) = desk.ask_as(&token, &format!("GET /registry/{root}/peers?q=nobody"), "").await;
    assert_eq!(none, json!([]));

    let (status, found) =
        desk.ask_as(&token, &format!("GET /registry/discover/{sibling}"), "").await;
    assert_eq!((status, found), (200, json!({"id": sibling, "url": url, "name": "sibling"})));
    for other in [child.as_str(), "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", "nonsense"] {
        let call = format!("GET /registry/discover/{other}");
        assert_eq!(desk.ask_as(&token, &call, "").await.0, 403, "{other}");
    }
    let call = format!("GET /registry/{sibling}/peers");
    assert_eq!(desk.ask_as(&token, &call, "").await.0, 403, "another's peers");
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("x-workspace-id", sibling.as_str())];
    let answer = desk.raw(&format!("GET /registry/discover/{sibling}"), &fields, "").await;
    assert_eq!(answer.status(), 403, "a sender that claims to be another");
}
