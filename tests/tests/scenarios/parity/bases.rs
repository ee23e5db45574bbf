//! Clients are given an agent's base in other forms than the one that is printed.

use super::Stage;
use tests::sdk::{Sdk, SdkCaller};

#[tokio::test]
async fn a_base_works_without_its_slash_and_with_the_endpoints_name() {
    let (current, older) = tokio::join!(Stage::new(Sdk::Python), Stage::new(Sdk::Python03));
    let (Some(current), Some(older)) = (current, older) else { return };
    tokio::join!(
        given(&current, Sdk::Python),
        given(&current, Sdk::Js),
        given(&older, Sdk::Python03),
        given(&older, Sdk::Js03),
    );
}

async fn given(stage: &Stage, sdk: Sdk) {
    let base = &stage.bases.public;
    let caller = SdkCaller { tour: "first", ..SdkCaller::new(sdk, "JSONRPC") };
    for end in ["/", "/a2a", "/a2a/"] {
        let seen = caller.call(&format!("{base}{end}")).await.expect("the SDK is installed");
        assert!(seen["send"].to_string().contains("echo: hello"), "{sdk:?} {end}: {seen}");
        assert!(seen["stream"].to_string().contains("piece 2"), "{sdk:?} {end}: {seen}");
    }
    let bare = caller.try_call(base).await.expect("the SDK is installed");
    if matches!(sdk, Sdk::Python | Sdk::Python03) {
        let seen = bare.unwrap_or_else(|complaints| panic!("{sdk:?}: {complaints}"));
        assert!(seen["send"].to_string().contains("echo: hello"), "{sdk:?}: {seen}");
        return;
    }
    // In JavaScript the card stands beside the last segment of such a base (RFC 3986, 5.2.3), of any
    // agent below a path; an origin has none. The answer says what is missing.
    let complaints = bare.expect_err("beside the base there is no card");
    assert!(complaints.contains("404"), "{sdk:?}: {complaints}");
    let asked = stage.at_relay.since(0);
    let beside = asked.iter().find(|call| call.path == "/agents/.well-known/agent-card.json");
    let beside = beside.expect("it asked beside the base");
    let told = String::from_utf8_lossy(&beside.answer.body);
    assert!(told.contains("slash"), "{sdk:?}: {told}");
    // The agent itself is at an origin, which needs none.
    assert!(caller.call(&stage.bases.local).await.is_some());
}
