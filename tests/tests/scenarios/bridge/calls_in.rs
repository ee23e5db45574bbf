//! The platform calls agents: each message runs once, and what goes wrong is said so that the platform
//! understands it.

use super::{Bridge, PUBLIC};
use std::time::Duration;
use tests::{
    Agent, Connector, Ending, Platform, RawAgent, RawBehaviour, RawResponse, World, http,
    platform::Fault, until, world::message,
};

const SOON: Duration = Duration::from_secs(20);
/// The most that the platform reads of an answer, bytes.
const ANSWER_MAX: u64 = 10 * 1024 * 1024;

impl Bridge {
    /// Posts to what is registered of an agent, with this behind it, as a peer does who knows it.
    pub(super) async fn post(
        &self,
        registered: &str,
        behind: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> RawResponse {
        let path = registered.strip_prefix(PUBLIC).expect("the relay's URL");
        let url = format!("http://{}{path}{behind}", self.relay.http());
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(fields);
        http::post(&url, &headers, body).await.expect("an answer")
    }

    /// The same with a message of this id.
    pub(super) async fn say(
        &self,
        registered: &str,
        id: &str,
        fields: &[(&str, &str)],
    ) -> RawResponse {
        let body = message("message/send", id, "hello").to_string();
        self.post(registered, "", fields, body.as_bytes()).await
    }
}

pub(super) fn posts(agent: &Agent) -> usize {
    agent.journal().deliveries().iter().filter(|delivery| delivery.method == "POST").count()
}

/// Asserts a refusal in the platform's dialect.
pub(super) fn assert_refused(answer: &RawResponse, status: u16, code: &str) {
    assert_eq!((answer.status, answer.relay_error()), (status, Some(code)), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let json = answer.json();
    let said = json["error"].as_str().unwrap_or_else(|| panic!("no sentence: {json}"));
    assert!(said.contains(code), "{said}");
    assert_eq!(json["code"], code);
}

#[tokio::test]
async fn each_form_of_the_registered_url_reaches_the_agent_byte_for_byte() {
    let bridge = Bridge::start().await;
    let workspace = bridge.relay.add_workspace("echo", &[]).await;
    let agent = Agent::start("echo");
    let _connector = Connector::builder(&workspace.join, agent.port()).start_online().await;
    let row = bridge.platform.until_status("echo", "online").await;
    let odd = br#"{ "z":1, "id" : 12345678901234567890123, "a":1.10, "params" : {"x":"\u00e9"} }"#;
    let shown = [("Authorization", "Bearer peers-own-bearer"), ("X-Workspace-ID", "somebody")];
    for behind in ["", "/a2a", "//a2a"] {
        let answer = bridge.post(&row.url, behind, &shown, odd).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &odd[..]), "{behind}: {answer:?}");
    }
    let reached = agent.journal().deliveries();
    let reached: Vec<_> = reached.iter().filter(|delivery| delivery.method == "POST").collect();
    assert_eq!(reached.len(), 3);
    for delivery in reached {
        assert_eq!(delivery.path, "/a2a");
        for (name, value) in &delivery.headers {
            assert!(!value.contains("peers-own-bearer"), "{name}: {value}");
            assert!(!name.eq_ignore_ascii_case("x-workspace-id"), "{value}");
        }
    }
    let log = bridge.relay.process().lines().join("\n");
    assert!(!log.contains("peers-own-bearer"), "{log}");

    for behind in ["/", "/x", "/.well-known/agent-card.json"] {
        assert_eq!(bridge.post(&row.url, behind, &[], odd).await.status, 404, "{behind}");
    }
    let unknown = format!("{PUBLIC}/molecule/a_aaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_refused(&bridge.post(&unknown, "", &[], odd).await, 404, "RELAY_UNKNOWN_WORKSPACE");
    let path = row.url.strip_prefix(PUBLIC).unwrap();
    let get = http::get(&format!("http://{}{path}", bridge.relay.http())).await.unwrap();
    assert_refused(&get, 405, "RELAY_METHOD_NOT_ALLOWED");
    let described = bridge.relay.operate("GET /openapi.json", None).await;
    for path in ["/molecule/{address}", "/molecule/{address}/a2a"] {
        assert!(described["paths"][path]["post"].is_object(), "{path}");
    }
    let mebibyte = format!("{{\"x\":\"{}\"}}", "y".repeat(1024 * 1024 - 8));
    let answer = bridge.post(&row.url, "", &[], mebibyte.as_bytes()).await;
    assert_eq!((answer.status, answer.body.len()), (200, mebibyte.len()));
}

#[tokio::test]
async fn a_relay_that_is_the_platform_has_no_such_url() {
    let world = World::with_agent("a2a").await;
    let address = world.workspace.public_url.rsplit("/agents/").next().unwrap();
    let url = format!("{}/molecule/{}", world.relay.public_url(), address.trim_matches('/'));
    let answer = http::post_json(&url, &message("message/send", "m-1", "hello")).await.unwrap();
    assert_eq!((answer.status, answer.relay_error()), (404, Some("RELAY_NOT_FOUND")));
    let described = world.relay.operate("GET /openapi.json", None).await;
    let paths = described["paths"].as_object().expect("paths");
    assert!(paths.keys().all(|path| !path.starts_with("/molecule")), "{:?}", paths.keys());
}

#[tokio::test]
async fn what_goes_wrong_is_said_so_that_nothing_is_sent_again_that_was_sent() {
    let bridge = Bridge::start().await;
    let reset = RawAgent::start(RawBehaviour::Reset);
    let workspace = bridge.relay.add_workspace("resets", &[]).await;
    let connector = Connector::builder(&workspace.join, reset.port()).start_online().await;
    let row = bridge.platform.until_status("resets", "online").await;
    let first = bridge.say(&row.url, "m-1", &[]).await;
    assert_refused(&first, 504, "RELAY_UPSTREAM_RESET");
    let again = bridge.say(&row.url, "m-1", &[]).await;
    assert_refused(&again, 409, "RELAY_DUPLICATE");
    drop(reset);
    let refused = until("the agent is gone", SOON, async || {
        let answer = bridge.say(&row.url, "m-2", &[]).await;
        (answer.relay_error() == Some("RELAY_UPSTREAM_REFUSED")).then_some(answer)
    })
    .await;
    assert_refused(&refused, 502, "RELAY_UPSTREAM_REFUSED");
    assert_eq!(refused.delivery(), Some("not-sent"));
    assert_eq!(connector.stop().await, 0);
    let offline = until("the link is gone", SOON, async || {
        let answer = bridge.say(&row.url, "m-2", &[]).await;
        (answer.relay_error() == Some("RELAY_AGENT_OFFLINE")).then_some(answer)
    })
    .await;
    assert_refused(&offline, 503, "RELAY_AGENT_OFFLINE");
    let agent = Agent::start("a2a");
    let join = bridge.relay.cli(&["workspace", "join", "resets", "--json"]).await.json();
    let join = join["join"].as_str().expect("a join string");
    let _connector = Connector::builder(join, agent.port()).start_online().await;
    let answer = bridge.say(&row.url, "m-2", &[]).await;
    assert_eq!(answer.status, 200, "what was never sent may be sent again: {answer:?}");
    let redirect = bridge.say(&row.url, "m-3", &[("x-test-behaviour", "status:307")]).await;
    assert_refused(&redirect, 504, "RELAY_UPSTREAM_PROTOCOL");
    let own = bridge.say(&row.url, "m-4", &[("x-test-behaviour", "status:418")]).await;
    assert_eq!((own.status, own.relay_error()), (418, None), "the agent's own status passes");
}

#[tokio::test]
async fn an_answer_that_the_platform_would_cut_never_looks_whole() {
    let bridge = Bridge::start().await;
    let agent = bridge.agent("long").await;
    let row = bridge.platform.until_status("long", "online").await;
    let long = |n: u64| format!("big:{n}");
    let fits = bridge.say(&row.url, "m-1", &[("x-test-behaviour", &long(ANSWER_MAX))]).await;
    assert_eq!((fits.status, fits.body.len() as u64), (200, ANSWER_MAX));
    let known = bridge.say(&row.url, "m-2", &[("x-test-behaviour", &long(ANSWER_MAX + 1))]).await;
    assert_refused(&known, 504, "RELAY_UPSTREAM_PROTOCOL");
    let chunked = format!("big-chunked:{}", ANSWER_MAX + 1);
    let cut = bridge.say(&row.url, "m-3", &[("x-test-behaviour", &chunked)]).await;
    assert_ne!(cut.ending, Ending::Complete, "{} bytes", cut.body.len());
    assert!((cut.body.len() as u64) < ANSWER_MAX, "{}", cut.body.len());
    let before = posts(&agent.agent);
    for id in ["m-1", "m-2", "m-3"] {
        assert_refused(&bridge.say(&row.url, id, &[]).await, 409, "RELAY_DUPLICATE");
    }
    assert_eq!(posts(&agent.agent), before, "none ran twice");
}

#[tokio::test]
async fn only_who_may_calls_as_the_platform() {
    let platform = Platform::start();
    let (peer, token) = platform.make("peer");
    let verifying = |relay: tests::relay::RelayBuilder| {
        relay.args(["--platform-verify", "--platform-sources", "192.0.2.0/24"])
    };
    let bridge = Bridge::with(platform, verifying).await;
    let agent = bridge.agent("guarded").await;
    let row = bridge.platform.until_status("guarded", "online").await;
    assert_refused(&bridge.say(&row.url, "m-1", &[]).await, 403, "RELAY_FORBIDDEN");
    let bearer = format!("Bearer {token}");
    let own = [("Authorization", bearer.as_str()), ("X-Workspace-ID", peer.as_str())];
    for id in ["m-2", "m-3"] {
        assert_eq!(bridge.say(&row.url, id, &own).await.status, 200);
    }
    let asked = bridge.platform.calls_of("GET /registry/discover/*").len();
    assert_eq!(asked, 2, "a yes is known, and so is that others get a no");
    let wrong = [("Authorization", "Bearer not-this-one"), ("X-Workspace-ID", peer.as_str())];
    assert_refused(&bridge.say(&row.url, "m-4", &wrong).await, 401, "RELAY_UNAUTHENTICATED");
    assert_refused(&bridge.say(&row.url, "m-5", &own[..1]).await, 401, "RELAY_UNAUTHENTICATED");
    let nobody = "6b0fb1de-0a5f-4a2c-8a19-2f7d1f9f4f11";
    let unguarded = [("Authorization", "Bearer anything"), ("X-Workspace-ID", nobody)];
    let proves_nothing = bridge.say(&row.url, "m-6", &unguarded).await;
    assert_refused(&proves_nothing, 503, "RELAY_PLATFORM_UNAVAILABLE");
    bridge.platform.fault(Fault::FailsOpen, true);
    let wrong = [("Authorization", "Bearer nor-this-one"), ("X-Workspace-ID", peer.as_str())];
    let fails_open = bridge.say(&row.url, "m-7", &wrong).await;
    assert_refused(&fails_open, 503, "RELAY_PLATFORM_UNAVAILABLE");
    assert!(fails_open.json()["error"].as_str().unwrap().contains("proves nothing"));
    let reached = agent.agent.journal().deliveries();
    assert_eq!(reached.iter().filter(|delivery| delivery.method == "POST").count(), 2);
    assert!(!format!("{reached:?}").contains(&token));
}
