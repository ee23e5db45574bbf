//! An agent's own calls leave the same traces as anybody's: a line of the access log, and counters.

use serde_json::{Value, json};
use std::time::Duration;
use tests::{
    Agent, Connector, RawResponse, Relay, World, http::Version::Http1, until, world::message,
};

use super::ca_of;

const SOON: Duration = Duration::from_secs(20);

/// A call through the platform on loopback.
async fn ask(platform: &str, token: Option<&str>, call: &str, body: &Value) -> RawResponse {
    let (method, path) = call.split_once(' ').expect("a method and a path");
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(bearer.iter().map(|bearer| ("Authorization", bearer.as_str())));
    let body = (!body.is_null()).then(|| body.to_string());
    let url = format!("{platform}{path}");
    Http1.exchange(method, &url, &headers, body.as_deref().map(str::as_bytes)).await.expect("it")
}

#[tokio::test]
async fn each_call_of_an_agent_has_its_line_and_is_counted() {
    let world =
        World::builder().connector_args(&["--platform-listen", "127.0.0.1:0"]).start().await;
    let (relay, platform) = (&world.relay, world.connector.platform().await);
    let own = &world.workspace.workspace_id;
    let counted = async |outcome| {
        let labels = [("binding", "api"), ("outcome", outcome)];
        relay.metric("relay_requests_total", &labels).await
    };
    let refused = async |code| relay.metric("relay_refusals_total", &[("code", code)]).await;

    let state = ask(&platform, None, &format!("GET /workspaces/{own}/state"), &Value::Null).await;
    assert_eq!(state.status, 200, "{state:?}");
    let line = relay.access_line(&state).await;
    assert_eq!(line["caller"], own.as_str(), "{line}");
    assert_eq!(line["call"], "/workspaces/{id}/state", "{line}");
    assert!(line["link"].as_u64().is_some_and(|link| link > 0), "{line}");
    assert_eq!((&line["status"], &line["code"]), (&json!(200), &Value::Null), "{line}");
    assert_eq!((&line["outcome"], &line["bytes"]), (&json!("complete"), &json!(state.body.len())));
    assert!(line["ms"].is_u64(), "{line}");
    assert_eq!(counted("complete").await, Some(1.0));

    let before = refused("RELAY_FORBIDDEN").await.unwrap_or(0.0);
    let listed = ask(&platform, None, "GET /workspaces", &Value::Null).await;
    let line = relay.access_line(&listed).await;
    assert_eq!(
        (&line["status"], &line["code"]),
        (&json!(403), &json!("RELAY_FORBIDDEN")),
        "{line}"
    );
    assert_eq!((&line["call"], &line["outcome"]), (&json!("/workspaces"), &json!("refused")));
    assert_eq!(
        (refused("RELAY_FORBIDDEN").await, counted("refused").await),
        (Some(before + 1.0), Some(1.0))
    );

    // A path that is nobody's may hold anything, of which nothing is written.
    let secret = "a_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    let nobody = format!("/agents/{secret}/a2a?{secret}");
    for (path, status) in [(format!("/nothing/{secret}"), 404), (nobody, 403)] {
        let nothing = ask(&platform, None, &format!("POST {path}"), &json!({})).await;
        let line = relay.access_line(&nothing).await;
        assert_eq!((&line["status"], &line["outcome"]), (&json!(status), &json!("refused")));
        assert!(!line.to_string().contains(secret), "{line}");
    }
    assert_eq!(counted("refused").await, Some(3.0));

    // A message to an agent is an exchange with that agent: it says who calls and whom.
    let exchanges = [("binding", "jsonrpc"), ("outcome", "complete")];
    let before = relay.metric("relay_requests_total", &exchanges).await.unwrap_or(0.0);
    let call = format!("POST /workspaces/{own}/a2a");
    let answer = ask(&platform, None, &call, &message("message/send", "m-1", "hello")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let line = relay.access_line(&answer).await;
    assert_eq!((&line["caller"], &line["workspace"]), (&json!(own), &json!(own)), "{line}");
    assert_eq!((&line["via"], &line["delivery"]), (&json!("link"), &json!("delivered")), "{line}");
    assert_eq!(relay.metric("relay_requests_total", &exchanges).await, Some(before + 1.0));

    relay.operate(&format!("POST /workspaces/{own}/pause"), None).await;
    let paused = ask(&platform, None, &call, &message("message/send", "m-2", "hello")).await;
    let line = relay.access_line(&paused).await;
    assert_eq!(
        (&line["status"], &line["code"]),
        (&json!(503), &json!("RELAY_AGENT_PAUSED")),
        "{line}"
    );
    relay.operate(&format!("POST /workspaces/{own}/resume"), None).await;
    let health = ask(&platform, None, "GET /healthz", &Value::Null).await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"), "{health:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn a_call_that_is_open_counts_and_one_that_is_left_is_told() {
    let world =
        World::builder().connector_args(&["--platform-listen", "127.0.0.1:0"]).start().await;
    let (relay, platform) = (&world.relay, world.connector.platform().await);
    let own = &world.workspace.workspace_id;
    let url = format!("{platform}/workspaces/{own}/events");
    let mut call = Http1.send("GET", &url, &[], None).await.expect("the platform");
    assert_eq!(call.head().await.expect("a head").status, 200);
    let open = async || relay.metric("relay_streams_in_flight", &[]).await;
    assert_eq!(open().await, Some(1.0));
    // It shows no credential but its link, and goes on for as long as that is there.
    assert_eq!(call.next_event().await.expect("an event").name.as_deref(), Some("ready"));
    relay.operate(&format!("POST /workspaces/{own}/pause"), None).await;
    assert_eq!(call.next_event().await.expect("a change").json()["event"], "WORKSPACE_PAUSED");
    drop(call);
    until("it counts no more", SOON, async || open().await == Some(0.0)).await;
    let line = "\"call\":\"/workspaces/{id}/events\"";
    let line = relay.process().wait_for_line(|told| told.contains(line), SOON).await;
    assert!(line.contains("\"outcome\":\"caller_left\""), "{line}");
}

#[tokio::test]
async fn a_link_without_a_credential_counts_as_what_it_is() {
    let relay = Relay::start().await;
    let ca = ca_of(&relay.add_workspace("first", &[]).await);
    let agent = Agent::start("a2a");
    let connector = Connector::without_join(agent.port()).platform_of(&relay, &ca).start();
    let (platform, admin) = (connector.platform().await, relay.admin_token());
    let made = ask(&platform, Some(&admin), "POST /workspaces", &json!({"name": "remote"})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let line = relay.access_line(&made).await;
    assert_eq!((&line["caller"], &line["link"]), (&Value::Null, &Value::Null), "{line}");
    assert_eq!((&line["call"], &line["status"]), (&json!("/workspaces"), &json!(201)), "{line}");
    assert!(!relay.process().lines().iter().any(|line| line.contains(&admin)));

    let links = async |kind| relay.metric("relay_links", &[("kind", kind)]).await;
    assert_eq!((links("bootstrap").await, links("agent").await), (Some(1.0), Some(0.0)));
    let id = made.json()["id"].clone();
    let me = json!({"id": id, "url": "https://agent.example", "agent_card": {"name": "remote"}});
    let registered = ask(&platform, Some(&admin), "POST /registry/register", &me).await;
    assert_eq!(registered.status, 200, "{registered:?}");
    connector.until_online().await;
    until("the first link is down, and another one up", SOON, async || {
        (links("bootstrap").await, links("agent").await) == (Some(0.0), Some(1.0))
    })
    .await;
    for (kind, event) in [("bootstrap", "up"), ("bootstrap", "down"), ("agent", "up")] {
        let labels = [("event", event), ("kind", kind)];
        let count = relay.metric("relay_link_events_total", &labels).await;
        assert!(count.is_some_and(|count| count >= 1.0), "{labels:?}: {count:?}");
    }
}
