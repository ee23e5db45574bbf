//! A workspace that the operator adds becomes one of the platform's, once, and stays it.

use super::{Bridge, is_registered_url};
use serde_json::json;
use std::time::Duration;
use tests::{Platform, platform::Credential, until};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_added_workspace_is_online_on_the_platform() {
    let bridge = Bridge::start().await;
    let agent = bridge.agent("reader").await;
    let row = bridge.platform.until_status("reader", "online").await;
    assert_eq!(row.runtime, "external");
    assert!(is_registered_url(&row.url), "{}", row.url);
    assert!(!agent.workspace.public_url.contains(row.url.rsplit('/').next().unwrap()));
    assert_eq!(row.card["url"], json!(row.url));
    assert!(row.role.contains(&agent.workspace.workspace_id), "{}", row.role);

    let beat =
        bridge.platform.until_call("a heartbeat", |call| call.is("POST /registry/heartbeat"));
    let beat = beat.await;
    assert_eq!(beat.credential, Credential::Workspace(row.id.clone()));
    for call in bridge.platform.calls() {
        assert_eq!(call.origin.as_deref(), Some(bridge.platform.url().as_str()), "{call:?}");
    }
    let shown = until("nothing but heartbeats is due", SOON, async || {
        let shown = bridge.shown("reader").await;
        (shown["next"]["call"] == json!("heartbeat")).then_some(shown)
    })
    .await;
    assert_eq!(shown["id"], json!(row.id), "{shown}");
    assert_eq!((&shown["status"], &shown["step"]), (&json!("online"), &json!("registered")));
    assert!(shown["last"]["call"].is_string(), "{shown}");
    assert_eq!(shown["trouble"], json!(null), "{shown}");
    assert_eq!(bridge.platform.calls_of("POST /workspaces").len(), 1);
    assert_eq!(bridge.call(&agent, "m-1").await.status, 200);
}

#[tokio::test]
async fn a_workspace_is_registered_promptly_before_its_agent_comes() {
    let bridge = Bridge::start().await;
    bridge.relay.add_workspace("later", &[]).await;
    let row = bridge.platform.until_status("later", "online").await;
    assert_eq!(
        (row.registrations, row.beats),
        (1, 0),
        "nobody beats for an agent that is not there"
    );
    assert_eq!(row.card["name"], json!("later"));
}

#[tokio::test]
async fn a_restarted_relay_makes_no_second_workspace_and_lifts_no_pause() {
    let mut bridge = Bridge::start().await;
    let _one = bridge.agent("one").await;
    let _two = bridge.agent("two").await;
    let row = bridge.platform.until_status("one", "online").await;
    let paused = bridge.platform.until_status("two", "online").await;
    bridge.platform.pause(&paused.id);
    until("the pause is seen", SOON, async || bridge.shown("two").await["paused"] == json!(true))
        .await;
    bridge.relay.start_again_on_same_ports().await;
    let beat = bridge.platform.until_call("a heartbeat of the first agent", |call| {
        call.is("POST /registry/heartbeat") && call.workspace() == Some(row.id.clone())
    });
    beat.await;
    until("the restarted relay knows of the pause", SOON, async || {
        bridge.shown("two").await["status"] == json!("paused")
    })
    .await;
    assert_eq!(bridge.platform.rows().len(), 2);
    assert_eq!(bridge.platform.named("two").unwrap().status, "paused");
    assert_eq!(bridge.platform.named("two").unwrap().registrations, paused.registrations);
}

#[tokio::test]
async fn a_hosted_platform_is_told_for_whom() {
    let org = "0b9e2c5e-4f4e-4f6a-9d3a-8f5d5f1a2b3c";
    let platform = Platform::builder().hosted_for(org).start();
    let bridge = Bridge::with(platform, |relay| relay).await;
    let _agent = bridge.agent("hosted").await;
    bridge.platform.until_status("hosted", "online").await;
    assert!(bridge.platform.calls().iter().all(|call| call.org.as_deref() == Some(org)));
}
