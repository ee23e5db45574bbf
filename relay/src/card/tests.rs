//! What becomes of cards, rule by rule.

use super::{View, edit as edit_view};
use proptest::prelude::*;
use serde_json::{Value, json};

const BASE: &str = "https://relay.example/agents/echo/";
const ORIGIN: &str = "http://127.0.0.1:8000";

fn edit(card: &[u8], base: &str, origin: &str) -> Option<Vec<u8>> {
    edit_view(card, &View { base, secret_base: None, origin })
}

fn edited(card: &Value) -> Option<Value> {
    let bytes = edit(card.to_string().as_bytes(), BASE, ORIGIN)?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

fn main_url(url: &str) -> String {
    let card = json!({ "url": url });
    edited(&card).unwrap_or(card)["url"].as_str().unwrap().to_owned()
}

#[test]
fn each_kind_of_url_has_its_place() {
    for (url, expected) in [
        ("http://127.0.0.1:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://localhost:8000", "https://relay.example/agents/echo"),
        ("http://localhost:8000/", "https://relay.example/agents/echo/"),
        ("http://0.0.0.0:8000/a2a?x=1", "https://relay.example/agents/echo/a2a?x=1"),
        ("http://10.1.2.3:8000/a2a/", "https://relay.example/agents/echo/a2a/"),
        ("http://[::1]:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://my-laptop:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://agent.local.:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("/a2a", "https://relay.example/agents/echo/a2a"),
        // Private, and not the agent's port: the endpoint that every agent has takes its place.
        ("http://127.0.0.1:9000/a2a", "https://relay.example/agents/echo/a2a"),
        ("https://relay.example/agents/echo/a2a", "https://relay.example/agents/echo/a2a"),
        ("https://relay.example/agents/echo", "https://relay.example/agents/echo"),
        ("https://public.example/a2a", "https://public.example/a2a"),
        ("no url at all", "no url at all"),
    ] {
        assert_eq!(main_url(url), expected, "{url}");
    }
}

#[test]
fn nothing_but_urls_changes_not_even_a_space() {
    let card = r#"{ "name":"x","big":9007199254740993,  "url" : "http://localhost:8000/a2a",
        "documentationUrl":"http://localhost:8000/docs", "capabilities":{"extensions":[{"uri":"http://localhost:8000/e"}]},
        "zeta":1.0, "alpha":"é" }"#;
    let expected = card.replacen("http://localhost:8000/a2a", &format!("{BASE}a2a"), 1);
    assert_eq!(edit(card.as_bytes(), BASE, ORIGIN).unwrap(), expected.as_bytes());
}

#[test]
fn interfaces_that_nobody_could_reach_are_left_out() {
    let card = json!({
        "supportedInterfaces": [
            {"url": "http://localhost:8000/a2a", "protocolBinding": "JSONRPC", "tenant": "t"},
            {"url": "localhost:8000", "protocolBinding": "GRPC"},
            {"url": "http://localhost:8081/rest", "protocolBinding": "HTTP+JSON"},
            {"url": "https://elsewhere.example/a2a", "protocolBinding": "JSONRPC"},
        ],
    });
    assert_eq!(
        edited(&card).unwrap()["supportedInterfaces"],
        json!([
            {"url": format!("{BASE}a2a"), "protocolBinding": "JSONRPC", "tenant": "t"},
            {"url": "https://elsewhere.example/a2a", "protocolBinding": "JSONRPC"},
        ])
    );
}

#[test]
fn the_next_interface_takes_the_place_of_a_main_url_that_had_to_go() {
    let card = json!({
        "url": "http://localhost:9999/grpc", "preferredTransport": "GRPC",
        "additionalInterfaces": [{"url": "http://localhost:8000/rest", "transport": "HTTP+JSON"}],
    });
    let card = edited(&card).unwrap();
    assert_eq!(card["url"], format!("{BASE}rest"));
    assert_eq!(card["preferredTransport"], "HTTP+JSON");
}

#[test]
fn signatures_fall_with_what_they_signed_and_only_then() {
    let signed = json!({"url": "http://localhost:8000/a2a", "signatures": [{"protected": "x"}]});
    assert_eq!(edited(&signed).unwrap()["signatures"], json!([]));
    let public = json!({"url": format!("{BASE}a2a"), "signatures": [{"protected": "x"}]});
    assert_eq!(edited(&public), None);
}

#[test]
fn a_base_that_the_caller_did_not_name_does_not_go_out() {
    let secret = "https://relay.example/agents/a_secret/";
    let card = json!({"url": format!("{secret}a2a"), "iconUrl": "https://relay.example/x.png"});
    let view = View { base: BASE, secret_base: Some(secret), origin: ORIGIN };
    let edited: Value =
        serde_json::from_slice(&edit_view(card.to_string().as_bytes(), &view).unwrap()).unwrap();
    assert_eq!(edited["url"], format!("{BASE}a2a"));
    assert_eq!(edited["iconUrl"], card["iconUrl"]);
}

#[test]
fn what_is_no_card_is_left_alone() {
    for text in ["", "[]", "{", "{\"url\":5}", "{\"supportedInterfaces\":5}", "null", "\u{feff}{}"]
    {
        assert_eq!(edit(text.as_bytes(), BASE, ORIGIN), None, "{text}");
    }
}

proptest! {
    #[test]
    fn editing_twice_changes_nothing(
        hosts in prop::collection::vec(("[a-z0-9.:\\[\\]@-]{0,24}", "[/a-z?#%]{0,12}"), 0..5),
    ) {
        let interfaces: Vec<Value> = hosts.iter()
            .map(|(host, path)| json!({"url": format!("http://{host}{path}"), "protocolBinding": "JSONRPC"}))
            .collect();
        let main = hosts.first().map(|(host, path)| format!("https://{host}{path}"));
        let card = json!({"url": main, "supportedInterfaces": interfaces}).to_string();
        if let Some(once) = edit(card.as_bytes(), BASE, ORIGIN) {
            prop_assert_eq!(edit(&once, BASE, ORIGIN), None);
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = edit(&bytes, BASE, ORIGIN);
    }
}
