//! `agent-connector doctor`: each cause is named at its own step, and nothing is disturbed by looking.

use crate::command;
use serde_json::Value;
use std::{net::UdpSocket, time::Duration};
use tests::{Agent, Connector, Relay, World, agent::Document, operator::Output, until};

const SOON: Duration = Duration::from_secs(10);
const NOBODY: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What the doctor says of this connector's path.
async fn look(connector: &Connector, args: &[&str]) -> (Output, Value) {
    let state = connector.state_dir();
    let state = state.to_str().expect("text");
    let args = [&["doctor", "--json", "--state-dir", state], args].concat();
    let output = command::connector(&args, "").await;
    let told: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, told)
}

/// The steps that were looked at, and those of them that failed.
fn steps(told: &Value) -> (Vec<&str>, Vec<&str>) {
    let steps = told["steps"].as_array().expect("steps");
    for step in steps {
        assert!(step["seen"].is_string() && step["why"].is_string(), "{step}");
        assert_eq!(step["ok"] == false, step["do"].is_string(), "{step}");
    }
    let all = steps.iter().filter_map(|step| step["step"].as_str());
    let failed = steps.iter().filter(|step| step["ok"] == false);
    (all.collect(), failed.filter_map(|step| step["step"].as_str()).collect())
}

/// It failed at this step alone, with this code.
#[track_caller]
fn fails_at(step: &str, code: i32, (output, told): &(Output, Value)) {
    let (_, failed) = steps(told);
    assert_eq!((failed.as_slice(), output.code), ([step].as_slice(), code), "{told:#}");
    assert_eq!(told["ok"], false);
}

#[tokio::test]
async fn all_is_well_with_the_connector_running_and_without_and_its_link_stays() {
    let world = World::with_agent("echo").await;
    let before = world.connector.status().expect("a status");
    let (output, told) = look(&world.connector, &[]).await;
    let (all, failed) = steps(&told);
    let whole =
        ["configuration", "dns", "udp", "tls", "credential", "link", "agent", "card", "public"];
    assert_eq!((all.as_slice(), failed.len(), output.code), (&whole[..], 0, 0), "{told:#}");
    assert_eq!(world.connector.status(), Some(before), "looking disturbs no link");
    assert!(!output.stdout.contains("/agents/a_"), "the address is a secret: {}", output.stdout);

    world.connector.stop().await;
    let (output, told) = look(&world.connector, &[]).await;
    assert_eq!((output.code, &told["ok"]), (0, &Value::Bool(true)), "{told:#}");
    let state = world.connector.state_dir();
    let state = state.to_str().expect("text");
    let text = command::connector(&["doctor", "--state-dir", state], "").await.stdout;
    assert_eq!(text.lines().count(), whole.len(), "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok  ")), "{text}");
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_told_at_udp() {
    let world = World::with_agent("echo").await;
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let silent = silent.local_addr().expect("an address").to_string();
    let seen = look(&world.connector, &["--relay", &silent]).await;
    fails_at("udp", 5, &seen);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told_at_dns() {
    let world = World::with_agent("echo").await;
    let seen = look(&world.connector, &["--relay", "relay.invalid:4433"]).await;
    fails_at("dns", 5, &seen);
}

#[tokio::test]
async fn another_authority_is_told_at_tls() {
    let world = World::with_agent("echo").await;
    let seen = look(&world.connector, &["--relay-ca", NOBODY]).await;
    fails_at("tls", 4, &seen);
}

#[tokio::test]
async fn a_revoked_identity_is_told_at_the_credential() {
    let world = World::with_agent("echo").await;
    let revoked = world.relay.cli(&["workspace", "revoke", &world.workspace.workspace_id]).await;
    assert_eq!(revoked.code, 0, "{revoked:?}");
    world.connector.until_state("refused").await;
    let ended = async || (!world.connector.process().is_running()).then_some(());
    until("the connector has ended", SOON, ended).await;
    let seen = look(&world.connector, &[]).await;
    fails_at("credential", 4, &seen);
}

#[tokio::test]
async fn an_agent_that_is_down_and_a_card_that_is_none_are_told_at_their_own_steps() {
    let world = World::with_agent("echo").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    fails_at("agent", 6, &look(&world.connector, &[&port]).await);

    let odd = Agent::start("echo");
    for path in ["/.well-known/agent-card.json", "/.well-known/agent.json"] {
        odd.documents().put(path, Document::json("{\"name\": "));
    }
    let seen = look(&world.connector, &[&odd.port().to_string()]).await;
    fails_at("card", 6, &seen);
    assert!(seen.0.stdout.contains("is no card in JSON"), "{}", seen.0.stdout);
}

#[tokio::test]
async fn a_public_url_that_leads_nowhere_is_told_at_its_own_step() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nowhere = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    let world =
        World::builder().agent("echo").relay_args(&["--public-url", &nowhere]).start().await;
    fails_at("public", 5, &look(&world.connector, &[]).await);
}

#[tokio::test]
async fn without_an_identity_it_says_how_to_begin_and_a_join_string_is_not_used_up() {
    let relay = Relay::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let state_text = state.to_str().expect("text");
    let args = ["doctor", "9", "--json", "--state-dir", state_text];
    let output = command::connector(&args, "").await;
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stdout.contains("\"step\":\"configuration\",\"ok\":false"), "{output:?}");

    let workspace = relay.add_workspace("one", &[]).await;
    let join = [("AGENT_CONNECTOR_JOIN", workspace.join.as_str())];
    let output = command::connector_with(&join, &args).await;
    let told: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(steps(&told).1, ["agent"], "{told:#}");
    assert!(!state.exists(), "looking joins nobody");
    let agent = Agent::start("echo");
    Connector::builder(&workspace.join, agent.port()).start_online().await;
}
