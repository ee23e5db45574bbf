//! The first minute: a message arrives and returns, a stream comes event by event, the card is public.

use std::time::Duration;
use tests::{Ending, World, agent, http::get, world::message};

#[tokio::test]
async fn a_message_reaches_the_agent_and_its_answer_returns() {
    let world = World::with_agent("a2a").await;
    let answer = world.call(message("message/send", "m-1", "hello")).await;
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    assert_eq!(answer.json()["id"], "m-1");
    assert_eq!(answer.json()["result"]["parts"][0]["text"], "hello");
    let seen = world.agent.of("m-1");
    assert_eq!(seen.len(), 1, "one call is one delivery");
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/a2a"));
    assert!(seen[0].header("x-request-id").is_some());
    world.until_quiet().await;
}

#[tokio::test]
async fn a_stream_arrives_event_by_event() {
    let world = World::with_agent("a2a").await;
    let pace = [("x-test-events", "5"), ("x-test-interval-ms", "100")];
    let mut stream = world.open_stream("s-1", &pace).await;
    let head = stream.head().await.expect("a head");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let mut times = Vec::new();
    for sequence in 0..5 {
        let event = stream.next_event().await.expect("an event");
        assert_eq!(event.json()["id"], "s-1");
        assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
        times.push(event.at);
    }
    assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    let spread = times[4] - times[0];
    assert!(spread >= Duration::from_millis(200), "events were held back: all within {spread:?}");
    world.until_quiet().await;
}

#[tokio::test]
async fn the_card_names_the_public_url_and_no_local_one() {
    let world = World::with_agent("a2a").await;
    let answer = get(&world.workspace.card()).await.expect("a card");
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    let card = answer.json();
    let public = format!("{}a2a", world.public_url);
    assert_eq!(card["url"], public);
    assert_eq!(card["additionalInterfaces"][0]["url"], public);
    assert_eq!(card["supportedInterfaces"][0]["url"], public);
    assert_eq!(card["supportedInterfaces"][1]["url"], public);
    assert_eq!(card["x-unknown-field"], agent::hybrid_card(0)["x-unknown-field"]);
    let port = format!(":{}", world.agent.port());
    let local: Vec<_> =
        agent::texts(&card).into_iter().filter(|text| text.contains(&port)).collect();
    assert!(local.is_empty(), "local URLs in the public card: {local:?}");
    world.until_quiet().await;
}
