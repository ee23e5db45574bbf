//! `agent-connector exec`: the connector starts the agent, tells it who it is, and ends with it.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::command;
use tests::http::post_json;
use tests::operator::WorkspaceHandle;
use tests::world::message;
use tests::{Connector, Relay, binaries, until};

const SOON: Duration = Duration::from_secs(20);

/// A relay with one workspace, and its agent as a shell script beside the connector.
struct Stage {
    connector: Connector,
    workspace: WorkspaceHandle,
    relay: Relay,
}

impl Stage {
    async fn new(script: &str) -> Stage {
        let relay = Relay::start().await;
        let workspace = relay.add_workspace("first", &[]).await;
        let connector = Connector::builder(&workspace.join, 0).exec(script).start();
        Stage { connector, workspace, relay }
    }

    /// What the agent wrote of each of its starts.
    async fn told(&self, starts: usize) -> Vec<Told> {
        let file = self.connector.state_dir().with_file_name("told");
        until("the agent was started", SOON, async || {
            let told: Vec<Told> = read(&file);
            (told.len() >= starts).then_some(told)
        })
        .await
    }

    async fn until_it_answers(&self) {
        until("the agent answers", SOON, async || {
            let call = message("message/send", "m-1", "hello");
            let answer = post_json(&self.workspace.endpoint(), &call).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    async fn exit_code(&self) -> i32 {
        self.connector.process().exit_code(SOON).await
    }
}

#[derive(Debug, PartialEq)]
struct Told {
    url: String,
    port: u16,
    secrets: String,
}

fn read(file: &Path) -> Vec<Told> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let (url, port) = (words.next()?, words.next()?.parse().ok()?);
        Some(Told { url, port, secrets: words.collect() })
    };
    text.lines().filter_map(line).collect()
}

fn is_served(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

async fn until_nobody_serves(port: u16) {
    let fact = "what the agent started itself has ended too";
    until(fact, SOON, async || (!is_served(port)).then_some(())).await;
}

/// A script that notes what it was told, and serves A2A where it was told to.
fn agent(before: &str, after: &str) -> String {
    let told = "echo \"$A2A_PUBLIC_URL $PORT $AGENT_CONNECTOR_JOIN$AGENT_CONNECTOR_TOKEN\" >> told";
    let program = binaries::mock_agent();
    format!("{before}\n{told}\n'{}' --port $PORT {after}", program.display())
}

#[tokio::test]
async fn the_agent_knows_its_public_url_and_the_connector_ends_with_its_code() {
    let stage = Stage::new(&agent("trap 'exit 7' TERM", "& wait")).await;
    let told = stage.told(1).await;
    assert_eq!(told[0].url, stage.workspace.public_url);
    assert_eq!(told[0].secrets, "", "the connector's own credentials are none of its business");
    stage.until_it_answers().await;
    stage.connector.process().terminate();
    assert_eq!(stage.exit_code().await, 7);
    until_nobody_serves(told[0].port).await;
}

#[tokio::test]
async fn an_agent_that_ends_takes_its_connector_along() {
    for (script, code) in [("exit 5", 5), ("kill -9 $$", 137), ("exit 0", 0)] {
        assert_eq!(Stage::new(script).await.exit_code().await, code, "{script}");
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    let stage = Stage::new("exec no-such-agent-program").await;
    assert_eq!(stage.exit_code().await, 127, "a shell's own word");
    let direct = Connector::builder(&stage.relay.add_workspace("second", &[]).await.join, 0)
        .exec_program(&["no-such-agent-program"])
        .start();
    assert_eq!(direct.process().exit_code(SOON).await, 3);
    let said = direct.process().lines().join("\n");
    assert!(said.contains("`no-such-agent-program`"), "{said}");
}

#[tokio::test]
async fn a_hangup_starts_the_agent_again_with_the_url_of_then() {
    let stage = Stage::new(&agent("", "")).await;
    let first = stage.told(1).await.remove(0);
    stage.until_it_answers().await;
    let renewed =
        stage.relay.cli(&["workspace", "set", "first", "--new-address", "--json"]).await.json();
    let process = stage.connector.process();
    process.wait_for_line(|line| line.contains("SIGHUP"), SOON).await;
    process.hang_up();
    let second = stage.told(2).await.remove(1);
    assert_eq!(second.url, renewed["public_url"]);
    assert_ne!(second.url, first.url);
    assert_eq!(second.port, first.port);
}

#[tokio::test]
async fn an_agent_that_will_not_end_is_ended_by_the_second_signal() {
    let stage = Stage::new(&agent("trap '' TERM", "")).await;
    let port = stage.told(1).await[0].port;
    stage.until_it_answers().await;
    stage.connector.process().terminate();
    let refused = until("nothing new is taken", SOON, async || {
        let call = message("message/send", "m-2", "hello");
        let answer = post_json(&stage.workspace.endpoint(), &call).await.ok()?;
        answer.relay_error().map(str::to_owned)
    })
    .await;
    assert!(
        ["RELAY_AGENT_DRAINING", "RELAY_AGENT_OFFLINE"].contains(&refused.as_str()),
        "{refused}"
    );
    assert!(stage.connector.process().is_running() && is_served(port), "it waits for its agent");
    stage.connector.process().terminate();
    assert_eq!(stage.exit_code().await, 143);
    until_nobody_serves(port).await;
}

#[tokio::test]
async fn an_agent_with_a_host_of_its_own_is_told_of_it_and_so_is_its_owner() {
    let relay = Relay::builder().args(["--domain", "agents.test"]).start().await;
    let open = ["--alias", "echo", "--callers", "open"];
    let workspace = relay.add_workspace("first", &open).await;
    let host = format!("http://echo.agents.test:{}/", relay.http().port());
    let script = agent("echo \"$A2A_PUBLIC_HOST_URL\" >> hosts", "");
    let connector = Connector::builder(&workspace.join, 0).exec(&script).start();
    let told = connector.state_dir().with_file_name("hosts");
    let read = || std::fs::read_to_string(&told).unwrap_or_default();
    until("the agent was told", SOON, async || read() == format!("{host}\n")).await;
    let state_dir = connector.state_dir().display().to_string();
    let status = ["status", "--json", "--state-dir", &state_dir];
    let shown = command::connector(&status, "").await.json();
    assert_eq!((&shown["host_url"], &shown["state"]), (&host.into(), &"online".into()), "{shown}");
    assert_eq!(shown["public_url"], workspace.public_url, "{shown}");

    // A policy under which there is no such host takes it away, and an agent that starts then has none.
    assert_eq!(relay.cli(&["workspace", "set", "first", "--callers", "link"]).await.code, 0);
    let gone = |line: &str| line.contains("another public URL");
    connector.process().wait_for_line(gone, SOON).await;
    connector.process().hang_up();
    until("it was started again", SOON, async || read().lines().count() == 2).await;
    assert_eq!(read().lines().last(), Some(""));
}
