//! What the platform sends again: no message runs twice, and whoever repeats one that runs waits for it.

use super::{
    Bridge, PUBLIC,
    calls_in::{assert_refused, posts},
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tests::{
    Agent, Connector, Platform, RawAgent, RawBehaviour, RawResponse, Relay, agent::End, http,
    platform::Times, until, world::message,
};
use tokio::{task::JoinSet, time::sleep_until};

const SOON: Duration = Duration::from_secs(20);
/// How many repeats of one message may wait.
const WAITING_MAX: usize = 8;

impl Bridge {
    /// An agent whose answers are held, online on the platform; and what is registered of it.
    async fn held(&self, name: &str) -> (Agent, Connector, tests::platform::Row) {
        let workspace = self.relay.add_workspace(name, &[]).await;
        let agent = Agent::start("held");
        let connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
        let row = self.platform.until_status(name, "online").await;
        (agent, connector, row)
    }

    /// Sends a message to what is registered of an agent, whose answer is still to come.
    async fn begin(&self, registered: &str, id: &str) -> http::Call {
        let path = registered.strip_prefix(PUBLIC).expect("the relay's URL");
        let url = format!("http://{}{path}", self.relay.http());
        let body = message("message/send", id, "hello").to_string();
        let json = [("Content-Type", "application/json")];
        http::send("POST", &url, &json, Some(body.as_bytes())).await.expect("a relay")
    }
}

/// Waits until a relay has so many requests open.
async fn until_open(relay: &Relay, count: usize) {
    until(&format!("{count} requests are open"), SOON, async || {
        relay.metric("relay_streams_in_flight", &[]).await == Some(count as f64)
    })
    .await;
}

/// The answers of calls that are under way.
async fn answers(calls: Vec<http::Call>) -> Vec<RawResponse> {
    let mut reading = JoinSet::new();
    for mut call in calls {
        reading.spawn(async move { call.response().await.expect("an answer") });
    }
    reading.join_all().await
}

#[tokio::test]
async fn a_repeat_of_a_message_that_runs_waits_for_its_answer() {
    let bridge = Bridge::start().await;
    let (agent, _connector, row) = bridge.held("slow").await;
    let first = bridge.begin(&row.url, "m-1").await;
    until("it is at the agent", SOON, async || posts(&agent) == 1).await;
    let mut repeats = Vec::new();
    for _ in 0..WAITING_MAX {
        repeats.push(bridge.begin(&row.url, "m-1").await);
    }
    until_open(&bridge.relay, 1 + WAITING_MAX).await;
    let crowded = bridge.say(&row.url, "m-1", &[]).await;
    assert_refused(&crowded, 409, "RELAY_DUPLICATE");
    assert!(crowded.json()["error"].as_str().unwrap().contains("still at work"), "{crowded:?}");

    drop(repeats.pop());
    until_open(&bridge.relay, WAITING_MAX).await;
    repeats.push(bridge.begin(&row.url, "m-1").await);
    until_open(&bridge.relay, 1 + WAITING_MAX).await;

    agent.release();
    let answered = answers(vec![first]).await.remove(0);
    assert_eq!(answered.status, 200, "{answered:?}");
    let later = bridge.say(&row.url, "m-1", &[]).await;
    for again in answers(repeats).await.into_iter().chain([later]) {
        assert_eq!((again.status, &again.body), (200, &answered.body), "{again:?}");
        let line = bridge.relay.access_line(&again).await;
        assert_eq!(line["via"], "memory", "{line}");
        assert_eq!((&line["method"], &line["status"]), (&json!("send"), &json!(200)), "{line}");
        assert_eq!(line["bytes"], answered.body.len(), "{line}");
    }
    assert_eq!(bridge.relay.access_line(&answered).await["via"], "link");
    let line = bridge.relay.access_line(&crowded).await;
    assert_eq!((&line["via"], &line["code"]), (&json!("memory"), &json!("RELAY_DUPLICATE")));
    assert_eq!(posts(&agent), 1, "it ran once");
}

#[tokio::test]
async fn when_nobody_can_tell_what_became_of_it_all_who_wait_are_told_so() {
    let bridge = Bridge::start().await;
    let (agent, _connector, row) = bridge.held("lost").await;
    let first = bridge.begin(&row.url, "m-1").await;
    until("it is at the agent", SOON, async || posts(&agent) == 1).await;
    let repeats = vec![bridge.begin(&row.url, "m-1").await, bridge.begin(&row.url, "m-1").await];
    until_open(&bridge.relay, 3).await;
    drop(agent);
    let first = answers(vec![first]).await.remove(0);
    assert_refused(&first, 504, "RELAY_UPSTREAM_RESET");
    for again in answers(repeats).await {
        assert_refused(&again, 409, "RELAY_DUPLICATE");
        assert!(again.json()["error"].as_str().unwrap().contains("nobody knows"), "{again:?}");
    }
}

#[tokio::test]
async fn a_queued_call_that_still_runs_is_completed_by_its_answer() {
    let times = Times { patience: Duration::from_millis(300), ..Times::default() };
    // Its beats come seldom at first, so that the platform gives the call up and queues it.
    let bridge = Bridge::with(Platform::builder().times(times).start(), |relay| {
        relay.env("RELAY_PLATFORM_BEAT", "2")
    })
    .await;
    bridge.platform.resolve("relay.example.com", bridge.relay.http());
    let (agent, _connector, row) = bridge.held("queued").await;
    let body = message("message/send", "m-1", "hello");
    let queued = bridge.platform.call(&row.id, &body).await;
    assert_eq!(queued.status, 202, "{queued:?}");
    until("it is at the agent", SOON, async || posts(&agent) == 1).await;
    agent.release();
    until("the platform has it for completed", SOON, async || {
        bridge.platform.queued().iter().all(|one| one.status == "completed")
    })
    .await;
    assert_eq!(posts(&agent), 1, "it ran once");
}

#[tokio::test]
async fn a_repeat_gets_the_answer_that_there_was() {
    let bridge = Bridge::start().await;
    let (one, other) = (bridge.agent("one").await, bridge.agent("other").await);
    let row = bridge.platform.until_status("one", "online").await;
    let first = bridge.say(&row.url, "m-1", &[]).await;
    let again = bridge.say(&row.url, "m-1", &[]).await;
    assert_eq!((first.status, again.status), (200, 200), "{first:?} {again:?}");
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("content-type"), again.header("content-type"));
    assert_eq!(posts(&one.agent), 1);
    let elsewhere = bridge.platform.until_status("other", "online").await;
    assert_eq!(bridge.say(&elsewhere.url, "m-1", &[]).await.status, 200);
    assert_eq!(posts(&other.agent), 1, "another agent's messages are its own");
    assert_eq!(bridge.say(&row.url, "m-2", &[]).await.status, 200);
    assert_eq!(posts(&one.agent), 2);
}

#[tokio::test]
async fn a_delegation_that_never_arrived_is_sent_again_and_runs_once() {
    let times = Times { delegate_again: Duration::from_millis(10), ..Times::default() };
    let bridge = Bridge::with(Platform::builder().times(times).start(), |relay| relay).await;
    bridge.platform.resolve("relay.example.com", bridge.relay.http());
    let mut agent = bridge.agent("delegate").await;
    let row = bridge.platform.until_status("delegate", "online").await;
    let port = agent.agent.port();
    let parked = Agent::start("a2a");
    drop(std::mem::replace(&mut agent.agent, parked));
    until("nobody takes it", SOON, async || {
        let reached = bridge.platform.delegate(&row.id, "d-1", "count to three").await;
        reached.status == 502
    })
    .await;
    let back = Agent::start_on(port, "a2a");
    let reached = bridge.platform.delegate(&row.id, "d-1", "count to three").await;
    assert_eq!(reached.status, 200, "{reached:?}");
    assert_eq!(posts(&back), 1);
}

#[tokio::test]
async fn a_delegation_whose_answer_broke_off_is_sent_again_and_not_run_again() {
    let times = Times { delegate_again: Duration::from_millis(10), ..Times::default() };
    let bridge = Bridge::with(Platform::builder().times(times).start(), |relay| relay).await;
    bridge.platform.resolve("relay.example.com", bridge.relay.http());
    let workspace = bridge.relay.add_workspace("breaks-off", &[]).await;
    let half = RawBehaviour::Half { promised: 1_000, sent: 10, end: End::Fin };
    let agent = RawAgent::start(half);
    let _connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
    let row = bridge.platform.until_status("breaks-off", "online").await;
    let reached = bridge.platform.delegate(&row.id, "d-1", "count to three").await;
    assert_eq!(reached.status, 409, "{reached:?}");
    assert!(reached.json()["error"].as_str().unwrap().contains("broke off"), "{reached:?}");
    let delivered = agent.journal().deliveries();
    assert_eq!(delivered.iter().filter(|delivery| delivery.method == "POST").count(), 1);
}

/// How long the call lasts of which the platform sees a part only: `HARNESS_CALL_SECONDS`, or 3.
fn length() -> Duration {
    let seconds = std::env::var("HARNESS_CALL_SECONDS").ok();
    Duration::from_secs(seconds.map_or(3, |seconds| seconds.parse().expect("whole seconds")))
}

#[tokio::test]
async fn a_long_call_outlives_a_restart_of_the_platform_either_way() {
    // Of six minutes, the platform waits for five without a sign of life, and has one every 25 s.
    let length = length();
    let times = Times { patience: length.mul_f64(5.0 / 6.0), ..Times::default() };
    let beat = (length.as_secs_f64() / 14.4).to_string();
    let mut bridge = Bridge::with(Platform::builder().times(times).start(), |relay| {
        relay.env("RELAY_PLATFORM_BEAT", &beat)
    })
    .await;
    bridge.platform.resolve("relay.example.com", bridge.relay.http());
    let workspace = bridge.relay.add_workspace("slow", &[]).await;
    let agent = Agent::start("held");
    let _connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
    let row = bridge.platform.until_status("slow", "online").await;

    let path = workspace.public_url.strip_prefix(PUBLIC).unwrap();
    let url = format!("http://{}{path}", bridge.relay.http());
    let direct = message("message/send", "direct", "hello").to_string();
    let json = [("Content-Type", "application/json")];
    let direct = http::send("POST", &url, &json, Some(direct.as_bytes())).await.expect("a relay");
    let mut direct = direct.patience(length + SOON);
    until("the direct call is at the agent", SOON, async || posts(&agent) == 1).await;
    let began = Instant::now();

    let body = message("message/send", "through", "hello");
    let platform = Arc::new(bridge.platform);
    let call = |platform: &Arc<Platform>| {
        let (platform, id, body) = (platform.clone(), row.id.clone(), body.clone());
        tokio::spawn(async move { platform.call(&id, &body).await })
    };
    let through = call(&platform);
    until("the platform's call is at the agent", SOON, async || posts(&agent) == 2).await;

    // The platform goes, and every call with it that it had open.
    through.abort();
    assert!(through.await.is_err());
    let mut platform = Arc::into_inner(platform).expect("nobody else has it");
    platform.stop();
    bridge.platform = platform;
    until("the operator sees it", SOON, async || {
        bridge.shown("slow").await["reachable"] == json!(false)
    })
    .await;
    bridge.platform.start_again();
    let (beats, back) = (bridge.platform.named("slow").unwrap().beats, Instant::now());
    let platform = Arc::new(bridge.platform);
    let again = call(&platform);
    until_open(&bridge.relay, 3).await;

    sleep_until((began + length).into()).await;
    assert!(!again.is_finished(), "it waits for as long as the agent works");
    let beats = platform.named("slow").unwrap().beats - beats;
    agent.release();
    let direct = direct.response().await.expect("an answer");
    assert_eq!(direct.status, 200, "{direct:?}");
    let took = began.elapsed();
    let again = again.await.unwrap();
    let waited = back.elapsed();
    println!(
        "a call of {:.1} s directly, its answer after {:.1} s; again through the platform after its \
         restart, the answer after {:.1} s, with {beats} heartbeats meanwhile",
        length.as_secs_f64(),
        took.as_secs_f64(),
        waited.as_secs_f64()
    );
    assert_eq!(again.status, 200, "{again:?}");
    let later = platform.call(&row.id, &body).await;
    assert_eq!(later, again, "and from memory");
    let answer: Value = again.json();
    assert_eq!(answer["id"], "through", "{answer}");
    assert!(answer["result"].is_object(), "{answer}");
    assert_eq!(posts(&agent), 2, "the agent ran each once");
}
