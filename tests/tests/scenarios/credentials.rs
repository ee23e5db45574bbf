//! Credentials of callers: keys of the organisation, caller tokens, and what becomes of secrets.

use serde_json::json;
use tests::{Refusal, Relay, World, http, world::message};

/// Calls the agent by a name, with a credential.
async fn call(world: &World, name: &str, token: Option<&str>) -> tests::RawResponse {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("Content-Type", "application/json"), ("x-test-id", "c")];
    headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    let url = format!("http://{}/agents/{name}/", world.relay.http());
    let body = message("message/send", "c", "hello").to_string();
    http::post(&url, &headers, body.as_bytes()).await.expect("an answer")
}

#[tokio::test]
async fn a_caller_token_opens_its_workspace_until_it_is_revoked() {
    let world = World::builder()
        .workspace_args(&["--alias", "guarded", "--callers", "token"])
        .start()
        .await;
    let relay = &world.relay;
    Refusal::new(401, "RELAY_UNAUTHENTICATED").assert_marks(&call(&world, "guarded", None).await);
    let made = relay.cli(&["caller", "add", "guarded", "a partner", "--json"]).await.json();
    let token = made["caller_token"].as_str().expect("a token").to_owned();
    let answer = call(&world, "guarded", Some(&token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = made["id"].as_str().expect("an id");
    let caller = format!("rcall_{id}");
    let deliveries = world.agent.of("c");
    assert_eq!(deliveries[0].header("x-relay-caller"), Some(caller.as_str()));
    assert_eq!(deliveries[0].header("authorization"), None);

    // The address alone opens nothing under this policy, and another workspace's token neither.
    let other = relay.add_workspace("other", &[]).await;
    let path = format!("POST /workspaces/{}/callers", other.workspace_id);
    let foreign = relay.operate(&path, Some(&json!({"name": "x"}))).await;
    let foreign = foreign["caller_token"].as_str().expect("a token");
    let answer = call(&world, "guarded", Some(foreign)).await;
    Refusal::new(403, "RELAY_FORBIDDEN").assert_marks(&answer);
    let answer = http::post(&world.endpoint(), &[], b"{}").await.expect("an answer");
    Refusal::new(401, "RELAY_UNAUTHENTICATED").assert_marks(&answer);

    let list = relay.cli(&["caller", "list", "guarded"]).await;
    assert!(list.stdout.contains(id) && !list.stdout.contains(&token), "{list:?}");
    assert_eq!(relay.cli(&["caller", "revoke", "guarded", id]).await.code, 0);
    let answer = call(&world, "guarded", Some(&token)).await;
    Refusal::new(401, "RELAY_UNAUTHENTICATED").assert_marks(&answer);
}

#[tokio::test]
async fn an_orchestrator_calls_every_agent_with_a_key_of_the_organisation() {
    let world = World::new().await;
    let id = &world.workspace.workspace_id;
    for (scope, status) in [("call", 200), ("admin", 200), ("read", 403)] {
        let made = world.relay.cli(&["key", "add", scope, "--scope", scope, "--json"]).await.json();
        let key = made["key"].as_str().expect("a key").to_owned();
        assert_eq!(call(&world, id, Some(&key)).await.status, status, "{scope}");
        let sent = message("message/send", "k", "hello");
        let path = format!("POST /workspaces/{id}/a2a");
        assert_eq!(world.relay.api(&key, &path, Some(&sent)).await.status, status, "{scope}");
        let lists = world.relay.api(&key, "GET /workspaces", None).await.status;
        assert_eq!(lists == 200, scope != "call", "{scope}");
        let id_of_key = made["id"].as_str().expect("an id");
        assert_eq!(world.relay.cli(&["key", "revoke", id_of_key]).await.code, 0);
        assert_eq!(call(&world, id, Some(&key)).await.status, 401, "{scope}");
    }
}

#[tokio::test]
async fn a_secret_is_nowhere_but_in_its_agents_hands() {
    let canary = "sk-canary-7f3e9a1b5c";
    let world = World::new().await;
    let (relay, id) = (&world.relay, &world.workspace.workspace_id);
    let set = ["secret", "set", "first", "OPENAI_API_KEY"];
    let set = relay.cli_with_stdin(&set, &format!("{canary}\n")).await;
    assert_eq!(set.code, 0, "{set:?}");
    let token = relay.operate(&format!("POST /workspaces/{id}/tokens"), None).await;
    let token = token["auth_token"].as_str().expect("a token").to_owned();
    let secrets = format!("GET /workspaces/{id}/secrets");
    let pulled = relay.api(&token, &secrets, None).await.json();
    assert_eq!(pulled, json!({"secrets": {"OPENAI_API_KEY": canary}}));

    let names = relay.cli(&["secret", "list", "first"]).await;
    assert!(names.stdout.contains("OPENAI_API_KEY"), "{names:?}");
    let mut places = vec![
        ("the list", names.stdout),
        ("the metrics", relay.metrics().await),
        ("the log", relay.process().lines().join("\n")),
        ("the trail", relay.operate("GET /events", None).await.to_string()),
    ];
    for file in std::fs::read_dir(relay.data_dir()).expect("the data directory") {
        let path = file.expect("a file").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            places.push(("the data directory", String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    for (place, text) in places {
        assert!(!text.contains(canary), "the secret stands in {place}");
        assert!(!text.contains(&token), "the token stands in {place}");
    }
    assert_eq!(relay.cli(&["secret", "remove", "first", "OPENAI_API_KEY"]).await.code, 0);
    let left = relay.api(&token, &secrets, None).await.json();
    assert_eq!(left, json!({"secrets": {}}));
}

#[tokio::test]
async fn the_operator_sees_which_calls_of_an_agent_were_refused() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("away", &[]).await;
    let answer = http::post(&workspace.endpoint(), &[], b"{}").await.expect("an answer");
    assert_eq!(answer.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{answer:?}");
    let path = format!("GET /workspaces/{}/refusals", workspace.workspace_id);
    let told = relay.operate(&path, None).await;
    let last = &told["refusals"][0];
    assert_eq!((&last["status"], &last["code"]), (&json!(503), &json!("RELAY_AGENT_OFFLINE")));
    assert_eq!(last["delivery"], "not-sent");
    assert_eq!(last["request_id"].as_str(), answer.header("x-request-id"));
}
