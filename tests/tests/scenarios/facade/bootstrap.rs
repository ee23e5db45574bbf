//! A connector without any credential: its agent's registration gives it one.

use super::ca_of;
use crate::command;
use serde_json::json;
use shared::codes::{CloseCode, RefusalCode};
use shared::control::{ToConnector, ToRelay};
use shared::ids::InstanceId;
use shared::wire::Frame;
use std::time::{Duration, Instant};
use tests::{
    Agent, Connector, RawLink, RawResponse, Relay,
    http::{self, Version::Http1},
    operator::WorkspaceHandle,
    raw_connector::{
        VERSION,
        calls::{CallEnd, call_head},
        connect_bare,
        frames::{data, encode, end},
    },
    world::message,
};

const SOON: Duration = Duration::from_secs(20);
const AWAITED: &str = "waiting for the agent's registration";

async fn newcomer(workspace: &WorkspaceHandle) -> (RawLink, ToConnector) {
    let mut link = connect_bare(&workspace.join).await;
    link.send(&ToRelay::Bootstrap { version: VERSION }).await;
    let answer = link.next().await;
    (link, answer)
}

fn call(number: u64, method: &str, path: &str, admin: &str, body: &str) -> Vec<u8> {
    let fields = [("authorization", admin), ("content-type", "application/json")];
    let head = call_head(InstanceId(1), number, method, path, &fields);
    let head = Frame::RequestHead(Box::new(head));
    match body {
        "" => encode(&[head, end(0)]),
        body => encode(&[head, data(body), end(body.len() as u64)]),
    }
}

async fn ask(platform: &str, method: &str, path: &str, token: &str, body: &str) -> RawResponse {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", &bearer[..]), ("Content-Type", "application/json")];
    let body = (!body.is_empty()).then_some(body.as_bytes());
    Http1.exchange(method, &format!("{platform}{path}"), &headers, body).await.expect("an answer")
}

#[tokio::test]
async fn a_link_without_a_credential_carries_a_registration_and_nothing_else() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("first", &[]).await;
    let admin = format!("Bearer {}", relay.admin_token());
    let (mut link, ready) = newcomer(&workspace).await;
    let ToConnector::Ready { calls, lifetime_ms, .. } = ready else { panic!("{ready:?}") };
    assert_eq!((calls, lifetime_ms), (16, 60_000));
    link.send(&ToRelay::Ping { seq: 1 }).await;
    assert_eq!(link.next().await, ToConnector::Pong { seq: 1 });

    let made = json!({"name": "made"}).to_string();
    let made = link.call(&call(0, "POST", "/workspaces", &admin, &made)).await;
    assert_eq!(made.status(), 201, "{made:?}");
    let nobody = link.call(&call(1, "POST", "/workspaces", "Bearer x", "{}")).await;
    assert_eq!(nobody.status(), 401, "{nobody:?}");
    let one = format!("/workspaces/{}", workspace.workspace_id);
    for (number, (method, path)) in [
        ("GET", "/workspaces"),
        ("DELETE", &one),
        ("GET", &one),
        ("POST", "/workspaces/"),
        ("POST", "/workspaces%2f"),
        ("POST", "/registry/heartbeat"),
        ("POST", "/a2a"),
        ("GET", "/healthz"),
    ]
    .into_iter()
    .enumerate()
    {
        let number = number as u64 + 2;
        let refused = link.call(&call(number, method, path, &admin, "")).await;
        assert_eq!(refused.status(), 403, "{method} {path}: {refused:?}");
    }
    for number in 10..calls {
        let refused = link.call(&call(number, "GET", "/workspaces", &admin, "")).await;
        assert_eq!(refused.status(), 403, "{refused:?}");
    }
    let mut more = link.open().await;
    more.send(&call(16, "POST", "/workspaces", &admin, "{}")).await;
    assert_eq!(link.until_closed(SOON).await.0, Some(CloseCode::Done));
    assert_eq!(
        http::get(&format!("{}/healthz", relay.public_url())).await.expect("it").status,
        200
    );
}

#[tokio::test]
async fn links_without_a_credential_are_few() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("first", &[]).await;
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..40 {
        match newcomer(&workspace).await {
            (link, ToConnector::Ready { .. }) => open.push(link),
            (_, ToConnector::Refusal(refusal)) => {
                assert_eq!(refusal.code, RefusalCode::Overloaded, "{refusal:?}");
                assert!(refusal.retry_after_ms.is_some(), "{refusal:?}");
                refused += 1;
            }
            (_, other) => panic!("{other:?}"),
        }
    }
    assert!((16..36).contains(&open.len()) && refused > 3, "{} of 40 were let in", open.len());
    let ended = open[0].call(&encode(&[data("x")])).await;
    assert!(matches!(ended, CallEnd::Abort(_)), "{ended:?}");
}

#[tokio::test]
async fn a_connector_without_a_credential_waits_and_says_for_what() {
    let relay = Relay::start().await;
    let ca = ca_of(&relay.add_workspace("first", &[]).await);
    let agent = Agent::start("a2a");
    let connector = Connector::without_join(agent.port()).platform_of(&relay, &ca).start();
    let waiting = connector.until_state("waiting").await;
    assert_eq!(waiting.reason.as_deref(), Some(AWAITED));
    let platform = connector.platform().await;
    let admin = relay.admin_token();
    let early = ask(&platform, "GET", "/workspaces", &admin, "").await;
    let seen = (early.status, early.relay_error());
    assert_eq!(seen, (503, Some("RELAY_AGENT_OFFLINE")), "{early:?}");
    assert!(early.text().contains("registration"), "{early:?}");

    let made = json!({"name": "remote", "runtime": "external", "external": true}).to_string();
    let made = ask(&platform, "POST", "/workspaces", &admin, &made).await;
    assert_eq!(made.status, 201, "{made:?}");
    let wrong = ask(&platform, "POST", "/workspaces", "no-token", "{}").await;
    assert_eq!(wrong.status, 401, "{wrong:?}");
    // More than one link carries.
    let begun = Instant::now();
    for _ in 0..40 {
        let wrong = ask(&platform, "POST", "/workspaces", "no-token", "{}").await;
        assert_eq!(wrong.status, 401, "{wrong:?}");
    }
    assert!(begun.elapsed() < SOON);
    assert_eq!(connector.status().expect("a status").reason.as_deref(), Some(AWAITED));
    assert_eq!(connector.stop().await, 0);

    let without = ["http", "9", "--platform-listen", "127.0.0.1:0", "--state-dir"];
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().display().to_string();
    let refused = command::connector(&[&without[..], &[&state]].concat(), "").await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("--relay-ca"), "{refused:?}");
}

#[tokio::test]
async fn the_agents_registration_gives_the_connector_its_workspace() {
    let relay = Relay::start().await;
    let ca = ca_of(&relay.add_workspace("first", &[]).await);
    let agent = Agent::start("a2a");
    let mut connector = Connector::without_join(agent.port()).platform_of(&relay, &ca).start();
    let (platform, admin) = (connector.platform().await, relay.admin_token());
    let made = json!({"name": "remote", "runtime": "external", "external": true}).to_string();
    let made = ask(&platform, "POST", "/workspaces", &admin, &made).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().or(made.json()["workspace_id"].as_str()).map(str::to_owned);
    let id = id.expect("an id");
    let card = json!({"name": "remote", "runtime": "external"});
    let body = json!({"id": id, "url": "https://agent.example/a2a", "agent_card": card});
    let body = body.to_string();
    let registered = ask(&platform, "POST", "/registry/register", &admin, &body).await;
    if registered.status == 404 {
        eprintln!("SKIPPED: this relay has no registration yet");
        return;
    }
    assert_eq!(registered.status, 200, "{registered:?}");
    let token = registered.json()["auth_token"].as_str().expect("a token").to_owned();
    // The agent goes on at once.
    let path = format!("/workspaces/{id}/secrets");
    let secrets = ask(&platform, "GET", &path, &token, "").await;
    assert_eq!(secrets.status, 200, "{secrets:?}");
    let online = connector.until_online().await;
    assert_eq!(online.workspace_id.as_ref(), Some(&id));
    let endpoint = format!("{}a2a", online.public_url.expect("a URL"));
    let answer = http::post_json(&endpoint, &message("message/send", "m-1", "hello")).await;
    assert_eq!(answer.expect("it").status, 200);

    connector.restart().await;
    assert_eq!(connector.status().expect("a status").workspace_id.as_ref(), Some(&id));

    // A relay that does not know the token may be the wrong one, so it is kept, and said where.
    assert_eq!(connector.stop().await, 0);
    let kept = connector.state_dir().join(&id).join("token");
    let unknown = "rtok_01ARZ3NDEKTSV4RRFFQ69G5FAVcanary";
    std::fs::write(&kept, unknown).expect("a token that nobody gave");
    connector.start_again();
    assert_eq!(connector.process().exit_code(SOON).await, 4);
    let refused = connector.until_state("refused").await;
    assert_eq!(refused.reason.as_deref(), Some("UNKNOWN_CREDENTIAL"));
    assert_eq!(std::fs::read(&kept).expect("it is there"), unknown.as_bytes());
    let advice = format!("kept in {}: ", kept.display());
    let lines = connector.process().lines();
    assert!(lines.iter().any(|line| line.contains(&advice)), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("canary")), "{lines:?}");
}
