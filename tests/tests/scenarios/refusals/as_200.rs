//! Refusals of JSON-RPC calls with status 200, for clients that read no error of another status.

use serde_json::json;
use tests::world::message;
use tests::{World, http};

#[tokio::test]
async fn an_operator_may_wish_for_refusals_that_look_like_the_agents_own_errors() {
    let world = World::builder().workspace_args(&["--jsonrpc-errors-as-200", "on"]).start().await;
    assert_eq!(world.connector.stop().await, 0);
    let refused = world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!((refused.status, refused.relay_error()), (200, Some("RELAY_AGENT_OFFLINE")));
    assert_eq!(refused.delivery(), Some("not-sent"));
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    let body = refused.json();
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!("m-1"), &json!(-32603)));

    let task = format!("{}v1/tasks/1", world.public_url);
    let other = http::get(&task).await.expect("an answer");
    assert_eq!(other.status, 503, "another binding keeps its status: {other:?}");
    let unknown = world.endpoint().replace("/agents/a_", "/agents/a_a");
    let nobody = http::post_json(&unknown, &message("message/send", "m-2", "hello")).await;
    assert_eq!(nobody.expect("an answer").status, 404, "no workspace, no wish");

    let id = &world.workspace.workspace_id;
    let shown = world.relay.show_workspace(id).await;
    assert_eq!(shown["jsonrpc_errors_as_200"], true);
    let set = ["workspace", "set", id, "--jsonrpc-errors-as-200", "off"];
    assert_eq!(world.relay.cli(&set).await.code, 0);
    let refused = world.call(message("message/send", "m-3", "hello")).await;
    assert_eq!(refused.status, 503, "{refused:?}");
}
