//! Agents with an address of their own: called there while no connector is linked.

#[path = "direct/guard.rs"]
mod guard;
#[path = "direct/policies.rs"]
mod policies;
#[path = "direct/tls.rs"]
mod tls;
#[path = "direct/trouble.rs"]
mod trouble;

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    Agent, Connector, Ending, Port, RawResponse, Refusal, Relay, agent, baseline::Baseline, http,
    until, world::message,
};

/// Two searches for agents to look at, and then some.
const NOTICED: Duration = Duration::from_secs(15);

/// A laboratory's relay, which calls agents anywhere.
async fn laboratory() -> Relay {
    Relay::builder().args(["--direct-urls", "all"]).start().await
}

/// A workspace whose agent said where it is.
struct Homed {
    id: String,
    base: String,
    join: String,
}

impl Homed {
    async fn at(relay: &Relay, url: &str) -> Homed {
        let made = json!({"name": "homed", "url": url});
        let row = relay.operate("POST /workspaces", Some(&made)).await;
        let text = |field: &str| row[field].as_str().expect("a text").to_owned();
        Homed { id: text("id"), base: text("public_url"), join: text("join") }
    }

    /// Posts a body that the agent's journal knows by this id.
    async fn post(&self, id: &str, headers: &[(&str, &str)], body: &[u8]) -> RawResponse {
        let own = [("Content-Type", "application/json"), ("x-test-id", id)];
        let answer = http::post(&self.base, &[&own[..], headers].concat(), body).await;
        answer.unwrap_or_else(|cut| panic!("no answer to {id}: {cut}"))
    }

    async fn say(&self, id: &str) -> RawResponse {
        self.post(id, &[], message("message/send", id, "hello").to_string().as_bytes()).await
    }

    async fn row(&self, relay: &Relay) -> Value {
        relay.operate(&format!("GET /workspaces/{}", self.id), None).await
    }

    /// Waits until the row has this status for a reason with these words; yields the row.
    async fn until_status(&self, relay: &Relay, status: &str, reason: &str) -> Value {
        until(&format!("the agent is {status}: {reason}"), NOTICED, async || {
            let row = self.row(relay).await;
            let told = row["reason"].as_str().is_some_and(|told| told.contains(reason));
            (row["status"] == status && told).then_some(row)
        })
        .await
    }
}

#[tokio::test]
async fn an_agent_that_was_registered_by_its_url_is_called_there() {
    let (relay, agent) = (laboratory().await, Agent::start("a2a"));
    let homed = Homed::at(&relay, &agent.origin()).await;
    let answer = homed
        .post(
            "m",
            &[("X-Forwarded-For", "6.6.6.6"), ("Authorization", "Bearer own")],
            message("message/send", "m", "hello").to_string().as_bytes(),
        )
        .await;
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{answer:?}");
    assert_eq!(answer.json()["result"]["parts"][0]["text"], "hello");
    assert!(answer.header("connection").is_none());
    let request = format!("\"request\":\"{}\"", answer.header("x-request-id").expect("a name"));
    let line = relay.process().wait_for_line(|line| line.contains(&request), NOTICED).await;
    assert!(line.contains("\"via\":\"url\",\"link\":null"), "no link carried it: {line}");
    assert!(line.contains("\"method\":\"send\""), "{line}");
    let seen = agent.journal().of("m");
    assert_eq!(seen.len(), 1, "one call is one delivery");
    let host = format!("127.0.0.1:{}", agent.port());
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("POST", "/a2a"));
    for (field, value) in [
        ("host", host.as_str()),
        ("authorization", "Bearer own"),
        ("x-forwarded-for", "127.0.0.1"),
        ("via", "1.1 a2a-relay"),
        ("connection", "close"),
    ] {
        let seen = seen[0].header(field).unwrap_or_default();
        assert!(seen == value || field == "via" && seen.ends_with("a2a-relay"), "{field}: {seen}");
    }

    let pace = [
        ("x-test-events", "5"),
        ("x-test-interval-ms", "100"),
        ("x-test-id", "s"),
        ("Content-Type", "application/json"),
    ];
    let body = message("message/stream", "s", "stream").to_string();
    let mut stream =
        http::send("POST", &homed.base, &pace, Some(body.as_bytes())).await.expect("a call");
    let head = stream.head().await.expect("a head");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let mut times = Vec::new();
    for sequence in 0..5 {
        let event = stream.next_event().await.expect("an event");
        assert_eq!(event.json()["result"]["metadata"]["sequence"], sequence);
        times.push(event.at);
    }
    assert_eq!(stream.next_event().await.expect_err("the end"), Ending::Complete);
    let spread = times[4] - times[0];
    assert!(spread >= Duration::from_millis(200), "events were held back: all within {spread:?}");

    let card =
        http::get(&format!("{}.well-known/agent-card.json", homed.base)).await.expect("a card");
    assert_eq!((card.status, &card.json()["url"]), (200, &json!(format!("{}a2a", homed.base))));
    let (card, local) = (card.json(), format!(":{}", agent.port()));
    assert!(!agent::texts(&card).iter().any(|text| text.contains(&local)), "local URLs: {card}");

    for path in ["v1/tasks/1", "admin", "rpc"] {
        let answer = http::get(&format!("{}{path}", homed.base)).await.expect("an answer");
        Refusal::new(404, "RELAY_NOT_FOUND").assert_marks(&answer);
    }
    let paths = agent.journal().deliveries().into_iter().map(|seen| seen.path);
    let other: Vec<_> = paths
        .filter(|path| !["/a2a", "/.well-known/agent-card.json"].contains(&path.as_str()))
        .collect();
    assert!(other.is_empty(), "{other:?}");
    Baseline::links(0).until_back(&relay).await;
}

#[tokio::test]
async fn a_url_with_a_path_is_the_endpoint_itself() {
    let (relay, agent) = (laboratory().await, Agent::start("a2a"));
    let homed = Homed::at(&relay, &format!("{}/test/echo?key=1", agent.origin())).await;
    let url = format!("{}a2a?A2A-Version=1.0", homed.base);
    let headers = [("Content-Type", "application/json"), ("x-test-id", "e")];
    let answer = http::post(&url, &headers, b"{\"id\":1}").await.expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"id\":1}"), "{answer:?}");
    assert_eq!(agent.journal().of("e")[0].path, "/test/echo?key=1&A2A-Version=1.0");
}

#[tokio::test]
async fn a_link_takes_over_when_it_comes_and_the_url_serves_again_when_it_goes() {
    let (relay, outside, inside) = (laboratory().await, Agent::start("a2a"), Agent::start("a2a"));
    let homed = Homed::at(&relay, &outside.origin()).await;
    let counts = |id: &str| (outside.journal().of(id).len(), inside.journal().of(id).len());
    let row = homed.until_status(&relay, "online", "It answers at its own URL.").await;
    assert_eq!((&row["connected"], &row["transport"]), (&json!(false), &Value::Null), "{row}");
    assert_eq!(homed.say("before").await.status, 200);
    assert_eq!(counts("before"), (1, 0));

    let connector = Connector::builder(&homed.join, inside.port()).start_online().await;
    assert_eq!(homed.say("linked").await.status, 200);
    assert_eq!(counts("linked"), (0, 1), "a link always wins");
    assert_eq!(homed.row(&relay).await["connected"], true);

    connector.stop().await;
    until("the link is gone", NOTICED, async || homed.row(&relay).await["connected"] == false)
        .await;
    assert_eq!(homed.say("after").await.status, 200);
    assert_eq!(counts("after"), (1, 0));
    homed.until_status(&relay, "online", "It answers at its own URL.").await;
}

#[tokio::test]
async fn the_status_follows_probes_heartbeats_and_calls() {
    let (relay, port) = (laboratory().await, Port::take());
    let agent = Agent::start_on(port.number(), "a2a");
    let homed = Homed::at(&relay, &agent.origin()).await;
    homed.until_status(&relay, "online", "It answers at its own URL.").await;
    let (origin, probes) = (agent.origin(), agent.journal().deliveries());
    let [probe] = &probes[..] else { panic!("one look is enough: {probes:?}") };
    assert_eq!(
        (probe.method.as_str(), probe.path.as_str()),
        ("GET", "/.well-known/agent-card.json")
    );

    // A call notices at once what the next look would notice in a minute.
    drop(agent);
    let refused = Refusal::new(503, "RELAY_UPSTREAM_REFUSED").retry_after("5");
    let sentence = refused.assert_json_rpc(&homed.say("gone").await, "\"gone\"");
    assert!(
        sentence.contains("refuses connections") && !sentence.contains(&port.number().to_string()),
        "{sentence}"
    );
    homed.until_status(&relay, "offline", "it refuses connections").await;
    let _agent = Agent::start_on(port.number(), "a2a");
    assert_eq!(homed.say("back").await.status, 200);
    homed.until_status(&relay, "online", "It answers at its own URL.").await;

    let registration = json!({"id": homed.id, "url": origin, "agent_card": {"name": "homed"}});
    let registered = relay.operate("POST /registry/register", Some(&registration)).await;
    assert_eq!(registered["warnings"], json!([]));
    homed.until_status(&relay, "online", "heartbeats; calls go to its own URL").await;
    relay.operate(&format!("POST /workspaces/{}/pause", homed.id), None).await;
    let answer = homed.say("paused").await;
    Refusal::new(503, "RELAY_AGENT_PAUSED").retry_after("30").assert_marks(&answer);
}

#[tokio::test]
async fn the_senders_credential_stays_with_the_relay_and_its_name_crosses() {
    let (relay, agent) = (laboratory().await, Agent::start("a2a"));
    let homed = Homed::at(&relay, &agent.origin()).await;
    let sender = relay.add_workspace("sender", &[]).await.workspace_id;
    let made = relay.operate(&format!("POST /workspaces/{sender}/tokens"), None).await;
    let token = made["auth_token"].as_str().expect("a token");
    let call = format!("POST /workspaces/{}/a2a", homed.id);
    let answer = relay.api(token, &call, Some(&message("message/send", "t", "hi"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = agent.journal().of("t");
    assert_eq!(seen[0].header("x-relay-caller"), Some(sender.as_str()));
    let leaked = seen[0].headers.iter().any(|(_, value)| value.contains("rtok_"));
    assert!(!leaked, "{:?}", seen[0].headers);
}
