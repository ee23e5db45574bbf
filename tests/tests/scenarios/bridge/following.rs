//! What the platform's operator does is followed here, and what the relay's does is followed there.

use super::Bridge;
use serde_json::json;
use std::time::Duration;
use tests::{
    Platform,
    platform::{Credential, Fault, Oddity},
    until,
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_pause_holds_calls_back_until_it_is_lifted_there() {
    let bridge = Bridge::start().await;
    let agent = bridge.agent("pausable").await;
    let row = bridge.platform.until_status("pausable", "online").await;
    assert_eq!(bridge.call(&agent, "before").await.status, 200);

    bridge.platform.pause(&row.id);
    until("calls are held back", SOON, async || {
        let answer = bridge.call(&agent, "while").await;
        answer.status == 503 && answer.header("x-relay-error") == Some("RELAY_AGENT_PAUSED")
    })
    .await;
    let told = |reason: Option<&'static str>| {
        let (connector, fact) = (&agent.connector, format!("the connector is told: {reason:?}"));
        async move {
            until(&fact, SOON, async || {
                connector.status().is_some_and(|status| status.reason.as_deref() == reason)
            })
            .await;
        }
    };
    told(Some("PAUSED")).await;
    let shown = bridge.relay.show_workspace("pausable").await;
    assert_eq!((&shown["status"], &shown["connected"]), (&json!("paused"), &json!(true)));
    assert_eq!(shown["reason"], json!("The platform paused it."));
    assert_eq!(shown["platform"]["status"], json!("paused"));
    let paused = bridge.platform.named("pausable").unwrap();
    assert_eq!((paused.status.as_str(), paused.registrations), ("paused", row.registrations));

    // The platform tries to start a container, which fails for an agent that runs elsewhere.
    bridge.platform.resume(&row.id);
    bridge.platform.until_status("pausable", "online").await;
    until("calls come again", SOON, async || bridge.call(&agent, "after").await.status == 200)
        .await;
    told(None).await;
}

#[tokio::test]
async fn a_deletion_ends_the_link_and_is_never_undone() {
    let mut bridge = Bridge::start().await;
    let agent = bridge.agent("deleted").await;
    let row = bridge.platform.until_status("deleted", "online").await;
    bridge.platform.delete(&row.id);
    let refused = agent.connector.until_state("refused").await;
    assert_eq!(refused.reason.as_deref(), Some("REVOKED"));
    let said = |line: &str| line.contains("The platform deleted this workspace");
    agent.connector.process().wait_for_line(said, SOON).await;
    until("it is over", SOON, async || bridge.shown("deleted").await["step"] == json!("gone"))
        .await;
    bridge.relay.start_again_on_same_ports().await;
    until("the restarted relay knows", SOON, async || {
        bridge.shown("deleted").await["step"] == json!("gone")
    })
    .await;
    let another = bridge.agent("another").await;
    bridge.platform.until_status("another", "online").await;
    assert_eq!(bridge.platform.named("deleted").unwrap().registrations, row.registrations);
    assert_eq!(bridge.platform.rows().len(), 2);
    drop(another);
}

#[tokio::test]
async fn a_purged_workspace_is_gone_too() {
    let bridge = Bridge::start().await;
    let agent = bridge.agent("purged").await;
    let row = bridge.platform.until_status("purged", "online").await;
    bridge.platform.purge(&row.id);
    agent.connector.until_state("refused").await;
    until("it is over", SOON, async || bridge.shown("purged").await["step"] == json!("gone")).await;
    assert!(
        bridge.platform.rows().is_empty(),
        "an unknown id would become a row of another runtime"
    );
}

#[tokio::test]
async fn an_agent_that_the_platform_lost_registers_again_after_a_look() {
    let bridge = Bridge::start().await;
    let _agent = bridge.agent("wanderer").await;
    let row = bridge.platform.until_status("wanderer", "online").await;
    let beats = || bridge.platform.named("wanderer").unwrap().beats;
    let mut before = 0;
    for status in ["offline", "failed", "provisioning"] {
        // Each registration has a heartbeat soon behind it, which would lift some of these by itself; the
        // next one is far away.
        until("its first heartbeat", SOON, async || beats() > before).await;
        before = beats();
        let seen = bridge.platform.calls().len();
        bridge.platform.set_status(&row.id, status);
        bridge.platform.until_status("wanderer", "online").await;
        let calls = bridge.platform.calls().split_off(seen);
        let registered = calls.iter().position(|call| call.is("POST /registry/register"));
        let earlier = calls[..registered.expect("it registers")].iter().rev();
        let looked = earlier.take(3).any(|call| call.is("GET /workspaces/*"));
        assert!(looked, "{status}: {calls:#?}");
    }
    bridge.platform.set_url(&row.id, "https://elsewhere.example.com");
    until("the relay's URL is back", SOON, async || {
        bridge.platform.named("wanderer").unwrap().url == row.url
    })
    .await;
}

#[tokio::test]
async fn a_rotated_token_is_read_anew_once_and_then_shown_as_trouble() {
    let bridge =
        Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let agent = bridge.agent("rotated").await;
    let row = bridge.platform.until_status("rotated", "online").await;
    bridge.platform.until_call("a heartbeat", |call| call.is("POST /registry/heartbeat")).await;
    let token = bridge.platform.rotate(&row.id);
    let trouble = until("the operator sees it", SOON, async || {
        let trouble = bridge.shown("rotated").await["trouble"].as_str()?.to_owned();
        trouble.contains("--platform-token-file").then_some(trouble)
    })
    .await;
    assert!(!trouble.contains(&token), "{trouble}");
    let refused = bridge.platform.calls();
    let refused = refused.iter().filter(|call| call.status == 401).count();
    assert!((2..=4).contains(&refused), "{refused} tries with a token that is no good");
    assert_eq!(bridge.call(&agent, "m-1").await.status, 200, "callers of the relay are served");
    assert_eq!(bridge.platform.calls_of("POST /workspaces/*/tokens").len(), 0, "nobody mints");

    let set = ["workspace", "set", "rotated", "--platform-token-file", "-"];
    let output = bridge.relay.cli_with_stdin(&set, &format!("{token}\n")).await;
    assert_eq!(output.code, 0, "{output:?}");
    let beat = bridge.platform.until_call("a heartbeat with the new token", |call| {
        call.is("POST /registry/heartbeat")
            && call.credential == Credential::Workspace(row.id.clone())
    });
    beat.await;
    until("the trouble is over", SOON, async || {
        bridge.shown("rotated").await["trouble"] == json!(null)
    })
    .await;
}

#[tokio::test]
async fn links_stay_up_while_the_platform_is_down_and_what_is_due_is_done_when_it_is_back() {
    let mut bridge =
        Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let agent = bridge.agent("steady").await;
    bridge.platform.until_status("steady", "online").await;
    let since = agent.connector.status().unwrap().since;
    bridge.platform.stop();
    until("the operator sees it", SOON, async || {
        bridge.shown("steady").await["reachable"] == json!(false)
    })
    .await;
    let later = bridge.relay.add_workspace("later", &[]).await;
    assert_eq!(bridge.call(&agent, "m-1").await.status, 200);
    let trouble = bridge.shown("steady").await["trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("cannot be reached"), "{trouble}");
    assert_eq!(bridge.relay.metric("relay_platform_up", &[]).await, Some(0.0));

    let seen = bridge.platform.calls().len();
    bridge.platform.start_again();
    bridge.platform.until_status("later", "online").await;
    until("heartbeats go on", SOON, async || {
        let calls = bridge.platform.calls().split_off(seen);
        calls.iter().any(|call| call.is("POST /registry/heartbeat") && call.status == 200)
    })
    .await;
    assert_eq!(agent.connector.status().unwrap().since, since, "its link stayed up");
    let row = bridge.platform.named("later").unwrap();
    assert!(row.role.contains(&later.workspace_id), "{row:?}");
    assert_eq!(bridge.platform.rows().len(), 2);
}

#[tokio::test]
async fn a_datastore_that_is_down_is_no_refusal() {
    let bridge =
        Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await;
    let _agent = bridge.agent("patient").await;
    let row = bridge.platform.until_status("patient", "online").await;
    bridge.platform.fault(Fault::Unavailable, true);
    until("the operator sees it", SOON, async || {
        let shown = bridge.shown("patient").await;
        shown["trouble"].as_str().is_some_and(|trouble| trouble.contains("503"))
    })
    .await;
    bridge.platform.fault(Fault::Unavailable, false);
    let beats = bridge.platform.named("patient").unwrap().beats;
    until("heartbeats go on", SOON, async || {
        bridge.platform.named("patient").unwrap().beats > beats
    })
    .await;
    assert_eq!(bridge.platform.named("patient").unwrap().id, row.id);
    assert_eq!(bridge.shown("patient").await["step"], json!("registered"));
}

#[tokio::test]
async fn a_workspace_that_is_removed_here_is_deleted_there_even_by_a_500() {
    let bridge = Bridge::start().await;
    let _agent = bridge.agent("removed").await;
    let row = bridge.platform.until_status("removed", "online").await;
    bridge.platform.fault(Fault::DeletesWith500, true);
    bridge.relay.cli(&["workspace", "remove", "removed"]).await;
    bridge.platform.until_status("removed", "removed").await;
    let other = bridge.relay.add_workspace("other", &[]).await;
    bridge.platform.until_status("other", "online").await;
    let deletions = bridge.platform.calls_of(&format!("DELETE /workspaces/{}", row.id));
    assert_eq!(deletions.len(), 1, "its row says that it was done");
    assert!(bridge.relay.show_workspace(&other.workspace_id).await["platform"].is_object());
}

#[tokio::test]
async fn a_workspace_that_is_removed_while_it_is_made_there_leaves_nothing_behind() {
    let bridge = Bridge::start().await;
    let late = Oddity::Late(Duration::from_secs(1));
    bridge.platform.oddly("POST /workspaces", 1, true, late);
    bridge.relay.add_workspace("regretted", &[]).await;
    until("it is being made", SOON, async || !bridge.platform.rows().is_empty()).await;
    assert_eq!(bridge.relay.cli(&["workspace", "remove", "regretted"]).await.code, 0);
    bridge.platform.until_status("regretted", "removed").await;
    assert_eq!(bridge.platform.rows().len(), 1);
}

#[tokio::test]
async fn a_pause_outlives_a_restart_without_the_platform() {
    let mut bridge = Bridge::start().await;
    let agent = bridge.agent("held").await;
    let row = bridge.platform.until_status("held", "online").await;
    bridge.platform.pause(&row.id);
    until("the pause is seen", SOON, async || bridge.shown("held").await["paused"] == json!(true))
        .await;
    bridge.platform.stop();
    let before = agent.connector.status().unwrap();
    bridge.relay.start_again_on_same_ports().await;
    agent.connector.until_online_again(&before, SOON).await;
    let answer = bridge.call(&agent, "m-1").await;
    assert_eq!(answer.header("x-relay-error"), Some("RELAY_AGENT_PAUSED"), "{answer:?}");
    until("the connector is told again", SOON, async || {
        agent.connector.status().is_some_and(|status| status.reason.as_deref() == Some("PAUSED"))
    })
    .await;
}
