//! A relay and a connector one minor version apart work together; a major one apart, they say so.

use serde_json::json;
use shared::codes::{CloseCode, RefusalCode};
use shared::control::{ToConnector, ToRelay};
use shared::limits::{ALPN_REFUSAL, VERSION_MAJOR};
use std::time::Duration;
use tests::{RawIdentity, Relay, http::post_json, world::message};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_connector_one_minor_version_newer_is_served() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("newer", &[]).await;
    let identity = RawIdentity::join(&workspace.join).await;
    let mut link = identity.connect().await;
    let mut hello = identity.hello();
    hello.version.minor += 1;
    let mut hello = serde_json::to_value(ToRelay::Hello(Box::new(hello))).expect("JSON");
    hello["mood"] = json!({"sunny": true});
    hello["status"]["battery_percent"] = json!(80);
    hello["exposure"] = json!({
        "endpoint": "/a2a", "rules": [{"kind": "moonlit", "path": "/m"}], "phase": "full",
    });
    link.send_json(&hello).await;
    assert!(matches!(link.next().await, ToConnector::Welcome(_)));

    link.send_json(&json!({"kind": "solar-flare", "strength": 9})).await;
    let ToConnector::Unsupported { what } = link.next().await else { panic!("no UNSUPPORTED") };
    assert_eq!(what, "solar-flare");
    link.send_json(&json!({"kind": "ping", "seq": 7, "colour": "blue"})).await;
    assert_eq!(link.next().await, ToConnector::Pong { seq: 7 });

    let call = message("message/send", "m-1", "hello");
    let endpoint = workspace.endpoint();
    let (answer, ()) = tokio::join!(post_json(&endpoint, &call), async {
        link.accept().await.answer("{}").await;
    });
    assert_eq!(answer.expect("an answer").status, 200);
    assert!(link.is_open());
}

#[tokio::test]
async fn another_major_version_is_refused_with_both_numbers() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("next", &[]).await;
    let identity = RawIdentity::join(&workspace.join).await;
    let mut hello = identity.hello();
    hello.version.major = VERSION_MAJOR + 1;
    // Under our protocol's name, and under the one that is for ends which share no version.
    for protocols in
        [&[shared::limits::ALPN][..], &[ALPN_REFUSAL], &[b"a2a-tunnel/2", ALPN_REFUSAL]]
    {
        let mut link = identity.dial(protocols).await.expect("a connection");
        link.send(&ToRelay::Hello(Box::new(hello.clone()))).await;
        let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
        assert_eq!(refusal.code, RefusalCode::Version, "{refusal:?}");
        assert_eq!(refusal.version.major, VERSION_MAJOR);
        for major in [VERSION_MAJOR, VERSION_MAJOR + 1] {
            assert!(refusal.message.contains(&format!(" {major}")), "{refusal:?}");
        }
        assert_eq!(link.until_closed(SOON).await.0, Some(CloseCode::Version));
    }
}

#[tokio::test]
async fn other_protocols_are_refused_by_tls() {
    let relay = Relay::start().await;
    let workspace = relay.add_workspace("web", &[]).await;
    let identity = RawIdentity::join(&workspace.join).await;
    for protocols in [&[&b"h3"[..]][..], &[b"a2a-tunnel/2"], &[]] {
        let refused = identity.dial(protocols).await.map(|_| ()).expect_err("no connection");
        assert!(refused.to_string().contains("120"), "{protocols:?}: {refused}");
    }
    identity.online().await;
}
