//! An agent that is not ours: the official A2A SDK behind the tunnel, and in front of it.

use serde_json::json;
use tests::{
    Connector, Relay,
    sdk::{self, SdkAgent},
};

#[tokio::test]
async fn the_official_sdk_needs_nothing_but_the_base_and_never_goes_round_the_tunnel() {
    let Some(python) = sdk::python().await else { return };
    let agent = SdkAgent::start(&python).await;
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("sdk", &[]).await;
    let _connector = Connector::builder(&workspace.join, agent.port).start_online().await;

    let seen = sdk::call(&python, &workspace.base()).await;

    let endpoint = format!("{}a2a", workspace.base());
    assert_eq!(seen["urls"], json!([endpoint, endpoint]), "the card's interfaces are public");
    assert_eq!(seen["answer"], "echo: hello");
    assert_eq!(seen["pieces"], json!(["piece 0", "piece 1", "piece 2"]));
    assert_eq!(seen["state"], "TASK_STATE_COMPLETED");
    assert_eq!(seen["canceled"], "TASK_STATE_CANCELED", "the answer to the cancelling");
    let states = json!(["TASK_STATE_WORKING", "TASK_STATE_CANCELED"]);
    assert_eq!(seen["states"], states, "the stream that was open meanwhile, and ended");
    let journal = agent.journal();
    let posts: Vec<_> = journal.iter().filter(|request| request["method"] == "POST").collect();
    assert_eq!(posts.len(), 5, "a message, a stream, its task, work, its end: {posts:?}");
    for request in posts {
        assert_eq!(request["path"], "/a2a");
        assert_eq!(request["via"], "1.1 a2a-relay", "round the tunnel: {request}");
        assert_eq!(request["a2a-version"], "1.0", "the caller's own field: {request}");
    }
}
