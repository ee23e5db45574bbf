//! The official SDK on both sides of gRPC, in both versions of A2A.

use serde_json::json;
use tests::sdk::grpc::{self, GrpcAgent};
use tests::{Connector, Relay};

#[tokio::test]
async fn the_official_sdk_calls_by_grpc_at_the_agents_host() {
    let Some(agent) = GrpcAgent::start().await else { return };
    let relay = Relay::builder().args(["--domain", "agents.test"]).start().await;
    let open = ["--alias", "sdk", "--callers", "open"];
    let workspace = relay.add_workspace("sdk", &open).await;
    let also = ["--also".to_owned(), format!("grpc={}", agent.grpc_port)];
    let connector = Connector::builder(&workspace.join, agent.port).args(also);
    let _connector = connector.start_online().await;

    let host = format!("sdk.agents.test:{}", relay.http().port());
    let seen = grpc::call(relay.http(), &host).await.expect("the SDK");

    assert_eq!(seen["urls"], json!([host, host]), "bare, as the agent wrote it: {seen}");
    assert_eq!(seen["answer"], "echo: hello");
    assert_eq!(seen["pieces"], json!(["piece 0", "piece 1", "piece 2"]));
    assert_eq!(seen["state"], "TASK_STATE_COMPLETED");
    assert_eq!(seen["canceled"], "TASK_STATE_CANCELED");
    assert_eq!(seen["states"], json!(["TASK_STATE_WORKING", "TASK_STATE_CANCELED"]));
    assert_eq!(seen["old_answer"], "echo: hello");
    assert_eq!(seen["no_task"], "NOT_FOUND", "the agent's own error");
    let endpoint = format!("http://{host}/a2a");
    let urls = json!([endpoint, endpoint, host, host]);
    assert_eq!(seen["extended"], urls, "the extended card in protobuf");
    for url in seen["old_card"].as_array().expect("URLs") {
        assert!(*url == host || *url == endpoint, "{url} in the card of 0.3: {seen}");
    }
}

#[tokio::test]
async fn without_a_domain_no_card_names_grpc() {
    let Some(agent) = GrpcAgent::start().await else { return };
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("sdk", &[]).await;
    let also = ["--also".to_owned(), format!("grpc={}", agent.grpc_port)];
    let connector = Connector::builder(&workspace.join, agent.port).args(also);
    let _connector = connector.start_online().await;
    let card = tests::http::get(&workspace.card()).await.expect("a card");
    assert!(!card.text().contains("GRPC"), "{}", card.text());
}
