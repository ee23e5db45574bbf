//! Push notifications for callers that nobody can dial either: what an agent receives at its public base,
//! and the URLs that callers and agents tell each other.

use serde_json::json;
use tests::{Agent, Connector, Refusal, Relay, World, http, operator::WorkspaceHandle};

const A2A_JSON: &str = "application/a2a+json";

/// A notification as A2A 1.0 posts it, and as 0.3 does.
fn notifications() -> [(&'static str, (&'static str, &'static str), String); 2] {
    let update = json!({"statusUpdate": {"taskId": "t-1", "contextId": "c-1", "status": {"state":
        "TASK_STATE_COMPLETED"}}});
    let task = json!({"kind": "task", "id": "t-1", "contextId": "c-1", "status": {"state":
        "completed"}});
    [
        (A2A_JSON, ("Authorization", "Bearer of-the-webhook"), update.to_string()),
        ("application/json", ("X-A2A-Notification-Token", "token-1"), task.to_string()),
    ]
}

/// A caller's agent, which takes notifications below `/webhooks`.
async fn receiver(relay: &Relay) -> (Agent, Connector, WorkspaceHandle) {
    let workspace = relay.add_workspace("receiver", &[]).await;
    let agent = Agent::start("a2a");
    let connector = Connector::builder(&workspace.join, agent.port());
    let connector = connector.args(["--allow", "/webhooks"]).start_online().await;
    (agent, connector, workspace)
}

#[tokio::test]
async fn a_webhook_reaches_an_agent_whose_owner_lets_it_and_no_other() {
    let world = World::new().await;
    let (agent, _connector, open) = receiver(&world.relay).await;
    for (media, secret, body) in notifications() {
        for (at, base) in [("closed", &world.public_url), ("open", &open.base())] {
            let id = format!("{at} {media}");
            let headers = [
                ("Content-Type", media),
                secret,
                ("x-test-id", id.as_str()),
                ("x-test-behaviour", "hash"),
            ];
            let url = format!("{base}webhooks/x/1?y=2");
            let answer = http::post(&url, &headers, body.as_bytes()).await.expect("an answer");
            if at == "closed" {
                Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&answer);
                world.assert_unseen(&id);
                continue;
            }
            assert_eq!((answer.status, answer.relay_error()), (200, None), "{answer:?}");
            assert_eq!(answer.json()["length"], body.len(), "{answer:?}");
            let seen = agent.journal().of(&id);
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert_eq!(seen[0].path, "/webhooks/x/1?y=2");
            assert_eq!(seen[0].header("content-type"), Some(media));
            assert_eq!(
                seen[0].header(&secret.0.to_lowercase()),
                Some(secret.1),
                "it is the agent's"
            );
        }
    }
    for path in ["webhooksx", "webhooks/../admin", "webhooks/%2e%2e/admin", "webhooks//x"] {
        let url = format!("{}{path}", open.base());
        let answer = http::post(&url, &[("x-test-id", "trick")], b"{}").await.expect("an answer");
        Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&answer);
    }
    assert!(agent.journal().of("trick").is_empty());

    // No method of A2A, it is let through as anything else where a policy says which may be used.
    let id = &open.workspace_id;
    let url = format!("{}webhooks/x", open.base());
    for (methods, status) in [("send,get", 403), ("send,other", 202)] {
        let set = world.relay.cli(&["workspace", "set", id, "--methods", methods]).await;
        assert_eq!(set.code, 0, "{set:?}");
        let headers = [("x-test-behaviour", "status:202")];
        let answer = http::post(&url, &headers, b"{}").await.expect("an answer");
        assert_eq!(answer.status, status, "{methods}: {answer:?}");
    }
}

#[tokio::test]
async fn the_url_of_a_webhook_crosses_as_it_was_written() {
    let world = World::with_agent("echo").await;
    let port = world.agent.port();
    for (number, url) in [
        format!("http://127.0.0.1:{port}/hook"),
        format!("http://localhost:{port}/a2a"),
        "http://10.0.0.7/private".to_owned(),
        "https://caller.example.com/hook?x=%20&y=\\u0031".to_owned(),
        format!("{}webhooks/x", world.public_url),
    ]
    .into_iter()
    .enumerate()
    {
        for (version, method, params) in [
            (
                "0.3",
                "tasks/pushNotificationConfig/set",
                format!(r#"{{"taskId":"t", "pushNotificationConfig":{{"url" : "{url}"}}}}"#),
            ),
            (
                "1.0",
                "CreateTaskPushNotificationConfig",
                format!(r#"{{"taskId":"t","url":"{url}","authentication":{{"scheme":"Bearer"}}}}"#),
            ),
        ] {
            let id = format!("{version} {number}");
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":"{id}","method":"{method}", "params":{params}}}"#
            );
            let answer = world.call_as(&id, &[("A2A-Version", version)], body.as_bytes()).await;
            let answer = answer.expect("an answer");
            // What the agent read, and what it told, byte by byte.
            assert_eq!((answer.status, answer.text()), (200, body), "{url}");
            world.assert_seen_once(&id);
        }
    }
}
