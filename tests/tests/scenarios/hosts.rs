//! Agents at hosts of their own: the whole origin, one to one, and nothing of the relay's.

use serde_json::{Value, json};
use std::time::Duration;
use tests::{
    Connector, Refusal, World,
    agent::{Document, texts},
    http::{RawResponse, Version},
    refusal::call_with_id,
    until,
};

const DOMAIN: &str = "agents.test";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const BOTH: [Version; 2] = [Version::Http1, Version::Http2];
const SOON: Duration = Duration::from_secs(10);

/// A world whose agent is at `echo.agents.test`, open to everybody.
async fn world() -> World {
    let args = ["--alias", "echo", "--callers", "open"];
    World::builder().relay_args(&["--domain", DOMAIN]).workspace_args(&args).start().await
}

/// Asks the relay for `path` of a host.
async fn ask(
    world: &World,
    version: Version,
    method: &str,
    host: &str,
    path: &str,
    body: Option<&[u8]>,
) -> RawResponse {
    let url = format!("http://{host}{path}");
    let id = format!("{version:?} {method} {host}{path}");
    let headers = [JSON, ("x-test-id", id.as_str())];
    let headers = if body.is_some() { &headers[..] } else { &headers[1..] };
    let answer = version.exchange_at(world.relay.http(), method, &url, headers, body).await;
    answer.unwrap_or_else(|cut| panic!("{id}: {cut}"))
}

/// The base at the agent's host, as the relay tells it.
fn host_base(world: &World) -> String {
    format!("http://echo.{DOMAIN}:{}/", world.relay.http().port())
}

#[tokio::test]
async fn an_agents_host_is_its_origin_however_its_name_is_written() {
    let world = world().await;
    let port = world.relay.http().port();
    let hosts = [
        format!("echo.{DOMAIN}"),
        format!("echo.{DOMAIN}:{port}"),
        format!("echo.{DOMAIN}:1"),
        format!("ECHO.Agents.TEST:{port}"),
        format!("echo.{DOMAIN}."),
    ];
    for version in BOTH {
        for host in &hosts {
            let body = call_with_id("7");
            let answer = ask(&world, version, "POST", host, "/a2a", Some(&body)).await;
            assert_eq!((answer.status, answer.json()["id"].clone()), (200, json!(7)), "{answer:?}");
            let seen = &world.agent.of(&format!("{version:?} POST {host}/a2a"))[0];
            assert_eq!(seen.path, "/a2a");
            let forwarded = format!("echo.{DOMAIN}:{port}");
            assert_eq!(seen.header("x-forwarded-host"), Some(forwarded.as_str()), "never {host}");
            assert_eq!(seen.header("x-forwarded-prefix"), None);
        }
        // What the exposure allows of the origin, under its own path and no other.
        let refused = ask(&world, version, "POST", &hosts[0], "/", Some(b"{}")).await;
        Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&refused);
        let refused = ask(&world, version, "GET", &hosts[0], "/admin", None).await;
        Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&refused);
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn nothing_of_the_relays_own_is_at_an_agents_host() {
    let world = world().await;
    let echo = format!("echo.{DOMAIN}");
    let below = format!("/agents/{}/a2a", world.workspace.workspace_id);
    for version in BOTH {
        for path in ["/healthz", "/workspaces", "/readyz", "/openapi.json", below.as_str()] {
            let refused = ask(&world, version, "GET", &echo, path, None).await;
            Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&refused);
        }
        for nobody in ["nobody", "a.echo", "-", "ws_1", ""] {
            let host = format!("{nobody}.{DOMAIN}");
            let refused = ask(&world, version, "POST", &host, "/a2a", Some(b"{}")).await;
            Refusal::new(404, "RELAY_UNKNOWN_WORKSPACE").assert_marks(&refused);
        }
        for own in [DOMAIN, "127.0.0.1", "echo.elsewhere.test", "echoagents.test"] {
            let alive = ask(&world, version, "GET", own, "/healthz", None).await;
            assert_eq!((alive.status, alive.text().as_str()), (200, "ok\n"), "{own}");
        }
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn a_request_that_names_two_hosts_reaches_none() {
    let world = world().await;
    let url = format!("http://echo.{DOMAIN}/a2a");
    for other in ["other.agents.test", "127.0.0.1", "echo.agents.test, other.agents.test"] {
        let headers = [JSON, ("host", other), ("x-test-id", "spoofed")];
        let at = world.relay.http();
        for version in BOTH {
            // HTTP/1.1 has two fields then, HTTP/2 its authority and the field.
            let answer = version.exchange_at(at, "POST", &url, &headers, Some(b"{}")).await;
            Refusal::new(400, "RELAY_BAD_REQUEST").assert_marks(&answer.expect("an answer"));
        }
    }
    world.assert_unseen("spoofed");
    world.until_quiet().await;
}

#[tokio::test]
async fn the_policy_of_the_alias_is_that_of_the_host() {
    let args = ["--alias", "echo", "--callers", "token"];
    let builder = World::builder().relay_args(&["--domain", DOMAIN]);
    let world = builder.workspace_args(&args).start().await;
    let issued = world.relay.cli(&["caller", "add", "first", "ci", "--json"]).await.json();
    let token = issued["caller_token"].as_str().expect("a token");
    let other = ["--alias", "other", "--callers", "token"];
    world.relay.add_workspace("second", &other).await;
    let bearer = format!("Bearer {token}");
    for version in BOTH {
        for (host, credential, status) in [
            ("echo", None, 401),
            ("echo", Some(bearer.as_str()), 200),
            ("other", Some(bearer.as_str()), 403),
        ] {
            let credential = credential.map(|bearer| ("Authorization", bearer));
            let headers: Vec<_> = [JSON].into_iter().chain(credential).collect();
            let (at, url) = (world.relay.http(), format!("http://{host}.{DOMAIN}/a2a"));
            let body = call_with_id("1");
            let answer = version.exchange_at(at, "POST", &url, &headers, Some(&body)).await;
            assert_eq!(answer.expect("an answer").status, status, "{host}");
        }
    }
    world.until_quiet().await;
}

#[tokio::test]
async fn a_card_names_the_host_by_which_it_was_asked_for() {
    let world = world().await;
    let (port, base) = (world.agent.port(), host_base(&world));
    world.agent.documents().put(
        "/.well-known/agent-card.json",
        Document::json(json!({
            "url": format!("http://localhost:{port}/a2a"),
            "iconUrl": format!("http://localhost:{port}/icon.png"),
            "supportedInterfaces": [
                {"url": format!("http://localhost:{port}/a2a"), "protocolBinding": "JSONRPC"},
                {"url": format!("{}a2a", world.public_url), "protocolBinding": "JSONRPC"},
                {"url": "https://elsewhere.example/a2a", "protocolBinding": "JSONRPC"},
            ],
        })),
    );
    for version in BOTH {
        for path in ["/.well-known/agent-card.json", "/.well-known/agent.json"] {
            let host = format!("echo.{DOMAIN}");
            let card = ask(&world, version, "GET", &host, path, None).await;
            assert_eq!(card.header("x-relay-card"), Some("rewritten"), "{card:?}");
            let card = card.json();
            assert_eq!(card["url"], format!("{base}a2a"));
            assert_eq!(card["iconUrl"], format!("{base}icon.png"));
            let urls = card["supportedInterfaces"].as_array().expect("a list");
            let urls: Vec<_> = urls.iter().map(|interface| interface["url"].clone()).collect();
            let own = json!(format!("{base}a2a"));
            // The address is its owner's secret: whoever did not name it does not learn it.
            assert_eq!(urls, [own.clone(), own, json!("https://elsewhere.example/a2a")]);
        }
    }
    let beside = Version::Http1.get(&world.workspace.card()).await.expect("a card").json();
    assert_eq!(beside["url"], format!("{}a2a", world.public_url), "by the address, as before");
    world.until_quiet().await;
}

#[tokio::test]
async fn owner_and_operator_are_told_of_the_host_and_of_its_end() {
    let world = world().await;
    let base = host_base(&world);
    assert_eq!(world.relay.show_workspace("first").await["host_url"], base);
    world.connector.process().wait_for_line(|line| line.contains(&base), SOON).await;
    let status = |connector: &Connector| {
        let file = connector.state_dir().join(&world.workspace.workspace_id).join("status.json");
        let text = std::fs::read(file).expect("its status");
        serde_json::from_slice::<Value>(&text).expect("JSON")["host_url"].clone()
    };
    assert_eq!(status(&world.connector), json!(base));

    let changed = world.relay.cli(&["workspace", "set", "first", "--callers", "link"]).await;
    assert_eq!(changed.code, 0, "{changed:?}");
    assert_eq!(world.relay.show_workspace("first").await["host_url"], Value::Null);
    until("the connector hears of it", SOON, async || status(&world.connector).is_null()).await;
    world.until_quiet().await;
}

#[tokio::test]
async fn an_agent_that_signs_its_host_is_served_as_it_is() {
    let world = world().await;
    let base = host_base(&world);
    let card = json!({
        "url": format!("{base}rpc"), "signatures": [{"protected": "x", "signature": "y"}],
    });
    let card_path = "/.well-known/agent-card.json";
    world.agent.documents().put(card_path, Document::json(&card));
    let host = format!("echo.{DOMAIN}");
    let served = ask(&world, Version::Http1, "GET", &host, card_path, None).await;
    assert_eq!((served.header("x-relay-card"), served.json()), (None, card.clone()));
    let by_address = Version::Http1.get(&world.workspace.card()).await.expect("a card");
    assert_eq!(by_address.json(), card, "its host passes no relay by");
    // Its path is the endpoint, wherever the card names it.
    until("the connector has read the card", SOON, async || {
        ask(&world, Version::Http1, "GET", &host, card_path, None).await;
        let answer = ask(&world, Version::Http1, "POST", &host, "/rpc", Some(b"{}")).await;
        answer.relay_error().is_none()
    })
    .await;
    assert!(!texts(&card).is_empty());
    world.until_quiet().await;
}
