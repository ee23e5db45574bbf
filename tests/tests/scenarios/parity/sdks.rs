//! The official SDKs, given nothing but the base, do everything that there is to do.

use super::Stage;
use serde_json::Value;
use std::time::Duration;
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

async fn compare(agent: Sdk, callers: &[(Sdk, &'static str)]) {
    let Some(stage) = Stage::new(agent).await else { return };
    for (sdk, binding) in callers {
        let Some(verdict) = tour(&stage, *sdk, binding).await else { return };
        verdict.print(&format!("{sdk:?} by {binding}, of an agent on {agent:?}"), 15);
    }
}

/// All that a client can do, twice; also what it told of it, and what the webhook was told.
async fn tour(stage: &Stage, sdk: Sdk, binding: &'static str) -> Option<Verdict> {
    let webhook = Front::start();
    let is_python = matches!(sdk, Sdk::Python | Sdk::Python03);
    let caller = SdkCaller {
        mention: stage.bases.local.clone(),
        webhook: format!("{}/hook", webhook.origin()),
        ..SdkCaller::new(sdk, binding)
    };
    let mut marks = Vec::new();
    let (twice, alone, through) = stage
        .twice(async |base| {
            // The agent itself speaks HTTP/1.1 only.
            let through = !base.starts_with(&stage.bases.local);
            let http2 = through && is_python && Version::of_callers() == Version::Http2;
            let seen = SdkCaller { http2, ..caller.clone() }.call(base).await;
            marks.push(until_told(&webhook, marks.last().copied().unwrap_or_default()).await);
            seen
        })
        .await;
    let (alone, through) = (alone?, through?);
    stage.assert_nobody_went_round(&twice);
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
        assert!(card.contains(&stage.bases.public), "no URL of the card is public: {card}");
        assert!(!card.contains(&stage.bases.local), "a card leads round the relay: {card}");
    }
    let both = [&stage.bases.public[..], &stage.bases.local[..]];
    let told = |seen: &Value| mask(seen.to_string().as_bytes(), &both);
    if told(&alone) != told(&through) {
        let steps = alone.as_object().into_iter().flatten().map(|(step, _)| step);
        let other = steps.filter(|step| told(&alone[step]) != told(&through[step]));
        verdict
            .differences
            .extend(other.map(|step| format!("{step}: {} became {}", alone[step], through[step])));
    }
    verdict.add(pushes(&webhook, marks[0], &both));
    Some(verdict)
}

/// Waits until the webhook was told of the end of a task; answers how often it was told by then.
async fn until_told(webhook: &Front, before: usize) -> usize {
    let ends = ["TASK_STATE_CANCELED", "TASK_STATE_COMPLETED", "\"canceled\"", "\"completed\""];
    until("the webhook is told of the end", SOON, async || {
        let told = webhook.since(before);
        let last = String::from_utf8_lossy(&told.last()?.request.body).into_owned();
        ends.iter().any(|end| last.contains(end)).then_some(before + told.len())
    })
    .await
}

/// What the agent told the webhook in each run: the agent dials it itself.
fn pushes(webhook: &Front, second: usize, bases: &[&str]) -> Verdict {
    let all = webhook.since(0);
    let (alone, through) = all.split_at(second);
    let told = |pushes: &[tests::front::Exchange]| -> Vec<(String, Option<String>)> {
        let token = |push: &tests::front::Exchange| {
            push.request.field("x-a2a-notification-token").map(str::to_owned)
        };
        pushes.iter().map(|push| (mask(&push.request.body, bases), token(push))).collect()
    };
    let mut verdict = Verdict { compared: through.len(), ..Verdict::default() };
    if told(alone) != told(through) {
        let difference = format!("pushes: {:?} became {:?}", told(alone), told(through));
        verdict.differences.push(difference);
    }
    verdict
}
