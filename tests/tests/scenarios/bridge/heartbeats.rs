//! Heartbeats: an agent's whole report, for as long as it is there and no longer.

use super::Bridge;
use serde_json::json;
use shared::control::{Status, ToRelay};
use std::time::Duration;
use tests::{Platform, RawIdentity, platform::Call, until};

const SOON: Duration = Duration::from_secs(20);

async fn quick() -> Bridge {
    Bridge::with(Platform::start(), |relay| relay.env("RELAY_PLATFORM_BEAT", "0.5")).await
}

fn is_beat(call: &Call) -> bool {
    call.is("POST /registry/heartbeat") && call.status == 200
}

#[tokio::test]
async fn what_an_agent_reports_is_replayed_whole_also_by_a_relay_that_restarted() {
    let mut bridge = quick().await;
    let agent = bridge.agent("worker").await;
    bridge.platform.until_status("worker", "online").await;
    let report = json!({
        "workspace_id": agent.workspace.workspace_id, "error_rate": 0.25, "active_tasks": 3,
        "current_task": "reading", "sample_error": "one timeout", "monthly_spend": 12.5,
        "runtime_metadata": {"capabilities": {"session": true}, "idle_timeout_seconds": 900},
    });
    bridge.relay.operate("POST /registry/heartbeat", Some(&report)).await;
    let whole = |call: &Call| {
        let same = |field: &str| call.body[field] == report[field];
        is_beat(call)
            && ["error_rate", "active_tasks", "current_task", "sample_error"].into_iter().all(same)
            && ["monthly_spend", "runtime_metadata"].into_iter().all(same)
            && call.body["runtime_state"] == json!("")
    };
    for _ in 0..3 {
        bridge.platform.until_call("the whole report", whole).await;
    }
    bridge.relay.start_again_on_same_ports().await;
    let next = bridge.platform.until_call("a heartbeat of the restarted relay", is_beat).await;
    assert!(whole(&next), "the first one is whole already: {next:?}");

    let mut done = report.clone();
    done["current_task"] = json!("");
    bridge.relay.operate("POST /registry/heartbeat", Some(&done)).await;
    bridge
        .platform
        .until_call("nothing is worked on", |call| {
            is_beat(call) && call.body["current_task"] == json!("")
        })
        .await;
}

#[tokio::test]
async fn what_a_connector_reports_is_sent_on_whole() {
    let bridge = quick().await;
    let workspace = bridge.relay.add_workspace("reporter", &[]).await;
    let identity = RawIdentity::join(&workspace.join).await;
    let mut hello = identity.hello();
    hello.status.current_task = "thinking".to_owned();
    hello.status.runtime_metadata = json!({"capabilities": {"status_mgmt": true}});
    let mut link = identity.connect().await;
    link.send(&ToRelay::Hello(Box::new(hello.clone()))).await;
    let has = |task: &'static str, rate: f64, state: &'static str| {
        move |call: &Call| {
            is_beat(call)
                && call.body["current_task"] == json!(task)
                && call.body["error_rate"] == json!(rate)
                && call.body["runtime_state"] == json!(state)
                && call.body["runtime_metadata"]["capabilities"]["status_mgmt"] == json!(true)
        }
    };
    bridge.platform.until_call("the report of HELLO", has("thinking", 0.0, "")).await;
    let status = Status {
        current_task: "stuck".to_owned(),
        error_rate: 0.75,
        runtime_state: "wedged".to_owned(),
        ..hello.status
    };
    link.send(&ToRelay::Heartbeat(Box::new(status))).await;
    bridge.platform.until_call("that of a heartbeat", has("stuck", 0.75, "wedged")).await;
    bridge.platform.until_status("reporter", "degraded").await;
    for _ in 0..3 {
        bridge.platform.until_call("nothing lifts it", has("stuck", 0.75, "wedged")).await;
    }
}

#[tokio::test]
async fn heartbeats_end_with_the_link() {
    let bridge = quick().await;
    let agent = bridge.agent("leaver").await;
    bridge.platform.until_call("a heartbeat", is_beat).await;
    assert_eq!(agent.connector.stop().await, 0);
    until("the relay sees it leave", SOON, async || {
        bridge.relay.show_workspace("leaver").await["connected"] == json!(false)
    })
    .await;
    // One may have been under way.
    let before = bridge.platform.named("leaver").unwrap().beats;
    let other = bridge.agent("stayer").await;
    for _ in 0..4 {
        bridge
            .platform
            .until_call("a heartbeat of the other agent", |call| {
                is_beat(call)
                    && call.workspace() == bridge.platform.named("stayer").map(|row| row.id)
            })
            .await;
    }
    assert!(bridge.platform.named("leaver").unwrap().beats <= before + 1);
    drop((agent.agent, other));
}

#[tokio::test]
async fn heartbeats_end_with_the_agent_behind_a_link_that_stays() {
    let bridge = quick().await;
    let agent = bridge.agent("crashed").await;
    bridge.platform.until_call("a heartbeat", is_beat).await;
    drop(agent.agent);
    until("a restart of it would have been over", Duration::from_secs(60), async || {
        let shown = bridge.relay.show_workspace("crashed").await;
        shown["status"] == json!("degraded") && shown["platform"]["next"] == json!(null)
    })
    .await;
    let shown = bridge.relay.show_workspace("crashed").await;
    assert_eq!(shown["connected"], json!(true), "{shown}");
    let beats = bridge.platform.named("crashed").unwrap().beats;
    let other = bridge.agent("alive").await;
    for _ in 0..3 {
        bridge.platform.until_call("a heartbeat of the other agent", is_beat).await;
    }
    assert!(bridge.platform.named("crashed").unwrap().beats <= beats + 1);
    drop(other);
}

#[tokio::test]
async fn an_agent_that_thinks_has_its_heartbeats_all_the_while() {
    let bridge = quick().await;
    let agent = bridge.agent("thinker").await;
    bridge.platform.until_call("a heartbeat", is_beat).await;
    let path = agent.workspace.endpoint();
    let path = path.strip_prefix(super::PUBLIC).unwrap();
    let url = format!("http://{}{path}", bridge.relay.http());
    let headers = [("Content-Type", "application/json"), ("x-test-behaviour", "never")];
    let call = tests::http::send("POST", &url, &headers, Some(b"{}")).await.unwrap();
    bridge
        .platform
        .until_call("a heartbeat with the open task", |call| {
            is_beat(call) && call.body["active_tasks"] == json!(1)
        })
        .await;
    for _ in 0..3 {
        bridge.platform.until_call("a heartbeat", is_beat).await;
    }
    drop(call);
}

#[tokio::test]
async fn the_rate_limit_is_obeyed_and_heartbeats_go_on_when_it_is_over() {
    let platform = Platform::builder().per_minute(40).start();
    let bridge = Bridge::with(platform, |relay| relay.env("RELAY_PLATFORM_RATE", "40")).await;
    let _one = bridge.agent("one").await;
    bridge.platform.until_status("one", "online").await;
    for n in 0..6 {
        bridge.relay.add_workspace(&format!("more-{n}"), &[]).await;
    }
    until("several are registered", Duration::from_secs(60), async || {
        bridge.platform.rows().iter().filter(|row| row.status == "online").count() >= 3
    })
    .await;
    let over = bridge.platform.calls().iter().filter(|call| call.status == 429).count();
    assert_eq!(over, 0, "the relay's own budget kept it within the limit");
}
