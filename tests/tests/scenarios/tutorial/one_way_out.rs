//! The tutorial in a network that lets nothing out but UDP to the relay's tunnel.

use std::{process::Stdio, time::Duration};

use super::{Reader, another, hears, text};
use serde_json::json;
use tests::{Connector, Namespace, Relay};

const SOON: Duration = Duration::from_secs(10);
/// As the tutorial has them: nobody else is in there.
const PLATFORM: &str = "127.0.0.1:9100";
const AGENT: u16 = 8000;

/// A relay at the outer end of the wire, and an agent's connector at the inner one.
struct Scene {
    connector: Connector,
    relay: Relay,
    /// Last, so that it goes when nobody is left in it.
    namespace: Namespace,
}

impl Scene {
    async fn new() -> Option<Scene> {
        let namespace = Namespace::make()?;
        let outer = namespace.outer();
        let relay = Relay::builder().host(outer).arg("--insecure-http").start().await;
        assert!(relay.http().ip() == outer && relay.tunnel().ip() == outer);
        let ca = relay.add_workspace("known", &[]).await;
        let ca = text(&relay.show_workspace(&ca.workspace_id).await, "relay_ca");

        let health = format!("{}/healthz", relay.public_url());
        assert!(reaches(&namespace, &health).await, "without the firewall there is a way");
        namespace.allow_only_udp_to(relay.tunnel());
        assert!(!reaches(&namespace, &health).await, "with it there is none for TCP");

        let tunnel = relay.tunnel().to_string();
        let connector = Connector::without_join(AGENT).within(&namespace).over("quic");
        let connector = connector
            .args(["--relay", &tunnel, "--relay-ca", &ca, "--platform-listen", PLATFORM])
            .start();
        assert_eq!(connector.platform().await, format!("http://{PLATFORM}"));
        Some(Scene { connector, relay, namespace })
    }

    fn reader(&self) -> Reader<'_> {
        let platform = format!("http://{PLATFORM}");
        Reader { platform, namespace: Some(&self.namespace), ..Reader::of(&self.relay) }
    }

    /// It is linked as this workspace, and the network is still what it is said to be.
    async fn assert_linked(&self, id: &str) {
        let online = self.connector.until_online().await;
        assert_eq!(online.workspace_id.as_deref(), Some(id));
        let health = format!("{}/healthz", self.relay.public_url());
        assert!(!reaches(&self.namespace, &health).await, "the firewall stands");
    }
}

/// Whether a program in the namespace gets an answer from this URL.
async fn reaches(namespace: &Namespace, url: &str) -> bool {
    let mut curl = tokio::process::Command::from(namespace.command("curl"));
    curl.args(["--silent", "--fail", "--connect-timeout", "2", "--noproxy", "*", url]);
    curl.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    curl.status().await.expect("curl runs").success()
}

#[tokio::test]
async fn every_step_of_the_tutorial_needs_nothing_but_udp_to_the_relay() {
    let Some(scene) = Scene::new().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let _agent = scene.namespace.agent(AGENT, folder.path()).await;
    let reader = scene.reader();
    let id = text(&reader.step("create", &[]).await, "id");
    let workspace = ("WORKSPACE_ID", id.as_str());
    let token = text(&reader.step("register", &[workspace]).await, "auth_token");
    let known = [workspace, ("AUTH_TOKEN", token.as_str())];
    assert_eq!(reader.step("secrets", &known).await, json!({"secrets": {}}));
    assert_eq!(reader.step("heartbeat", &known).await["status"], "ok");
    scene.assert_linked(&id).await;
    let answer = reader.step("message", &known).await;
    assert_eq!((&answer["id"], answer.get("error")), (&json!(1), None), "{answer}");

    let revoke = format!("DELETE /workspaces/{id}/tokens");
    assert_eq!(scene.relay.operate(&revoke, None).await["status"], "revoked");
    assert_eq!(scene.connector.process().exit_code(SOON).await, 4);
}

#[tokio::test]
async fn the_tutorials_agent_needs_nothing_but_udp_to_the_relay() {
    let Some(scene) = Scene::new().await else { return };
    let set = [("AGENT_PORT", &*AGENT.to_string())];
    let Some((_agent, told)) = scene.reader().python_agent(&set).await else { return };
    assert_eq!(told["secrets"], json!({"secrets": {}}));
    assert_eq!(told["heartbeat"]["status"], "ok");
    let id = text(&told["workspace"], "id");
    scene.assert_linked(&id).await;
    let (other, token) = another(&scene.relay).await;
    hears(&scene.relay, &id, &other, &token).await;
}
