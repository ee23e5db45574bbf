//! Signed cards, verified by the SDK: a signature is over the public URL, or is not there.

use std::time::Duration;
use tests::http::{get, post_json};
use tests::sdk::{Sdk, SdkAgent, SdkCaller, agent_script};
use tests::world::message;
use tests::{Connector, Front, Relay, until};

/// As long as HMAC with SHA-256 wants it.
const KEY: &str = "a key for this story alone, and for nothing that lasts";
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_agent_that_knows_its_public_url_signs_a_card_that_verifies_through_the_relay() {
    let Some(python) = Sdk::Python.interpreter().await else { return };
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("signed", &[]).await;
    let (python, script) = (python.display().to_string(), agent_script(Sdk::Python));
    let _connector = Connector::builder(&workspace.join, 0)
        .env("SIGNING_KEY", KEY)
        .exec_program(&[&python, &script.display().to_string()])
        .start();
    until("the agent answers", SOON, async || {
        let answer =
            post_json(&workspace.endpoint(), &message("message/send", "m-1", "hello")).await;
        (answer.ok()?.status == 200).then_some(())
    })
    .await;
    let served = get(&workspace.card()).await.expect("a card");
    assert_eq!(served.header("x-relay-card"), None, "nothing was left to edit: {served:?}");
    for sdk in [Sdk::Python, Sdk::Js] {
        let card = verified(sdk, &workspace.base()).await;
        let (url, endpoint) = (&card["supportedInterfaces"][0]["url"], workspace.endpoint());
        let url = url.as_str().expect("a URL");
        assert!(endpoint.starts_with(url.split(' ').next().unwrap_or_default()), "{sdk:?}: {card}");
        assert_eq!(card["signatures"].as_array().map(Vec::len), Some(1), "{sdk:?}: {card}");
    }
}

#[tokio::test]
async fn a_card_that_was_signed_over_a_private_url_leaves_without_the_signature() {
    let Some(agent) =
        SdkAgent::start_with(Sdk::Python, "http://localhost:9", &[("SIGNING_KEY", KEY)]).await
    else {
        return;
    };
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("signed", &[]).await;
    let _connector = Connector::builder(&workspace.join, agent.address.port()).start_online().await;
    let own = format!("http://{}", agent.address);
    let served = get(&workspace.card()).await.expect("a card");
    assert_eq!(served.header("x-relay-card"), Some("rewritten"));
    assert!(!served.text().contains("localhost"), "{served:?}");
    for (sdk, without) in [(Sdk::Python, "NoSignature"), (Sdk::Js, "signatures")] {
        let card = verified(sdk, &own).await;
        assert!(card["signatures"].is_array(), "without the relay it verifies: {sdk:?}: {card}");
        let refused = verified(sdk, &workspace.base()).await;
        assert!(refused.as_str().is_some_and(|why| why.contains(without)), "{sdk:?}: {refused}");
    }
}

/// An agent with gRPC at a host, whose signed cards name this origin and this place, or else its own;
/// what the SDK's verifier makes of the public card, and of the extended one by gRPC.
async fn by_grpc(relay: &Relay, named: Option<(&str, &str)>) -> Option<serde_json::Value> {
    let (http, grpc) = (Front::start(), Front::start());
    let own = (http.origin(), format!("127.0.0.1:{}", grpc.port()));
    let (origin, grpc_url) = named.unwrap_or((&own.0, &own.1));
    let env = [("SIGNING_KEY", KEY), ("GRPC_URL", grpc_url)];
    let agent = SdkAgent::start_with(Sdk::Python, origin, &env).await?;
    http.lead_to(agent.address);
    grpc.lead_to(agent.grpc);
    let open = ["--alias", "sdk", "--callers", "open"];
    let workspace = relay.add_workspace("signed", &open).await;
    let also = ["--also".to_owned(), format!("grpc={}", grpc.port())];
    let connector = Connector::builder(&workspace.join, http.port()).args(also);
    let _connector = connector.start_online().await;
    let key = Some(KEY.to_owned());
    let caller = SdkCaller { tour: "card", key, ..SdkCaller::new(Sdk::Python, "GRPC") };
    caller.call(&format!("http://sdk.agents.test:{}", relay.http().port())).await
}

#[tokio::test]
async fn a_card_that_was_signed_over_the_agents_host_verifies_by_grpc_too() {
    let relay = Relay::builder().args(["--domain", "agents.test"]).start().await;
    let host = format!("sdk.agents.test:{}", relay.http().port());
    let Some(seen) = by_grpc(&relay, Some((&format!("http://{host}"), &host))).await else {
        return;
    };
    for card in ["card", "extended"].map(|name| &seen[name]) {
        assert_eq!(card["supportedInterfaces"][2]["url"], host, "{seen}");
        assert_eq!(card["signatures"].as_array().map(Vec::len), Some(1), "{seen}");
    }
}

#[tokio::test]
async fn a_card_that_was_signed_over_private_places_leaves_by_grpc_without_the_signature() {
    let relay = Relay::builder().args(["--domain", "agents.test"]).start().await;
    let Some(seen) = by_grpc(&relay, None).await else { return };
    for (card, why) in ["card", "extended"].map(|name| (name, &seen[name])) {
        assert!(why.as_str().is_some_and(|why| why.contains("NoSignature")), "{card}: {seen}");
    }
}

/// The card as the SDK's verifier took it, or why it did not.
async fn verified(sdk: Sdk, base: &str) -> serde_json::Value {
    let key = Some(KEY.to_owned());
    let caller = SdkCaller { tour: "card", key, ..SdkCaller::new(sdk, "JSONRPC") };
    caller.call(base).await.expect("the SDK is installed")["card"].clone()
}
