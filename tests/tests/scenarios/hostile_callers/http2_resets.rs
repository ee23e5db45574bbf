//! HTTP/2 callers that take a request back within its body: no agent gets it as a whole one.

use super::{
    Paths,
    http2_requests::{good, is_served},
};
use std::time::Duration;
use tests::{
    World,
    http::frames::{CANCEL, DATA, END_HEADERS, FrameClient, HEADERS, NO_ERROR, RST_STREAM, frame},
    until,
};

const SOON: Duration = Duration::from_secs(10);
const ROUNDS: usize = 10;
/// The beginning of a body that could be all of it.
const BEGUN: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"message/send\",\"params\":{}}";

/// A request with a body of no announced length, which has not ended.
fn begun(paths: &Paths, id: &str) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, 1, &good(paths, id));
    [head, frame(DATA, 0, 1, BEGUN)].concat()
}

#[tokio::test]
async fn a_body_that_was_reset_is_never_delivered_as_a_whole_one() {
    let world = World::new().await;
    let paths = Paths::of(&world);
    for code in [NO_ERROR, CANCEL] {
        let reset = frame(RST_STREAM, 0, 1, &code.to_be_bytes());
        let (at_once, within) = (format!("at-once-{code}"), format!("within-{code}"));
        for _ in 0..ROUNDS {
            let mut client = FrameClient::connect(world.relay.http()).await;
            // In one piece, so that the relay has the reset when it looks at the body.
            client.send(&[&begun(&paths, &at_once)[..], &reset].concat()).await.expect("sent");
            assert!(is_served(&mut client, &paths, 3).await, "code {code}: the connection");
        }
        let mut client = FrameClient::connect(world.relay.http()).await;
        client.send(&begun(&paths, &within)).await.expect("sent");
        let there = async || !world.agent.of(&within).is_empty();
        until("the agent has the head", SOON, there).await;
        client.send(&reset).await.expect("sent");
        world.agent.until_cut(&within).await;
        assert!(is_served(&mut client, &paths, 3).await, "code {code}: the connection");

        world.until_quiet().await;
        for id in [at_once, within] {
            for seen in world.agent.of(&id) {
                assert_eq!(seen.whole_body(), None, "{id}: half a body looks whole");
            }
        }
    }
}
