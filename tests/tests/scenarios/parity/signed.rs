//! Signed cards, verified by the SDK: a signature is over the public URL, or is not there.

use std::time::Duration;
use tests::http::{get, post_json};
use tests::sdk::{Sdk, SdkAgent, SdkCaller, agent_script};
use tests::world::message;
use tests::{Connector, Relay, until};

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
    let card = verified(&workspace.base()).await;
    assert_eq!(card["supportedInterfaces"][0]["url"], workspace.endpoint(), "{card}");
    assert_eq!(card["signatures"].as_array().map(Vec::len), Some(1), "{card}");
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
    let card = verified(&own).await;
    assert!(card["signatures"].is_array(), "without the relay it verifies: {card}");
    let served = get(&workspace.card()).await.expect("a card");
    assert_eq!(served.header("x-relay-card"), Some("rewritten"));
    assert!(!served.text().contains("localhost"), "{served:?}");
    let refused = verified(&workspace.base()).await;
    assert!(refused.as_str().is_some_and(|why| why.starts_with("NoSignature")), "{refused}");
}

/// The card as the SDK's verifier took it, or why it did not.
async fn verified(base: &str) -> serde_json::Value {
    let key = Some(KEY.to_owned());
    let caller = SdkCaller { tour: "card", key, ..SdkCaller::new(Sdk::Python, "JSONRPC") };
    caller.call(base).await.expect("the SDK is installed")["card"].clone()
}
