//! The official SDKs, given nothing but the base, do everything that there is to do.

use super::Stage;
use serde_json::Value;
use std::time::Duration;
use tests::front::Exchange;
use tests::http::Version;
use tests::parity::{Verdict, mask};
use tests::sdk::{Sdk, SdkCaller};
use tests::{Front, until};

const SOON: Duration = Duration::from_secs(20);

/// Steps that end well; the others are refused by the agent, or are not in every SDK.
const STEPS: [&str; 9] =
    ["send", "mention", "large", "stream", "get", "not waiting", "subscribe", "cancel", "extended"];

#[tokio::test]
async fn python_sees_the_same_through_the_relay() {
    compare(Sdk::Python, &[(Sdk::Python, "JSONRPC"), (Sdk::Python, "HTTP+JSON")]).await;
}

#[tokio::test]
async fn javascript_sees_the_same_through_the_relay() {
    compare(Sdk::Python, &[(Sdk::Js, "JSONRPC"), (Sdk::Js, "HTTP+JSON")]).await;
}

#[tokio::test]
async fn callers_of_the_0_3_line_see_the_same_through_the_relay() {
    // That the two SDKs' HTTP+JSON of the 0.3 line does not fit together has nothing to do with us.
    let callers =
        [(Sdk::Python03, "JSONRPC"), (Sdk::Python03, "HTTP+JSON"), (Sdk::Js03, "JSONRPC")];
    compare(Sdk::Python03, &callers).await;
}

#[tokio::test]
async fn callers_of_the_0_3_line_see_the_same_of_a_current_agent() {
    compare(Sdk::Python, &[(Sdk::Python03, "JSONRPC"), (Sdk::Js03, "JSONRPC")]).await;
}

#[tokio::test]
async fn callers_by_grpc_see_the_same_at_the_agents_host() {
    let Some(stage) = Stage::with_host(Sdk::Python).await else { return };
    let callers = [(Sdk::Python, "GRPC"), (Sdk::Python03, "GRPC"), (Sdk::Js, "GRPC")];
    compare_on(&stage, Sdk::Python, &callers).await;
}

#[tokio::test]
async fn callers_by_grpc_see_the_same_of_an_agent_of_the_0_3_line() {
    let Some(stage) = Stage::with_host(Sdk::Python03).await else { return };
    let callers = [(Sdk::Python03, "GRPC"), (Sdk::Js03, "GRPC")];
    compare_on(&stage, Sdk::Python03, &callers).await;
}

#[tokio::test]
async fn current_callers_see_the_same_of_an_agent_of_the_0_3_line() {
    let callers = [(Sdk::Python, "JSONRPC"), (Sdk::Python, "HTTP+JSON"), (Sdk::Js, "JSONRPC")];
    compare(Sdk::Python03, &callers).await;
}

#[tokio::test]
async fn current_callers_by_grpc_see_the_same_of_an_agent_of_the_0_3_line() {
    let Some(stage) = Stage::with_host(Sdk::Python03).await else { return };
    compare_on(&stage, Sdk::Python03, &[(Sdk::Python, "GRPC")]).await;
}

#[tokio::test]
async fn callers_see_the_same_of_an_agent_in_javascript() {
    let callers = [
        (Sdk::Js, "JSONRPC"),
        (Sdk::Js, "HTTP+JSON"),
        (Sdk::Python, "JSONRPC"),
        (Sdk::Python, "HTTP+JSON"),
    ];
    compare(Sdk::Js, &callers).await;
}

async fn compare(agent: Sdk, callers: &[(Sdk, &'static str)]) {
    let Some(stage) = Stage::new(agent).await else { return };
    compare_on(&stage, agent, callers).await;
}

async fn compare_on(stage: &Stage, agent: Sdk, callers: &[(Sdk, &'static str)]) {
    for (sdk, binding) in callers {
        let Some(verdict) = tour(stage, agent, *sdk, binding).await else { return };
        verdict.print(&format!("{sdk:?} by {binding}, of an agent on {agent:?}"), 15);
    }
}

/// All that a client can do, twice; also what it told of it, and what the webhook was told.
async fn tour(stage: &Stage, agent: Sdk, sdk: Sdk, binding: &'static str) -> Option<Verdict> {
    let webhook = Front::start();
    let is_python = matches!(sdk, Sdk::Python | Sdk::Python03);
    let mention = stage.bases.local.clone();
    let older = agent == Sdk::Python03;
    let caller = SdkCaller { mention, older, ..SdkCaller::new(sdk, binding) };
    let mut ends = Vec::new();
    let (twice, alone, through) = stage
        .twice(async |base| {
            // The agent itself speaks HTTP/1.1 only.
            let through = !base.starts_with(&stage.bases.local);
            let http2 = through && is_python && Version::of_callers() == Version::Http2;
            // Agents go on telling of a task that has ended, so each run has a path of its own.
            let path = format!("/00000000-0000-4000-8000-{:012}", ends.len());
            let hook = webhook.origin() + &path;
            let seen = SdkCaller { http2, webhook: hook, ..caller.clone() }.call(base).await?;
            ends.push(told_of_the_end(&webhook, &path).await);
            Some(seen)
        })
        .await;
    let (alone, through) = (alone?, through?);
    stage.assert_nobody_went_round(&twice);
    let wanted = if is_python { Version::of_callers() } else { Version::Http1 };
    let spoken =
        |call: &Exchange| (call.version == http::Version::HTTP_2) == (wanted == Version::Http2);
    let is_call = |call: &Exchange| call.path.contains("A2AService/");
    let (calls, others): (Vec<_>, Vec<_>) = twice.outside.iter().cloned().partition(is_call);
    assert!(others.iter().all(spoken), "the callers speak {wanted:?}");
    assert_eq!(binding == "GRPC", calls.len() > others.len(), "they speak {binding}");
    let mut verdict = stage.compare(&twice);
    for step in STEPS {
        assert!(
            through.get(step).is_some_and(|seen| !seen.is_string()),
            "{step}: {}",
            through[step]
        );
    }
    for card in ["card", "extended"].into_iter().filter_map(|name| through.get(name)) {
        let card = card.to_string();
        for place in stage.bases.of_relay() {
            assert!(card.contains(place), "{place} is not in the card: {card}");
        }
        for place in stage.bases.of_agent() {
            assert!(!card.contains(place), "a card leads round the relay to {place}: {card}");
        }
    }
    let both = stage.bases.all();
    let told = |seen: &Value| mask(seen.to_string().as_bytes(), &both);
    if told(&alone) != told(&through) {
        let steps = alone.as_object().into_iter().flatten().map(|(step, _)| step);
        let other = steps.filter(|step| told(&alone[step]) != told(&through[step]));
        verdict
            .differences
            .extend(other.map(|step| format!("{step}: {} became {}", alone[step], through[step])));
    }
    verdict.add(pushes(&ends, &both));
    Some(verdict)
}

/// The first that the webhook was told of the end of a task. What it is told before is, with some
/// agents, how the task stands when they get to it.
async fn told_of_the_end(webhook: &Front, path: &str) -> Exchange {
    let ends = ["TASK_STATE_CANCELED", "TASK_STATE_COMPLETED", "\"canceled\"", "\"completed\""];
    until("the webhook is told of the end", SOON, async || {
        webhook.since(0).into_iter().find(|push| {
            let body = String::from_utf8_lossy(&push.request.body);
            push.path == path && push.request.whole && ends.iter().any(|end| body.contains(end))
        })
    })
    .await
}

/// A task as an agent of the 0.3 line tells of it: whether its last message stands in the history by then
/// is a race within the agent, so only what began it is compared.
fn without_later_history(body: &[u8]) -> Vec<u8> {
    let Ok(mut told) = serde_json::from_slice::<Value>(body) else { return body.to_vec() };
    if let Some(Value::Array(history)) = told.get_mut("history") {
        history.truncate(1);
    }
    told.to_string().into_bytes()
}

/// What the agent told the webhook in each run: it dials that itself, whoever asked for it.
fn pushes(ends: &[Exchange], bases: &[&str]) -> Verdict {
    let told = |push: &Exchange| {
        let field = |name| push.request.field(name).map(str::to_owned);
        let fields = (field("x-a2a-notification-token"), field("content-type"));
        (mask(&without_later_history(&push.request.body), bases), fields)
    };
    let mut verdict = Verdict { compared: 1, ..Verdict::default() };
    let [alone, through] = [ends.first().map(told), ends.last().map(told)];
    if ends.len() != 2 || alone != through {
        verdict.differences.push(format!("pushes: {alone:?} became {through:?}"));
    }
    verdict
}
