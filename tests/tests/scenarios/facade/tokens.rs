//! Links of connectors that hold a workspace token instead of an identity.

use super::ca_of;
use crate::command;
use serde_json::json;
use shared::codes::{CloseCode, RefusalCode};
use shared::control::{Hello, ToConnector, ToRelay};
use shared::secret::Secret;
use std::time::Duration;
use tests::{
    Connector, RawIdentity, Relay, World, baseline::Baseline, http, operator::WorkspaceHandle,
    raw_connector::connect_bare, until, world::message,
};

const SOON: Duration = Duration::from_secs(20);
const AT_ONCE: Duration = Duration::from_secs(1);
/// Of the right shape, and nobody's.
const NOBODYS: &str =
    "rtok_01ARZ3NDEKTSV4RRFFQ69G5FAVcanarycanarycanarycanarycanarycanarycanarycana22";

/// The workspace's token, as registering its agent shows it once.
async fn token_of(relay: &Relay, workspace: &WorkspaceHandle) -> Option<String> {
    let admin = format!("Bearer {}", relay.admin_token());
    let headers = [("Authorization", &admin[..]), ("Content-Type", "application/json")];
    let body = json!({
        "id": workspace.workspace_id, "url": "https://agent.example/a2a",
        "agent_card": {"name": "remote", "runtime": "external"},
    });
    let url = format!("{}/registry/register", relay.public_url());
    let answer = http::post(&url, &headers, body.to_string().as_bytes()).await.expect("an answer");
    if answer.status == 404 {
        eprintln!("SKIPPED: this relay has no registration yet");
        return None;
    }
    Some(answer.json()["auth_token"].as_str().expect("a token").to_owned())
}

/// The HELLO of a connector without a certificate.
async fn hello_with(workspace: &WorkspaceHandle, token: Option<&str>) -> (RawIdentity, Hello) {
    let identity = RawIdentity::join(&workspace.join).await;
    let token = token.map(|text| Secret::new(text.to_owned()));
    let hello = Hello { workspace_id: None, token, ..identity.hello() };
    (identity, hello)
}

#[tokio::test]
async fn a_token_that_the_relay_does_not_know_ends_the_connector_with_code_4() {
    let world = World::new().await;
    let ca = ca_of(&world.workspace);
    let connector = Connector::without_join(world.agent.port());
    let connector = connector.token(NOBODYS, &world.relay, &ca).start();
    assert_eq!(connector.process().exit_code(SOON).await, 4);
    let refused = connector.until_state("refused").await;
    assert_eq!(refused.reason.as_deref(), Some("UNKNOWN_CREDENTIAL"));
    for process in [connector.process(), world.relay.process()] {
        let told = process.lines().iter().any(|line| line.contains("canary"));
        assert!(!told, "the token stands in the log");
    }
    assert!(!connector.state_dir().exists(), "nothing of it is kept");
    assert_eq!(world.call(message("message/send", "m-1", "hello")).await.status, 200);
}

#[tokio::test]
async fn a_token_that_cannot_be_used_is_named_before_anything_is_dialled() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("first", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let open = folder.path().join("open");
    std::fs::write(&open, NOBODYS).expect("a file that all can read");
    let open = open.display().to_string();
    let (tunnel, ca) = (relay.tunnel().to_string(), ca_of(&workspace));
    let relay_args = ["--relay", &tunnel, "--relay-ca", &ca];
    for (args, words) in [
        (&["--token-file", &open][..], "chmod 600"),
        (&["--token-file", "/nowhere/token"], "does not exist"),
    ] {
        let args = [&["http", "9"], args, &relay_args].concat();
        let refused = command::connector(&args, "").await;
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(
            refused.stderr.contains(words) && !refused.stderr.contains("canary"),
            "{refused:?}"
        );
    }
    let token = [("AGENT_CONNECTOR_TOKEN", NOBODYS)];
    for (args, words) in [
        (&["http", "9"][..], "--relay-ca"),
        (&[&["http", "9", "--join", &workspace.join][..], &relay_args].concat(), "join string"),
    ] {
        let refused = command::connector_with(&token, args).await;
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(
            refused.stderr.contains(words) && !refused.stderr.contains("canary"),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_link_without_any_credential_or_with_a_bad_token_is_refused_in_words() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("first", &[]).await;
    for (token, workspace_id, expected) in [
        (None, true, RefusalCode::Unauthenticated),
        (None, false, RefusalCode::Unauthenticated),
        (Some(NOBODYS), true, RefusalCode::UnknownCredential),
        (Some(NOBODYS), false, RefusalCode::UnknownCredential),
        (Some(""), false, RefusalCode::UnknownCredential),
    ] {
        let mut link = connect_bare(&workspace.join).await;
        let hello = json!({
            "kind": "hello", "version": {"major": 1, "minor": 0}, "software": "raw/0",
            "instance": "0123456789abcdef", "attempt": 1, "token": token,
            "workspace_id": workspace_id.then_some(&workspace.workspace_id),
        });
        link.send_json(&hello).await;
        let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
        assert_eq!(refusal.code, expected, "{refusal:?}");
        assert!(!refusal.message.contains("canary"), "{refusal:?}");
        assert_eq!(link.until_closed(SOON).await.0, Some(CloseCode::Refused));
    }
    let (identity, nameless) = hello_with(&workspace, None).await;
    let mut link = identity.connect().await;
    link.send(&ToRelay::Hello(Box::new(nameless))).await;
    let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
    assert_eq!(refusal.code, RefusalCode::Malformed, "a certificate beside no name: {refusal:?}");
}

#[tokio::test]
async fn a_token_brings_its_workspace_up_and_revoking_it_ends_the_connector() {
    let world = World::new().await;
    let workspace = world.relay.add_workspace("remote", &[]).await;
    let Some(token) = token_of(&world.relay, &workspace).await else { return };
    let mut connector = Connector::without_join(world.agent.port())
        .token(&token, &world.relay, &ca_of(&workspace))
        .start_online()
        .await;
    let online = connector.status().expect("a status");
    assert_eq!(online.workspace_id.as_ref(), Some(&workspace.workspace_id));
    let call = message("message/send", "m-1", "hello");
    assert_eq!(http::post_json(&workspace.endpoint(), &call).await.expect("it").status, 200);
    assert!(!connector.state_dir().exists(), "nothing of it is kept");
    connector.restart().await;

    let listed = tokens(&world.relay, &workspace, "GET", "").await;
    let id = listed["tokens"][0]["id"].as_str().expect("an id").to_owned();
    tokens(&world.relay, &workspace, "DELETE", &format!("/{id}")).await;
    until("the link is cut", AT_ONCE, async || {
        Baseline::now(&world.relay).await.is_some_and(|now| now.links == 1.0)
    })
    .await;
    assert_eq!(connector.process().exit_code(SOON).await, 4);
    assert_eq!(connector.until_state("refused").await.reason.as_deref(), Some("REVOKED"));
    let secret = token.get(31..).expect("a long token").to_owned();
    for process in [connector.process(), world.relay.process()] {
        let told = process.lines().iter().any(|line| line.contains(&secret));
        assert!(!told, "the token stands in the log");
    }
}

#[tokio::test]
async fn revoking_a_token_leaves_the_link_of_a_certificate() {
    let world = World::new().await;
    let before = world.connector.until_online().await;
    let Some(token) = token_of(&world.relay, &world.workspace).await else { return };
    let (_, mut hello) = hello_with(&world.relay.add_workspace("x", &[]).await, Some(&token)).await;
    // A later attempt of the same process would let the other link stand; this is another process.
    hello.instance = shared::ids::InstanceId(7);
    let listed = tokens(&world.relay, &world.workspace, "GET", "").await;
    let id = listed["tokens"][0]["id"].as_str().expect("an id").to_owned();
    tokens(&world.relay, &world.workspace, "DELETE", &format!("/{id}")).await;
    assert_eq!(world.call(message("message/send", "m-1", "hello")).await.status, 200);
    assert_eq!(world.connector.until_online().await.since, before.since, "the link is the same");
    let mut link = connect_bare(&world.workspace.join).await;
    link.send(&ToRelay::Hello(Box::new(hello))).await;
    let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
    assert_eq!(refusal.code, RefusalCode::Revoked, "{refusal:?}");
}

#[tokio::test]
async fn a_token_is_not_renewed_and_speaks_for_its_own_workspace_only() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("remote", &[]).await;
    let other = relay.add_workspace("other", &[]).await;
    let Some(token) = token_of(&relay, &workspace).await else { return };
    let (identity, mut hello) = hello_with(&workspace, Some(&token)).await;
    hello.workspace_id = Some(other.workspace_id.parse().expect("an id"));
    let mut link = connect_bare(&workspace.join).await;
    link.send(&ToRelay::Hello(Box::new(hello.clone()))).await;
    let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
    assert_eq!(refusal.code, RefusalCode::WrongWorkspace, "{refusal:?}");

    hello.workspace_id = None;
    let mut link = connect_bare(&workspace.join).await;
    link.send(&ToRelay::Hello(Box::new(hello))).await;
    let ToConnector::Welcome(welcome) = link.next().await else { panic!("not welcome") };
    assert_eq!(welcome.workspace_id.to_string(), workspace.workspace_id);
    let csr = identity.key.csr_der().expect("a request");
    link.send(&ToRelay::Renew { csr: data_encoding::BASE64URL_NOPAD.encode(&csr) }).await;
    let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
    assert_eq!(refusal.code, RefusalCode::Unauthenticated, "{refusal:?}");
    link.send(&ToRelay::Ping { seq: 1 }).await;
    assert_eq!(link.next().await, ToConnector::Pong { seq: 1 });
}

/// A call of the operator about a workspace's tokens.
async fn tokens(
    relay: &Relay,
    workspace: &WorkspaceHandle,
    method: &str,
    below: &str,
) -> serde_json::Value {
    let admin = format!("Bearer {}", relay.admin_token());
    let url = format!("{}/workspaces/{}/tokens{below}", relay.public_url(), workspace.workspace_id);
    let headers = [("Authorization", &admin[..])];
    let answer = http::exchange(method, &url, &headers, None).await.expect("an answer");
    assert_eq!(answer.status, 200, "{method} {url}: {answer:?}");
    answer.json()
}
