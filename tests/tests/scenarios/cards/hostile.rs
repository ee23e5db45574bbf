//! Cards that are none, or want to be more: unchanged, or refused with a code, within bounded memory.

use serde_json::{Value, json};
use tests::{World, agent::Document, http::get};

const CARD: &str = "/.well-known/agent-card.json";
/// What a relay may grow by for cards that it refuses: far less than they are long in all.
const GROWTH_MAX: u64 = 32 * 1024 * 1024;

#[tokio::test]
async fn what_is_no_card_passes_as_it_is() {
    let world = World::new().await;
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let local = format!("{{\"url\":\"http://127.0.0.1:{}/a2a\"}}", world.agent.port());
    for (what, document) in [
        ("nothing", Document::json("")),
        ("a list", Document::json("[]")),
        ("cut JSON", Document::json("{\"url\":")),
        ("deep JSON", Document::json(&deep)),
        ("bytes", Document::bytes([0xff, 0xfe, 0x00])),
        ("a page", Document::bytes("<html>").header("Content-Type", "text/html")),
        ("no URL", Document::json(json!({"url": 7, "supportedInterfaces": {}, "iconUrl": []}))),
        // Compressed, although it was asked not to be; the relay decompresses nothing.
        ("a compressed form", Document::json(&local).header("Content-Encoding", "gzip")),
    ] {
        let body = document.clone().into_body();
        world.agent.documents().put(CARD, document);
        let answer = get(&world.workspace.card()).await.expect("an answer");
        assert_eq!((answer.status, answer.is_complete()), (200, true), "{what}: {answer:?}");
        assert!(answer.body == body, "{what} changed");
        assert_eq!(answer.header("x-relay-card"), None, "{what}");
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn a_card_of_five_megabytes_is_refused_and_costs_little() {
    let world = World::new().await;
    let long = json!({"name": "x".repeat(5 * 1024 * 1024)}).to_string();
    for path in [CARD, "/agent/authenticatedExtendedCard", "rpc:GetExtendedAgentCard"] {
        world.agent.documents().put(path, Document::json(&long));
    }
    let before = world.relay.process().rss_bytes();
    for _ in 0..8 {
        for url in
            [world.workspace.card(), format!("{}agent/authenticatedExtendedCard", world.public_url)]
        {
            let refused = get(&url).await.expect("an answer");
            let code = Some("RELAY_UPSTREAM_PROTOCOL");
            assert_eq!((refused.status, refused.relay_error()), (502, code), "{url}");
            assert!(refused.text().contains("262144"), "{refused:?}");
        }
        let call = json!({"jsonrpc": "2.0", "id": "big", "method": "GetExtendedAgentCard"});
        let refused = world.call(call).await;
        assert_eq!((refused.status, refused.json()["id"].as_str()), (502, Some("big")));
    }
    let grown = world.relay.process().rss_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    world.until_quiet().await;
}

#[tokio::test]
async fn no_spelling_of_a_private_url_gets_out() {
    let world = World::new().await;
    let port = world.agent.port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "0.0.0.0",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[fe80::1]",
        "169.254.169.254",
        "192.168.0.1",
        "100.64.0.1",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "laptop",
        "box.local",
        "svc.internal",
        "user:pw@10.0.0.1",
    ];
    let mut interfaces = Vec::new();
    for host in hosts {
        for port in [port, 9] {
            for scheme in ["http://", "https://", "HTTP:\\\\", "//", "wss://"] {
                interfaces.push(json!({"url": format!("{scheme}{host}:{port}/a2a"),
                    "protocolBinding": "JSONRPC", "transport": "JSONRPC"}));
            }
        }
    }
    let card = json!({
        "url": "http://10.0.0.1:9/", "iconUrl": format!("http://localhost:{port}/i.png"),
        "supportedInterfaces": interfaces, "additionalInterfaces": interfaces,
        "signatures": vec![json!({"protected": "e30", "signature": "x"}); 10],
    });
    world.agent.documents().put(CARD, Document::json(card));
    let answer = get(&world.workspace.card()).await.expect("a card");
    assert_eq!(answer.header("x-relay-card"), Some("rewritten"));
    let served = answer.json();
    let lists = ["supportedInterfaces", "additionalInterfaces"].map(|list| &served[list]);
    let listed = lists.into_iter().filter_map(Value::as_array).flatten().map(|one| &one["url"]);
    for url in listed.chain([&served["url"], &served["iconUrl"]]) {
        let url = url.as_str().expect("a URL");
        assert!(url.starts_with(&world.public_url), "{url}");
    }
    assert_eq!(served["signatures"], json!([]));
    world.until_quiet().await;
}
