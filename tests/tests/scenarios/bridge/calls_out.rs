//! Agents without a way to the platform use its API all the same, over their links.

use super::{Bridge, BridgedAgent};
use serde_json::{Value, json};
use std::time::Duration;
use tests::{
    Agent, Connector, Platform, RawResponse,
    http::Version::Http1,
    platform::{Credential, Row},
    until,
    world::message,
};

const SOON: Duration = Duration::from_secs(20);
const ORG: &str = "6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11";

/// An agent whose connector serves the platform's API.
struct Scene {
    bridge: Bridge,
    agent: BridgedAgent,
    row: Row,
    platform: String,
}

impl Scene {
    async fn new(platform: Platform) -> Scene {
        let bridge = Bridge::with(platform, |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
        bridge.platform.resolve("relay.example.com", bridge.relay.http());
        let workspace = bridge.relay.add_workspace("caller", &[]).await;
        let agent = Agent::start("a2a");
        let connector = Connector::builder(&workspace.join, agent.port());
        let connector = connector.args(["--platform-listen", "127.0.0.1:0"]).start_online().await;
        let platform = connector.platform().await;
        let row = bridge.platform.until_status("caller", "online").await;
        let agent = BridgedAgent { workspace, connector, agent };
        Scene { bridge, agent, row, platform }
    }

    /// A call of the agent, with a bearer that means nothing any more.
    async fn ask(&self, call: &str, body: Option<&Value>) -> RawResponse {
        let (method, path) = call.split_once(' ').expect("a method and a path");
        let headers =
            [("Content-Type", "application/json"), ("Authorization", "Bearer of-another-life")];
        let body = body.map(|body| body.to_string().into_bytes());
        let url = format!("{}{path}", self.platform);
        Http1.exchange(method, &url, &headers, body.as_deref()).await.expect("an answer")
    }
}

#[tokio::test]
async fn the_api_of_the_platform_crosses_the_link_with_the_stored_token() {
    let scene = Scene::new(Platform::builder().hosted_for(ORG).start()).await;
    let Scene { bridge, agent, row, .. } = &scene;
    let other = bridge.agent("peer").await;
    let peer = bridge.platform.until_status("peer", "online").await;
    bridge.platform.set_secret(&row.id, "OPENAI_API_KEY", "sk-1");
    let (here, there) = (&agent.workspace.workspace_id, &row.id);
    for id in [here, there] {
        let values = scene.ask(&format!("GET /workspaces/{id}/secrets/values"), None).await;
        assert_eq!(values.json(), json!({"OPENAI_API_KEY": "sk-1"}), "{values:?}");
        let secrets = scene.ask(&format!("GET /workspaces/{id}/secrets"), None).await;
        assert_eq!(secrets.json(), json!({"secrets": {"OPENAI_API_KEY": "sk-1"}}));
        let peers = scene.ask(&format!("GET /registry/{id}/peers"), None).await;
        assert_eq!(peers.json()[0]["name"], "peer", "{peers:?}");
        let state = scene.ask(&format!("GET /workspaces/{id}/state"), None).await;
        let expected =
            json!({"workspace_id": there, "status": "online", "paused": false, "deleted": false});
        assert_eq!((state.status, state.json()), (200, expected));
    }
    let saved = json!({"key": "NEW", "value": "v"});
    let put = scene.ask(&format!("PUT /workspaces/{there}/secrets"), Some(&saved)).await;
    assert_eq!((put.status, put.json()["status"].clone()), (200, json!("saved")));
    let found = scene.ask(&format!("GET /registry/discover/{}", peer.id), None).await;
    assert_eq!(found.json()["url"], json!(peer.url));
    let task = json!({"target_id": peer.id, "task": "count"});
    let delegated = scene.ask(&format!("POST /workspaces/{here}/delegate"), Some(&task)).await;
    assert_eq!(delegated.status, 202, "{delegated:?}");
    let hello = message("message/send", "m-1", "hello");
    let answer = scene.ask(&format!("POST /workspaces/{}/a2a", peer.id), Some(&hello)).await;
    assert_eq!((answer.status, answer.json()["id"].clone()), (200, json!("m-1")), "{answer:?}");
    assert_eq!(other.agent.journal().of("m-1").len(), 1);
    let unknown = scene.ask("GET /registry/discover/nobody", None).await;
    assert_eq!(unknown.status, 404, "the platform's own words: {unknown:?}");

    let own = Credential::Workspace(row.id.clone());
    let origin = bridge.platform.url();
    for call in
        ["GET /workspaces/*/secrets/values", "GET /registry/*/peers", "POST /workspaces/*/a2a"]
    {
        for call in bridge.platform.calls_of(call) {
            assert_eq!(call.credential, own, "{call:?}");
            assert_eq!(
                (call.origin.as_deref(), call.org.as_deref()),
                (Some(&origin[..]), Some(ORG))
            );
        }
    }
    assert!(!bridge.platform.refused_any(), "{:#?}", bridge.platform.calls());
    let foreign = scene.ask(&format!("GET /workspaces/{}/secrets/values", peer.id), None).await;
    assert!(matches!(foreign.status, 401 | 403), "{foreign:?}");
}

#[tokio::test]
async fn an_agent_registers_as_often_as_it_likes_and_lifts_no_pause() {
    let scene = Scene::new(Platform::start()).await;
    let Scene { bridge, row, .. } = &scene;
    let card = json!({"name": "A new face", "skills": []});
    let mine = json!({"id": row.id, "url": "http://127.0.0.1:1", "agent_card": card});
    for _ in 0..3 {
        let registered = scene.ask("POST /registry/register", Some(&mine)).await;
        assert_eq!(
            (registered.status, registered.json()["status"].clone()),
            (200, json!("registered"))
        );
    }
    let beat = json!({"workspace_id": row.id, "current_task": "reading", "active_tasks": 2});
    assert_eq!(scene.ask("POST /registry/heartbeat", Some(&beat)).await.status, 200);
    bridge
        .platform
        .until_call("the agent's own words", |call| {
            call.is("POST /registry/heartbeat") && call.body["current_task"] == json!("reading")
        })
        .await;
    let foreign = json!({"id": "somebody", "url": "http://x", "agent_card": {}});
    assert_eq!(scene.ask("POST /registry/register", Some(&foreign)).await.status, 403);
    assert_eq!(bridge.platform.named("caller").unwrap().url, row.url, "the relay's URL stays");
    assert!(!bridge.platform.refused_any());

    bridge.platform.pause(&row.id);
    let registrations = bridge.platform.named("caller").unwrap().registrations;
    let state = format!("GET /workspaces/{}/state", row.id);
    until("the agent hears of the pause", SOON, async || {
        scene.ask(&state, None).await.json()["paused"] == json!(true)
    })
    .await;
    assert_eq!(scene.ask("POST /registry/register", Some(&mine)).await.status, 200);
    assert_eq!(bridge.platform.named("caller").unwrap().status, "paused");
    assert_eq!(bridge.platform.named("caller").unwrap().registrations, registrations);
}

#[tokio::test]
async fn while_the_platform_is_away_nothing_looks_deleted() {
    let mut scene = Scene::new(Platform::start()).await;
    scene.bridge.platform.stop();
    let id = scene.row.id.clone();
    for call in ["secrets/values", "secrets"] {
        let away = scene.ask(&format!("GET /workspaces/{id}/{call}"), None).await;
        let seen = (away.status, away.relay_error());
        assert_eq!(seen, (503, Some("RELAY_PLATFORM_UNAVAILABLE")), "{away:?}");
        assert!(away.json()["error"].is_string() && away.header("retry-after").is_some());
    }
    assert_eq!(scene.ask(&format!("GET /workspaces/{id}/state"), None).await.status, 200);
    scene.bridge.platform.start_again();
    until("it answers again", SOON, async || {
        scene.ask(&format!("GET /workspaces/{id}/secrets/values"), None).await.status == 200
    })
    .await;
    for oddity in
        [tests::platform::Oddity::Html(404), tests::platform::Oddity::Is(404, String::new())]
    {
        scene.bridge.platform.oddly("GET /workspaces/*/secrets/values", 1, false, oddity);
        let odd = scene.ask(&format!("GET /workspaces/{id}/secrets/values"), None).await;
        assert_eq!(odd.status, 503, "{odd:?}");
    }
    let _ = &scene.agent;
}

#[tokio::test]
async fn an_agent_that_asks_without_end_has_its_part_and_no_more() {
    let scene = Scene::new(Platform::start()).await;
    let peers = format!("GET /registry/{}/peers", scene.row.id);
    let mut asked = 0;
    let limited = loop {
        let answer = scene.ask(&peers, None).await;
        if answer.status != 200 {
            break answer;
        }
        asked += 1;
        assert!(asked < 200, "it is never held up");
    };
    let seen = (limited.status, limited.relay_error());
    assert_eq!(seen, (429, Some("RELAY_RATE_LIMITED")), "{limited:?}");
    assert!(limited.header("retry-after").is_some(), "{limited:?}");
    assert!(asked >= 60, "{asked}");
    // What the relay does has room all the while.
    let _other = scene.bridge.agent("other").await;
    scene.bridge.platform.until_status("other", "online").await;
}
