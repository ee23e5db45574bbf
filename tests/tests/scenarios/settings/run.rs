//! Several agents in one process, from one file.

use crate::command;
use std::{fs, time::Duration};
use tests::{Agent, Process, Relay, binaries, http, until, world::message};

const SOON: Duration = Duration::from_secs(20);

fn state(path: &std::path::Path) -> Option<String> {
    let status: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    status["state"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn two_agents_of_one_file_are_online_and_a_wrong_one_harms_neither() {
    let (relay, folder) = (Relay::start().await, tempfile::tempdir().expect("a folder"));
    let agents = [Agent::start("echo"), Agent::start("echo")];
    let mut file = "state-dir = \"state\"\ninspect = \"off\"\n".to_owned();
    let mut endpoints = Vec::new();
    for (name, agent) in ["one", "two"].iter().zip(&agents) {
        let workspace = relay.add_workspace(name, &[]).await;
        fs::write(folder.path().join(format!("{name}.join")), &workspace.join).expect("written");
        endpoints.push(workspace.endpoint());
        file.push_str(&format!(
            "[{name}]\ntarget = {}\njoin = \"{name}.join\"\nworkspace = \"{}\"\n\
             status-file = \"{name}.json\"\n",
            agent.port(),
            workspace.workspace_id
        ));
    }
    file.push_str("[gone]\ntarget = 9\nworkspace = \"ws_01ARZ3NDEKTSV4RRFFQ69G5FAV\"\n");
    fs::write(folder.path().join("agent-connector.toml"), &file).expect("written");

    let mut command = std::process::Command::new(binaries::agent_connector());
    binaries::isolate(&mut command, "AGENT_CONNECTOR_");
    let process = Process::spawn("connector", {
        command.arg("run").current_dir(folder.path());
        command
    });
    for (name, endpoint) in ["one", "two"].iter().zip(&endpoints) {
        let path = folder.path().join(format!("{name}.json"));
        until("the agent is online", SOON, async || (state(&path)? == "online").then_some(()))
            .await;
        let answer = http::post_json(endpoint, &message("message/send", "m-1", "hello")).await;
        assert_eq!(answer.expect("an answer").head.status, 200, "{name}");
    }
    let gone = |line: &str| line.contains("gone:") && line.contains("no identity for");
    process.wait_for_line(gone, SOON).await;
    process.terminate();
    // The one that could not begin is not forgotten.
    assert_eq!(process.exit_code(SOON).await, 3);
}

#[tokio::test]
async fn every_mistake_of_every_agent_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agents.toml");
    let text = "transprot = \"quic\"\n[one]\ntarget = 8000\nstatus-file = \"s\"\nalso = [\"x\"]\n\
                [two]\njoin = \"join1_canary\"\ntarget = 8001\nstatus-file = \"s\"\n[three]\n";
    fs::write(&path, text).expect("written");
    let path = path.to_str().expect("text");
    let state = [("AGENT_CONNECTOR_STATE_DIR", "/nowhere")];
    let output = command::connector_with(&state, &["run", "--config", path]).await;
    assert_eq!(output.code, 3, "{output:?}");
    for (place, part) in [
        ("1:1", "did you mean `transport`?"),
        ("5:1", "invalid value 'x' for '--also"),
        ("6:2", "`two` and `one` have the same `status-file`"),
        ("7:1", "`join` holds a secret"),
        ("10:2", "`three` has no `target`"),
    ] {
        let told = format!("{path}:{place}: ");
        let told = output.stderr.lines().find(|line| line.contains(&told));
        assert!(told.is_some_and(|line| line.contains(part)), "{place} {part}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    let missing = command::connector_with(&state, &["run"]).await;
    assert_eq!(missing.code, 3);
    assert!(missing.stderr.contains("There is no configuration"), "{missing:?}");
}

#[tokio::test]
async fn whoever_waits_for_a_relay_that_is_not_there_is_told_what_is_dialled() {
    let (relay, folder) = (Relay::start().await, tempfile::tempdir().expect("a folder"));
    let workspace = relay.add_workspace("one", &[]).await;
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let silent = silent.local_addr().expect("an address").to_string();
    let mut command = std::process::Command::new(binaries::agent_connector());
    binaries::isolate(&mut command, "AGENT_CONNECTOR_");
    command.args(["http", "9", "--relay", &silent]).env("AGENT_CONNECTOR_JOIN", &workspace.join);
    command.arg("--state-dir").arg(folder.path());
    let process = Process::spawn("connector", command);
    let told = process.wait_for_line(|line| line.contains("nobody has answered yet"), SOON).await;
    assert!(told.contains(&format!("dialing {silent};")), "{told}");
    process.wait_for_line(|line| line.contains("dialing (NO_ANSWER)"), SOON).await;
    let lines = process.lines();
    let told = lines.iter().filter(|line| line.contains("nobody has answered yet")).count();
    assert_eq!(told, 1, "{lines:?}");
}
