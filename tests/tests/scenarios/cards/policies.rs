//! What the operator says of cards: signed ones kept whole or signed anew, foreign URLs left out.

use serde_json::{Value, json};
use tests::{World, agent::Document, http::get, sdk};

const CARD: &str = "/.well-known/agent-card.json";

/// A signed card, with old and new fields, unknown ones, and some that say nothing.
fn signed(port: u16) -> Value {
    let url = format!("http://127.0.0.1:{port}/a2a");
    json!({
        "name": "Signierer für Äpfel", "description": "", "version": "1.0.0", "url": url,
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0", "tenant": ""},
            {"url": format!("127.0.0.1:{port}"), "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            {"url": "https://elsewhere.example/a2a", "protocolBinding": "JSONRPC",
             "protocolVersion": "1.0"},
        ],
        "capabilities": {"streaming": true, "pushNotifications": false, "extensions": [
            {"uri": "urn:x", "required": false, "params": {"n": 1, "f": 1e21, "empty": [], "deep": {"a": null}}},
        ]},
        "securitySchemes": {"key": {"apiKeySecurityScheme": {"location": "header", "name": "X"}}},
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "s", "name": "S", "description": "d", "tags": ["t"], "examples": [""]}],
        "x-unknown": {"kept": 1},
        "signatures": [{"protected": "e30", "signature": "stale"}, {"protected": "e30", "signature": "x"}],
    })
}

#[tokio::test]
async fn a_strict_operator_serves_a_signed_card_as_it_is() {
    let world = World::builder()
        .workspace_args(&["--strict-card", "on"])
        .document(CARD, |port| Document::json(signed(port)))
        .start()
        .await;
    let answer = get(&world.workspace.card()).await.expect("a card");
    assert_eq!(answer.text(), signed(world.agent.port()).to_string());
    assert_eq!(answer.header("x-relay-card"), Some("unedited"));

    let id = world.workspace.workspace_id.clone();
    assert_eq!(world.relay.show_workspace(&id).await["strict_card"], true);
    let said = world.relay.cli(&["workspace", "set", &id, "--strict-card", "off"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(world.relay.show_workspace(&id).await["strict_card"], false);
    let answer = get(&world.workspace.card()).await.expect("a card");
    assert_eq!(answer.header("x-relay-card"), Some("rewritten"));
    assert_eq!(answer.json()["signatures"], json!([]), "none is better than a stale one");
    let wrong = world.relay.cli(&["workspace", "set", &id, "--strict-card", "maybe"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn urls_that_pass_the_relay_by_are_left_out_where_the_operator_says_so() {
    for (args, left) in [(&[][..], 2), (&["--foreign-urls", "drop"], 1)] {
        let world = World::builder()
            .relay_args(args)
            .document(CARD, |port| Document::json(signed(port)))
            .start()
            .await;
        let card = get(&world.workspace.card()).await.expect("a card").json();
        let interfaces = card["supportedInterfaces"].as_array().expect("a list");
        assert_eq!(interfaces.len(), left, "{interfaces:?}");
        assert_eq!(interfaces[0]["url"], format!("{}a2a", world.public_url));
    }
}

#[tokio::test]
async fn the_official_sdk_verifies_a_card_that_the_relay_signed() {
    if sdk::python().await.is_none() {
        return;
    }
    let mut world = World::builder()
        .lasting_ports()
        .relay_args(&["--sign-cards"])
        .lasting_ports()
        .document(CARD, |port| Document::json(signed(port)))
        .start()
        .await;
    let keys = format!("{}/.well-known/jwks.json", world.relay.public_url());
    let before = get(&keys).await.expect("keys").json();
    assert_eq!(before["keys"][0]["kty"], "EC");
    let seen = sdk::verify(&world.workspace.card()).await.expect("the SDK");
    assert_eq!(seen["jku"], keys);
    assert_eq!((&seen["valid"], &seen["changed"]), (&json!(true), &json!(false)), "{seen}");
    assert_eq!(seen["signatures"], 1);

    // The key outlives the process.
    world.relay.restart().await;
    assert_eq!(get(&keys).await.expect("keys").json(), before);
}

#[tokio::test]
async fn a_relay_that_signs_nothing_has_no_keys() {
    let world = World::new().await;
    let keys = format!("{}/.well-known/jwks.json", world.relay.public_url());
    let refused = get(&keys).await.expect("an answer");
    assert_eq!((refused.status, refused.relay_error()), (404, Some("RELAY_NOT_FOUND")));
}
