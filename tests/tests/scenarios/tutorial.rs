//! The tutorial "Register a Remote Agent", step by step, against a relay that is the platform.

mod one_way_out;

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tests::{
    Agent, Connector, Namespace, Port, Process, Relay, namespace::within, sdk, until,
    world::message,
};

const SOON: Duration = Duration::from_secs(10);

/// Whoever follows the tutorial: which platform they were told, and where they sit.
struct Reader<'w> {
    platform: String,
    admin: String,
    namespace: Option<&'w Namespace>,
}

impl Reader<'_> {
    /// One who reaches the relay itself.
    fn of(relay: &Relay) -> Reader<'static> {
        Reader {
            platform: relay.public_url().to_owned(),
            admin: relay.admin_token(),
            namespace: None,
        }
    }

    /// A program of theirs, in their surroundings.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
        let mut command = within(self.namespace.map(Namespace::name), program);
        command.env("PLATFORM_URL", &self.platform).env("ADMIN_TOKEN", &self.admin);
        command
    }

    /// Runs one step of the tutorial's `curl` commands; answers its JSON.
    async fn step(&self, name: &str, known: &[(&str, &str)]) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = script.join("tests/scenarios/tutorial/steps.sh");
        let mut command = tokio::process::Command::from(self.command("bash"));
        command.arg(script).arg(name).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(known.iter().copied());
        let output = command.output().await.expect("bash and curl run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "step {name}: {output:?}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("step {name}: {error}: {text}"))
    }

    /// The tutorial's agent on Python, with what its reader sets, and what it printed.
    async fn python_agent(&self, set: &[(&str, &str)]) -> Option<(Process, Value)> {
        let mut command = self.command(sdk::python().await?);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/tutorial_agent.py"));
        command.envs(set.iter().copied());
        let process = Process::spawn("tutorial-agent", command);
        let told = |line: &str| line.starts_with('{');
        let line = process.wait_for_line(told, Duration::from_secs(60)).await;
        Some((process, serde_json::from_str(&line).expect("its answers")))
    }
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}")).to_owned()
}

#[tokio::test]
async fn every_step_works_with_the_tutorials_own_commands() {
    let relay = Relay::start().await;
    let reader = Reader::of(&relay);
    let made = reader.step("create", &[]).await;
    let id = text(&made, "id");
    assert!(id.starts_with("ws_"), "{id}");
    assert!(text(&made, "public_url").starts_with(relay.public_url()));
    let workspace = ("WORKSPACE_ID", id.as_str());
    let registered = reader.step("register", &[workspace]).await;
    let token = text(&registered, "auth_token");
    assert!(token.starts_with("rtok_") && text(&registered, "org_id").starts_with("org_"));
    assert_eq!(
        (&registered["workspace_id"], registered.get("expires_at")),
        (&json!(id), Some(&Value::Null))
    );
    let known = [workspace, ("AUTH_TOKEN", token.as_str())];

    let set = relay.cli_with_stdin(&["secret", "set", &id, "OPENAI_API_KEY"], "sk-1").await;
    assert_eq!(set.code, 0, "{set:?}");
    let secrets = reader.step("secrets", &known).await;
    assert_eq!(secrets, json!({"secrets": {"OPENAI_API_KEY": "sk-1"}}));
    assert_eq!(reader.step("heartbeat", &known).await["status"], "ok");
    let row = relay.show_workspace(&id).await;
    assert_eq!((&row["status"], &row["connected"]), (&json!("online"), &json!(false)));

    // The reader needs no tunnel of somebody else: the answer of the first step had a join string.
    let agent = Agent::start("a2a");
    let connector = Connector::builder(&text(&made, "join"), agent.port()).start_online().await;
    let answer = reader.step("message", &known).await;
    assert_eq!((&answer["id"], answer.get("error")), (&json!(1), None), "{answer}");
    assert_eq!(relay.show_workspace(&id).await["connected"], true);

    assert_eq!(reader.step("revoke", &known).await["status"], "revoked");
    assert_eq!(connector.process().exit_code(SOON).await, 4, "its credential is no longer good");
    assert_eq!(reader.step("heartbeat", &known).await["code"], "RELAY_UNAUTHENTICATED");
    let again = reader.step("register", &known).await;
    assert_ne!(text(&again, "auth_token"), token, "revoked and registered again: a new token");
    assert_eq!(reader.step("remove", &known).await["status"], "removed");
    assert_eq!(reader.step("register", &known).await["code"], "RELAY_WORKSPACE_GONE");
}

#[tokio::test]
async fn the_tutorials_agent_gets_a_tunnel_by_its_own_token() {
    let mut relay = Relay::builder().lasting_ports().start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let token_file = folder.path().join("token");
    let token_file = token_file.to_str().expect("a path");
    let set = [("TOKEN_FILE", token_file)];
    let Some((_agent, told)) = Reader::of(&relay).python_agent(&set).await else { return };
    assert_eq!(told["heartbeat"]["status"], "ok");
    let id = text(&told["workspace"], "id");
    let port = told["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");

    let row = relay.show_workspace(&id).await;
    let connector = Connector::without_join(port)
        .args(["--relay", &text(&row, "tunnel"), "--relay-ca", &text(&row, "relay_ca")])
        .args(["--token-file", token_file])
        .start_online()
        .await;
    until("the agent is purple", Duration::from_secs(2), async || {
        let row = relay.show_workspace(&id).await;
        (row["status"] == "online" && row["connected"] == true).then_some(())
    })
    .await;

    let (other, token) = another(&relay).await;
    hears(&relay, &id, &other, &token).await;
    let before = connector.status().expect("a status");
    relay.restart().await;
    connector.until_online_again(&before, Duration::from_secs(20)).await;
    hears(&relay, &id, &other, &token).await;
}

/// Another workspace, and a token of it.
async fn another(relay: &Relay) -> (String, String) {
    let id = relay.add_workspace("other", &[]).await.workspace_id;
    let made = relay.operate(&format!("POST /workspaces/{id}/tokens"), None).await;
    (id, text(&made, "auth_token"))
}

/// Sends the agent a message from another workspace, and reads that it knows from which.
async fn hears(relay: &Relay, id: &str, other: &str, token: &str) {
    let sent = message("message/send", "t", "hello");
    let answer = relay.api(token, &format!("POST /workspaces/{id}/a2a"), Some(&sent)).await.json();
    let said = &answer["result"]["parts"][0]["text"];
    assert_eq!(said, &json!(format!("from {other}")), "{answer}");
}

#[tokio::test]
async fn the_tutorials_agent_needs_no_route_to_the_platform() {
    let relay = Relay::start().await;
    let (other, token) = another(&relay).await;
    let ca = text(&relay.show_workspace(&other).await, "relay_ca");
    // The connector is there first, so the agent's port must be known before the agent is.
    let port = Port::take();
    let connector = Connector::without_join(port.number()).platform_of(&relay, &ca).start();
    let reader = Reader { platform: connector.platform().await, ..Reader::of(&relay) };

    let set = [("AGENT_PORT", &*port.number().to_string())];
    let Some((_agent, told)) = reader.python_agent(&set).await else { return };
    assert_eq!(told["secrets"], json!({"secrets": {}}));
    assert_eq!(told["heartbeat"]["status"], "ok");
    let id = text(&told["workspace"], "id");
    let online = connector.until_online().await;
    assert_eq!(online.workspace_id.as_ref(), Some(&id), "the agent's registration is its own now");
    hears(&relay, &id, &other, &token).await;
}
