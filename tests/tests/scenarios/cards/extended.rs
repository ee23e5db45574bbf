//! Extended cards: over HTTP, and as results of JSON-RPC calls.

use serde_json::{Value, json};
use tests::{
    World,
    agent::{Document, hybrid_card},
    http::{exchange, get, post_json},
};

/// Where the card of the mock agent, with an HTTP+JSON base besides, implies an extended one.
const PATHS: [&str; 5] = [
    "agent/authenticatedExtendedCard",
    "extendedAgentCard",
    "v1/card",
    "rest/v1/card",
    "rest/acme/extendedAgentCard",
];

fn card_with_rest(port: u16) -> Value {
    let mut card = hybrid_card(port);
    card["additionalInterfaces"] =
        json!([{"url": format!("http://127.0.0.1:{port}/rest"), "transport": "HTTP+JSON"}]);
    card
}

/// An extended card that says of itself where it stands.
fn extended(port: u16, path: &str) -> Document {
    let url = format!("http://0.0.0.0:{port}/a2a");
    let signatures = json!([{"protected": "e30", "signature": "x"}]);
    let card = json!({"name": path, "url": url, "documentationUrl": url, "signatures": signatures});
    Document::json(card).guarded().header("ETag", "\"e-1\"").header("Cache-Control", "private")
}

async fn world() -> World {
    let mut world = World::builder();
    world =
        world.document("/.well-known/agent-card.json", |port| Document::json(card_with_rest(port)));
    for path in PATHS {
        let path = format!("/{path}");
        world = world.document(&path.clone(), move |port| extended(port, &path));
    }
    world.start().await
}

#[tokio::test]
async fn the_agents_own_credentials_open_the_extended_card_and_its_urls_are_public() {
    let world = world().await;
    for path in PATHS {
        let url = format!("{}{path}", world.public_url);
        let refused = get(&url).await.expect("an answer");
        assert_eq!((refused.status, refused.relay_error()), (401, None), "{path}: {refused:?}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"agent\""));

        let credential = [("Authorization", "Bearer the-agents-own"), ("Accept-Encoding", "gzip")];
        let answer = exchange("GET", &url, &credential, None).await.expect("an answer");
        assert_eq!((answer.status, answer.is_complete()), (200, true), "{path}: {answer:?}");
        assert_eq!(answer.header("x-relay-card"), Some("rewritten"));
        assert_eq!(answer.header("cache-control"), Some("private"));
        let card = answer.json();
        assert_eq!(card["url"], format!("{}a2a", world.public_url), "{path}");
        assert_eq!(card["name"], format!("/{path}"), "the path crossed as it is");
        assert_eq!(card["signatures"], json!([]));
        let local = format!("http://0.0.0.0:{}/a2a", world.agent.port());
        assert_eq!(card["documentationUrl"], local, "what is no interface stays");
        let asked = world.agent.deliveries();
        let asked = asked.iter().rfind(|one| one.path == format!("/{path}")).expect("it was asked");
        assert_eq!(asked.header("authorization"), Some("Bearer the-agents-own"));
        assert_eq!(asked.header("accept-encoding"), Some("identity"));

        let refused = exchange("POST", &url, &credential, Some(b"{}")).await.expect("an answer");
        let allow = refused.header("allow");
        assert_eq!((refused.status, allow), (405, Some("GET, HEAD, OPTIONS")), "{path}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn an_extended_card_is_never_kept() {
    let mut world = world().await;
    let url = format!("{}v1/card", world.public_url);
    let credential = [("Authorization", "Bearer the-agents-own")];
    assert_eq!(exchange("GET", &url, &credential, None).await.expect("a card").status, 200);
    assert_eq!(world.connector.stop().await, 0);
    for headers in [&credential[..], &[]] {
        let answer = exchange("GET", &url, headers, None).await.expect("an answer");
        assert_eq!((answer.status, answer.relay_error()), (503, Some("RELAY_AGENT_OFFLINE")));
    }
    world.connector.start_again();
    world.connector.until_online().await;
}

fn call(method: &str, id: &Value, text: &str) -> Value {
    json!({
        "method": method, "jsonrpc": "2.0", "id": id,
        "params": {"message": {"messageId": "m", "parts": [{"kind": "text", "text": text}]}},
    })
}

#[tokio::test]
async fn the_result_of_a_call_for_the_card_is_edited_and_the_rest_of_the_envelope_is_not() {
    const METHODS: [&str; 2] = ["agent/getAuthenticatedExtendedCard", "GetExtendedAgentCard"];
    let mut world = World::builder();
    for method in METHODS {
        world = world.document(&format!("rpc:{method}"), |port| {
            let url = format!("http://localhost:{port}/a2a");
            Document::json(format!(
                r#"{{"big":9007199254740993, "url": "{url}","params":"{url}"}}"#
            ))
        });
    }
    let world = world.start().await;
    let local = format!("http://localhost:{}/a2a", world.agent.port());
    for method in METHODS {
        for (id, echoed) in [(json!(7), "7"), (json!("a\"b"), r#""a\"b""#)] {
            let answer = world.call(call(method, &id, &local)).await;
            assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
            assert_eq!(answer.header("x-relay-card"), Some("rewritten"));
            let public = format!("{}a2a", world.public_url);
            assert_eq!(
                answer.text(),
                format!(
                    "{{ \"id\":{echoed}, \"result\" : {{\"big\":9007199254740993, \"url\": \"{public}\",\
                     \"params\":\"{local}\"}},\"jsonrpc\":\"2.0\"}}"
                )
            );
        }
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn the_request_decides_and_never_the_look_of_an_answer() {
    let card = |port: u16| json!({"url": format!("http://localhost:{port}/a2a")});
    let world = World::builder()
        .document("rpc:message/send", move |port| Document::json(card(port)))
        .document("rpc:GetExtendedAgentCard", move |port| {
            Document::json(card(port)).header("Content-Type", "text/event-stream")
        })
        .start()
        .await;
    let local = card(world.agent.port()).to_string();
    let answer = world.call(call("message/send", &json!(1), "GetExtendedAgentCard")).await;
    assert_eq!(answer.header("x-relay-card"), None);
    assert!(answer.text().contains(&local), "{answer:?}");

    let events = world.call(call("GetExtendedAgentCard", &json!(1), "")).await;
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    assert_eq!(events.header("x-relay-card"), None);
    assert!(events.text().contains(&local), "{events:?}");

    let batch = json!([call("GetExtendedAgentCard", &json!(1), "")]);
    let answer = post_json(&world.endpoint(), &batch).await.expect("an answer");
    assert_eq!((answer.status, answer.header("x-relay-card")), (200, None), "the agent's business");
    world.until_quiet().await;
}
