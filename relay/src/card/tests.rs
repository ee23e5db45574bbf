//! What becomes of cards, rule by rule.

use super::signing::CardSigner;
use super::{Edit, Rules, View, edit as edit_view, edit_result};
use serde_json::{Value, json};

const BASE: &str = "https://relay.example/agents/echo/";
const AGENTS: &str = "https://relay.example/agents/";
const ENDPOINT: &str = "https://relay.example/agents/echo/a2a";
const ORIGIN: &str = "http://127.0.0.1:8000";

fn rewritten(edit: Edit) -> Option<Vec<u8>> {
    match edit {
        Edit::Rewritten(card) => Some(card),
        Edit::Public => None,
        Edit::Strict => panic!("nobody was strict"),
    }
}

fn edit(card: &[u8], base: &str, origin: &str) -> Option<Vec<u8>> {
    edit_by(card, base, &[origin], Rules::default())
}

fn edit_by(card: &[u8], base: &str, origins: &[&str], rules: Rules<'_>) -> Option<Vec<u8>> {
    let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
    rewritten(edit_view(
        card,
        &View {
            base,
            agents: AGENTS,
            host: None,
            endpoint: ENDPOINT,
            secret_base: None,
            origins: &origins,
            rules,
        },
    ))
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
        ("", ""),
        // As some readers would understand them.
        (" HTTP:\\\\localhost:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("http:/localhost:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://user:pw@localhost:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("localhost:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://127.1:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://localhost:8000?x", "https://relay.example/agents/echo/?x"),
        ("http://[::ffff:127.0.0.1]:8000/a2a", "https://relay.example/agents/echo/a2a"),
        ("//localhost:9/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://%6cocalhost:9/a2a", "https://relay.example/agents/echo/a2a"),
        ("http://localhost:8000/../../x", "https://relay.example/agents/echo/a2a"),
        ("https://relay.example/agents/echoes", "https://relay.example/agents/echoes"),
        ("wss://localhost:8000/ws", "https://relay.example/agents/echo/a2a"),
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
    let card = json!({"url": format!("{secret}a2a"), "iconUrl": "https://relay.example/x.png",
        "signatures": [{"protected": "x"}]});
    let (origins, strict) = ([ORIGIN.to_owned()], Rules { strict: true, ..Rules::default() });
    let view = View {
        base: BASE,
        agents: AGENTS,
        host: None,
        endpoint: ENDPOINT,
        secret_base: Some(secret),
        origins: &origins,
        rules: strict,
    };
    let edited = rewritten(edit_view(card.to_string().as_bytes(), &view)).unwrap();
    let edited: Value = serde_json::from_slice(&edited).unwrap();
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

#[test]
fn a_further_port_of_the_agent_moves_and_every_other_goes() {
    let card = json!({"supportedInterfaces": [
        {"url": "http://localhost:8000/a2a", "protocolBinding": "JSONRPC"},
        {"url": "http://10.0.0.7:8081/rest/", "protocolBinding": "HTTP+JSON"},
        {"url": "http://localhost:8082/rest/", "protocolBinding": "HTTP+JSON"},
        {"url": "wss://localhost:8000/ws", "protocolBinding": "https://example.com/ws"},
    ]});
    let origins = [ORIGIN, "http://127.0.0.1:8081"];
    let edited = edit_by(card.to_string().as_bytes(), BASE, &origins, Rules::default()).unwrap();
    let edited: Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(
        edited["supportedInterfaces"],
        json!([
            {"url": format!("{BASE}a2a"), "protocolBinding": "JSONRPC"},
            {"url": format!("{BASE}rest/"), "protocolBinding": "HTTP+JSON"},
        ])
    );
}

#[test]
fn urls_that_pass_the_relay_by_go_where_the_operator_says_so() {
    let card = json!({"url": "https://elsewhere.example/a2a", "supportedInterfaces": [
        {"url": "https://elsewhere.example/a2a", "protocolBinding": "JSONRPC"},
        {"url": format!("{BASE}a2a"), "protocolBinding": "JSONRPC"},
    ]});
    let drop = Rules { drop_foreign: true, ..Rules::default() };
    assert_eq!(edited(&card), None, "they stay unless somebody says so");
    let edited = edit_by(card.to_string().as_bytes(), BASE, &[ORIGIN], drop).unwrap();
    let edited: Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(edited["url"], format!("{BASE}a2a"));
    assert_eq!(edited["supportedInterfaces"].as_array().unwrap().len(), 1);
}

#[test]
fn the_promoted_interface_brings_its_transport_along() {
    let card = json!({
        "name": "x", "url": "http://localhost:9999/",
        "supportedInterfaces": [
            {"url": "http://localhost:8000/new", "protocolBinding": "JSONRPC"}],
        "additionalInterfaces": [{"url": "http://localhost:8000/rest", "transport": "HTTP+JSON"}],
    });
    let card = edited(&card).unwrap();
    assert_eq!(card["url"], format!("{BASE}rest"));
    assert_eq!(card["preferredTransport"], "HTTP+JSON", "without it, JSON-RPC is meant");
}

#[test]
fn a_member_that_stands_twice_is_edited_twice() {
    let card = br#"{"url":"http://localhost:8000/a","\u0075rl":"http://localhost:9000/b"}"#;
    let edited = String::from_utf8(edit(card, BASE, ORIGIN).unwrap()).unwrap();
    assert!(!edited.contains("localhost"), "{edited}");
}

#[test]
fn a_strict_operator_keeps_signed_cards_whole() {
    let strict = Rules { strict: true, ..Rules::default() };
    let origins = [ORIGIN.to_owned()];
    let view = View {
        base: BASE,
        agents: AGENTS,
        host: None,
        endpoint: ENDPOINT,
        secret_base: None,
        origins: &origins,
        rules: strict,
    };
    let edit = |card: Value| edit_view(card.to_string().as_bytes(), &view);
    let (local, signatures) = ("http://localhost:8000/a2a", json!([{"protected": "x"}]));
    assert_eq!(edit(json!({"url": local, "signatures": signatures})), Edit::Strict);
    for unsigned in [json!({"url": local}), json!({"url": local, "signatures": []})] {
        assert!(matches!(edit(unsigned), Edit::Rewritten(_)));
    }
    assert_eq!(edit(json!({"url": BASE, "signatures": signatures})), Edit::Public);
}

#[test]
fn ten_signatures_become_one_of_the_relays_own() {
    let folder = tempfile::tempdir().unwrap();
    let public = "https://relay.example".parse().unwrap();
    let signer = CardSigner::open_or_create(folder.path(), &public).unwrap();
    let rules = Rules { signer: Some(&signer), ..Rules::default() };
    let signatures = vec![json!({"protected": "x", "signature": "y"}); 10];
    let url = "http://localhost:8000/a2a";
    let card =
        json!({"name": "n", "supportedInterfaces": [{"url": url}], "signatures": signatures});
    let signed = edit_by(card.to_string().as_bytes(), BASE, &[ORIGIN], rules).unwrap();
    let signed: Value = serde_json::from_slice(&signed).unwrap();
    let signatures = signed["signatures"].as_array().unwrap();
    assert_eq!(signatures.len(), 1);
    let header = signatures[0]["protected"].as_str().unwrap();
    let header = data_encoding::BASE64URL_NOPAD.decode(header.as_bytes()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["jku"], "https://relay.example/.well-known/jwks.json");
    assert_eq!(header["kid"], signer.key_id());

    // One that nobody signed, and one of 0.3, which has no form to sign, get none.
    for (card, expected) in [
        (json!({"supportedInterfaces": [{"url": url}]}), Value::Null),
        (json!({"url": url, "signatures": [{"protected": "x"}]}), json!([])),
    ] {
        let edited = edit_by(card.to_string().as_bytes(), BASE, &[ORIGIN], rules).unwrap();
        let edited: Value = serde_json::from_slice(&edited).unwrap();
        assert_eq!(edited["signatures"], expected);
    }
}

#[test]
fn of_a_response_only_the_result_is_edited() {
    let origins = [ORIGIN.to_owned()];
    let rules = Rules::default();
    let view = View {
        base: BASE,
        agents: AGENTS,
        host: None,
        endpoint: ENDPOINT,
        secret_base: None,
        origins: &origins,
        rules,
    };
    let edit = |response: &str| {
        rewritten(edit_result(response.as_bytes(), &view))
            .map(|text| String::from_utf8(text).unwrap())
    };
    let url = "http://localhost:8000/a2a";
    assert_eq!(
        edit(&format!(
            r#"{{ "id" : 1.50, "x":"{url}","result":{{"url": "{url}"}}, "jsonrpc":"2.0"}}"#
        )),
        Some(format!(
            r#"{{ "id" : 1.50, "x":"{url}","result":{{"url": "{BASE}a2a"}}, "jsonrpc":"2.0"}}"#
        ))
    );
    for same in [
        format!(r#"{{"id":1,"error":{{"url":"{url}"}}}}"#),
        format!(r#"{{"id":1,"result":"{url}"}}"#),
        format!(r#"[{{"id":1,"result":{{"url":"{url}"}}}}]"#),
        "no json".into(),
    ] {
        assert_eq!(edit(&same), None, "{same}");
    }
}

#[test]
fn the_deepest_card_is_edited_like_any_other() {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let card = format!(r#"{{"deep":{open}{close},"url":"http://localhost:8000/a"}}"#);
    let edited = edit(card.as_bytes(), BASE, ORIGIN).unwrap();
    assert!(edited.ends_with(br#""url":"https://relay.example/agents/echo/a"}"#));
}

#[test]
fn of_an_agent_whose_origin_is_unknown_nothing_private_goes_out() {
    let secret = "https://relay.example/agents/a_secret/";
    let rules = Rules { drop_foreign: true, ..Rules::default() };
    let view = View {
        base: BASE,
        agents: AGENTS,
        host: None,
        endpoint: ENDPOINT,
        secret_base: Some(secret),
        origins: &[],
        rules,
    };
    let alias = "https://relay.example/agents/alias/a2a";
    let card = json!({"url": format!("{secret}x"), "supportedInterfaces": [
        {"url": "http://localhost:8000/a2a", "protocolBinding": "JSONRPC"},
        {"url": alias, "protocolBinding": "JSONRPC"},
    ]});
    let edited = rewritten(edit_view(card.to_string().as_bytes(), &view)).unwrap();
    let edited: Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(edited["url"], format!("{BASE}x"));
    let left = json!([{"url": alias, "protocolBinding": "JSONRPC"}]);
    assert_eq!(
        edited["supportedInterfaces"], left,
        "by its other name it is the relay's all the same"
    );
}

#[test]
fn grpc_stays_where_the_agent_has_a_host_and_keeps_its_form() {
    let hosted = "https://echo.agents.example/";
    let (origins, rules) =
        ([ORIGIN.to_owned(), "http://127.0.0.1:10000".to_owned()], Rules::default());
    let place = |url: &str, host: Option<&str>, drop_foreign: bool| {
        let rules = Rules { drop_foreign, ..rules };
        let view = View {
            base: BASE,
            agents: AGENTS,
            host,
            endpoint: ENDPOINT,
            secret_base: None,
            origins: &origins,
            rules,
        };
        let card = json!({"supportedInterfaces": [{"url": url, "protocolBinding": "GRPC"}]});
        let edited = rewritten(edit_view(card.to_string().as_bytes(), &view));
        let card = edited.map_or(card, |bytes| serde_json::from_slice(&bytes).unwrap());
        card.pointer("/supportedInterfaces/0/url").and_then(Value::as_str).map(str::to_owned)
    };
    for (url, expected) in [
        ("localhost:10000", Some("echo.agents.example:443")),
        ("0.0.0.0:8000", Some("echo.agents.example:443")),
        ("http://localhost:10000", Some("https://echo.agents.example:443")),
        ("http://localhost:10000/", Some("https://echo.agents.example:443/")),
        ("localhost:7", None),
        ("echo.agents.example:443", Some("echo.agents.example:443")),
        ("https://echo.agents.example", Some("https://echo.agents.example")),
    ] {
        assert_eq!(place(url, Some(hosted), true).as_deref(), expected, "{url}");
        let with_port = place("localhost:10000", Some("http://echo.test:81/"), true);
        assert_eq!(with_port.as_deref(), Some("echo.test:81"));
    }
    assert_eq!(place("localhost:10000", None, false), None, "without a host");
    assert_eq!(place("public.example:443", None, false).as_deref(), Some("public.example:443"));
}
