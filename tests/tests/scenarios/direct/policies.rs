//! What operators let reach an agent holds at its own URL as well.

use serde_json::json;
use tests::agent::BodySeen;
use tests::{Agent, Refusal, world::message};

use super::{Homed, laboratory};

#[tokio::test]
async fn limits_and_methods_hold_where_no_connector_is() {
    let (relay, agent) = (laboratory().await, Agent::start("a2a"));
    let homed = Homed::at(&relay, &agent.origin()).await;
    let set = async |policies| {
        relay.operate(&format!("PATCH /workspaces/{}", homed.id), Some(&policies)).await
    };
    set(json!({"methods": "get"})).await;
    let forbidden = Refusal::new(403, "RELAY_FORBIDDEN");
    forbidden.assert_json_rpc(&homed.say("sent").await, "\"sent\"");
    let get = message("tasks/get", "got", "x").to_string();
    let answer = homed.post("got", &[], get.as_bytes()).await;
    assert_eq!((answer.status, answer.relay_error()), (200, None), "{answer:?}");
    assert_eq!(relay.access_line(&answer).await["method"], "get");
    let text = "x".repeat(300_000);
    let trick = format!(
        r#"{{"id":1,"method":"tasks/get","params":{{"text":"{text}"}},"method":"message/send"}}"#
    );
    forbidden.assert_json_rpc(&homed.post("trick", &[], trick.as_bytes()).await, "1");
    for seen in agent.journal().of("trick") {
        assert!(!matches!(seen.body, BodySeen::Complete(_)), "{seen:?}");
    }
    assert!(agent.journal().of("sent").is_empty());

    set(json!({"methods": "all", "rate": 0.01})).await;
    assert_eq!(homed.say("one").await.status, 200);
    let refused = homed.say("two").await;
    assert_eq!(refused.relay_error(), Some("RELAY_RATE_LIMITED"), "{refused:?}");
    set(json!({"rate": null})).await;
    assert_eq!(homed.say("three").await.status, 200);
}
