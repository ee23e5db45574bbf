//! Exposure lists of real and hostile cards.

use serde_json::json;

use super::*;

const PUBLIC: &str = "https://relay.example/agents/a_x/";

fn exposure(card: &Value) -> Exposure {
    derive(&Policy::default(), &Origin::loopback(8000), Some(card), &[PUBLIC.to_owned()]).exposure
}

#[test]
fn the_endpoint_is_the_first_json_rpc_interface_of_the_agents_own() {
    for (why, card, endpoint) in [
        ("0.3", json!({"url": "http://localhost:8000/rpc"}), "/rpc"),
        (
            "0.3 that prefers another binding",
            json!({"url": "http://localhost:8000/rest", "preferredTransport": "HTTP+JSON",
                "additionalInterfaces": [{"url": "http://localhost:8000/j", "transport": "JSONRPC"}]}),
            "/j",
        ),
        (
            "1.0",
            json!({"supportedInterfaces": [
                {"url": "localhost:8001", "protocolBinding": "GRPC"},
                {"url": "http://0.0.0.0:8000/one/", "protocolBinding": "JSONRPC"}]}),
            "/one/",
        ),
        (
            "hybrid",
            json!({"url": "http://localhost:8000/old",
                "supportedInterfaces": [
                    {"url": "http://my-host:8000/new?x=1", "protocolBinding": "JSONRPC"}]}),
            "/new",
        ),
        ("an origin alone", json!({"url": "http://192.168.1.7:8000"}), "/"),
        ("already public", json!({"url": format!("{PUBLIC}deep/rpc")}), "/deep/rpc"),
        ("the public base itself", json!({"url": PUBLIC.trim_end_matches('/')}), "/"),
        ("another port", json!({"url": "http://localhost:9000/rpc"}), "/a2a"),
        ("a foreign host", json!({"url": "https://evil.example:8000/rpc"}), "/a2a"),
        ("a foreign public agent", json!({"url": "https://relay.example/agents/a_xy/"}), "/a2a"),
        (
            "a host that hides in the user part",
            json!({"url": "http://localhost:8000@evil.example/"}),
            "/a2a",
        ),
        ("another scheme", json!({"url": "file://localhost:8000/etc"}), "/a2a"),
        ("no text", json!({"url": 7}), "/a2a"),
        ("nothing", json!({}), "/a2a"),
    ] {
        assert_eq!(exposure(&card).endpoint, endpoint, "{why}");
    }
}

#[test]
fn a_card_lets_its_own_paths_through_and_no_others() {
    let card = json!({
        "url": "http://localhost:8000/rpc",
        "iconUrl": "http://localhost:8000/icon.png",
        "documentationUrl": "http://localhost:8000/docs",
        "additionalInterfaces": [
            {"url": "http://localhost:8000/rest", "transport": "HTTP+JSON"},
            {"url": "http://localhost:9000/admin", "transport": "JSONRPC"}],
    });
    let exposure = exposure(&card);
    for path in [
        "/rpc",
        "/.well-known/agent-card.json",
        "/.well-known/agent.json",
        "/rpc/.well-known/agent-card.json",
        "/agent/authenticatedExtendedCard",
        "/icon.png",
        "/rest/v1/message:send",
        "/rest/tasks/1",
    ] {
        assert!(exposure.allows(path), "{path}");
    }
    for path in ["/", "/docs", "/admin", "/rest", "/rest/admin", "/rpc/x"] {
        assert!(!exposure.allows(path), "{path}");
    }
}

#[test]
fn without_a_card_the_endpoint_and_the_card_cross() {
    let exposure = derive(&Policy::default(), &Origin::loopback(8000), None, &[]).exposure;
    assert!(exposure.allows("/a2a") && exposure.allows("/.well-known/agent.json"));
    assert!(!exposure.allows("/agent/authenticatedExtendedCard") && !exposure.allows("/"));
}

#[test]
fn the_owners_words_outweigh_the_card() {
    let (local_path, allow) = (Some("/mine".into()), vec!["/hooks".into()]);
    let policy = Policy { local_path, allow, ..Policy::default() };
    let interfaces: Vec<Value> = (0..1000)
        .map(|n| json!({"url": format!("http://localhost:8000/{n}"), "transport": "HTTP+JSON"}))
        .collect();
    let card = json!({"url": "http://localhost:8000/rpc", "additionalInterfaces": interfaces});
    let exposure = derive(&policy, &Origin::loopback(8000), Some(&card), &[]).exposure;
    assert_eq!(exposure.endpoint, "/mine");
    assert!(exposure.is_bounded() && exposure.allows("/hooks/a"));
}

#[test]
fn a_further_port_serves_what_the_card_says_of_it_in_its_binding() {
    let also = vec!["http+json=8081".parse().unwrap(), "jsonrpc=9000".parse().unwrap()];
    let policy = Policy { also, ..Policy::default() };
    let card = json!({"supportedInterfaces": [
        {"url": "http://localhost:9000/rpc", "protocolBinding": "JSONRPC"},
        {"url": "http://localhost:8081/rest", "protocolBinding": "HTTP+JSON"},
        {"url": "http://localhost:8081/other", "protocolBinding": "JSONRPC"},
        {"url": "http://localhost:8082/rest2", "protocolBinding": "HTTP+JSON"},
        {"url": "localhost:10000", "protocolBinding": "GRPC"},
        {"url": "https://elsewhere.example/", "protocolBinding": "JSONRPC"},
    ]});
    let origin = Origin::loopback(8000);
    let derived = derive(&policy, &origin, Some(&card), &[PUBLIC.to_owned()]);
    assert_eq!((derived.exposure.endpoint.as_str(), derived.endpoint_also), ("/rpc", Some(1)));
    assert_eq!(derived.also_of("/rest/v1/message:send"), Some(0));
    assert_eq!(derived.also_of("/.well-known/agent.json"), None);
    for path in ["/rest/v1/message:send", "/rpc"] {
        assert!(derived.exposure.allows(path), "{path}");
    }
    for path in ["/other", "/rest2/v1/message:send"] {
        assert!(!derived.exposure.allows(path), "{path}");
    }
    let notes = left_out(&policy, &origin, &card, &[PUBLIC.to_owned()]);
    let about = ["--also jsonrpc=8081", "--also http+json=8082", "localhost:10000", "elsewhere"];
    assert_eq!(notes.len(), about.len(), "{notes:?}");
    for (note, about) in notes.iter().zip(about) {
        assert!(note.contains(about), "{note}");
    }
}

#[test]
fn the_keys_of_signatures_cross_if_they_are_the_agents_own() {
    let protected = |jku: &str| BASE64URL_NOPAD.encode(json!({"jku": jku}).to_string().as_bytes());
    let card = json!({
        "url": "http://localhost:8000/rpc",
        "signatures": [
            {"protected": protected("http://localhost:8000/keys.json")},
            {"protected": "e30", "header": {"jku": "http://localhost:8000/more-keys.json"}},
            {"protected": protected("https://elsewhere.example/foreign.json")},
            {"protected": "no base64!"}, {}, 7,
        ],
    });
    let exposure = exposure(&card);
    for (path, crosses) in
        [("/keys.json", true), ("/more-keys.json", true), ("/foreign.json", false)]
    {
        assert_eq!(exposure.allows(path), crosses, "{path}");
    }
}

#[test]
fn grpc_crosses_where_the_card_or_the_owner_names_a_port_for_it() {
    let origin = Origin::loopback(8000);
    let card = |url: &str| serde_json::json!({"supportedInterfaces": [{"url": url, "protocolBinding": "GRPC"}]});
    let also = Policy { also: vec!["grpc=10000".parse().unwrap()], ..Policy::default() };
    for (policy, url, crosses, port) in [
        (&Policy::default(), "localhost:8000", true, None),
        (&Policy::default(), "http://0.0.0.0:8000", true, None),
        (&Policy::default(), "relay.example", false, None),
        (&Policy::default(), "localhost:10000", false, None),
        (&also, "localhost:10000", true, Some(0)),
        (&also, "elsewhere.example:443", true, Some(0)),
    ] {
        let derived = derive(policy, &origin, Some(&card(url)), &[]);
        let path = "/lf.a2a.v1.A2AService/SendMessage";
        assert_eq!(derived.exposure.allows_grpc(path), crosses, "{url}");
        assert!(!derived.exposure.allows(path), "{url}");
        assert_eq!(derived.grpc_also, port, "{url}");
    }
    let hosted =
        ["https://relay.example/agents/a_x/".to_owned(), "https://x.example:8/".to_owned()];
    let derived = derive(&Policy::default(), &origin, Some(&card("x.example:8")), &hosted);
    assert!(derived.exposure.allows_grpc("/a2a.v1.A2AService/GetTask"));
    assert_eq!(left_out(&also, &origin, &card("localhost:10000"), &[]), [""; 0]);
    let missing = left_out(&Policy::default(), &origin, &card("localhost:10000"), &[]);
    assert!(missing[0].contains("--also grpc=10000"), "{missing:?}");
}
