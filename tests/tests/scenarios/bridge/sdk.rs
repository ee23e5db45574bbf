//! Agents on the platform's own SDK, in the three ways in which the relay serves them.

use super::Bridge;
use serde_json::{Value, json};
use std::{path::Path, process::Command, time::Duration};
use tests::{
    Connector, Port, Process, http::Version::Http1, platform::Call, sdk, until, world::message,
};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(20);
/// Python reads a lot before it begins.
const START: Duration = Duration::from_secs(60);

/// Its process.
struct SdkAgent(Process);

impl SdkAgent {
    /// Starts it at this port, and waits until it serves; `None` where there is no Python for it.
    async fn start(port: u16, env: &[(&str, &str)], tokens: &Path) -> Option<SdkAgent> {
        let mut command = Command::new(sdk::python().await?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/molecule_sdk_agent.py");
        command.arg(script).env("PORT", port.to_string()).env("TOKEN_DIR", tokens);
        command.envs(env.iter().copied());
        let process = Process::spawn("molecule-agent", command);
        process.wait_for_line(|line| line.starts_with("{\"port\""), START).await;
        Some(SdkAgent(process))
    }

    /// What it was answered when it registered and asked around.
    async fn told(&self) -> Value {
        let line = self.0.wait_for_line(|line| line.starts_with("{\"secrets\""), START).await;
        serde_json::from_str(&line).expect("its answers")
    }

    async fn until_ended(&self) -> String {
        self.0.wait_for_line(|line| line.starts_with("{\"ended\""), SOON).await
    }
}

async fn quick() -> Bridge {
    let shape = |relay: tests::relay::RelayBuilder| relay.env("RELAY_PLATFORM_BEAT", "0.5");
    let bridge = Bridge::with(tests::Platform::start(), shape).await;
    bridge.platform.resolve("relay.example.com", bridge.relay.http());
    bridge
}

/// Calls the agent through the platform, twenty times at once.
async fn crowd(bridge: &Bridge, id: &str) {
    let platform = bridge.platform.url();
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let url = format!("{platform}/workspaces/{id}/a2a");
        let body = message("message/send", &format!("crowd-{n}"), "hello");
        calls.spawn(async move { Http1.post_json(&url, &body).await });
    }
    for reached in calls.join_all().await {
        let reached = reached.expect("an answer");
        let json = reached.json();
        assert_eq!((reached.status, &json["status"]), (200, &json!("ok")), "{json}");
        assert_eq!(json["result"], json!({"text": "you said: hello", "runs": 1}));
    }
}

fn is_beat_with(task: &'static str) -> impl Fn(&Call) -> bool {
    move |call| call.is("POST /registry/heartbeat") && call.body["current_task"] == json!(task)
}

#[tokio::test]
async fn inbound_only_the_agent_speaks_to_the_platform_itself() {
    let bridge = quick().await;
    let workspace = bridge.relay.add_workspace("inbound", &[]).await;
    let tokens = tempfile::tempdir().unwrap();
    let made = until("it is made", SOON, async || bridge.platform.named("inbound")).await;
    // The platform's operator gives it a token of its own.
    let minted = until("it is made", SOON, async || {
        let path = format!("{}/workspaces/{}/tokens", bridge.platform.url(), made.id);
        let bearer = format!("Bearer {}", bridge.platform.admin_token());
        let answer = Http1.post(&path, &[("Authorization", &bearer)], b"").await.ok()?;
        Some(answer.json()["auth_token"].as_str()?.to_owned())
    })
    .await;
    let (port, url) = (Port::take(), bridge.platform.url());
    let env = [
        ("WORKSPACE_ID", &made.id[..]),
        ("PLATFORM_URL", &url),
        ("AUTH_TOKEN", &minted),
        ("TASK", "itself"),
    ];
    let Some(agent) = SdkAgent::start(port.number(), &env, tokens.path()).await else { return };
    let _connector = Connector::builder(&workspace.join, port.number())
        .args(["--local-path", "/a2a/inbound", "--close-connections", "--own-heartbeats"])
        .start_online()
        .await;
    bridge.platform.until_status("inbound", "online").await;
    agent.told().await;
    bridge.platform.until_call("its own heartbeat", is_beat_with("itself")).await;
    let seen = bridge.platform.calls().len();
    crowd(&bridge, &made.id).await;
    for _ in 0..8 {
        bridge.platform.until_call("its own heartbeat", is_beat_with("itself")).await;
    }
    let calls = bridge.platform.calls().split_off(seen);
    let emptier =
        |call: &&Call| call.is("POST /registry/heartbeat") && !is_beat_with("itself")(call);
    assert_eq!(calls.iter().find(emptier).map(|call| &call.body), None, "none but its own");
    bridge.platform.pause(&made.id);
    assert!(agent.until_ended().await.contains("paused"));
}

#[tokio::test]
async fn behind_the_facade_it_registers_at_every_start_and_a_pause_ends_its_loop() {
    let bridge = quick().await;
    let peer = bridge.agent("peer").await;
    let peer_row = bridge.platform.until_status("peer", "online").await;
    let workspace = bridge.relay.add_workspace("facade", &[]).await;
    let port = Port::take();
    let connector = Connector::builder(&workspace.join, port.number())
        .args(["--local-path", "/a2a/inbound", "--close-connections"])
        .args(["--platform-listen", "127.0.0.1:0"])
        .start_online()
        .await;
    let platform = connector.platform().await;
    let row = bridge.platform.until_status("facade", "online").await;
    bridge.platform.set_secret(&row.id, "KEY", "value");
    for task in ["first", "second"] {
        // Without a token on disk, as on a machine that was made anew.
        let tokens = tempfile::tempdir().unwrap();
        let env = [
            ("WORKSPACE_ID", &row.id[..]),
            ("PLATFORM_URL", &platform),
            ("PEER", &peer_row.id),
            ("TASK", task),
        ];
        let Some(agent) = SdkAgent::start(port.number(), &env, tokens.path()).await else {
            return;
        };
        let told = agent.told().await;
        assert_eq!(told["secrets"], json!({"KEY": "value"}), "{told}");
        assert_eq!(told["peers"], json!(["peer"]), "{told}");
        assert!(told["peer"]["result"].is_object(), "{told}");
        let named = bridge.platform.until_call("its words", move |call| {
            call.is("POST /registry/heartbeat") && call.body["current_task"] == json!(task)
        });
        named.await;
        if task == "second" {
            crowd(&bridge, &row.id).await;
            bridge.platform.pause(&row.id);
            assert!(agent.until_ended().await.contains("paused"));
        }
    }
    assert!(!bridge.platform.refused_any(), "{:#?}", bridge.platform.calls());
    drop(peer);
}

#[tokio::test]
async fn a_bare_agent_knows_nothing_of_the_platform() {
    let bridge = quick().await;
    let workspace = bridge.relay.add_workspace("bare", &[]).await;
    let (port, tokens) = (Port::take(), tempfile::tempdir().unwrap());
    let Some(_agent) = SdkAgent::start(port.number(), &[], tokens.path()).await else { return };
    let _connector = Connector::builder(&workspace.join, port.number())
        .args(["--local-path", "/a2a/inbound", "--close-connections"])
        .start_online()
        .await;
    let row = bridge.platform.until_status("bare", "online").await;
    crowd(&bridge, &row.id).await;
    let alive = bridge.platform.until_call("the relay beats for it", |call| {
        call.is("POST /registry/heartbeat") && call.workspace().as_deref() == Some(&row.id)
    });
    assert_eq!(alive.await.status, 200);
}
