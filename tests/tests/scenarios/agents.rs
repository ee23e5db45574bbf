//! Agents that talk to each other through the relay, each with nothing but its tunnel.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    Agent, Connector, Refusal, Relay, http, operator::WorkspaceHandle, until, world::message,
};

/// An agent behind its connector, with a workspace token of its own.
struct Resident {
    agent: Agent,
    _connector: Connector,
    id: String,
    token: String,
}

impl Resident {
    async fn of(relay: &Relay, workspace: WorkspaceHandle) -> Resident {
        let agent = Agent::start("a2a");
        let connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
        let id = workspace.workspace_id;
        let made = relay.operate(&format!("POST /workspaces/{id}/tokens"), None).await;
        let token = made["auth_token"].as_str().expect("a token").to_owned();
        Resident { agent, _connector: connector, id, token }
    }

    async fn in_relay(relay: &Relay, name: &str) -> Resident {
        Resident::of(relay, relay.add_workspace(name, &[]).await).await
    }

    /// Sends a message to another agent; `to` is a path of the relay.
    async fn send(&self, relay: &Relay, to: &str, id: &str) -> tests::RawResponse {
        let bearer = format!("Bearer {}", self.token);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("x-test-id", id),
        ];
        let body = message("message/send", id, "hello").to_string();
        let url = format!("http://{}{to}", relay.http());
        http::post(&url, &headers, body.as_bytes()).await.expect("an answer")
    }
}

#[tokio::test]
async fn two_agents_behind_two_connectors_hold_a_conversation() {
    let relay = Relay::start().await;
    let alice = Resident::in_relay(&relay, "alice").await;
    let bob = Resident::in_relay(&relay, "bob").await;
    for turn in 0..5 {
        for (from, to) in [(&alice, &bob), (&bob, &alice)] {
            let id = format!("{}-{turn}", from.id);
            let answer = from.send(&relay, &format!("/workspaces/{}/a2a", to.id), &id).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let seen = to.agent.journal().of(&id);
            assert_eq!(seen.len(), 1, "delivered once");
            assert_eq!(seen[0].header("x-relay-caller"), Some(from.id.as_str()));
            assert_eq!(seen[0].header("authorization"), None, "the token stays with the relay");
        }
    }
    // The same by the URL that `discover` names, and by the root path with the target in a field.
    let discover = format!("GET /registry/discover/{}", bob.id);
    let discovered = relay.api(&alice.token, &discover, None).await;
    let url = discovered.json()["url"].as_str().expect("a URL").to_owned();
    let path = url.strip_prefix(relay.public_url()).expect("the relay's own");
    assert_eq!(alice.send(&relay, path, "by-url").await.status, 200);
    assert_eq!(bob.agent.journal().of("by-url").len(), 1);
}

#[tokio::test]
async fn an_agent_reaches_its_relatives_and_no_others() {
    let relay = Relay::start().await;
    let team = Resident::in_relay(&relay, "team").await;
    let alone = Resident::in_relay(&relay, "alone").await;
    let made = json!({"name": "member", "parent_id": team.id});
    let made = relay.operate("POST /workspaces", Some(&made)).await;
    let handle = serde_json::from_value(made).expect("a workspace");
    let member = Resident::of(&relay, handle).await;
    for (from, to, status) in [
        (&team, &member, 200),
        (&member, &team, 200),
        (&team, &alone, 200),
        (&member, &alone, 403),
        (&alone, &member, 403),
    ] {
        let id = format!("{}-{}", from.id, to.id);
        let answer = from.send(&relay, &format!("/workspaces/{}/a2a", to.id), &id).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let delivered = usize::from(status == 200);
        assert_eq!(to.agent.journal().of(&id).len(), delivered);
    }
    // No name of the other gets round the rule, its secret address included.
    let row = relay.operate(&format!("GET /workspaces/{}", alone.id), None).await;
    let address = row["public_url"].as_str().expect("a URL");
    let path = address.strip_prefix(relay.public_url()).expect("the relay's own");
    let answer = member.send(&relay, path, "round").await;
    Refusal::new(403, "RELAY_FORBIDDEN").assert_marks(&answer);
    let unknown = "/workspaces/ws_01ARZ3NDEKTSV4RRFFQ69G5FAV/a2a";
    let answer = member.send(&relay, unknown, "unknown").await;
    Refusal::new(403, "RELAY_FORBIDDEN").assert_marks(&answer);
}

#[tokio::test]
async fn the_sender_is_told_by_its_credential_and_never_by_a_field() {
    let relay = Relay::start().await;
    let alice = Resident::in_relay(&relay, "alice").await;
    let bob = Resident::in_relay(&relay, "bob").await;
    let bearer = format!("Bearer {}", alice.token);
    let body = message("message/send", "m", "hello").to_string();
    let url = format!("http://{}/a2a", relay.http());
    // Without a target in the path, the field names the target.
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
        ("X-Workspace-ID", bob.id.as_str()),
        ("X-Relay-Caller", "operator"),
        ("x-test-id", "m"),
    ];
    let answer = http::post(&url, &headers, body.as_bytes()).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = bob.agent.journal().of("m");
    assert_eq!(seen[0].header("x-relay-caller"), Some(alice.id.as_str()));
    assert_eq!(seen[0].header("x-workspace-id"), None);

    let no_target = &headers[..2];
    let answer = http::post(&url, no_target, body.as_bytes()).await.expect("an answer");
    Refusal::new(400, "RELAY_BAD_REQUEST").assert_marks(&answer);
    let echoed: Value = answer.json();
    assert_eq!(echoed["id"], "m", "a refusal has the caller's id");
    let answer = http::post(&url, &headers[1..], body.as_bytes()).await.expect("an answer");
    Refusal::new(401, "RELAY_UNAUTHENTICATED").assert_marks(&answer);
}

#[tokio::test]
async fn an_agent_gives_another_one_a_task_and_goes_on() {
    let relay = Relay::start().await;
    let alice = Resident::in_relay(&relay, "alice").await;
    let bob = Resident::in_relay(&relay, "bob").await;
    let path = format!("POST /workspaces/{}/delegate", alice.id);
    let task = json!({"target_id": bob.id, "task": "count", "idempotency_key": "once"});
    let told = relay.api(&alice.token, &path, Some(&task)).await;
    assert_eq!((told.status, &told.json()["status"]), (202, &json!("delegated")), "{told:?}");
    let again = relay.api(&alice.token, &path, Some(&task)).await;
    assert_eq!(again.json()["delegation_id"], told.json()["delegation_id"]);
    let other = json!({"target_id": bob.id, "task": "count again"});
    assert_eq!(relay.api(&alice.token, &path, Some(&other)).await.status, 202);

    let sent = || {
        let sent = bob.agent.journal().deliveries().into_iter();
        sent.filter(|delivery| delivery.method == "POST").collect::<Vec<_>>()
    };
    let both = async || (sent().len() == 2).then_some(());
    until("both tasks are there", Duration::from_secs(10), both).await;
    for delivery in sent() {
        assert_eq!(delivery.header("x-relay-caller"), Some(alice.id.as_str()));
    }
    for (body, status) in [
        (json!({"task": "count"}), 400),
        (json!({"target_id": bob.id}), 400),
        (json!({"target_id": "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV", "task": "count"}), 403),
    ] {
        assert_eq!(relay.api(&alice.token, &path, Some(&body)).await.status, status, "{body}");
    }
    let away = relay.add_workspace("away", &[]).await.workspace_id;
    let nobody = json!({"target_id": away, "task": "count"});
    let answer = relay.api(&alice.token, &path, Some(&nobody)).await;
    assert_eq!(answer.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{answer:?}");
}
