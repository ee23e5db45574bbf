//! How fast requests may come, and how many may be open at a time.

use serde_json::json;
use std::time::Duration;
use tests::{RawResponse, Refusal, Relay, World, http, until, world::message};

use super::{call_with, token};

const SOON: Duration = Duration::from_secs(10);
const LIMITED: Refusal = Refusal::new(429, "RELAY_RATE_LIMITED");

async fn set(relay: &Relay, id: &str, args: &[&str]) {
    let set = [&["workspace", "set", id], args].concat();
    let done = relay.cli(&set).await;
    assert_eq!(done.code, 0, "{done:?}");
}

/// Seconds after which it may be tried again.
fn retry_after(answer: &RawResponse) -> u32 {
    let seconds = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
    seconds.unwrap_or_else(|| panic!("no Retry-After: {answer:?}"))
}

#[tokio::test]
async fn an_agent_has_no_more_requests_open_than_its_operator_lets_it() {
    let world = World::builder().workspace_args(&["--in-flight", "2"]);
    let world = world.connector_args(&["--allow", "/v1"]).start().await;
    let id = world.workspace.workspace_id.as_str();
    let other = world.relay.add_workspace("other", &[]).await;
    let pace = [("x-test-events", "100000"), ("x-test-interval-ms", "100")];
    let mut open = Vec::new();
    for name in ["one", "two"] {
        let mut stream = world.open_stream(name, &pace).await;
        assert_eq!(stream.head().await.expect("a head").status, 200);
        open.push(stream);
    }
    let limited = LIMITED.retry_after("1");
    let refused = world.call_as("three", &[], b"{}").await.expect("an answer");
    let sentence = limited.assert_json_rpc(&refused, "null");
    assert!(sentence.contains("2 requests"), "{sentence}");
    let refused = http::get(&world.workspace.card()).await.expect("an answer");
    limited.assert_marks(&refused);
    let task = format!("{}v1/tasks/1", world.public_url);
    let refused = http::get(&task).await.expect("an answer");
    limited.assert_marks(&refused);
    assert_eq!(refused.json()["error"]["status"], "RESOURCE_EXHAUSTED");
    let away = http::post_json(&other.endpoint(), &message("message/send", "m", "x")).await;
    assert_eq!(away.expect("an answer").status, 503, "the other agent's is its own");
    world.assert_unseen("three");

    drop(open.pop());
    until("there is room again", SOON, async || {
        world.call(message("message/send", "four", "hello")).await.status == 200
    })
    .await;
    assert_eq!(world.relay.show_workspace(id).await["in_flight"], 2);
    set(&world.relay, id, &["--in-flight", "off"]).await;
    let mut more = Vec::new();
    for name in ["five", "six", "seven"] {
        let mut stream = world.open_stream(name, &pace).await;
        assert_eq!(stream.head().await.expect("a head").status, 200);
        more.push(stream);
    }
    assert_eq!(world.relay.show_workspace(id).await["in_flight"], json!(null));
    drop((open, more));
    world.until_quiet().await;
}

#[tokio::test]
async fn an_agent_gets_requests_no_faster_than_its_operator_lets_it() {
    let world = World::builder().workspace_args(&["--jsonrpc-errors-as-200", "on"]).start().await;
    let id = world.workspace.workspace_id.as_str();
    set(&world.relay, id, &["--rate", "0.01"]).await;
    assert_eq!(world.relay.show_workspace(id).await["rate"], 0.01);
    let answer = world.call(message("message/send", "one", "hello")).await;
    assert_eq!((answer.status, answer.relay_error()), (200, None), "{answer:?}");
    let refused = world.call(message("message/send", "two", "hello")).await;
    let marks = (refused.status, refused.relay_error(), refused.delivery());
    assert_eq!(marks, (200, Some("RELAY_RATE_LIMITED"), Some("not-sent")), "{refused:?}");
    assert!((1..=100).contains(&retry_after(&refused)), "{refused:?}");
    let hint = refused.json()["error"]["data"][1]["retryDelay"].clone();
    assert_eq!(hint, format!("{}s", retry_after(&refused)));
    let card = http::get(&world.workspace.card()).await.expect("an answer");
    assert_eq!(card.status, 429, "a card is a request as well: {card:?}");
    world.assert_unseen("two");

    set(&world.relay, id, &["--rate", "off"]).await;
    for call in 0..5 {
        let answer = world.call(message("message/send", &format!("m-{call}"), "hello")).await;
        assert_eq!((answer.status, answer.relay_error()), (200, None), "{answer:?}");
    }
    let refusals = world.relay.metric("relay_refusals_total", &[("code", "RELAY_RATE_LIMITED")]);
    assert_eq!(refusals.await, Some(2.0));
}

#[tokio::test]
async fn the_holder_of_a_token_may_ask_as_much_as_the_token_says() {
    let world = World::builder().workspace_args(&["--callers", "token"]).start().await;
    let slow = token(&world, "slow", &["--rate", "0.01"]).await;
    let other = token(&world, "other", &[]).await;
    assert_eq!(call_with(&world, &slow, "message/send", "one").await.status, 200);
    let refused = call_with(&world, &slow, "message/send", "two").await;
    assert_eq!(refused.relay_error(), Some("RELAY_RATE_LIMITED"), "{refused:?}");
    assert!((1..=100).contains(&retry_after(&refused)), "{refused:?}");
    world.assert_unseen("two");
    for call in 0..5 {
        let answer = call_with(&world, &other, "message/send", &format!("m-{call}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let list = ["caller", "list", &world.workspace.workspace_id, "--json"];
    let listed = world.relay.cli(&list).await.json();
    let limits =
        |at: usize| (listed["callers"][at]["rate"].clone(), &listed["callers"][at]["in_flight"]);
    assert_eq!((limits(0), limits(1)), ((json!(0.01), &json!(null)), (json!(null), &json!(null))));
    for wrong in [["--rate", "0"], ["--in-flight", "5000"], ["--methods", "sned"]] {
        let add = [&["caller", "add", &world.workspace.workspace_id, "x"], &wrong[..]].concat();
        assert_eq!(world.relay.cli(&add).await.code, 2, "{wrong:?}");
    }
}
