//! Taking an identity away: the live link is cut, and only a new join string lets it back in.

mod callers;
mod links;

use crate::command;
use crate::facade::ca_of;
use shared::codes::{CloseCode, RefusalCode};
use shared::control::{ToConnector, ToRelay};
use std::time::Duration;
use tests::{Call, RawIdentity, World, baseline::Baseline, until, world::message};

const SOON: Duration = Duration::from_secs(20);
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn revoking_cuts_the_live_link_and_its_streams_within_a_second() {
    let world = World::new().await;
    let mut stream =
        world.open_stream("s-1", &[("x-test-interval-ms", "50"), ("x-test-events", "1000")]).await;
    stream.head().await.expect("a head");
    stream.next_event().await.expect("an event");
    let revoked = world.relay.cli(&["workspace", "revoke", "first"]).await;
    assert_eq!(revoked.code, 0, "{revoked:?}");
    until("the link is cut", AT_ONCE, async || {
        Baseline::now(&world.relay).await.is_some_and(|now| now.links == 0.0)
    })
    .await;
    let end = tokio::time::timeout(AT_ONCE, async {
        loop {
            if let Err(end) = stream.next_event().await {
                return end;
            }
        }
    });
    let end = end.await.expect("the stream is cut at once");
    assert_ne!(end, tests::Ending::Complete, "a cut stream does not look whole");
    assert_eq!(world.connector.process().exit_code(SOON).await, 4);
    assert_eq!(world.connector.until_state("refused").await.reason.as_deref(), Some("REVOKED"));
    let refused = world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!(refused.relay_error(), Some("RELAY_AGENT_OFFLINE"), "{refused:?}");
}

#[tokio::test]
async fn a_revoked_connector_comes_back_with_a_new_join_string_only() {
    let mut world = World::new().await;
    let revoked = world.relay.cli(&["workspace", "revoke", "first"]).await;
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert_eq!(world.connector.process().exit_code(SOON).await, 4);
    // With the used string in its environment.
    world.connector.start_again();
    assert_eq!(world.connector.process().exit_code(SOON).await, 4);
    assert_eq!(world.connector.until_state("refused").await.reason.as_deref(), Some("REVOKED"));
    let again = world.relay.cli(&["workspace", "join", "first", "--json"]).await.json();
    let join = again["join"].as_str().expect("a join string");
    assert_eq!(again["public_url"], world.workspace.public_url, "the URL stays");
    world.connector.start_again_with_join(join);
    world.connector.until_online().await;
    assert_eq!(world.call(message("message/send", "m-2", "hello")).await.status, 200);
    world.until_quiet().await;
}

#[tokio::test]
async fn joining_again_replaces_a_revoked_identity_and_leaves_a_good_one() {
    let mut world = World::new().await;
    let state = world.connector.state_dir().display().to_string();
    let join = async |string: &str| {
        let joined = command::connector(&["join", "-", "--state-dir", &state], string).await;
        assert_eq!(joined.code, 0, "{joined:?}");
    };
    assert_eq!(world.connector.stop().await, 0);
    join(&world.workspace.join).await;
    world.connector.start_again();
    world.connector.until_online().await;
    join(&world.workspace.join).await;
    assert_eq!(world.call(message("message/send", "m-1", "hello")).await.status, 200);

    assert_eq!(world.relay.cli(&["workspace", "revoke", "first"]).await.code, 0);
    assert_eq!(world.connector.process().exit_code(SOON).await, 4);
    let again = world.relay.cli(&["workspace", "join", "first", "--json"]).await.json();
    join(again["join"].as_str().expect("a join string")).await;
    world.connector.start_again();
    world.connector.until_online().await;
    assert_eq!(world.call(message("message/send", "m-2", "hello")).await.status, 200);
}

#[tokio::test]
async fn removing_a_workspace_cuts_its_link_for_good() {
    let mut world = World::new().await;
    let removed = world.relay.cli(&["workspace", "remove", "first"]).await;
    assert_eq!(removed.code, 0, "{removed:?}");
    until("the link is cut", AT_ONCE, async || {
        Baseline::now(&world.relay).await.is_some_and(|now| now.links == 0.0)
    })
    .await;
    assert_eq!(world.connector.process().exit_code(SOON).await, 4);
    world.connector.start_again();
    assert_eq!(world.connector.process().exit_code(SOON).await, 4);
    let gone = world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!(
        (gone.status, gone.relay_error()),
        (404, Some("RELAY_UNKNOWN_WORKSPACE")),
        "{gone:?}"
    );
}

#[tokio::test]
async fn a_certificate_that_was_revoked_while_it_was_away_is_refused_in_words() {
    let world = World::new().await;
    let other = world.relay.add_workspace("other", &[]).await;
    let identity = RawIdentity::join(&other.join).await;
    assert_eq!(world.relay.cli(&["workspace", "revoke", "other"]).await.code, 0);
    for first in [ToRelay::Hello(Box::new(identity.hello())), renewal(&identity)] {
        let mut link = identity.connect().await;
        link.send(&first).await;
        let ToConnector::Refusal(refusal) = link.next().await else { panic!("no refusal") };
        assert_eq!(refusal.code, RefusalCode::Revoked, "{refusal:?}");
        assert_eq!(link.until_closed(SOON).await.0, Some(CloseCode::Revoked));
    }
    assert_eq!(world.call(message("message/send", "m-1", "hello")).await.status, 200);
}

/// Reads a stream to its end, which does not look whole; the code that its last event gave, if it gave
/// any.
async fn ended(stream: &mut Call) -> Option<String> {
    let mut last = None;
    loop {
        match stream.next_event().await {
            Ok(event) => last = Some(event),
            Err(end) => {
                assert_ne!(end, tests::Ending::Complete, "a cut stream does not look whole");
                let error = last?.json();
                return error["error"]["data"][0]["reason"].as_str().map(str::to_owned);
            }
        }
    }
}

fn renewal(identity: &RawIdentity) -> ToRelay {
    let csr = identity.key.csr_der().expect("a request");
    ToRelay::Renew { csr: data_encoding::BASE64URL_NOPAD.encode(&csr) }
}
